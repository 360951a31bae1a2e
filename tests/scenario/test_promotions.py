"""A job that opens the promotion of its own model, and a reconciler killed all the while."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_federated import KilledError, a_fleet, finished, killed, learning, rounds_of, spec

from propeller.errors import Conflict
from propeller.model.ids import Uid, sha256_digest
from propeller.model.promotion import Proposal
from propeller.reconcile.events import PromotionOpened, Remark
from propeller.reconcile.promotions import edit
from propeller.rehearse.control import Manager
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.writeback.news import Batch
from propeller.writeback.promotions import Promotions
from propeller.writeback.sidebranch import Base

INFER = f"""apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {{name: infer}}
spec:
  module: {{file: trainer.wat}}
  placement: {{selector: {{matchLabels: {{nobody: has}}}}}}
  run:
    models: [{{name: line, digest: "{sha256_digest(b"old")}", size: 9}}]
"""
SCORES = {1: 0.5, 2: 0.93, 3: 0.7, 4: 0.96, 5: 0.94}
"""Round 2 is good enough first, round 4 the best, round 5 the last."""
TO = {"when": "metrics.accuracy >= 0.92", "to": {"kind": "Daemon", "name": "infer"}}
MEASURED = {"rounds": 5, "evaluation": {"every": 1}}


class Remote:
    """A repository in memory whose watched branch is the spec folder. It outlives every kill."""

    def __init__(self, specs: Path) -> None:
        self._specs = specs
        self.branches: dict[str, Mapping[str, bytes]] = {}
        self.on_push: Callable[[], None] = lambda: None

    def be_quick(self, seconds: float) -> None:
        del seconds

    def base(self) -> Base:
        return Base("base", {one.name: ("100644", "") for one in self._specs.iterdir()})

    def read(self, base: Base, paths: list[str]) -> dict[str, bytes]:
        del base
        return {path: (self._specs / path).read_bytes() for path in paths}

    def tip(self, branch: str) -> str:
        return f"tip-of-{branch}" if branch in self.branches else ""

    def push(
        self, base: Base, changes: Mapping[str, bytes], branch: str, message: str, at: int
    ) -> str:
        del base, message, at
        if branch in self.branches:
            raise Conflict("it is there already")
        self.branches[branch] = changes
        self.on_push()
        return self.tip(branch)


def with_remote(sim: Sim) -> Remote:
    """The real desk on a remote in memory: one for each life of the reconciler, as its threads."""
    remote = Remote(sim.specs)
    desks: dict[int, Promotions] = {}

    def desk_of(manager: Manager) -> Promotions:
        def remark(severity: str, reason: str, message: str, key: Any) -> None:
            manager.inbox.append(Remark(severity=severity, reason=reason, message=message, key=key))

        return Promotions(
            remote,
            edit=edit,
            done=lambda opened: manager.inbox.append(PromotionOpened(opened)),
            remark=remark,
            rng=random.Random(1),
        )

    def propose(manager: Manager, uid: Uid, proposal: Proposal | None) -> None:
        desk = desks.setdefault(id(manager), desk_of(manager))

        def work() -> None:
            if not manager.dead:
                desk.take(Batch(proposals={uid: proposal}), sim.now)
                desk.work(sim.now)

        sim.after(5, work)

    sim.propose = propose
    return remote


def learned(tmp_path: Path, **promote: Any) -> tuple[Sim, Remote]:
    trainer = Trainer(score=lambda number: SCORES[number])
    sim = a_fleet(tmp_path, trainer=trainer)
    remote = with_remote(sim)
    sim.write("infer.yaml", INFER)
    sim.start_manager()
    sim.write("fl.yaml", spec(**MEASURED, promote={**TO, **promote}))
    return sim, remote


def model_in(branch: Mapping[str, bytes]) -> str:
    (text,) = branch.values()
    found = yaml.safe_load(text)["spec"]["run"]["models"]
    assert [row["name"] for row in found] == ["line"]
    return str(found[0]["digest"])


def digests(sim: Sim) -> dict[int, str]:
    """The model of each round."""
    return {one.number: str(one.fold.model.digest) for one in rounds_of(sim)}


def opened(sim: Sim) -> bool:
    job = learning(sim).job
    return job is not None and finished(sim) and job.proposed == 4


def test_the_best_model_is_one_branch_once_the_rounds_are_over(tmp_path: Path) -> None:
    """Not the first that was good enough and not the last; the status and an event name it."""
    sim, remote = learned(tmp_path, mode="Branch")
    assert sim.run(5 * MINUTE, until=lambda: learning(sim).job and learning(sim).job.done == 3)
    assert remote.branches == {}
    assert sim.run(5 * MINUTE, until=lambda: opened(sim)), sim.manager.reasons()[:20]
    ((name, changes),) = remote.branches.items()
    best = digests(sim)[4]
    job = learning(sim).job
    assert name == f"promote/default/fl-{job.job[:8]}-0004-{best[7:19]}"
    assert list(changes) == ["infer.yaml"]
    assert model_in(changes) == best
    sim.run(SECOND)
    told = yaml.safe_load((sim.state.status / "default/FederatedTask/fl.yaml").read_text())
    assert told["status"]["promote"] == {
        "round": 2,
        "to": "Daemon/default/infer",
        "opened": 4,
        "branch": name,
    }
    assert sim.manager.reasons().count("PromotionOpened") == 1


def test_each_better_model_is_a_branch_where_that_is_asked_for(tmp_path: Path) -> None:
    """Rounds 2 and 4 were the best so far; rounds 3 and 5 were not."""
    sim, remote = learned(tmp_path, mode="Branch", at="Better")
    assert sim.run(5 * MINUTE, until=lambda: opened(sim))
    found = digests(sim)
    assert [model_in(one) for one in remote.branches.values()] == [found[2], found[4]]


def test_nothing_is_pushed_where_the_spec_only_tells(tmp_path: Path) -> None:
    """The mode that there was before: an event, a line in the status, and a verb to type. An edit
    of it opens the branch of the model that is at hand."""
    sim, remote = learned(tmp_path)
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    sim.run(5 * SECOND)
    assert remote.branches == {}
    assert "Promotable" in sim.manager.reasons()
    sim.write("fl.yaml", spec(**MEASURED, promote={**TO, "mode": "Branch"}))
    assert sim.run(MINUTE, until=lambda: opened(sim))
    assert [model_in(one) for one in remote.branches.values()] == [digests(sim)[4]]


@pytest.mark.parametrize(
    ("point", "hit"),
    [
        ("promotion.offered", 1),
        ("promotion.offered", 2),
        ("promotion.opened", 1),
        ("promotion.opened", 2),
        ("learning.committed", 2),
        ("learning.committed", 5),
    ],
)
def test_a_reconciler_killed_anywhere_pushes_each_branch_once(
    tmp_path: Path, point: str, hit: int
) -> None:
    """kill -9 before it is offered, after the push, before the row says so: the same two branches
    as in a quiet run, the same models in them."""
    sim, remote = learned(tmp_path, mode="Branch", at="Better")
    arm(point, At(hit, killed))
    end, deaths = sim.now + 10 * MINUTE, 0
    try:
        while not opened(sim):
            assert sim.now < end, "it was never opened"
            try:
                sim.run(100, until=lambda: opened(sim))
            except KilledError:
                disarm()
                deaths += 1
                sim.restart_manager(away=300)
                sim.run(SECOND)
    finally:
        disarm()
    assert deaths == 1, "nobody was killed"
    found = digests(sim)
    assert {model_in(one) for one in remote.branches.values()} >= {found[4]}
    assert len(remote.branches) <= 2
    assert all(model_in(one) in (found[2], found[4]) for one in remote.branches.values())


def test_a_push_whose_end_nobody_saw_is_not_made_again(tmp_path: Path) -> None:
    """The process dies right after the push: the next life finds the branch, and says it once."""
    sim, remote = learned(tmp_path, mode="Branch")
    pushed: list[int] = []

    def die() -> None:
        pushed.append(sim.now)
        raise KilledError

    remote.on_push = die
    with pytest.raises(KilledError):
        sim.run(5 * MINUTE, until=lambda: opened(sim))
    sim.restart_manager(away=300)
    assert sim.run(MINUTE, until=lambda: opened(sim))
    assert len(pushed) == 1
    assert len(remote.branches) == 1
    assert sim.manager.reasons().count("PromotionOpened") == 1


def test_a_lost_database_opens_the_same_branch_or_none(tmp_path: Path) -> None:
    """The journal has the job, not the push: asking again finds the branch that is there."""
    sim, remote = learned(tmp_path, mode="Branch")
    assert sim.run(5 * MINUTE, until=lambda: opened(sim))
    before = dict(remote.branches)
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    assert sim.run(MINUTE, until=lambda: opened(sim))
    assert remote.branches == before


def test_who_has_the_model_already_needs_no_branch(tmp_path: Path) -> None:
    """The promotion was merged, then more rounds were no better: nothing is opened again."""
    sim, remote = learned(tmp_path, mode="Branch")
    assert sim.run(5 * MINUTE, until=lambda: opened(sim))
    ((_, changes),) = remote.branches.items()
    sim.write("infer.yaml", changes["infer.yaml"].decode())
    remote.branches.clear()
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    assert sim.run(MINUTE, until=lambda: opened(sim))
    assert remote.branches == {}
    assert learning(sim).job.branch == ""
    assert "PromotionNotNeeded" in sim.manager.reasons()
