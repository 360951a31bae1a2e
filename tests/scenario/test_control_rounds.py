"""SCAFFOLD through the real loop: c by digest to every device, and a second half in each update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_federated import KilledError, a_fleet, finished, killed, learning, rounds_of, spec

from propeller.fl.model import read_model
from propeller.fl.strategies.base import unpack_state
from propeller.fl.strategies.stateful import CONTROLLED
from propeller.model.rounds import Bucket
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.messages import Entry
from propeller.wire.updates import unpack

COUNT = 6
STEPS = {"p0": 2, "p1": 3, "p2": 4, "p3": 5}
TOLD = Trainer(count=COUNT, steps=STEPS, samples={"p0": 1, "p1": 1000})


def scaffold(**more: Any) -> str:
    return spec(
        strategy={"name": "SCAFFOLD"},
        guest={"model": "Imports"},
        model={"layout": [{"name": "w", "shape": [COUNT]}]},
        hyperparameters={"learningRate": "0.1"},
        **more,
    )


def begun(folder: Path, **more: Any) -> Sim:
    sim = a_fleet(folder, 4, trainer=TOLD)
    sim.start_manager()
    sim.write("fl.yaml", scaffold(**more))
    return sim


def test_model_and_control_variate_are_those_of_the_paper(tmp_path: Path) -> None:
    """x + mean D, whatever the samples say; c + (1/N) sum of what devices changed, over two rounds
    of three out of four devices; the second round's devices are told the first one's c."""
    sim = begun(tmp_path, rounds=2, retainUpdates="Enabled", reveal="Proplets")
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    blobs = sim.manager.shop.blobs
    x, c = np.zeros(COUNT), np.zeros(COUNT)
    for round_ in rounds_of(sim):
        assert round_.counts() == {Bucket.ACCEPTED: 3}
        both = [
            np.frombuffer(
                unpack(blobs.read(part.update.digest), max_body=1 << 20).body, "<f4"
            ).astype(np.float64)
            for part in round_.accepted
        ]
        for part, one in zip(round_.accepted, both, strict=True):
            moved = one[:COUNT] / (STEPS[part.proplet] * 0.1)
            assert one[COUNT:] == pytest.approx(-c - moved, rel=1e-5, abs=1e-6)
        x = x + np.mean([one[:COUNT] for one in both], axis=0)
        c = c + np.sum([one[COUNT:] for one in both], axis=0) / 4
        _, model = read_model(blobs.read(round_.fold.model.digest), max_count=COUNT)
        assert model == pytest.approx(x, rel=1e-5)
        _, kept = unpack_state(blobs.read(round_.fold.state.digest), "SCAFFOLD", COUNT, "c")
        assert kept["c"] == pytest.approx(c, rel=1e-6)
        c = kept["c"]


@pytest.mark.parametrize(
    ("point", "hit"),
    [("learning.folded", 1), ("learning.committed", 1), ("learning.row", 6), ("learning.row", 10)],
)
def test_a_killed_reconciler_loses_no_control_variate(tmp_path: Path, point: str, hit: int) -> None:
    """The same model and the same c as in a quiet run."""
    quiet = begun(tmp_path / "quiet")
    assert quiet.run(3 * MINUTE, until=lambda: finished(quiet))
    sim = begun(tmp_path / "killed")
    arm(point, At(hit, killed))
    try:
        end = sim.now + 5 * MINUTE
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
    wanted, found = learning(quiet).job, learning(sim).job
    assert (found.model, found.state) == (wanted.model, wanted.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Older(Trainer):
    """A device that knows nothing of control variates."""

    def update(self, entry: Entry, proplet: str, *rest: Any, **more: Any) -> bytes:
        assert entry.fl is not None
        params = tuple(pair for pair in entry.fl.params if pair[0] != CONTROLLED)
        entry = replace(entry, fl=replace(entry.fl, params=params))
        return Trainer.update(self, entry, proplet, *rest, **more)


def test_an_update_of_one_half_is_rejected(tmp_path: Path) -> None:
    """What is well signed and only a delta is not taken for an update with its control variate."""
    sim = a_fleet(tmp_path, 4, trainer=Older(count=COUNT, steps=STEPS))
    sim.start_manager()
    sim.write("fl.yaml", scaffold(rounds=1, maxAttempts=1, cohort={"minClients": 1}))
    assert sim.run(3 * MINUTE, until=lambda: bool(learning(sim).job and learning(sim).job.failed))
    (round_,) = rounds_of(sim)
    assert round_.counts() == {Bucket.REJECTED: 3}
    assert all(part.why.startswith("wrong-size: 6 elements") for part in round_.parts.values())
