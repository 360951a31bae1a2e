"""A schedule that a device keeps by its own clock, and what became of its times. Pure data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MOST_KEPT = 64
"""Results of one schedule that a device holds at most."""


MOST_KEPT_SMALL = 16
"""The same of a device that reads `slots`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSlots:
    """The times of a schedule for a device that knows neither cron's language nor time zones.

    minutes: 64 bits as hex, bit n for minute n; the others are bits too: days from 1, bit 0 for the
    last of a month; weekdays from Sunday. either: a day fits by its number or its weekday. once: a
    time of the wall clock that comes twice is one slot, one that does not come is at the gap's end.
    offset, summer: minutes east of UTC. starts, ends: of summer: month, day, weekday, minute: on
    the first such weekday from the day on, at the minute of the wall clock that is left then.
    """

    minutes: str
    hours: int
    days: int
    months: int
    weekdays: int
    either: bool = False
    once: bool = False
    offset: int = 0
    summer: int | None = None
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSchedule:
    """When the module of an entry of mode `timed` is run.

    missed: RunLatest | Skip, a time that is more than `deadline` ms late. overlap: Forbid |
    Replace, a time that comes while a run has not ended. jitter: ms that a run may begin later.
    keep: results held. slots: `cron` and `zone` once more for who cannot read them, None where they
    cannot be said so.
    """

    cron: str
    zone: str = "UTC"
    missed: str = "RunLatest"
    overlap: str = "Forbid"
    deadline: int = 600_000
    jitter: int = 0
    keep: int = 16
    slots: WireSlots | None = None


def slot_run(run: str, slot: int, attempt: int) -> str:
    """The run of one time of a schedule, as manager and device both name it. run: the entry's."""
    return hashlib.sha256(f"{run}|{slot}|{attempt}".encode()).hexdigest()[:32]
