"""Models as files: safetensors, written so that equal weights give equal bytes.

A model blob is such a file wherever it goes: the store, a registry, the way to a device. Its digest
is the model's name. The header is canonical JSON with names sorted, padded with spaces to a
multiple of eight as the format asks; tensors lie in layout order, little-endian, without gaps. The
layout is in the metadata, so that a file says by itself what it holds.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import DTYPE, Layout

MAX_HEADER: Final = 1 << 22
"""A layout may have 1 MiB, and the header says it twice."""
METADATA: Final = "propeller.layout"

Vector = NDArray[np.float32]


def write_model(layout: Layout, flat: Vector) -> bytes:
    """The file of `flat` (shape (P,), f32). Raises Refusal (model) for another shape."""
    if flat.shape != (layout.count,):
        raise Refusal(Why.MODEL, f"{flat.shape} parameters, the layout has {layout.count}")
    header: dict[str, object] = {
        "__metadata__": {METADATA: layout.to_json().decode()},
    }
    for tensor, at in layout.offsets:
        header[tensor.name] = {
            "data_offsets": [at * 4, (at + tensor.count) * 4],
            "dtype": DTYPE,
            "shape": list(tensor.shape),
        }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + flat.astype("<f4", copy=False).tobytes()


def read_model(data: bytes, *, max_count: int) -> tuple[Layout, Vector]:
    """Layout and flat parameters of a safetensors file, ours or any other of F32 tensors.

    Without our metadata the layout is the tensors in the order of their data. Raises Refusal
    (model, wrong-layout, not-finite).
    """
    if len(data) < 8:
        raise _refusal("shorter than its header")
    size = struct.unpack_from("<Q", data)[0]
    if size > MAX_HEADER or 8 + size > len(data):
        raise _refusal(f"a header of {size} bytes")
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise _refusal(f"its header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise _refusal("its header is no mapping")
    metadata = header.pop("__metadata__", {})
    ranges = {name: _range(name, entry) for name, entry in header.items()}
    given = metadata.get(METADATA) if isinstance(metadata, dict) else None
    if isinstance(given, str):
        # A lone surrogate, which JSON can escape, becomes a question mark: no name of a tensor.
        layout = Layout.parse(given.encode(errors="replace"))
    else:
        layout = _by_data(ranges)
    if layout.count > max_count:
        raise _refusal(f"{layout.count} parameters, at most {max_count}")
    for tensor, at in layout.offsets:
        found = ranges.pop(tensor.name, None)
        wanted = (at * 4, (at + tensor.count) * 4, tensor.shape)
        if found != wanted:
            raise _refusal(f"tensor {tensor.name} is at {str(found)[:80]}, wanted {wanted}")
    if ranges or len(data) != 8 + size + layout.count * 4:
        raise _refusal("tensors or bytes that the layout does not know")
    flat = np.frombuffer(data, dtype="<f4", offset=8 + size).astype(np.float32, copy=True)
    if not np.isfinite(flat).all():
        raise Refusal(Why.NOT_FINITE, "a model with a NaN or an infinity")
    return layout, flat


def model_digest(data: bytes) -> str:
    """`sha256:<hex>` of a model file."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _range(name: str, entry: object) -> tuple[int, int, tuple[int, ...]]:
    """Where a tensor's bytes begin and end, and its shape."""
    if not isinstance(entry, dict) or entry.get("dtype") != DTYPE:
        raise _refusal(f"tensor {name[:40]!r}: only {DTYPE} is trained")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if (
        not isinstance(shape, list)
        or not isinstance(offsets, list)
        or len(offsets) != 2
        or any(type(number) is not int for number in (*shape, *offsets))
    ):
        raise _refusal(f"tensor {name[:40]!r}: shape and data_offsets are lists of integers")
    return offsets[0], offsets[1], tuple(shape)


def _by_data(ranges: dict[str, tuple[int, int, tuple[int, ...]]]) -> Layout:
    from propeller.fl.layout import Tensor

    order = sorted(ranges, key=lambda name: (ranges[name][0], name))
    return Layout.of(*(Tensor(name, ranges[name][2]) for name in order))


def _refusal(what: str) -> Refusal:
    return Refusal(Why.MODEL, what)
