"""Now, and how long ago something was, in words as short as a table wants them."""

from __future__ import annotations

import time

_SECOND = 1000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def now_ms() -> int:
    """Now, as Unix milliseconds."""
    return time.time_ns() // 1_000_000


def age(since: int, now: int) -> str:
    """`since` (Unix ms) as `45s`, `12m`, `5h` or `3d` before `now`; "-" for 0, which is never."""
    if since <= 0:
        return "-"
    return span(now - since)


def span(ms: int) -> str:
    """A length of time in the largest unit that still says something; negative counts as none."""
    ms = max(0, ms)
    if ms < 2 * _MINUTE:
        return f"{ms // _SECOND}s"
    if ms < 2 * _HOUR:
        return f"{ms // _MINUTE}m"
    if ms < 2 * _DAY:
        return f"{ms // _HOUR}h"
    return f"{ms // _DAY}d"


def ago(since: int, now: int) -> str:
    """`5m ago`, or `never` for 0."""
    return f"{age(since, now)} ago" if since > 0 else "never"
