"""Durations, sizes, times and percentages: what people write and the integers they mean.

Called by `sources` when a spec becomes canonical and by `cli` when it is shown again. Reading and
writing are inverses: `duration_ms(duration_text(n)) == n`. Where a limit may be absent people
write `Unlimited`; that word is the caller's to look for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from propeller.model.canonical import MAX_INTEGER

UNLIMITED: Final = "Unlimited"

_DURATION_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZE_UNITS: Final = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}

_PART = re.compile(r"([0-9]{1,16})(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:[0-9]{1,16}(?:ms|s|m|h|d))+\Z")
_SIZE = re.compile(r"([0-9]{1,16})(B|KiB|MiB|GiB|TiB)\Z")
_PERCENT = re.compile(r"(100|[0-9]{1,2})%\Z")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _bounded(number: int, text: str) -> int:
    if number > MAX_INTEGER:
        raise ValueError(f"{text!r} is beyond what can be counted")
    return number


def duration_ms(text: str) -> int:
    """`"1h30m"` as milliseconds. Raises ValueError."""
    if not _DURATION.match(text):
        raise ValueError(f'{text!r} is not a duration such as "90s", "5m" or "24h"')
    total = sum(int(count) * _DURATION_UNITS[unit] for count, unit in _PART.findall(text))
    return _bounded(total, text)


def duration_text(ms: int) -> str:
    """The shortest exact spelling with one unit: 90000 is `90s`, 0 is `0s`."""
    if ms == 0:
        return "0s"
    for unit, length in _DURATION_UNITS.items():
        if ms % length == 0:
            return f"{ms // length}{unit}"
    raise AssertionError("every whole number of ms divides by 1")


def size_bytes(text: str) -> int:
    """`"64KiB"` as bytes. Raises ValueError."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f'{text!r} is not a size such as "64KiB" or "16MiB"')
    return _bounded(int(match[1]) * _SIZE_UNITS[match[2]], text)


def size_text(size: int) -> str:
    """The shortest exact spelling: 65536 is `64KiB`, 0 is `0B`."""
    if size == 0:
        return "0B"
    for unit, length in _SIZE_UNITS.items():
        if size % length == 0:
            return f"{size // length}{unit}"
    raise AssertionError("every whole number of bytes divides by 1")


def percent(text: str) -> int:
    """`"95%"` as 95. Raises ValueError."""
    match = _PERCENT.match(text)
    if match is None:
        raise ValueError(f'{text!r} is not a percentage from "0%" to "100%"')
    return int(match[1])


def percent_text(number: int) -> str:
    """The inverse of `percent`."""
    return f"{number}%"


def timestamp_ms(text: str) -> int:
    """RFC 3339 with a time zone as Unix milliseconds. Raises ValueError."""
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is not a time such as 2027-01-15T06:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: {error}") from error


def timestamp_text(ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC; the fraction only where there is one."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    fraction = "milliseconds" if ms % 1000 else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=fraction) + "Z"
