"""Hypothesis against federated learning: noise is refused in words, and numbers come back."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from propeller.errors import WireError
from propeller.fl.encodings import BLOCK, decode, encode
from propeller.fl.errors import Refusal
from propeller.fl.fold import Contribution, Held, weighted_mean
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import read_model, write_model
from propeller.fl.strategies.base import pack_state, unpack_state
from propeller.wire.updates import ENCODINGS, Flag, Update, pack, unpack, update_id

NAMES = sorted(ENCODINGS)
words = st.text(st.characters(codec="utf-8"), max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
digests = st.just("") | st.binary(min_size=32, max_size=32).filter(any).map(
    lambda raw: "sha256:" + raw.hex()
)
updates = st.builds(
    Update,
    encoding=st.sampled_from(NAMES),
    job=st.binary(min_size=16, max_size=16),
    round=st.integers(1, 2**32 - 1),
    attempt=st.integers(1, 2**32 - 1),
    steps=st.integers(0, 2**32 - 1),
    samples=st.integers(0, 2**63 - 1),
    count=st.integers(0, 1 << 40),
    base=digests,
    layout=digests,
    flags=st.integers(0, 15).map(Flag),
    meta=st.dictionaries(words, words | st.integers(-(2**40), 2**40), max_size=4),
    body=st.binary(max_size=60),
    signature=st.none() | st.binary(min_size=64, max_size=64),
)
tensors = st.lists(
    st.builds(
        Tensor,
        st.text(st.characters(codec="ascii", categories=("L", "P")), min_size=1, max_size=6),
        st.lists(st.integers(1, 3), max_size=3).map(tuple),
        st.booleans(),
        st.sampled_from(("mean", "sum", "local")),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.name,
)
deltas = hnp.arrays(
    np.float32, st.integers(1, 2 * BLOCK + 3), elements=st.floats(-1000, 1000, width=32)
)


@given(updates)
def test_what_is_packed_is_unpacked(update: Update) -> None:
    """Every field, and the name does not see the signature."""
    data = pack(update)
    assert unpack(data, max_body=60) == update
    assert pack(unpack(data, max_body=60)) == data
    assert update_id(data) == update_id(data[:7] + b"\1" + data[8:]) or update.signature is None


@given(st.binary(max_size=300) | st.binary(max_size=260).map(lambda rest: b"PFU1\1\1\0\0" + rest))
def test_any_bytes_are_an_update_or_refused(data: bytes) -> None:
    """What is read writes back to the same bytes: there is one spelling."""
    try:
        update = unpack(data, max_body=100)
    except WireError:
        return
    assert pack(update) == data


@given(updates, st.data())
def test_a_flipped_byte_is_another_update_or_refused(update: Update, data: Any) -> None:
    """Never the same name."""
    good = pack(update)
    at = data.draw(st.integers(0, len(good) - 1))
    bent = bytearray(good)
    bent[at] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(bytes(bent), max_body=60)
    except WireError:
        return
    assert found != update
    in_signature = update.signature is not None and at >= len(good) - 64
    assert (update_id(bytes(bent)) == update_id(good)) == in_signature


@settings(max_examples=300)
@given(
    st.sampled_from([*NAMES, "zip"]),
    st.integers(1, 40),
    st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()),
)
def test_any_body_is_a_finite_delta_or_refused(name: str, count: int, body: bytes) -> None:
    """Of exactly the model's shape, in f32."""
    try:
        found = decode(name, body, layout=Layout.flat(count))
    except Refusal:
        return
    assert found.shape == (count,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@given(st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_manifest_is_a_layout_or_refused(data: bytes) -> None:
    """And what is read has one spelling."""
    try:
        layout = Layout.parse(data)
    except Refusal:
        return
    assert Layout.parse(layout.to_json()) == layout


@given(st.lists(st.dictionaries(st.sampled_from(["name", "shape", "dtype", "x"]), anything)))
def test_any_tensors_are_a_layout_or_refused(rows: list[dict[str, object]]) -> None:
    """Near misses of a manifest."""
    test = json.dumps({"v": 1, "tensors": rows}).encode()
    try:
        Layout.parse(test)
    except Refusal:
        return


@given(
    st.binary(max_size=100)
    | st.tuples(anything, st.binary(max_size=12)).map(
        lambda parts: (
            struct.pack("<Q", len(text := json.dumps(parts[0]).encode())) + text + parts[1]
        )
    )
)
def test_any_file_is_a_model_or_refused(data: bytes) -> None:
    """Headers that are JSON and headers that are not."""
    try:
        layout, flat = read_model(data, max_count=50)
    except Refusal:
        return
    assert flat.shape == (layout.count,)


@given(tensors, st.data())
def test_a_damaged_model_is_refused_or_of_its_layout(rows: list[Tensor], data: Any) -> None:
    """One byte of a good file changed."""
    layout = Layout.of(*rows)
    good = write_model(layout, np.arange(layout.count, dtype=np.float32))
    found, flat = read_model(good, max_count=1000)
    assert found == layout
    assert write_model(found, flat) == good
    bent = bytearray(good)
    bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other, flat = read_model(bytes(bent), max_count=1000)
    except Refusal:
        return
    assert flat.shape == (other.count,)


@given(
    st.binary(max_size=120)
    | st.tuples(anything, st.binary(max_size=32)).map(
        lambda parts: (
            b"PFS1"
            + struct.pack("<I", len(text := json.dumps(parts[0]).encode()))
            + text
            + parts[1]
        )
    )
    | st.fixed_dictionaries({"kind": st.just("K"), "step": anything, "arrays": anything}).map(
        lambda head: b"PFS1" + struct.pack("<I", len(t := json.dumps(head).encode())) + t
    )
)
def test_any_state_is_read_or_refused(data: bytes) -> None:
    """A strategy's memory comes from a disk."""
    try:
        steps, kept = unpack_state(data, "K", 2, "m")
    except Refusal:
        return
    assert steps >= 0
    assert kept["m"].shape == (2,)


@given(hnp.arrays(np.float64, 3, elements=st.floats(-1e300, 1e300)), st.integers(0, 10**9))
def test_state_is_read_back(array: np.ndarray[Any, np.dtype[np.float64]], step: int) -> None:
    """To the bit."""
    data = pack_state("K", step, a=array, b=-array)
    taken, kept = unpack_state(data, "K", 3, "a", "b")
    assert taken == step
    assert pack_state("K", taken, **kept) == data


@settings(max_examples=60)
@given(deltas, st.sampled_from(["q8-delta", "q4-delta"]), st.integers(0, 2**32))
def test_a_quantised_value_is_within_one_level(
    delta: np.ndarray[Any, np.dtype[np.float32]], name: str, seed: int
) -> None:
    """Of its block, whatever is drawn."""
    body = encode(name, delta, uniform=np.random.default_rng(seed)).body
    found = decode(name, body, layout=Layout.flat(len(delta)))
    for at in range(0, len(delta), BLOCK):
        part = slice(at, at + BLOCK)
        step = float(np.abs(delta[part]).max()) / (127 if name == "q8-delta" else 7)
        assert (np.abs(found[part] - delta[part]) <= step * 1.001 + 1e-36).all()


@settings(max_examples=60)
@given(deltas, st.sampled_from(["f16-delta", "bf16-delta"]))
def test_a_half_is_the_nearest(delta: np.ndarray[Any, np.dtype[np.float32]], name: str) -> None:
    """Relative 2^-11 and 2^-8, or the smallest step."""
    found = decode(name, encode(name, delta).body, layout=Layout.flat(len(delta)))
    bits, least = (11, 2.0**-25) if name == "f16-delta" else (8, 1e-40)
    assert (np.abs(found - delta) <= np.abs(delta) * 2.0**-bits + least).all()


@settings(max_examples=60)
@given(deltas, st.data())
def test_top_k_and_what_it_left_are_the_whole(
    delta: np.ndarray[Any, np.dtype[np.float32]], data: Any
) -> None:
    """Nothing is lost between rounds."""
    keep = data.draw(st.integers(1, len(delta)))
    sent = encode("topk-f32", delta, keep=keep)
    found = decode("topk-f32", sent.body, layout=Layout.flat(len(delta)))
    assert sent.error is not None
    np.testing.assert_array_equal(found + sent.error, delta)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.floats(-(2.0**100), 2.0**100, width=32)),
        min_size=1,
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_a_mean_has_no_order_and_lies_among_what_was_sent(
    rows: list[tuple[int, float]], shuffle: Any
) -> None:
    """Any order, the same bits; between the least and the greatest."""
    members = [
        Contribution(
            proplet=f"p{index}", samples=samples, deltas=Held(np.array([value], np.float32))
        )
        for index, (samples, value) in enumerate(rows)
    ]
    mean = weighted_mean(members, 1)
    shuffle.shuffle(members)
    assert weighted_mean(members, 1).tobytes() == mean.tobytes()
    values = [np.float32(value) for _, value in rows]
    room = np.float32(max(map(abs, values)) * 1e-6)
    assert min(values) - room <= mean[0] <= max(values) + room
