"""Clipping and noise in the guest host: what leaves is short and noised, whatever the guest did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from propeller.fl.admit import length
from propeller.fl.encodings import decode
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import write_model
from propeller.wire.messages import BlobRef, WireTraining
from propeller.wire.updates import Flag, Update, unpack

if TYPE_CHECKING:
    from conftest import Workshop

    from proplet.effects import Outcome

WB = Layout.of(Tensor("w", (3,)), Tensor("b", ()))
MODEL = write_model(WB, np.array([1.0, 2.0, 3.0, 4.0], np.float32))
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=3,
    attempt=1,
    step="train",
    format="f32-delta",
    nonce="0123456789abcdef" * 2,
    seed="00112233445566ff",
    guest="Imports",
)


def trains(body: str) -> str:
    """A module whose `train` is this."""
    return f"""(module
      (import "propeller_fl" "metric" (func $metric (param i32 i32 f64)))
      (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
      (memory (export "memory") 1) (data (i32.const 24) "loss")
      (func (export "train") (result i32)
        (call $metric (i32.const 24) (i32.const 4) (f64.const 0.25)) {body}
        (call $submit (i32.const 1) (i32.const 100) (i32.const 16) (i64.const 7)) i32.const 0))"""


NEAR = trains("(f32.store (i32.const 100) (f32.const 0.5))")
FAR = trains(
    "(f32.store (i32.const 100) (f32.const 300))(f32.store (i32.const 104) (f32.const -400))"
)
"""Submits a delta of length 500 in the round's own encoding."""


def teach(workshop: Workshop, module: str, number: int = 1, **changes: object) -> Outcome:
    ref = workshop.blobs.keep(MODEL)
    fl = replace(FL, model=BlobRef(digest=ref.digest, size=ref.size), **changes)  # type: ignore[arg-type]
    return workshop.run(module, number, cause="round:3", fl=fl)


def sent(workshop: Workshop, outcome: Outcome) -> Update:
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    data = workshop.blobs.path(outcome.blob.digest).read_bytes()
    return unpack(data, max_body=1 << 20)


def delta(update: Update) -> np.ndarray:
    return decode(update.encoding, update.body, layout=WB)


@pytest.mark.parametrize("encoding", ["f32-delta", "json-f64"])
def test_an_update_leaves_no_longer_than_asked(workshop: Workshop, encoding: str) -> None:
    """Also one that the guest encoded itself; its direction stays, and the envelope says so."""
    update = sent(workshop, teach(workshop, FAR, clip="2.5", format=encoding))
    found = delta(update)
    assert update.flags == Flag.CLIPPED
    assert length(found) <= 2.5
    assert found == pytest.approx([1.5, -2.0, 0, 0], abs=1e-6)
    assert update.meta["loss"] == "0.25", "without noise its metrics are told"


def test_a_short_update_is_left_as_it_is(workshop: Workshop) -> None:
    """Half a unit under a norm of one."""
    assert delta(sent(workshop, teach(workshop, NEAR, clip="1.0"))).tolist() == [0.5, 0, 0, 0]


def test_noise_is_on_every_number_and_never_the_same(workshop: Workshop) -> None:
    """Same module, model, data and seed: other bytes each time, of the deviation that was asked,
    and no metric beside them."""
    drawn = []
    for number in range(1, 9):
        update = sent(workshop, teach(workshop, NEAR, number, clip="2", noise="3"))
        assert "loss" not in update.meta
        drawn.append(delta(update) - np.array([0.5, 0, 0, 0], np.float32))
    noise = np.concatenate(drawn)
    assert len(set(noise.tolist())) == len(noise) == 32
    assert 3.5 < float(np.std(noise)) < 9.5


def test_an_evaluation_is_told_without_noise(workshop: Workshop) -> None:
    """A measurement is no update: it is what the task asks devices to say."""
    measures = """(module
      (import "propeller_fl" "metric" (func $metric (param i32 i32 f64)))
      (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
      (memory (export "memory") 1) (data (i32.const 0) "accuracy") (func (export "train"))
      (func (export "evaluate") (call $metric (i32.const 0) (i32.const 8) (f64.const 0.5))
        (call $submit (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 5))))"""
    outcome = teach(workshop, measures, step="evaluate", clip="2", noise="3")
    assert outcome.result == '{"metrics":{"accuracy":"0.5"},"samples":5}'
