"""Federated rounds over a real loop, real agents and a broker that loses and repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sim import MINUTE, SECOND, Sim
from simproplet import Guests
from simtrainer import HONEST, Trainer

from propeller.model.federated import FederatedTask
from propeller.model.rounds import Bucket, Learning, RoundState

TRAINER = """(module (memory (export "memory") 1) (func (export "_start")))"""


def spec(**more: Any) -> str:
    cohort = {"clientsPerRound": 3, "overProvision": "1", "close": "Cohort"}
    cohort |= more.pop("cohort", {})
    body = {
        "module": {"file": "trainer.wat"},
        "rounds": 3,
        "cohort": cohort,
        "roundDeadline": "2m",
        **more,
    }
    return yaml.safe_dump(
        {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": "FederatedTask",
            "metadata": {"name": "fl"},
            "spec": body,
        }
    )


def a_fleet(folder: Path, count: int = 3, *, trainer: Trainer = HONEST, **more: Any) -> Sim:
    sim = Sim(folder, **more)
    sim.write("trainer.wat", TRAINER)
    for index in range(count):
        sim.add(f"p{index}", guests=Guests(trainer=trainer))
    return sim


def learning(sim: Sim) -> Learning:
    return next(iter(sim.manager.reconciler.world.learning.known.values()), Learning())


def done(sim: Sim) -> int:
    job = learning(sim).job
    return 0 if job is None else job.done


def finished(sim: Sim) -> bool:
    job = learning(sim).job
    held = next(
        (
            one
            for one in sim.manager.reconciler.world.objects.values()
            if isinstance(one.object, FederatedTask)
        ),
        None,
    )
    return (
        job is not None
        and held is not None
        and (bool(job.stopped) or job.done >= held.object.rounds)
    )


def rounds_of(sim: Sim) -> list[Any]:
    uid = next(iter(sim.manager.reconciler.world.learning.known))
    return list(reversed(sim.manager.store.rounds(uid)))


def test_rounds_go_on_until_all_are_committed(tmp_path: Path) -> None:
    """Three rounds of three proplets end Ready, with a model, each round file told in full."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec())
    assert sim.run(2 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    sim.run(SECOND)
    assert sim.ready(), sim.what_is_not()
    rounds = rounds_of(sim)
    assert [one.number for one in rounds] == [1, 2, 3]
    assert all(one.state is RoundState.COMMITTED for one in rounds)
    assert all(one.counts() == {Bucket.ACCEPTED: 3} for one in rounds)
    files = sorted((sim.state.status / "default" / "FederatedTask" / "fl" / "rounds").iterdir())
    assert [path.name for path in files] == ["0001.yaml", "0002.yaml", "0003.yaml"]
    told = yaml.safe_load(files[-1].read_text())
    assert told["outcome"] == "Committed"
    assert told["received"] == {"accepted": 3}
    assert told["model"]["digest"] == learning(sim).job.model.digest
