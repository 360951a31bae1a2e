"""Cron slots on the reconciler's clock: the next one, and the latest that has passed.

Called by `lifecycle`. The same expression means what Debian's cron makes of it; in the hour that a
time zone skips, a slot moves to the end of the gap, in the one it repeats it fires once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from propeller.model.ids import Uid
from propeller.model.specs import Schedule


def next_slot(schedule: Schedule, after: int) -> int | None:
    """The first slot later than `after` (Unix ms); None when there is none within 50 years."""
    return _next(schedule.cron, schedule.time_zone, after // 1000)


def latest_slot(schedule: Schedule, now: int) -> int | None:
    """The last slot not later than `now` (Unix ms)."""
    return _latest(schedule.cron, schedule.time_zone, now // 1000)


def due_at(schedule: Schedule, uid: Uid, slot: int) -> int:
    """When a slot is to be fired: up to `jitter` ms after it, always the same for one object.

    Derived and not drawn, so that a reconciler that lost its store fires at the same moment.
    """
    if not schedule.jitter:
        return slot
    digest = hashlib.sha256(f"{uid}|{slot}".encode()).digest()
    return slot + int.from_bytes(digest[:8], "big") % (schedule.jitter + 1)


def newest_due(schedule: Schedule, uid: Uid, now: int) -> int | None:
    """The last slot whose time has come by `now`."""
    slot = latest_slot(schedule, now)
    while slot is not None and due_at(schedule, uid, slot) > now:
        slot = latest_slot(schedule, slot - 1000)
    return slot


def slot_after(cron: str, zone: str, at: int) -> int | None:
    """The same for an expression alone."""
    return _next(cron, zone, at // 1000)


def slot_before(cron: str, zone: str, at: int) -> int | None:
    """The last slot not later than `at`."""
    return _latest(cron, zone, at // 1000)


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
