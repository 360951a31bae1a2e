"""Slots of cron schedules: the next one, the latest that has passed, when each is fired. Pure.

`plan` uses it on the manager's clock, `proplet` on a device's. The same expression means what
Debian's cron makes of it; in the hour that a time zone skips, a slot moves to the end of the gap,
in the one it repeats it fires once. Times are Unix milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def slot_after(cron: str, zone: str, at: int) -> int | None:
    """The first slot later than `at`; None when there is none within 50 years."""
    return _next(cron, zone, at // 1000)


def slot_before(cron: str, zone: str, at: int) -> int | None:
    """The last slot not later than `at`."""
    return _latest(cron, zone, at // 1000)


def fires_at(slot: int, jitter: int, name: str) -> int:
    """When a slot is to be fired: up to `jitter` ms after it, always the same for one name.

    Derived and not drawn, so that whoever lost its memory fires at the same moment.
    """
    if not jitter:
        return slot
    digest = hashlib.sha256(f"{name}|{slot}".encode()).digest()
    return slot + int.from_bytes(digest[:8], "big") % (jitter + 1)


def newest_due(cron: str, zone: str, *, jitter: int, name: str, now: int) -> int | None:
    """The last slot whose time has come by `now`."""
    slot = slot_before(cron, zone, now)
    while slot is not None and fires_at(slot, jitter, name) > now:
        slot = slot_before(cron, zone, slot - 1000)
    return slot


@lru_cache(maxsize=4096)
def _next(cron: str, zone: str, after: int) -> int | None:
    for slot in _slots(cron, datetime.fromtimestamp(after, tz=_zone(zone))):
        at = int(slot.timestamp())
        if at > after:  # a slot moved out of a skipped hour can come out not later than asked
            return at * 1000
    return None


@lru_cache(maxsize=1024)
def _latest(cron: str, zone: str, now: int) -> int | None:
    for slot in _slots(cron, datetime.fromtimestamp(now + 1, tz=_zone(zone)), reverse=True):
        at = int(slot.timestamp())
        if at <= now:
            return at * 1000
    return None


def _slots(cron: str, start: datetime, *, reverse: bool = False) -> Iterable[datetime]:
    """Slots from `start` on, or back from it. What cronsim knows can never come has none."""
    try:
        return CronSim(cron, start, reverse)
    except CronSimError:
        return ()


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
