"""Layouts: one spelling, one digest, and every malformed manifest refused."""

from __future__ import annotations

import json

import pytest

from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout, Tensor


def test_a_layout_has_one_spelling_and_a_known_digest() -> None:
    """The digest is part of every update: it must never move."""
    layout = Layout.of(Tensor("w", (2, 3)), Tensor("b", (), trainable=False, aggregate="local"))
    assert layout.to_json() == (
        b'{"tensors":[{"aggregate":"mean","dtype":"F32","name":"w","shape":[2,3],"trainable":true},'
        b'{"aggregate":"local","dtype":"F32","name":"b","shape":[],"trainable":false}],"v":1}'
    )
    assert Layout.parse(layout.to_json()) == layout
    assert layout.count == 7
    assert layout.offsets == ((layout.tensors[0], 0), (layout.tensors[1], 6))
    assert Layout.flat(650).digest == (
        "sha256:e1b9a244f9ad6aa8294c4543566e44704ee1e6dfbe337fdfd3611d9fde888134"
    )


def test_order_and_names_are_part_of_the_digest() -> None:
    """Two models whose tensors are swapped are two layouts."""
    one, other = Tensor("a", (3,)), Tensor("b", (3,))
    assert Layout.of(one, other).digest != Layout.of(other, one).digest


def test_defaults_may_be_left_out_of_a_manifest() -> None:
    """What people write by hand means the same as the canonical form."""
    data = b'{"v": 1, "tensors": [{"name": "w", "shape": [4]}]}'
    assert Layout.parse(data) == Layout.of(Tensor("w", (4,)))


def _one(**fields: object) -> bytes:
    return json.dumps({"v": 1, "tensors": [{"name": "w", "shape": [1], **fields}]}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"v":true,"tensors":[{"name":"w","shape":[1]}]}',
        b'{"v":2,"tensors":[{"name":"w","shape":[1]}]}',
        b'{"v":1,"tensors":[]}',
        b'{"v":1,"tensors":{}}',
        b'{"v":1,"tensors":[1]}',
        b'{"v":1,"tensors":[{"name":"w","shape":[1]}],"x":0}',
        b'{"v":1,"tensors":[{"name":"w","shape":[1]},{"name":"w","shape":[2]}]}',
        _one(dtype="F64"),
        _one(extra=1),
        _one(name=""),
        _one(name="a\nb"),
        _one(name="\ud800"),
        _one(name="x" * 257),
        _one(name="__metadata__"),
        _one(name=7),
        _one(shape=[0]),
        _one(shape=[-1]),
        _one(shape=[True]),
        _one(shape=[1.0]),
        _one(shape="3"),
        _one(shape=[1] * 9),
        _one(shape=[1 << 31, 1 << 31]),
        _one(trainable="yes"),
        _one(aggregate="median"),
        b" " * ((1 << 20) + 1),
    ],
)
def test_a_manifest_that_is_none_is_refused(data: bytes) -> None:
    """With one word, before anything is allocated for it."""
    with pytest.raises(Refusal) as caught:
        Layout.parse(data)
    assert caught.value.why is Why.WRONG_LAYOUT


def test_a_layout_too_long_for_its_own_reader_cannot_be_made() -> None:
    """What is written can be read."""
    tensors = (Tensor(f"{index:0256}", (1,)) for index in range(4000))
    with pytest.raises(Refusal, match="a manifest of more than"):
        Layout.of(*tensors)
