"""Model files: safetensors that others read, equal bytes for equal weights."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import METADATA, model_digest, read_model, write_model

LAYOUT = Layout.of(Tensor("w", (2, 3)), Tensor("a.bias", (2,)), Tensor("scale", ()))
FLAT = np.arange(9, dtype=np.float32) / 7


def test_the_safetensors_package_reads_what_we_write() -> None:
    """Names, shapes and numbers, in a file that is not ours alone."""
    found = load_safetensors(write_model(LAYOUT, FLAT))
    assert {name: array.shape for name, array in found.items()} == {
        "w": (2, 3),
        "a.bias": (2,),
        "scale": (),
    }
    assert all(array.dtype == np.float32 for array in found.values())
    np.testing.assert_array_equal(found["w"].ravel(), FLAT[:6])
    np.testing.assert_array_equal(found["a.bias"], FLAT[6:8])
    assert found["scale"] == FLAT[8]


def test_we_read_what_the_safetensors_package_writes() -> None:
    """Without our metadata the layout is the order of the data."""
    arrays = {"w": FLAT[:6].reshape(2, 3).copy(), "a": FLAT[6:8].copy()}
    layout, flat = read_model(save_safetensors(arrays), max_count=100)
    for tensor, at in layout.offsets:
        np.testing.assert_array_equal(
            flat[at : at + tensor.count].reshape(tensor.shape), arrays[tensor.name]
        )


def test_a_file_says_its_layout_and_has_one_digest() -> None:
    """Layout order is not the order of names, and survives; equal weights, equal bytes."""
    data = write_model(LAYOUT, FLAT)
    layout, flat = read_model(data, max_count=9)
    assert layout == LAYOUT
    np.testing.assert_array_equal(flat, FLAT)
    assert flat.dtype == np.float32
    assert flat.flags.writeable
    assert write_model(layout, flat) == data
    assert model_digest(data) == (
        "sha256:2e86a3995f72afe0e7fbd8842d2d8a3a50fb625efcc73e4234d55a55466a0ef1"
    )


def test_the_data_begin_at_a_multiple_of_eight() -> None:
    """A C reader may use them in place."""
    data = write_model(LAYOUT, FLAT)
    assert (8 + struct.unpack_from("<Q", data)[0]) % 8 == 0


def test_a_model_of_another_shape_is_not_written() -> None:
    """Nothing is broadcast."""
    with pytest.raises(Refusal):
        write_model(LAYOUT, FLAT[:1])


def test_a_model_larger_than_allowed_is_refused() -> None:
    """The caller's limit, not the file's."""
    with pytest.raises(Refusal, match="9 parameters, at most 8"):
        read_model(write_model(LAYOUT, FLAT), max_count=8)


def test_a_model_with_a_nan_is_refused() -> None:
    """No round may start from it."""
    with pytest.raises(Refusal) as caught:
        read_model(write_model(Layout.flat(1), np.array([np.nan], np.float32)), max_count=1)
    assert caught.value.why is Why.NOT_FINITE


def _file(header: Any, body: bytes = bytes(4)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


_GOOD = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        _file(b"nonsense"),
        _file(b"[" * 50_000),
        _file([]),
        _file({}),
        _file({"w": 1}),
        _file({"w": {**_GOOD, "dtype": "F16"}}),
        _file({"w": {**_GOOD, "shape": [2]}}),
        _file({"w": {**_GOOD, "shape": [True]}}),
        _file({"w": {**_GOOD, "data_offsets": [4, 8]}}),
        _file({"w": {**_GOOD, "data_offsets": [0, 4, 8]}}),
        _file({"w": {**_GOOD, "data_offsets": "04"}}),
        _file({"w": _GOOD}, bytes(8)),
        _file({"w": _GOOD}, bytes(3)),
        _file({"w": _GOOD, "v": _GOOD}),
        _file({"w": _GOOD, "__metadata__": {METADATA: "\ud800"}}),
        _file({"w": _GOOD, "__metadata__": {METADATA: "{}"}}),
        _file({"w": _GOOD, "__metadata__": {METADATA: Layout.flat(1).to_json().decode()}}),
    ],
)
def test_a_file_that_is_no_model_is_refused(data: bytes) -> None:
    """Overlaps, holes, other types, other lengths, another layout than it says."""
    with pytest.raises(Refusal):
        read_model(data, max_count=100)


def test_the_longest_layout_still_makes_a_model_that_is_read() -> None:
    """A header may say every name twice."""
    layout = Layout.of(*(Tensor(f'{index:03}"{"x" * 200}', (1,)) for index in range(1000)))
    data = write_model(layout, np.zeros(1000, np.float32))
    assert read_model(data, max_count=1000)[0] == layout
