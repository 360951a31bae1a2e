"""Canonical form: one value, one spelling, one digest.

The bytes are JSON with sorted keys, no white space, UTF-8 unescaped and integers only within
2^53-1 (what every JSON and CBOR reader of the fleet keeps exactly). Floats are refused: they do
not survive a round trip through every reader, so specs write `"0.01"`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias, cast

Value: TypeAlias = "bool | int | str | list[Value] | tuple[Value, ...] | Mapping[str, Value] | None"

MAX_INTEGER = 2**53 - 1


def _check(value: object, path: str) -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError(f"{path}: integer beyond 2^53-1")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path}: key {key!r} is not text")
            _check(item, f"{path}.{key}")
    else:
        raise ValueError(f"{path}: {type(value).__name__} has no canonical form")


def canonical_bytes(value: object) -> bytes:
    """The canonical bytes of `value`. Raises ValueError for floats and other foreign types."""
    _check(value, "$")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "strict")


def canonical_digest(value: object) -> str:
    """`sha256:<hex>` over the canonical bytes."""
    return "sha256:" + hashlib.sha256(canonical_bytes(value)).hexdigest()


def from_canonical(data: bytes | str) -> Value:
    """Read back bytes this module wrote; foreign input goes through `wire`."""
    return cast(Value, json.loads(data))
