"""Federated rounds over a real loop, real agents and a broker that loses and repeats."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from specs_text import proplet_yaml

from propeller.fl.layout import Layout
from propeller.fl.model import model_digest, read_model, write_model
from propeller.model.federated import FederatedTask
from propeller.model.rounds import Bucket, Learning, RoundState
from propeller.rehearse.fleet import MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import HONEST, Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.updates import unpack

REF = "FederatedTask/default/fl"
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


def test_nobody_is_invited_before_the_cohort_is_told(tmp_path: Path) -> None:
    """While the status folder cannot be written no proplet is asked; afterwards the round goes."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.run(SECOND)
    folder = sim.state.status / "default"
    folder.write_text("in the way")
    sim.write("fl.yaml", spec(rounds=1))
    sim.run(20 * SECOND)
    assert learning(sim).round.state is RoundState.SELECTING
    assert not any(proplet.refs for proplet in sim.proplets.values())
    folder.unlink()
    assert sim.run(MINUTE, until=lambda: finished(sim))


def test_the_model_is_the_weighted_mean_of_what_was_sent(tmp_path: Path) -> None:
    """Samples weigh: the committed model is recomputed here from the retained updates."""
    trainer = Trainer(samples={"p0": 10, "p1": 30, "p2": 60})
    sim = a_fleet(tmp_path, trainer=trainer)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, retainUpdates="Enabled", reveal="Proplets"))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    blobs = sim.manager.shop.blobs
    total = np.zeros(4)
    for part in round_.accepted:
        update = unpack(blobs.read(part.update.digest), max_body=1 << 20)
        total += part.samples * np.frombuffer(update.body, "<f4").astype(np.float64)
    _, weights = read_model(blobs.read(round_.fold.model.digest), max_count=10)
    assert weights.tolist() == (total / 100).astype(np.float32).tolist()


def test_single_updates_are_dropped_after_their_round(tmp_path: Path) -> None:
    """Unless the spec retains them, only the model stays."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    sim.run(SECOND)
    (round_,) = rounds_of(sim)
    blobs = sim.manager.shop.blobs
    assert not any(blobs.has(part.update.digest) for part in round_.parts.values())
    assert blobs.has(round_.fold.model.digest)


def quiet_record(folder: Path, **more: Any) -> str:
    """The last record of a run in which nothing happens."""
    sim = a_fleet(folder)
    sim.start_manager()
    sim.write("fl.yaml", spec(**more))
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    return str(learning(sim).job.record)


EVALUATED = {"strategy": {"name": "FedAdam"}, "evaluation": {"every": 2}}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> str:
    return quiet_record(tmp_path_factory.mktemp("quiet"), **EVALUATED)


class KilledError(Exception):
    """What stands for kill -9 in the middle of a turn."""


def killed() -> None:
    raise KilledError


def survive(sim: Sim, ms: int) -> None:
    """Until it is finished, with a new reconciler wherever one dies."""
    end = sim.now + ms
    while not finished(sim):
        assert sim.now < end, "it never finished"
        try:
            sim.run(100, until=lambda: finished(sim))
        except KilledError:
            disarm()
            sim.restart_manager(away=300)
            sim.run(SECOND)


@pytest.mark.parametrize(
    ("point", "hit"),
    [("learning.committed", hit) for hit in (1, 2, 3)]
    + [("learning.row", hit) for hit in (1, 2, 4, 6, 9, 12)]
    + [("learning.folded", hit) for hit in (1, 3)]
    + [("state.committed", hit) for hit in range(8, 80, 8)]
    + [("state.statement", hit) for hit in range(60, 600, 60)],
)
def test_a_reconciler_killed_anywhere_comes_to_the_same_record(
    tmp_path: Path, quiet: str, point: str, hit: int
) -> None:
    """kill -9 at every transition, and at many statements and commits between: same digests."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(**EVALUATED))
    arm(point, At(hit, killed))
    try:
        survive(sim, 5 * MINUTE)
    finally:
        disarm()
    assert str(learning(sim).job.record) == quiet
    assert sim.started_twice() == []


def test_a_lost_database_goes_on_with_the_next_round(tmp_path: Path, quiet: str) -> None:
    """The journal has how far it was and the blobs have the model; the record chain goes on."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(**EVALUATED))
    assert sim.run(MINUTE, until=lambda: done(sim) == 2)
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    assert str(learning(sim).job.record) == quiet


def test_a_storm_changes_no_digest(tmp_path: Path, quiet: str) -> None:
    """30 % loss, repeats and reordering: slower, and the same."""
    sim = a_fleet(tmp_path, weather=STORM, seed=7)
    sim.start_manager()
    sim.write("fl.yaml", spec(**{**EVALUATED, "roundDeadline": "30m"}))
    assert sim.run(60 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    rounds = rounds_of(sim)
    assert [one.state for one in rounds] == [RoundState.COMMITTED] * 3
    assert all(one.counts() == {Bucket.ACCEPTED: 3} for one in rounds)


def test_the_deadline_commits_what_is_there(tmp_path: Path) -> None:
    """One proplet never ends: two of three are enough, and it is dropped, with the reason."""
    sim = a_fleet(tmp_path)
    sim.proplets["p1"].guests = Guests(run_ms=(10 * MINUTE, 10 * MINUTE))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, cohort={"minClients": 2}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.ACCEPTED: 2, Bucket.DROPPED: 1}
    assert round_.parts["p1"].why.startswith("nothing came before the deadline")
    assert round_.closed_at >= round_.deadline


def test_too_few_abandon_the_round_and_the_model_stays(tmp_path: Path) -> None:
    """Below minClients at the deadline the attempt counts, and after the last one it has failed."""
    sim = a_fleet(tmp_path, trainer=Trainer(declines=frozenset({"p0", "p2"})))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=2, cohort={"minClients": 2}))
    assert sim.run(5 * MINUTE, until=lambda: bool(learning(sim).job and learning(sim).job.failed))
    sim.run(SECOND)
    rounds = rounds_of(sim)
    assert [(one.attempt, one.state) for one in rounds] == [
        (1, RoundState.ABANDONED),
        (2, RoundState.ABANDONED),
    ]
    assert rounds[0].counts()[Bucket.DECLINED] == 2
    assert not learning(sim).job.model
    (line,) = [one for one in sim.what_is_not() if "fl" in one]
    assert "failed 2 times" in line


def test_a_failed_task_is_tried_again_after_an_edit(tmp_path: Path) -> None:
    """What a person changed may help: attempts are counted anew."""
    sim = a_fleet(tmp_path, trainer=Trainer(declines=frozenset({"p0"})))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=1))
    assert sim.run(5 * MINUTE, until=lambda: bool(learning(sim).job and learning(sim).job.failed))
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=1, cohort={"minClients": 2}))
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    assert rounds_of(sim)[-1].attempt == 2


def test_what_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path) -> None:
    """A liar's NaN does not touch the model; the round goes on without it."""

    def twist(proplet: str, data: bytes) -> bytes:
        if proplet != "p1":
            return data
        body = np.full(4, np.nan, "<f4").tobytes()
        return data[: -64 - 16] + body + data[-64:]

    sim = a_fleet(tmp_path, trainer=Trainer(twist=twist))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, cohort={"minClients": 2}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.ACCEPTED: 2, Bucket.REJECTED: 1}
    assert round_.parts["p1"].why
    told = yaml.safe_load(
        (sim.state.status / "default/FederatedTask/fl/rounds/0001.yaml").read_text()
    )
    assert told["received"]["rejected"] == 1
    assert "p1" not in str(told), "nobody asked to reveal proplets"


def test_an_update_without_steps_fails_alone_where_steps_weigh(tmp_path: Path) -> None:
    """FedNova: one trainer that does not say its local steps is rejected, the round goes on."""
    sim = a_fleet(tmp_path, trainer=Trainer(steps={"p0": 2, "p2": 4}))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, strategy={"name": "FedNova"}, cohort={"minClients": 2}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.ACCEPTED: 2, Bucket.REJECTED: 1}
    assert round_.parts["p1"].why.startswith("no-steps: ")


def test_a_target_closes_the_round_and_the_rest_is_cancelled(tmp_path: Path) -> None:
    """Over-provisioned: the slow one is taken off, and ends in one bucket all the same."""
    sim = a_fleet(tmp_path, 4)
    sim.proplets["p3"].guests = Guests(run_ms=(10 * MINUTE, 10 * MINUTE))
    sim.start_manager()
    sim.write(
        "fl.yaml",
        spec(rounds=1, cohort={"clientsPerRound": 3, "overProvision": "2", "close": "Target"}),
    )
    assert sim.run(MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    assert sum(round_.counts().values()) == 4
    assert round_.counts()[Bucket.ACCEPTED] == 3
    sim.run(10 * SECOND)
    assert not sim.running(), "nobody trains for a round that is over"


def test_an_interrupted_trainer_begins_again_with_the_same_seed(tmp_path: Path, quiet: str) -> None:
    """A proplet that dies in the middle is asked once more, and the digests are the same."""
    sim = a_fleet(tmp_path)
    sim.proplets["p1"].guests = Guests(run_ms=(5 * SECOND, 5 * SECOND))
    sim.start_manager()
    sim.write("fl.yaml", spec(**EVALUATED))
    assert sim.run(MINUTE, until=lambda: bool(sim.proplets["p1"].running))
    sim.proplets["p1"].kill()
    sim.run(SECOND)
    sim.proplets["p1"].boot()
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    assert str(learning(sim).job.record) == quiet
    assert rounds_of(sim)[0].parts["p1"].tries == 2


def test_a_stop_rule_ends_it_and_the_best_model_is_kept(tmp_path: Path) -> None:
    """Measured every round: finished once the metric is good enough, with the best round named."""
    trainer = Trainer(score=lambda number: {1: 0.5, 2: 0.93, 3: 0.7}.get(number, 0.96))
    sim = a_fleet(tmp_path, trainer=trainer)
    sim.start_manager()
    rules = {"every": 1, "stop": {"when": "metrics.accuracy >= 0.95"}}
    to = {"when": "metrics.accuracy >= 0.92", "to": {"kind": "Daemon", "name": "infer"}}
    sim.write("fl.yaml", spec(rounds=20, evaluation=rules, promote=to))
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    job = learning(sim).job
    assert (job.done, job.best_round, job.promoted) == (4, 4, 2)
    assert float(dict(job.metrics)["accuracy"]) == pytest.approx(0.96)
    sim.run(SECOND)
    assert sim.ready()


def test_suspending_gives_the_round_up_and_resuming_tries_it_again(tmp_path: Path) -> None:
    """Nobody trains while it is suspended, and the attempt does not count against it."""
    sim = a_fleet(tmp_path)
    for proplet in sim.proplets.values():
        proplet.guests = Guests(run_ms=(5 * SECOND, 5 * SECOND))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=1))
    assert sim.run(MINUTE, until=lambda: bool(sim.running()))
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=1, suspend={"reason": "noise", "by": "ana"}))
    assert sim.run(MINUTE, until=lambda: not sim.running())
    assert learning(sim).round.state is RoundState.ABANDONED
    sim.run(MINUTE)
    sim.write("fl.yaml", spec(rounds=1, maxAttempts=1))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    assert rounds_of(sim)[-1].attempt == 2


def test_more_rounds_go_on_and_another_run_key_begins_anew(tmp_path: Path) -> None:
    """`rounds` extends what is finished; `runKey` is another job from its first round."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    first = learning(sim).job
    sim.write("fl.yaml", spec(rounds=2))
    assert sim.run(MINUTE, until=lambda: done(sim) == 2)
    assert learning(sim).job.job == first.job
    sim.write("fl.yaml", spec(rounds=2, runKey="again"))
    assert sim.run(MINUTE, until=lambda: learning(sim).job.job != first.job and finished(sim))
    assert learning(sim).round.number == 2


def test_an_edit_of_the_strategy_takes_effect_with_the_next_round(tmp_path: Path) -> None:
    """Each round is held under the terms it was begun with, and says so."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    sim.write("fl.yaml", spec(rounds=2, strategy={"name": "FedAdam"}))
    assert sim.run(MINUTE, until=lambda: done(sim) == 2)
    assert [one.terms.strategy for one in rounds_of(sim)] == ["FedAvg", "FedAdam"]


def test_a_deleted_task_leaves_nothing_behind(tmp_path: Path) -> None:
    """Copies are taken back, rows and round files are gone."""
    sim = a_fleet(tmp_path)
    for proplet in sim.proplets.values():
        proplet.guests = Guests(run_ms=(MINUTE, MINUTE))
    sim.start_manager()
    sim.write("fleet.yaml", proplet_yaml("ab"))  # an empty tree would be a guard's business
    sim.write("fl.yaml", spec())
    assert sim.run(MINUTE, until=lambda: bool(sim.running()))
    sim.remove("fl.yaml")
    assert sim.run(MINUTE, until=lambda: len(sim.manager.reconciler.world.objects) == 2)
    sim.run(SECOND)
    assert sim.manager.store.learnings() == {}
    assert not (sim.state.status / "default" / "FederatedTask").exists()
    assert not sim.running()


def test_few_proplets_wait_for_more(tmp_path: Path) -> None:
    """Nothing is tried, and so nothing fails, while too few could take part."""
    sim = a_fleet(tmp_path, 2)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1))
    sim.run(MINUTE)
    assert learning(sim).round is None
    assert any("2 proplets may take part now, needs 3" in one for one in sim.what_is_not())
    sim.add("p9")
    assert sim.run(MINUTE, until=lambda: finished(sim))


def test_infer_only_measures(tmp_path: Path) -> None:
    """A model from the tree is measured by the cohort, round by round, and stays what it is."""
    sim = a_fleet(tmp_path)
    data = write_model(Layout.flat(4), np.ones(4, np.float32))
    (sim.specs / "m.safetensors").write_bytes(data)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=2, mode="Infer", model={"file": "m.safetensors"}))
    assert sim.run(MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    job = learning(sim).job
    assert job.model.digest == model_digest(data)
    assert float(dict(job.metrics)["accuracy"]) == pytest.approx(0.52)


def test_a_deadline_that_passed_while_we_were_away_waits_a_moment(
    tmp_path: Path, quiet: str
) -> None:
    """What was trained meanwhile is taken when the reconciler is back, long after the deadline."""
    sim = a_fleet(tmp_path)
    for proplet in sim.proplets.values():
        proplet.guests = Guests(run_ms=(5 * SECOND, 5 * SECOND))
    sim.start_manager()
    sim.write("fl.yaml", spec(**EVALUATED))
    assert sim.run(MINUTE, until=lambda: len(sim.running().get(REF, ())) == 3)
    sim.restart_manager(away=10 * MINUTE)
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    assert [one.attempt for one in rounds_of(sim)] == [1, 1, 1]
    assert str(learning(sim).job.record) == quiet


def test_a_model_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    """A file that is no model stops the job before any round, and asks no worker over and over."""
    sim = a_fleet(tmp_path)
    (sim.specs / "m.safetensors").write_bytes(b"no model at all")
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, model={"file": "m.safetensors"}))
    sim.run(MINUTE)
    assert learning(sim).round is None
    assert any("the model cannot be used" in one for one in sim.what_is_not())
    turns = sim.manager.turns
    sim.run(30 * SECOND)
    assert sim.manager.turns - turns < 60
    (sim.specs / "m.safetensors").write_bytes(write_model(Layout.flat(4), np.zeros(4, np.float32)))
    sim.manager.read()
    assert sim.run(MINUTE, until=lambda: finished(sim))


def test_a_clean_up_of_blobs_keeps_the_model(tmp_path: Path) -> None:
    """Days later the model is still there, and another job can start."""
    sim = a_fleet(tmp_path, files=False)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    digest = learning(sim).job.model.digest
    blobs = sim.manager.shop.blobs
    wanted = sim.manager.reconciler.housekeeping._wanted_blobs()
    blobs.collect(wanted, now=sim.now / 1000 + 10**9)
    assert blobs.has(digest)


def test_updates_may_be_clipped_and_capped(tmp_path: Path) -> None:
    """A norm limit shortens every update; a cap makes a lie about samples worth no more."""
    trainer = Trainer(samples={"p0": 1000})
    sim = a_fleet(tmp_path, trainer=trainer)
    sim.start_manager()
    limits = {"privacy": {"clipping": {"norm": "0.1"}}, "cohort": {"maxSamples": 10}}
    sim.write("fl.yaml", spec(rounds=1, **limits))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    (round_,) = rounds_of(sim)
    assert [part.samples for part in round_.accepted] == [10, 10, 10]
    data = sim.manager.shop.blobs.read(round_.fold.model.digest)
    _, weights = read_model(data, max_count=10)
    assert 0 < float(np.linalg.norm(weights)) <= 0.1 + 1e-6


def test_a_device_cannot_have_another_blob_deleted(tmp_path: Path) -> None:
    """One that names the model as its update is rejected, and the model stays."""
    data = write_model(Layout.flat(4), np.ones(4, np.float32))

    def twist(proplet: str, update: bytes) -> bytes:
        return data if proplet == "p1" else update

    sim = a_fleet(tmp_path, trainer=Trainer(twist=twist))
    (sim.specs / "m.safetensors").write_bytes(data)
    sim.start_manager()
    model = {"file": "m.safetensors"}
    sim.write("fl.yaml", spec(rounds=1, model=model, cohort={"minClients": 2}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    sim.run(SECOND)
    (round_,) = rounds_of(sim)
    assert round_.parts["p1"].bucket is Bucket.REJECTED
    assert round_.parts["p1"].update.digest == model_digest(data)
    assert sim.manager.shop.blobs.has(model_digest(data))


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_in_a_storm_change_no_digest(tmp_path: Path, seed: int) -> None:
    """Reconciler and proplets are killed again and again during ten rounds in a bad network: the
    record chain is that of a run in which nothing happened."""
    more = {"rounds": 10, "roundDeadline": "6h", "strategy": {"name": "FedAvgM"}}
    wanted = quiet_record(tmp_path / "quiet", **more)
    sim = a_fleet(tmp_path / "storm", weather=STORM, seed=seed)
    sim.start_manager()
    sim.write("fl.yaml", spec(**more))
    chance = random.Random(seed)
    for _ in range(25):
        sim.run(chance.randrange(500, 4_000))
        if chance.random() < 0.4:
            sim.restart_manager(away=chance.randrange(3_000))
        else:
            victim = sim.proplets[chance.choice(sorted(sim.proplets))]
            victim.kill()
            sim.run(chance.randrange(1_000))
            victim.boot()
    assert sim.run(120 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    assert str(learning(sim).job.record) == wanted
    assert sim.started_twice() == []


def test_a_registry_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """The initial model comes by its digest once the registry answers, by itself."""
    data = write_model(Layout.flat(4), np.ones(4, np.float32))
    sim = a_fleet(tmp_path)
    sim.start_manager()
    model = {"image": "r.example/m", "initial": model_digest(data)}
    sim.write("fl.yaml", spec(rounds=1, model=model))
    sim.run(MINUTE)
    (told,) = [one for one in sim.what_is_not() if "fl" in one]
    assert "r.example/m: no answer" in told
    assert learning(sim).round is None
    sim.models["r.example/m"] = data
    assert sim.run(MINUTE, until=lambda: finished(sim))
    assert rounds_of(sim)[0].base.digest == model_digest(data)


@pytest.mark.parametrize(
    ("image", "count", "told"),
    [
        ("r.example/m", 300_000, "r.example/m"),
        ("r.example/m", 4, None),
        ("local/models/m", 300_000, None),
    ],
)
def test_devices_are_told_where_a_large_model_can_be_pulled(
    tmp_path: Path, image: str, count: int, told: str | None
) -> None:
    """From a megabyte on, and only of a registry that others can reach; the digest rules."""
    data = write_model(Layout.flat(count), np.ones(count, np.float32))
    sim = a_fleet(tmp_path, 2)
    sim.start_manager()
    sim.models[image] = data
    model = {"image": image, "initial": model_digest(data)}
    sim.write("fl.yaml", spec(rounds=1, model=model, cohort={"clientsPerRound": 2}))
    collecting = RoundState.COLLECTING
    assert sim.run(MINUTE, until=lambda: getattr(learning(sim).round, "state", "") is collecting)
    world = sim.manager.reconciler.world
    (copies,) = world.assignments.values()
    lessons = [world.learning.training(copy) for copy in copies.values()]
    assert [one.image for one in lessons] == [told, told]
    assert {one.model.digest for one in lessons} == {model_digest(data)}
