"""What a model's parameters are: tensors by name and shape, in one order.

Everything flat in this package is in layout order, each tensor row by row. The digest of a layout
is compared before a byte of an update's body is read, which rules out wrong shapes, broadcasting
and missing tensors in one step.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Final

from propeller.fl.errors import Refusal, Why

VERSION: Final = 1
MAX_TENSORS: Final = 4096
MAX_RANK: Final = 8
MAX_NAME: Final = 256
MAX_COUNT: Final = 1 << 31
MAX_BYTES: Final = 1 << 20
DTYPE: Final = "F32"
RESERVED: Final = "__metadata__"
"""Means something else in a model file."""
AGGREGATES: Final = ("mean", "local", "sum")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: shape () is a scalar. aggregate: `mean`, `sum`, or `local` (stays on the device).

    trainable: whether trainers change it.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool = True
    aggregate: str = "mean"

    @property
    def count(self) -> int:
        """Its elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Tensors in order, names unique. Construct with `of`, `flat` or `parse`, which check."""

    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, *tensors: Tensor) -> Layout:
        """These tensors. Raises Refusal (wrong-layout)."""
        layout = cls(tensors)
        layout._check()
        return layout

    @classmethod
    def flat(cls, count: int) -> Layout:
        """One vector of `count` parameters: what a model without a manifest has."""
        return cls.of(Tensor("flat", (count,)))

    @classmethod
    def parse(cls, data: bytes) -> Layout:
        """A manifest, spelled as `to_json` does or otherwise. Raises Refusal (wrong-layout)."""
        if len(data) > MAX_BYTES:
            raise _refusal(f"a manifest of more than {MAX_BYTES} bytes")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _refusal(f"no JSON: {error}") from error
        if not isinstance(document, dict) or type(document.get("v")) is not int:
            raise _refusal(f"not a layout of version {VERSION}")
        if document["v"] != VERSION:
            raise _refusal(f"not a layout of version {VERSION}")
        tensors = document.get("tensors")
        if not isinstance(tensors, list) or set(document) - {"v", "tensors"}:
            raise _refusal("a layout is {v, tensors}")
        return cls.of(*(_tensor(one) for one in tensors[: MAX_TENSORS + 1]))

    @property
    def count(self) -> int:
        """Parameters in all: P."""
        return sum(tensor.count for tensor in self.tensors)

    @property
    def offsets(self) -> tuple[tuple[Tensor, int], ...]:
        """Each tensor with where it begins in a flat vector."""
        out, at = [], 0
        for tensor in self.tensors:
            out.append((tensor, at))
            at += tensor.count
        return tuple(out)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over `to_json()`."""
        return "sha256:" + hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """The manifest, canonical (RFC 8785)."""
        document = {
            "tensors": [
                {
                    "aggregate": tensor.aggregate,
                    "dtype": DTYPE,
                    "name": tensor.name,
                    "shape": list(tensor.shape),
                    "trainable": tensor.trainable,
                }
                for tensor in self.tensors
            ],
            "v": VERSION,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def _check(self) -> None:
        if not 1 <= len(self.tensors) <= MAX_TENSORS:
            raise _refusal(f"{len(self.tensors)} tensors, wanted 1 to {MAX_TENSORS}")
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) != len(names):
            raise _refusal("two tensors of one name")
        for tensor in self.tensors:
            if (
                not 0 < len(tensor.name) <= MAX_NAME
                or not tensor.name.isprintable()
                or tensor.name == RESERVED
            ):
                raise _refusal(f"a tensor called {tensor.name[:40]!r}")
            if len(tensor.shape) > MAX_RANK or any(
                not 0 < size <= MAX_COUNT for size in tensor.shape
            ):
                raise _refusal(f"{tensor.name}: shape {tensor.shape[:MAX_RANK]}")
            if tensor.aggregate not in AGGREGATES:
                raise _refusal(f"{tensor.name}: aggregate is one of {', '.join(AGGREGATES)}")
        if self.count > MAX_COUNT:
            raise _refusal(f"{self.count} parameters, at most {MAX_COUNT}")
        if len(self.to_json()) > MAX_BYTES:
            raise _refusal(f"a manifest of more than {MAX_BYTES} bytes")


def _tensor(document: object) -> Tensor:
    if not isinstance(document, dict):
        raise _refusal("a tensor is a mapping")
    unknown = set(document) - {"name", "dtype", "shape", "trainable", "aggregate"}
    if unknown:
        raise _refusal(f"unknown field {sorted(map(str, unknown))[0][:40]!r} of a tensor")
    if document.get("dtype", DTYPE) != DTYPE:
        raise _refusal(f"dtype {str(document['dtype'])[:20]!r}: only {DTYPE} is trained")
    name, shape = document.get("name"), document.get("shape")
    trainable, aggregate = document.get("trainable", True), document.get("aggregate", "mean")
    if not isinstance(name, str) or not isinstance(aggregate, str):
        raise _refusal("a tensor has a name")
    if not isinstance(trainable, bool):
        raise _refusal(f"{name[:40]}: trainable is true or false")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise _refusal(f"{name[:40]}: shape is a list of integers")
    return Tensor(name, tuple(shape), trainable, aggregate)


def _refusal(what: str) -> Refusal:
    return Refusal(Why.WRONG_LAYOUT, what)
