"""FedBuff through the real loop: who is slow keeps its run and counts later, for less."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_federated import KilledError, a_fleet, done, finished, killed, learning, rounds_of, spec

from propeller.cli.flfind import Found
from propeller.cli.flverify import verify
from propeller.fl.layout import Layout
from propeller.fl.model import read_model, write_model
from propeller.fl.strategies.registry import strategy
from propeller.model.federated import FederatedTask, Terms
from propeller.model.ids import PropletId
from propeller.model.rounds import Bucket, Round, RoundState
from propeller.plan.carried import OTHER_TERMS
from propeller.rehearse.fleet import MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import HONEST, Learnt, Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.updates import unpack

KEPT = {"retainUpdates": "Enabled", "reveal": "Proplets"}
PACE = {"p0": 10, "p1": 12, "p2": 30}
"""Seconds that each trains. Rounds end after 12, 24, 34 and 44: p2's first update is of the third,
p1's third one of the fourth."""
FILE = "default/FederatedTask/fl/rounds"


def buffered(stale: int | None = None, **more: Any) -> str:
    """Full at two updates; three are asked at a time."""
    cohort = {"clientsPerRound": 2, "overProvision": "1.5", "close": "Target"}
    parameters = {} if stale is None else {"maxStaleness": str(stale)}
    return spec(
        cohort=cohort | more.pop("cohort", {}),
        strategy={"name": "FedBuff", "parameters": parameters},
        **{"model": {"layout": [{"name": "w", "shape": [4]}]}, "rounds": 4, **more},
    )


def paced(
    folder: Path, pace: dict[str, int] = PACE, *, trainer: Trainer = HONEST, **more: Any
) -> Sim:
    sim = a_fleet(folder, len(pace), trainer=trainer, **more)
    for name, seconds in pace.items():
        ms = seconds * SECOND
        sim.proplets[name].guests = Guests(run_ms=(ms, ms), trainer=trainer)
    sim.start_manager()
    return sim


def who(round_: Round) -> dict[str, int]:
    """The accepted of a round, and how many rounds each is behind."""
    return {str(part.proplet): round_.behind(part.proplet) for part in round_.accepted}


def found(sim: Sim) -> Found:
    """The task as commands find it."""
    objects = sim.manager.reconciler.world.objects.values()
    (held,) = [one for one in objects if isinstance(one.object, FederatedTask)]
    return Found(
        store=sim.manager.store,
        state=sim.state,
        uid=held.uid,
        key=held.object.meta.key,
        task=held.object,
        job=learning(sim).job,
    )


def test_a_slow_update_counts_in_a_later_round_for_less(tmp_path: Path) -> None:
    """Four rounds of two out of three: p2 is asked once for the first and counts in the third, two
    models behind. Each model is x + sum D / sqrt(1 + s) / 2, computed here from what was sent."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered(**KEPT))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    rounds = rounds_of(sim)
    assert [who(one) for one in rounds] == [
        {"p0": 0, "p1": 0},
        {"p0": 0, "p1": 0},
        {"p0": 0, "p2": 2},
        {"p0": 0, "p1": 1},
    ]
    assert [one.counts()[Bucket.CARRIED] for one in rounds] == [1, 1, 1, 0]
    assert all(sum(one.counts().values()) == len(one.parts) == 3 for one in rounds)
    blobs, weights = sim.manager.shop.blobs, np.zeros(4)
    for round_ in rounds:
        for part in round_.accepted:
            update = unpack(blobs.read(part.update.digest), max_body=1 << 20)
            delta = np.frombuffer(update.body, "<f4").astype(np.float64)
            weights += delta / math.sqrt(1 + round_.number - update.round) / 2
        _, model = read_model(blobs.read(round_.fold.model.digest), max_count=10)
        assert model == pytest.approx(weights, abs=1e-6)
        weights = model.astype(np.float64)
    assert sim.started_twice() == []
    assert sim.proplets["p2"].refs.total() == 2, "asked for rounds 1 and 4"


def test_how_far_behind_each_is_stands_in_the_file_of_the_round(tmp_path: Path) -> None:
    """By name where the spec reveals proplets; else only how many are how far behind."""
    for reveal in ("Proplets", "Aggregates"):
        sim = paced(tmp_path / reveal)
        sim.write("fl.yaml", buffered(rounds=3, reveal=reveal))
        assert sim.run(3 * MINUTE, until=lambda one=sim: finished(one)), sim.what_is_not()
        sim.run(SECOND)
        text = (sim.state.status / FILE / "0003.yaml").read_text()
        told = yaml.safe_load(text)
        assert told["staleness"] == {"0": 1, "2": 1}
        first = yaml.safe_load((sim.state.status / FILE / "0001.yaml").read_text())
        assert first["received"] == {"accepted": 2, "carried": 1}
        if reveal == "Proplets":
            rows = {one["proplet"]: one["staleness"] for one in told["contributors"]}
            assert rows == {"p0": 0, "p2": 2}
        else:
            assert "p2" not in text


def test_a_round_is_computed_again_with_how_far_behind_each_was(tmp_path: Path) -> None:
    """`fl verify` agrees with every round, and notices where an update is said to be fresher."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered(**KEPT))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    task = found(sim)
    for round_ in rounds_of(sim):
        assert [one.what for one in verify(task, round_) if not one.good] == []
    third = rounds_of(sim)[2]
    p2 = PropletId("p2")
    fresher = replace(third, origins={p2: replace(third.origins[p2], number=2)})
    wrong = [one.what for one in verify(task, fresher) if not one.good]
    assert wrong == ["record", "contributors", "model"]


@pytest.mark.parametrize("form", ["f32-full", "json-f64"])
def test_full_weights_are_taken_from_the_model_they_were_trained_from(
    tmp_path: Path, form: str
) -> None:
    """Where an update is a whole model, what it learnt is the difference to the model of the round
    it was asked in, and not to the newest one."""
    sim = paced(tmp_path, trainer=replace(HONEST, pupil=_learns))
    zeros = write_model(Layout.flat(4), np.zeros(4, np.float32))
    (sim.specs / "m.safetensors").write_bytes(zeros)
    model = {"file": "m.safetensors"}
    sim.write("fl.yaml", buffered(rounds=3, model=model, updateFormat=form, **KEPT))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    rounds = rounds_of(sim)
    assert who(rounds[2]) == {"p0": 0, "p2": 2}
    _, model = read_model(sim.manager.shop.blobs.read(rounds[2].fold.model.digest), max_count=10)
    assert model == pytest.approx([1 + 1 + (1 + 1 / math.sqrt(3)) / 2] * 4, abs=1e-5)


def _learns(_proplet: str, _training: Any, _layout: Any, base: Any) -> Learnt:
    return Learnt(delta=np.ones(len(base), np.float32), samples=1)


def test_what_is_too_stale_is_rejected_and_its_proplet_asked_anew(tmp_path: Path) -> None:
    """At most one round behind: when the second round closes p2 cannot be that any more. It is told
    to stop, the file says why, and the third round asks it for its own model."""
    sim = paced(tmp_path, {"p0": 10, "p1": 12, "p2": 40})
    sim.write("fl.yaml", buffered(1, rounds=3))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    first, second, third = rounds_of(sim)
    assert first.parts["p2"].bucket is Bucket.CARRIED
    assert second.parts["p2"].bucket is Bucket.REJECTED
    words = "too-stale: it would be 2 rounds behind, at most 1 are taken"
    assert second.parts["p2"].why == words
    assert "p2" not in third.origins
    assert third.parts["p2"].run != second.parts["p2"].run
    sim.run(SECOND)
    told = yaml.safe_load((sim.state.status / FILE / "0002.yaml").read_text())
    assert told["received"]["reasons"] == {f"rejected: {words}": 1}
    assert not sim.running()


def test_an_update_for_which_there_was_no_room_is_the_first_of_the_next_round(
    tmp_path: Path,
) -> None:
    """Full at one, two asked: the other one's update is kept past the round and makes the next."""
    sim = paced(tmp_path, {"p0": 5, "p1": 5})
    cohort = {"clientsPerRound": 1, "overProvision": "2"}
    sim.write("fl.yaml", buffered(rounds=2, cohort=cohort))
    assert sim.run(9 * SECOND, until=lambda: finished(sim)), sim.what_is_not()
    first, second = rounds_of(sim)
    assert sorted(who(first).values()) == [0]
    assert sorted(who(second).values()) == [1]
    assert who(first).keys() != who(second).keys()


def test_a_deadline_takes_what_is_there_and_leaves_the_rest_under_way(tmp_path: Path) -> None:
    """One of two is enough at the deadline; both slow ones count in the next round."""
    sim = paced(tmp_path, {"p0": 10, "p1": 30, "p2": 32})
    sim.write("fl.yaml", buffered(rounds=2, roundDeadline="20s", cohort={"minClients": 1}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    first, second = rounds_of(sim)
    assert first.counts() == {Bucket.ACCEPTED: 1, Bucket.CARRIED: 2}
    assert first.closed_at >= first.deadline
    assert second.number == 2
    assert set(who(second).items()) & {("p1", 1), ("p2", 1)}


def test_an_abandoned_attempt_leaves_the_slow_ones_under_way(tmp_path: Path) -> None:
    """Nobody was done at the deadline: the next attempt has the same runs, and they are not behind,
    because no model was made meanwhile."""
    sim = paced(tmp_path, {"p0": 30, "p1": 31, "p2": 32})
    sim.write("fl.yaml", buffered(rounds=1, roundDeadline="20s"))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    first, second = rounds_of(sim)
    assert (first.state, first.counts()) == (RoundState.ABANDONED, {Bucket.CARRIED: 3})
    assert (second.number, second.attempt) == (1, 2)
    assert who(second) == {"p0": 0, "p1": 0}
    assert sim.started_twice() == []


def test_an_interrupted_one_begins_its_own_round_again(tmp_path: Path) -> None:
    """p2 dies while the second round goes on: it trains once more from the model of the first."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered())
    assert sim.run(MINUTE, until=lambda: done(sim) == 1)
    sim.run(2 * SECOND)
    sim.proplets["p2"].kill()
    sim.run(SECOND)
    sim.proplets["p2"].boot()
    ours = lambda: [one for one in rounds_of(sim) if "p2" in who(one)]  # noqa: E731 - asked twice
    sim.run(3 * MINUTE, until=lambda: finished(sim) or bool(ours()))
    (round_,) = ours()
    part = round_.parts["p2"]
    assert (part.tries, part.cause) == (2, "round:1#2")
    assert round_.origins["p2"].number == 1


def test_other_terms_ask_everybody_anew(tmp_path: Path) -> None:
    """What was asked under other hyperparameters is stopped with the next round, and told."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered())
    assert sim.run(MINUTE, until=lambda: done(sim) == 1)
    sim.write("fl.yaml", buffered(hyperparameters={"learningRate": "0.5"}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    second, third = rounds_of(sim)[1:3]
    assert second.parts["p2"].bucket is Bucket.CARRIED
    assert third.origins == {}
    assert third.parts["p2"].run != second.parts["p2"].run
    assert f"1 {OTHER_TERMS}" in told(sim, "UpdatesLeft")
    assert sim.started_twice() == []


def test_suspending_takes_them_off(tmp_path: Path) -> None:
    """Nobody trains while it is suspended, also not for a round that is long closed."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered())
    assert sim.run(MINUTE, until=lambda: done(sim) == 1)
    sim.write("fl.yaml", buffered(suspend={"reason": "noise", "by": "ana"}))
    assert sim.run(MINUTE, until=lambda: not sim.running()), sim.running()
    sim.write("fl.yaml", buffered())
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    second = rounds_of(sim)[1]
    assert (second.state, second.why) == (RoundState.ABANDONED, "suspended")
    assert second.parts["p2"].bucket is Bucket.DROPPED


def told(sim: Sim, reason: str) -> str:
    """What the events of that reason say."""
    return "; ".join(one.message for one in sim.manager.store.events() if one.reason == reason)


MEASURED = {"evaluation": {"every": 2}}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The last record of a run in which nothing happens."""
    sim = paced(tmp_path_factory.mktemp("quiet"))
    sim.write("fl.yaml", buffered(**MEASURED))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim))
    assert who(rounds_of(sim)[2]) == {"p0": 0, "p2": 2}
    assert "p2" not in rounds_of(sim)[1].judges, "it was at work"
    return str(learning(sim).job.record)


@pytest.mark.parametrize(
    ("point", "hit"),
    [("learning.committed", hit) for hit in (1, 2, 3, 4)]
    + [("learning.row", hit) for hit in (1, 3, 5, 7, 9, 11, 13)]
    + [("learning.folded", hit) for hit in (1, 3)]
    + [("state.committed", hit) for hit in range(10, 90, 20)]
    + [("state.statement", hit) for hit in range(100, 600, 100)],
)
def test_a_reconciler_killed_anywhere_comes_to_the_same_record(
    tmp_path: Path, quiet: str, point: str, hit: int
) -> None:
    """kill -9 at every transition and between: the same updates count, as far behind as they were,
    and the digests are those of a run in which nothing died."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered(**MEASURED))
    arm(point, At(hit, killed))
    end, deaths = sim.now + 5 * MINUTE, 0
    try:
        while not finished(sim):
            assert sim.now < end, "it never finished"
            try:
                sim.run(100, until=lambda: finished(sim))
            except KilledError:
                disarm()
                deaths += 1
                sim.restart_manager(away=300)
                sim.run(SECOND)
    finally:
        disarm()
    assert deaths == 1, "nobody was killed"
    assert str(learning(sim).job.record) == quiet
    assert sim.started_twice() == []


def test_a_lost_database_goes_on_without_those_under_way(tmp_path: Path) -> None:
    """The journal has the job and not who was at work: they are asked anew, and it finishes."""
    sim = paced(tmp_path)
    sim.write("fl.yaml", buffered())
    assert sim.run(MINUTE, until=lambda: done(sim) == 2)
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    assert rounds_of(sim)[0].number == 3


def test_in_a_storm_every_round_is_what_its_updates_make(tmp_path: Path) -> None:
    """30 % loss, repeats and reordering: who counts when is luck, but each proplet at most once a
    round, nobody too far behind, and each model is computed again from its updates."""
    sim = paced(tmp_path, weather=STORM, seed=3)
    sim.write("fl.yaml", buffered(2, rounds=6, roundDeadline="30m", **KEPT))
    assert sim.run(60 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    task, runs = found(sim), []
    for round_ in rounds_of(sim):
        assert all(one.good for one in verify(task, round_))
        assert max(who(round_).values()) <= 2
        runs += [part.run for part in round_.accepted]
    assert len(runs) == len(set(runs)), "no run counts twice"


def test_the_planner_and_the_strategy_agree_on_how_stale_is_too_stale() -> None:
    """One bounds what is carried, the other what is folded."""
    terms = Terms(target=1, least=1, deadline=1, strategy="FedBuff")
    assert terms.stale == strategy("FedBuff", {}).most_stale
    terms = replace(terms, parameters=(("maxStaleness", "7"),))
    assert terms.stale == strategy("FedBuff", dict(terms.parameters)).most_stale == 7
    assert replace(terms, strategy="FedAvg", parameters=()).stale is None
