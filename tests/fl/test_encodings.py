"""Bodies of updates: bounds of every encoding, and every rule of every decoder."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from propeller.fl.encodings import BLOCK, decode, encode, largest
from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout, Tensor
from propeller.wire.updates import ENCODINGS
from tests.fl.contributions import Vector, vector

COUNT = 2 * BLOCK + 7
LAYOUT = Layout.flat(COUNT)


def _delta(seed: int = 3) -> Vector:
    return np.random.default_rng(seed).normal(0, 0.1, COUNT).astype(np.float32)


def _through(encoding: str, delta: Vector, **more: object) -> tuple[Vector, int]:
    more.setdefault("uniform", np.random.default_rng(1))
    sent = encode(encoding, delta, layout=LAYOUT, **more)  # type: ignore[arg-type]
    assert len(sent.body) <= largest(encoding, COUNT)
    found = decode(encoding, sent.body, layout=LAYOUT, base=more.get("base"))  # type: ignore[arg-type]
    assert found.dtype == np.float32
    return found, len(sent.body)


def test_f32_and_json_are_exact() -> None:
    """To the bit."""
    for encoding in ("f32-delta", "json-f64"):
        np.testing.assert_array_equal(_through(encoding, _delta())[0], _delta())


def test_full_weights_become_the_delta_with_one_rounding() -> None:
    """f32(f64(y) - f64(x))."""
    base, delta = _delta(4), _delta()
    found, _ = _through("f32-full", delta, base=base)
    full = (base + delta).astype(np.float64)
    np.testing.assert_array_equal(found, (full - base).astype(np.float32))


@pytest.mark.parametrize(
    ("encoding", "bits", "bytes_"), [("f16-delta", 11, 2 * COUNT), ("bf16-delta", 8, 2 * COUNT)]
)
def test_halves_are_as_near_as_they_can_be(encoding: str, bits: int, bytes_: int) -> None:
    """Rounded to nearest: half a unit of the last place."""
    found, size = _through(encoding, _delta())
    assert size == bytes_
    assert (np.abs(found - _delta()) <= np.abs(_delta()) * 2.0**-bits + 3e-8).all()


def test_bf16_rounds_to_nearest_even() -> None:
    """1 + 2^-8 is halfway: to 1. 1 + 3 * 2^-8 is halfway: up."""
    sent = encode("bf16-delta", vector(1 + 2**-8, 1 + 3 * 2**-8, -1))
    assert sent.body == struct.pack("<3H", 0x3F80, 0x3F82, 0xBF80)


@pytest.mark.parametrize(("encoding", "levels"), [("q8-delta", 127), ("q4-delta", 7)])
def test_quantised_forms_are_within_a_level_and_right_on_average(
    encoding: str, levels: int
) -> None:
    """Stochastic rounding is unbiased: the mean of many is the value."""
    delta, draw = _delta(), np.random.default_rng(8)
    total = np.zeros(COUNT)
    for _ in range(200):
        found, size = _through(encoding, delta, uniform=draw)
        for at in range(0, COUNT, BLOCK):
            part = slice(at, at + BLOCK)
            step = np.abs(delta[part]).max() / levels
            assert (np.abs(found[part] - delta[part]) <= step * 1.0001).all()
        total += found
    assert size == {"q8-delta": 12 + COUNT, "q4-delta": 12 + BLOCK + 4}[encoding]
    step = np.abs(delta).max() / levels
    assert abs(np.mean(total / 200 - delta)) < step / 200
    assert np.abs(total / 200 - delta).max() < step / 3


def test_a_block_of_zeros_stays_zero() -> None:
    """Scale 0, and no division by it."""
    for encoding in ("q8-delta", "q4-delta"):
        assert not _through(encoding, np.zeros(COUNT, np.float32))[0].any()


@pytest.mark.parametrize("encoding", ["topk-f32", "topk-f16-bitmap"])
def test_top_k_sends_the_largest_and_keeps_the_rest(encoding: str) -> None:
    """What was sent and what is left add up to what there was."""
    delta = _delta()
    sent = encode(encoding, delta, keep=100)
    found = decode(encoding, sent.body, layout=LAYOUT)
    assert np.count_nonzero(found) == 100
    assert np.abs(delta[found == 0]).max() <= np.abs(delta[found != 0]).min()
    assert sent.error is not None
    np.testing.assert_allclose(found + sent.error, delta, atol=1e-7)


def test_error_feedback_sends_everything_in_time() -> None:
    """Ten rounds of a constant delta with a tenth sent each: nothing is forgotten."""
    delta, error, total = _delta(), None, np.zeros(COUNT, np.float32)
    for _ in range(60):
        sent = encode("topk-f32", delta, keep=COUNT // 10, error=error)
        total += decode("topk-f32", sent.body, layout=LAYOUT)
        error = sent.error
    forgetful = decode("topk-f32", encode("topk-f32", delta, keep=COUNT // 10).body, layout=LAYOUT)
    assert np.abs(total / 60 - delta).max() < np.abs(delta).max() / 3
    assert np.abs(forgetful - delta).max() > np.abs(total / 60 - delta).max()


def test_ties_of_top_k_go_to_the_lower_index() -> None:
    """One body for one delta, on any machine."""
    sent = encode("topk-f32", vector(1, -1, 1, 1), keep=2)
    assert sent.body == struct.pack("<3I2f", 2, 0, 1, 1, -1)


def test_bytes_are_what_the_format_says() -> None:
    """The C side writes the same."""
    three = vector(1, -2, 0.5)
    assert encode("topk-f16-bitmap", three, keep=2).body == b"\x03\x00\x3c\x00\xc0"

    class Low:
        def random(self, size: int, dtype: type[np.float32]) -> Vector:
            return np.full(size, 0.3, dtype)

    scale = struct.pack("<f", np.float32(2) / np.float32(7))
    assert encode("q4-delta", three, uniform=Low()).body == scale + b"\x93\x02"
    scale = struct.pack("<f", np.float32(2) / np.float32(127))
    assert encode("q8-delta", three, uniform=Low()).body == scale + b"\x3f\x81\x20"


def test_json_takes_the_first_propellers_form_for_its_layout() -> None:
    """{"w", "b"}, a flat list, nested lists, and full weights."""
    layout = Layout.of(Tensor("w", (2,)), Tensor("b", ()))
    base = vector(1, 1, 1)
    for body, wanted in (
        ({"w": [1, 2], "b": 3}, [1, 2, 3]),
        ([1, 2, 3], [1, 2, 3]),
        ({"tensors": {"w": [1, 2], "b": 3}}, [1, 2, 3]),
        ({"tensors": {"w": [1, 2], "b": 3}, "kind": "full"}, [0, 1, 2]),
    ):
        found = decode("json-f64", json.dumps(body).encode(), layout=layout, base=base)
        np.testing.assert_array_equal(found, wanted)
    grid = Layout.of(Tensor("m", (2, 2)))
    np.testing.assert_array_equal(
        decode("json-f64", b'{"tensors":{"m":[[1,2],[3,4]]}}', layout=grid), [1, 2, 3, 4]
    )


NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
F1 = struct.pack("<f", 1.0)
U = "<I"


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        ("f32-delta", F1 * 2, Why.WRONG_SIZE),
        ("f32-delta", F1 * 4, Why.WRONG_SIZE),
        ("f32-delta", F1 * 2 + NAN, Why.NOT_FINITE),
        ("f32-full", F1 * 2 + INF, Why.NOT_FINITE),
        ("f16-delta", b"\x00\x7c" * 3, Why.NOT_FINITE),
        ("f16-delta", bytes(5), Why.WRONG_SIZE),
        ("bf16-delta", b"\x80\x7f" * 3, Why.NOT_FINITE),
        ("q8-delta", NAN + bytes(3), Why.MALFORMED),
        ("q8-delta", INF + bytes(3), Why.MALFORMED),
        ("q8-delta", struct.pack("<f", -1) + bytes(3), Why.MALFORMED),
        ("q8-delta", struct.pack("<f", -0.0) + bytes(3), Why.MALFORMED),
        ("q8-delta", F1 + b"\x80\x00\x00", Why.MALFORMED),
        ("q8-delta", struct.pack("<f", 3e38) + b"\x7f\x00\x00", Why.NOT_FINITE),
        ("q8-delta", F1 + bytes(2), Why.WRONG_SIZE),
        ("q4-delta", F1 + b"\x00\x10", Why.MALFORMED),
        ("q4-delta", F1 + b"\x08\x00", Why.MALFORMED),
        ("q4-delta", F1 + bytes(1), Why.WRONG_SIZE),
        ("topk-f32", b"", Why.WRONG_SIZE),
        ("topk-f32", struct.pack("<I", 4), Why.MALFORMED),
        ("topk-f32", struct.pack("<I", 1), Why.WRONG_SIZE),
        ("topk-f32", struct.pack("<2If", 1, 3, 1), Why.MALFORMED),
        ("topk-f32", struct.pack("<3I2f", 2, 1, 1, 1, 1), Why.MALFORMED),
        ("topk-f32", struct.pack("<3I2f", 2, 2, 1, 1, 1), Why.MALFORMED),
        ("topk-f16-bitmap", b"", Why.WRONG_SIZE),
        ("topk-f16-bitmap", b"\x08", Why.MALFORMED),
        ("topk-f16-bitmap", b"\x07" + bytes(4), Why.WRONG_SIZE),
        ("json-f64", b"[1,2,NaN]", Why.NOT_FINITE),
        ("json-f64", b"[1,2,1e999]", Why.NOT_FINITE),
        ("json-f64", b"[1,2,1e39]", Why.NOT_FINITE),
        ("json-f64", b"[1,2," + b"9" * 400 + b"]", Why.NOT_FINITE),
        ("json-f64", b"[1,2]", Why.WRONG_SIZE),
        ("json-f64", b"[1,2,true]", Why.MALFORMED),
        ("json-f64", b'[1,2,"3"]', Why.MALFORMED),
        ("json-f64", b"[1,2," + b"[" * 400 + b"]" * 400 + b"]", Why.MALFORMED),
        ("json-f64", b"[" * 60_000, Why.MALFORMED),
        ("json-f64", b"7", Why.MALFORMED),
        ("json-f64", b"\xff", Why.MALFORMED),
        ("json-f64", b'{"tensors":{"other":[1,2,3]}}', Why.WRONG_LAYOUT),
        ("json-f64", b'{"tensors":{"flat":[[1,2,3]]}}', Why.WRONG_SIZE),
        ("json-f64", b'{"tensors":{"flat":[1,2,3]},"kind":[]}', Why.MALFORMED),
        ("json-f64", b" " * 70_000, Why.WRONG_SIZE),
        ("secagg-u32", bytes(16), Why.WRONG_FORMAT),
        ("f64-partial", bytes(32), Why.WRONG_FORMAT),
        ("zip", b"", Why.WRONG_FORMAT),
    ],
)
def test_a_decoder_believes_nothing(encoding: str, body: bytes, why: Why) -> None:
    """Three elements; each rule broken alone, and counted under its word."""
    with pytest.raises(Refusal) as caught:
        decode(encoding, body, layout=Layout.flat(3))
    assert caught.value.why is why


def test_a_difference_that_f32_cannot_hold_is_refused() -> None:
    """3e38 - (-3e38), as full weights and as JSON."""
    layout, base = Layout.flat(1), vector(-3e38)
    for encoding, body in (
        ("f32-full", struct.pack("<f", 3e38)),
        ("json-f64", b'{"tensors":{"flat":[3e38]},"kind":"full"}'),
    ):
        with pytest.raises(Refusal) as caught:
            decode(encoding, body, layout=layout, base=base)
        assert caught.value.why is Why.NOT_FINITE


@pytest.mark.parametrize(
    ("encoding", "delta", "more"),
    [
        ("f32-delta", vector(np.nan), {}),
        ("f16-delta", vector(70_000), {}),
        ("bf16-delta", vector(3.4028235e38), {}),
        ("f32-full", vector(3e38), {"base": vector(3e38)}),
        ("topk-f32", vector(3e38), {"keep": 1, "error": vector(3e38)}),
        ("topk-f32", vector(1), {"keep": 0}),
        ("topk-f32", vector(1), {"keep": 2}),
        ("secagg-u32", vector(1), {}),
        ("nothing", vector(1), {}),
    ],
)
def test_what_would_be_refused_is_not_sent(
    encoding: str, delta: Vector, more: dict[str, object]
) -> None:
    """A trainer's fault is told on the device, not after the upload."""
    with pytest.raises(Refusal):
        encode(encoding, delta, **more)  # type: ignore[arg-type]


def test_every_encoding_has_a_largest_body() -> None:
    """Known from the spec alone."""
    for name in ENCODINGS:
        assert largest(name, 10) >= 5
