"""Text to Wasm values and back. Pure; used by the fit check and by the worker.

Arguments are read by the export's own types: integers decimal or 0x, signed or unsigned within
their width; floats as Python reads them (`1e3`, `inf`, `nan`). Results are written so that reading
them back gives the same value: integers decimal and signed, floats with the fewest digits that
round-trip at their own width. Several results are joined by ",".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

_BITS = {"i32": 32, "i64": 64}
_FLOATS = frozenset({"f32", "f64"})


def read_args(types: Sequence[str], args: Sequence[str]) -> list[int | float]:
    """The values of `args`. Raises ValueError in words a spec's author understands."""
    if len(types) != len(args):
        wanted = f"{len(types)} ({', '.join(types)})" if types else "none"
        raise ValueError(f"takes {_count(wanted, len(types))}, {len(args)} given")
    return [
        _read(kind, text, at) for at, (kind, text) in enumerate(zip(types, args, strict=True), 1)
    ]


def _count(wanted: str, number: int) -> str:
    return f"{wanted} argument" if number == 1 else f"{wanted} arguments"


def _read(kind: str, text: str, at: int) -> int | float:
    if kind in _BITS:
        bits = _BITS[kind]
        try:
            value = int(text, 16 if "0x" in text[:3].lower() else 10)
        except ValueError:
            raise ValueError(f"argument {at} is {text[:40]!r}, not an integer ({kind})") from None
        if not -(2 ** (bits - 1)) <= value < 2**bits:
            raise ValueError(f"argument {at} is {text[:40]}, which does not fit {kind}")
        return value - 2**bits if value >= 2 ** (bits - 1) else value
    if kind in _FLOATS:
        try:
            number = float(text)
            if kind == "f32" and math.isfinite(number):
                struct.pack("<f", number)
        except ValueError:
            raise ValueError(f"argument {at} is {text[:40]!r}, not a number ({kind})") from None
        except OverflowError:
            raise ValueError(f"argument {at} is {text[:40]}, which does not fit {kind}") from None
        return number
    raise ValueError(f"argument {at} has type {kind}, which cannot be written in a spec")


def write_results(types: Sequence[str], values: Sequence[object]) -> str:
    """The text of what an export returned; "" for nothing."""
    return ",".join(_write(kind, value) for kind, value in zip(types, values, strict=True))


def _write(kind: str, value: object) -> str:
    if kind == "f32" and isinstance(value, int | float):
        return shortest_f32(float(value))
    if kind == "f64" and isinstance(value, int | float):
        return repr(float(value))
    return str(value) if isinstance(value, int) else f"<{kind}>"


def shortest_f32(value: float) -> str:
    """The fewest digits that read back as the same 32-bit float."""
    if not math.isfinite(value):
        return repr(value)
    wanted = struct.pack("<f", value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        try:
            same = struct.pack("<f", float(text)) == wanted
        except OverflowError:  # rounded up past the largest one
            same = False
        if same:
            return repr(float(text))
    return repr(value)
