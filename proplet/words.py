"""Sizes and durations, as people write them and read them."""

from __future__ import annotations

import re

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def milliseconds(value: int) -> str:
    """`90s`, `1500ms`: the largest unit that keeps the number whole."""
    for unit in ("h", "m", "s"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return f"{value}ms"


def size(value: int) -> str:
    """`64KiB`, `1000 bytes`."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % _SIZES[unit] == 0:
            return f"{value // _SIZES[unit]}{unit}"
    return f"{value} bytes"


def read_milliseconds(text: str) -> int:
    """The inverse of `milliseconds`; a bare number is seconds. Raises ValueError in words."""
    found = re.fullmatch(r"(\d{1,12})(ms|s|m|h|d)?", text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a duration such as 500ms, 10s or 5m")
    return int(found[1]) * _UNITS[found[2] or "s"]


def read_size(text: str) -> int:
    """The inverse of `size`. Raises ValueError in words."""
    found = re.fullmatch(r"(\d{1,15}) ?(B|KiB|MiB|GiB)?", text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a size such as 64KiB or 256MiB")
    return int(found[1]) * _SIZES[found[2] or ""]
