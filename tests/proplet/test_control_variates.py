"""SCAFFOLD on a device: the host keeps c_k, the trainer in C adds the correction it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from wasmtime import wat2wasm

from examples.fl.records import write_records
from examples.fl.reference import Net
from propeller.fl.model import read_model
from propeller.fl.strategies.base import pack_state
from propeller.wire.messages import BlobRef, WireMount, WireTraining
from propeller.wire.updates import Update, unpack

if TYPE_CHECKING:
    from conftest import Maker, Workshop

    from proplet.effects import Outcome

EXAMPLES = Path(__file__).parents[2] / "examples" / "fl"
NET = Net(64, 10, 32)
RATE = 0.05
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=1,
    attempt=1,
    step="train",
    format="f32-delta",
    nonce="0" * 32,
    seed="00000000000000aa",
    guest="Imports",
    params=(("controlVariates", "Enabled"), ("learningRate", "0.05"), ("localEpochs", "1")),
)
MOUNT = (WireMount(name="data", path="/data", access="ReadOnly"),)
MODEL = (EXAMPLES / "digits/mlp.safetensors").read_bytes()


def step(
    workshop: Workshop, number: int, module: str, run: int | None = None, **changes: object
) -> Outcome:
    ref = workshop.blobs.keep(MODEL)
    model = BlobRef(digest=ref.digest, size=ref.size)
    fl = replace(FL, round=number, model=model, **changes)  # type: ignore[arg-type]
    data = (EXAMPLES / module).read_bytes()
    number = number if run is None else run
    return workshop.run(data, number, entrypoint="train", fl=fl, mounts=MOUNT, memory=65536)


def halves(workshop: Workshop, outcome: Outcome) -> tuple[Update, np.ndarray, np.ndarray]:
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    update = unpack(workshop.blobs.read(outcome.blob.digest), max_body=1 << 20)
    both = np.frombuffer(update.body, "<f4").astype(np.float32)
    return update, both[: NET.count], both[NET.count :]


def test_a_control_variate_follows_the_paper_over_rounds(
    tmp_path: Path, make_workshop: Maker
) -> None:
    """One record, one step a round: the step is lr (g + c - c_k), and c_k+ = c_k - c - D / (K lr).
    A round that is tried again starts from the c_k of the round before."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(1, 64)).astype("f4"), np.array([4], np.int32)
    write_records(tmp_path / "data" / "train.pfr", x, y)
    _, start = read_model(MODEL, max_count=NET.count)
    gradient = (start - NET.train(start, x, y, epochs=1, rate=RATE, mu=0.0)) / RATE
    workshop = make_workshop({"data": (tmp_path / "data", False)})
    update, delta, change = halves(workshop, step(workshop, 1, "digits/mlp-scaffold.wasm"))
    assert (update.steps, update.count) == (1, 2 * NET.count)
    assert delta == pytest.approx(-RATE * gradient, abs=2e-6)
    assert change == pytest.approx(-delta / RATE, abs=1e-5), "c and c_k were zero"
    own = change.astype(np.float64)
    c = np.asarray(rng.normal(size=NET.count) / 10, np.float64)
    state = workshop.blobs.keep(pack_state("SCAFFOLD", 1, c=c))
    control = BlobRef(digest=state.digest, size=state.size)
    for run in (2, 3):
        outcome = step(workshop, 2, "digits/mlp-scaffold.wasm", run, control=control)
        _, delta, change = halves(workshop, outcome)
        assert delta == pytest.approx(-RATE * (gradient + c - own), abs=5e-6)
        assert change == pytest.approx(-c - delta / RATE, abs=1e-4)


def test_a_trainer_that_does_not_say_its_steps_is_refused(
    tmp_path: Path, make_workshop: Maker
) -> None:
    """Without K nobody knows what its gradients were."""
    write_records(tmp_path / "data" / "train.pfr", np.zeros((1, 64), "f4"), np.zeros(1, np.int32))
    workshop = make_workshop({"data": (tmp_path / "data", False)})
    silent = tmp_path / "silent.wasm"
    silent.write_bytes(
        wat2wasm("""(module (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
          (memory (export "memory") 1)
          (func (export "train")
            (call $submit (i32.const 1) (i32.const 0) (i32.const 9640) (i64.const 1))))""")
    )
    outcome = step(workshop, 1, str(silent))
    assert not outcome.ok
    assert "has to say its steps" in (outcome.error or "")
