"""Admission: what does not answer its assignment is refused with the word for its counter."""

from __future__ import annotations

import struct
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from propeller.fl.admit import Admitted, Assignment, admit, far_out, length
from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Flag, Update, pack, signed_bytes, update_id
from tests.fl.contributions import vector

JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
LAYOUT = Layout.flat(2)
ASKED = Assignment(
    job=JOB,
    round=3,
    attempt=2,
    nonce="ab" * 16,
    base="sha256:" + "11" * 32,
    layout=LAYOUT.digest,
    encoding="f32-delta",
    most_samples=1000,
)
GOOD = Update(
    encoding="f32-delta",
    job=UUID(JOB).bytes,
    round=3,
    attempt=2,
    samples=40,
    count=2,
    base=ASKED.base,
    layout=LAYOUT.digest,
    body=struct.pack("<2f", 3, 4),
)


def _admit(update: Update, asked: Assignment = ASKED) -> Admitted:
    return admit(pack(update), asked, LAYOUT, None)


def test_the_answer_to_an_assignment_is_admitted() -> None:
    """With its delta, length and name."""
    found = _admit(GOOD)
    assert found.norm == 5.0
    assert found.identifier == update_id(pack(GOOD))
    np.testing.assert_array_equal(found.delta, vector(3, 4))


@pytest.mark.parametrize(
    ("bent", "why"),
    [
        (replace(GOOD, job=bytes(16)), Why.WRONG_JOB),
        (replace(GOOD, round=2), Why.WRONG_ROUND),
        (replace(GOOD, attempt=1), Why.WRONG_ROUND),
        (replace(GOOD, encoding="f16-delta", body=bytes(4)), Why.WRONG_FORMAT),
        (replace(GOOD, layout="sha256:" + "22" * 32), Why.WRONG_LAYOUT),
        (replace(GOOD, layout=""), Why.WRONG_LAYOUT),
        (replace(GOOD, count=1), Why.WRONG_SIZE),
        (replace(GOOD, base=""), Why.WRONG_BASE),
        (replace(GOOD, base="sha256:" + "22" * 32), Why.WRONG_BASE),
        (replace(GOOD, flags=Flag.FULL), Why.MALFORMED),
        (replace(GOOD, samples=0), Why.ZERO_SAMPLES),
        (replace(GOOD, samples=1001), Why.TOO_MANY_SAMPLES),
        (replace(GOOD, body=bytes(4)), Why.WRONG_SIZE),
        (replace(GOOD, body=bytes(9)), Why.ENVELOPE),
        (replace(GOOD, body=struct.pack("<2f", float("nan"), 0)), Why.NOT_FINITE),
    ],
)
def test_anything_else_is_refused_by_name(bent: Update, why: Why) -> None:
    """One field at a time."""
    with pytest.raises(Refusal) as caught:
        _admit(bent)
    assert caught.value.why is why


def test_bytes_that_are_no_update_are_refused() -> None:
    """Any."""
    with pytest.raises(Refusal) as caught:
        admit(b"nothing", ASKED, LAYOUT, None)
    assert caught.value.why is Why.ENVELOPE


def test_only_the_device_that_was_asked_can_answer() -> None:
    """Unsigned, signed by another, or signed for another assignment: refused."""
    key, other = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2))
    asked = replace(ASKED, signed_by=key.public.verify)
    name = update_id(pack(replace(GOOD, signature=bytes(64))))
    good = replace(GOOD, signature=key.sign(signed_bytes(name, ASKED.nonce)))
    assert _admit(good, asked).identifier == name
    for bad in (
        GOOD,
        replace(GOOD, signature=other.sign(signed_bytes(name, ASKED.nonce))),
        replace(GOOD, signature=key.sign(signed_bytes(name, "cd" * 16))),
        replace(good, samples=41),
    ):
        with pytest.raises(Refusal) as caught:
            _admit(bad, asked)
        assert caught.value.why is Why.BAD_SIGNATURE


def test_full_weights_are_measured_by_their_difference() -> None:
    """The norm is of the delta, not of the weights."""
    update = replace(GOOD, encoding="f32-full", flags=Flag.FULL)
    base = vector(3, 3)
    found = admit(pack(update), replace(ASKED, encoding="f32-full"), LAYOUT, base)
    assert found.norm == 1.0


def test_a_length_is_that_of_f64() -> None:
    """f32 would overflow at 1e20."""
    assert length(np.full(10_000, 1e30, np.float32)) == pytest.approx(1e32, rel=1e-6)
    assert length(np.zeros(0, np.float32)) == 0.0


def test_far_too_long_is_ten_times_the_median_and_never_among_few() -> None:
    """A zero median accuses nobody."""
    norms = {"a": 1.0, "b": 1.1, "c": 0.9, "d": 10.6, "e": 10.4}
    assert far_out(norms) == frozenset()
    assert far_out({**norms, "e": 1.05}) == {"d"}
    assert far_out({"a": 1.0, "b": 1e9}) == frozenset()
    assert far_out({"a": 0.0, "b": 0.0, "c": 5.0}) == frozenset()
