"""Secure aggregation through the real loop: sums without summands, silence, crashes, too few."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_federated import KilledError, a_fleet, finished, killed, learning, rounds_of, spec

from propeller.fl.model import read_model
from propeller.fl.secagg.messages import threshold_of
from propeller.model.rounds import Bucket, RoundState, Step
from propeller.plan.secure import threshold
from propeller.plan.training import seed_of
from propeller.rehearse.fleet import MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.updates import unpack

COUNT = 40
SAMPLES = {f"p{index}": 10 * (index + 1) for index in range(10)}
DEEP = Trainer(count=COUNT, samples=SAMPLES)


def secure(count: int = 10, **more: Any) -> str:
    cohort = {"clientsPerRound": count, "maxSamples": 200, **more.pop("cohort", {})}
    return spec(
        cohort=cohort,
        model={"layout": [{"name": "w", "shape": [COUNT]}]},
        privacy={"secureAggregation": "Enabled", **more.pop("privacy", {})},
        **{"rounds": 1, **more},
    )


def delta(round_: Any, proplet: str) -> np.ndarray:
    """What that proplet's trainer made, in clear: the test knows its seed."""
    seed = seed_of(round_.job, Step.TRAIN, round_.number, proplet)
    rng = random.Random(seed)
    return np.array([rng.uniform(-1, 1) for _ in range(COUNT)], np.float32)


def weights(sim: Sim, round_: Any) -> np.ndarray:
    data = sim.manager.shop.blobs.read(round_.fold.model.digest)
    return read_model(data, max_count=1 << 20)[1]


def plain_mean(round_: Any) -> np.ndarray:
    """Of those who are in the sum, by their samples."""
    names = [part.proplet for part in round_.accepted]
    total = sum(SAMPLES[name] * delta(round_, name).astype(np.float64) for name in names)
    return np.asarray(total / sum(SAMPLES[name] for name in names))


def close_to_plain(sim: Sim, round_: Any) -> None:
    members, levels = len(round_.accepted), (1 << 22) - 1
    weight = sum(SAMPLES[part.proplet] for part in round_.accepted)
    step = 2 * 8 / levels * members * 200 / weight
    assert np.abs(weights(sim, round_) - plain_mean(round_)).max() <= step + 1e-6


def test_the_sum_is_the_plain_sum_within_its_grid(tmp_path: Path) -> None:
    """Ten devices, nobody gone: the model is the mean by samples, to a level of the grid."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    sim.start_manager()
    sim.write("fl.yaml", secure(rounds=2))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    sim.run(SECOND)
    first = rounds_of(sim)[0]
    assert first.counts() == {Bucket.ACCEPTED: 10}
    close_to_plain(sim, first)
    place = sim.state.status / "default/FederatedTask/fl/rounds/0001.yaml"
    found = yaml.safe_load(place.read_text())
    assert found["samples"] == sum(SAMPLES.values())
    assert found["privacy"] == {"secureAggregation": True}
    assert "metrics" not in found


def test_nobody_but_the_device_has_its_update_in_clear(tmp_path: Path) -> None:
    """Whatever the reconciler keeps or got over the broker: no number of any update is in it, and
    two masked updates added up are still noise."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    sim.start_manager()
    seen: list[bytes] = []
    drop = sim.manager.reconciler._around.drop_upload  # what is dropped was there before

    def keep(proplet: Any, digest: Any) -> None:
        blobs = sim.manager.shop.blobs
        seen.append(blobs.read(digest))
        drop(proplet, digest)

    object.__setattr__(sim.manager.reconciler._around, "drop_upload", keep)
    sim.write("fl.yaml", secure())
    assert sim.run(3 * MINUTE, until=lambda: finished(sim))
    sim.run(SECOND)
    (round_,) = rounds_of(sim)
    disk = [path.read_bytes() for path in sim.state.path.rglob("*") if path.is_file()]
    masked = [data for data in seen if data[:4] == b"PFU1"]
    assert len(masked) == 10
    for part in round_.accepted:
        plain = delta(round_, part.proplet)
        for at in range(COUNT):
            needle = plain[at : at + 1].astype("<f4").tobytes()
            assert not any(needle in data for data in masked)
            assert not any(plain[at : at + 4].astype("<f4").tobytes() in data for data in disk)
    bodies = [
        np.frombuffer(unpack(data, max_body=1 << 20).body, "<u4").astype(np.uint32)
        for data in masked
    ]
    for one in (*bodies, bodies[0] + bodies[1]):
        spread = one.astype(np.float64) / 2**32
        assert 0.2 < float(np.std(spread)) < 0.4, "as wide as chance"
    for data in masked:
        update = unpack(data, max_body=1 << 20)
        assert (update.samples, dict(update.meta)) == (1, {})


class Quiet:
    """Guests of one device that end, but not in this step."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, entry: Any) -> bool:
        return entry.fl is not None and entry.fl.step == self.step


@pytest.mark.parametrize("step", ["keys", "shares", "train", "open"])
def test_a_tenth_may_fall_out_at_any_step(tmp_path: Path, step: str) -> None:
    """One of ten fails in this step: the sum of the others is theirs, to a level of the grid."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    sim.proplets["p3"].guests = Guests(trainer=DEEP, traps=Quiet(step))
    sim.start_manager()
    sim.write("fl.yaml", secure(cohort={"minClients": 7}))
    assert sim.run(4 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    (round_,) = rounds_of(sim)
    names = {part.proplet for part in round_.accepted}
    assert ("p3" in names) == (step == "open"), "who was in the sum stays in it"
    assert len(names) >= 9
    close_to_plain(sim, round_)
    if step in ("keys", "shares"):
        assert round_.parts["p3"].why.startswith(f"{step}: ")
    assert sum(round_.counts().values()) == 10


def test_a_device_that_is_switched_off_in_the_middle_is_recovered_from(tmp_path: Path) -> None:
    """It shared its keys and is gone: the others open its masks, not its update."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    slow = Guests(trainer=DEEP, run_ms=(5 * SECOND, 5 * SECOND))
    for proplet in sim.proplets.values():
        proplet.guests = slow
    sim.start_manager()
    sim.write("fl.yaml", secure(cohort={"minClients": 7}))
    assert sim.run(
        3 * MINUTE,
        until=lambda: bool(
            learning(sim).round and learning(sim).round.state is RoundState.COLLECTING
        ),
    )
    sim.run(SECOND)
    sim.proplets["p4"].kill()
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.ACCEPTED: 9, Bucket.DROPPED: 1}
    close_to_plain(sim, round_)


def test_a_device_that_was_started_anew_has_lost_its_keys_and_says_so(tmp_path: Path) -> None:
    """Its secrets were in memory only. It is dropped, and takes part in the next round."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    for proplet in sim.proplets.values():
        proplet.guests = Guests(trainer=DEEP, run_ms=(5 * SECOND, 5 * SECOND))
    sim.start_manager()
    sim.write("fl.yaml", secure(rounds=2, cohort={"minClients": 7}))
    assert sim.run(
        3 * MINUTE,
        until=lambda: bool(
            learning(sim).round and learning(sim).round.state is RoundState.COLLECTING
        ),
    )
    sim.run(SECOND)
    sim.proplets["p4"].kill()
    sim.run(SECOND)
    sim.proplets["p4"].boot()
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    first, second = rounds_of(sim)
    assert "gone" in first.parts["p4"].why
    assert first.counts() == {Bucket.ACCEPTED: 9, Bucket.DROPPED: 1}
    assert second.counts() == {Bucket.ACCEPTED: 10}


@pytest.mark.parametrize("step", ["keys", "shares", "train", "open"])
def test_too_few_give_the_attempt_up_with_the_reason(tmp_path: Path, step: str) -> None:
    """Four of ten are gone: nothing is opened, the attempt says why, the model stays."""
    sim = a_fleet(tmp_path, 10, trainer=DEEP)
    for name in ("p1", "p3", "p5", "p7"):
        sim.proplets[name].guests = Guests(trainer=DEEP, traps=Quiet(step))
    sim.start_manager()
    sim.write("fl.yaml", secure(maxAttempts=1, cohort={"minClients": 7}))
    assert sim.run(5 * MINUTE, until=lambda: bool(learning(sim).job and learning(sim).job.failed))
    (round_,) = rounds_of(sim)
    assert round_.state is RoundState.ABANDONED
    assert "needs 7" in round_.why
    assert round_.fold is None
    assert not learning(sim).job.model


@pytest.mark.parametrize(
    ("point", "hit"),
    [("learning.relayed", hit) for hit in (1, 2, 3)]
    + [("learning.folded", 1)]
    + [("learning.row", hit) for hit in range(1, 12)]
    + [("state.committed", hit) for hit in range(10, 130, 12)],
)
def test_a_reconciler_killed_in_any_phase_goes_on_with_it(
    tmp_path: Path, point: str, hit: int
) -> None:
    """kill -9: what devices told each other is in rows and blobs. Nobody is asked twice, and the
    round of the first attempt is committed with the right sum."""
    sim = a_fleet(tmp_path, 5, trainer=DEEP)
    sim.start_manager()
    sim.write("fl.yaml", secure(5, rounds=2))
    arm(point, At(hit, killed))
    end = sim.now + 5 * MINUTE
    try:
        while not finished(sim):
            assert sim.now < end, "it never finished"
            try:
                sim.run(100, until=lambda: finished(sim))
            except KilledError:
                disarm()
                sim.restart_manager(away=300)
                sim.run(SECOND)
    finally:
        disarm()
    rounds = rounds_of(sim)
    assert [(one.number, one.attempt) for one in rounds] == [(1, 1), (2, 1)]
    assert all(one.counts() == {Bucket.ACCEPTED: 5} for one in rounds)
    close_to_plain(sim, rounds[0])
    assert sim.started_twice() == []


def test_a_lost_database_begins_another_attempt_or_goes_on(tmp_path: Path) -> None:
    """What devices said in the attempt under way is never asked of them again."""
    sim = a_fleet(tmp_path, 5, trainer=DEEP)
    for proplet in sim.proplets.values():
        proplet.guests = Guests(trainer=DEEP, run_ms=(5 * SECOND, 5 * SECOND))
    sim.start_manager()
    sim.write("fl.yaml", secure(5))
    assert sim.run(
        3 * MINUTE,
        until=lambda: bool(
            learning(sim).round and learning(sim).round.state is RoundState.COLLECTING
        ),
    )
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    assert sim.run(15 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    committed = rounds_of(sim)[-1]
    assert committed.state is RoundState.COMMITTED
    names = [part.proplet for part in committed.accepted]
    assert len(names) == 5
    close_to_plain(sim, committed)


def test_a_storm_loses_nobody(tmp_path: Path) -> None:
    """30 % loss, repeats and reordering: slower, and the same sum."""
    sim = a_fleet(tmp_path, 5, trainer=DEEP, weather=STORM, seed=7)
    sim.start_manager()
    sim.write("fl.yaml", secure(5, roundDeadline="2h"))
    assert sim.run(90 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.ACCEPTED: 5}
    close_to_plain(sim, round_)


def test_devices_bound_what_nobody_can_look_at(tmp_path: Path) -> None:
    """privacy.local with a secure sum: the mean of shortened updates, on a finer grid."""
    sim = a_fleet(tmp_path, 5, trainer=DEEP)
    sim.start_manager()
    sim.write("fl.yaml", secure(5, privacy={"local": {"norm": "0.5"}}))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    (round_,) = rounds_of(sim)
    total = np.zeros(COUNT)
    for name in ("p0", "p1", "p2", "p3", "p4"):
        own = delta(round_, name).astype(np.float64)
        total += SAMPLES[name] * own * min(1.0, 0.5 / float(np.linalg.norm(own)))
    assert np.abs(weights(sim, round_) - total / 150).max() < 1e-5


def test_a_threshold_is_the_same_wherever_it_is_computed() -> None:
    """The planner may not import the mathematics; the rule is one."""
    assert [threshold(n) for n in range(1, 1001)] == [threshold_of(n) for n in range(1, 1001)]
