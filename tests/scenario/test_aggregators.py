"""Rounds whose strategy is a module of the spec tree, through the whole engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from test_federated import MINUTE, SECOND, a_fleet, done, finished, learning, rounds_of, spec

from propeller.fl.model import read_model
from propeller.model.rounds import RoundState
from propeller.rehearse.fleet import Sim
from propeller.wire.updates import unpack

EXAMPLE = Path(__file__).parents[2] / "examples" / "fl" / "aggregator" / "trimmed.wat"
WASM = {"name": "Wasm", "module": {"file": "fold.wat"}}
LOOP = """(module (memory (export "memory") 1)
  (func (export "begin") (param i32 i32) (result i32) (loop (br 0)) (i32.const 0))
  (func (export "update") (param f64))
  (func (export "finish") (result i32) (i32.const 0)))"""


def folder_of_rounds(sim: Sim) -> Path:
    return sim.state.status / "default" / "FederatedTask" / "fl" / "rounds"


def test_a_module_makes_the_model_and_the_round_says_which(tmp_path: Path) -> None:
    """The median of three, recomputed here from what was sent; the module is named by digest."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fold.wat", EXAMPLE.read_text())
    sim.write("fl.yaml", spec(rounds=2, strategy=WASM, retainUpdates="Enabled"))
    assert sim.run(2 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    sim.run(SECOND)
    assert sim.ready(), sim.what_is_not()
    first, second = rounds_of(sim)
    blobs = sim.manager.shop.blobs
    sent = [
        np.frombuffer(unpack(blobs.read(part.update.digest), max_body=1 << 20).body, "<f4")
        for part in first.accepted
    ]
    _, weights = read_model(blobs.read(first.fold.model.digest), max_count=10)
    assert weights.tolist() == np.median(np.array(sent), axis=0).tolist()
    assert second.base == first.fold.model
    told = yaml.safe_load((folder_of_rounds(sim) / "0002.yaml").read_text())
    assert told["strategy"]["module"] == second.terms.aggregator
    assert blobs.has(second.terms.aggregator)


def test_a_module_that_never_ends_fails_the_round_and_the_loop_goes_on(tmp_path: Path) -> None:
    """The model stays, the reason is told, and a better module is taken as soon as it is there."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fold.wat", LOOP)
    sim.write("fl.yaml", spec(rounds=1, strategy=WASM, maxAttempts=2))
    assert sim.run(
        5 * MINUTE,
        until=lambda: learning(sim).job is not None and learning(sim).job.failures == 2,
    ), sim.what_is_not()
    assert done(sim) == 0
    failed = rounds_of(sim)
    assert {one.state for one in failed} == {RoundState.ABANDONED}
    assert all("used up its fuel" in one.why for one in failed), [one.why for one in failed]
    sim.write("fold.wat", EXAMPLE.read_text())
    assert sim.run(5 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    assert rounds_of(sim)[-1].state is RoundState.COMMITTED
