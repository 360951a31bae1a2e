"""A schedule for a device that knows neither cron's language nor time zones: sets and a rule. Pure.

The five fields become the minutes, hours, days, months and weekdays that fit; the zone becomes its
offset and the two days of a year on which it changes ("the first Sunday from the 25th of March on,
at 02:00"). Both hold for ever, so nothing has to be renewed on a device that is away for a year, as
a list of times or of changes would have to be. A zone without such a rule (Morocco's follows the
moon) has none, in words. What it means is what `propeller.slots` says; firmware/core/calendar.c
reads it.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from propeller.wire.timed_messages import WireSlots

YEARS: Final = range(2026, 2054)
"""A calendar repeats after 28 years: a rule that holds for all of these holds on."""
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)

Rule = tuple[int, int, int, int]
"""Month, day, weekday (0: Sunday), minute: on the first such weekday from the day on, at the minute
of the wall clock that is left then."""


@lru_cache(maxsize=1024)
def device_slots(cron: str, zone: str) -> WireSlots | str:
    """The slots of a schedule, or why a device cannot be told them, in words."""
    fields = CronSim(cron, datetime(2026, 1, 1))
    plain = all(isinstance(day, int) for day in fields.weekdays)
    if not plain or CronSim.LAST_WEEKDAY in fields.days:
        return f'has no weekdays by number: no LW, L or # ("{cron}")'
    turns = _turns(zone)
    if turns is None:
        return f'knows no time zones whose changes follow no yearly rule ("{zone}")'
    offset, summer, starts, ends = turns
    minute, hour = cron.split()[:2]
    return WireSlots(
        minutes=f"{_bits(fields.minutes):016x}",
        hours=_bits(fields.hours),
        days=_bits(0 if day == CronSim.LAST else day for day in fields.days),
        months=_bits(fields.months),
        weekdays=_bits(day % 7 for day in fields.weekdays if isinstance(day, int)),
        either=not fields.day_and,
        once=not (minute.startswith("*") or hour.startswith("*")),
        offset=offset,
        summer=summer,
        starts=starts,
        ends=ends,
    )


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in set(places))


@lru_cache(maxsize=1024)
def _turns(zone: str) -> tuple[int, int | None, Rule | tuple[()], Rule | tuple[()]] | None:
    """Offset in minutes east, that of summer, and the two rules; None where there are none."""
    tz = ZoneInfo(zone)
    found = _changes(tz)
    offsets = {_offset(tz, _EPOCH), *(after for _, _, after in found)}
    if len(offsets) == 1:
        return offsets.pop(), None, (), ()
    if len(offsets) != 2:
        return None
    low, high = sorted(offsets)
    starts = _rule([local for local, before, _ in found if before == low])
    ends = _rule([local for local, before, _ in found if before == high])
    return None if starts is None or ends is None else (low, high, starts, ends)


def _offset(tz: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(tz).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) // 60


def _changes(tz: ZoneInfo) -> list[tuple[datetime, int, int]]:
    """Each change in `YEARS`: the wall clock that is left, the offsets before and after."""
    found: list[tuple[datetime, int, int]] = []
    day, end = _EPOCH, datetime(YEARS.stop, 1, 1, tzinfo=UTC)
    before = _offset(tz, day)
    while day < end:
        after = _offset(tz, day + _DAY)
        if after != before:
            least, most = day, day + _DAY
            while most - least > _MINUTE:
                middle = least + (most - least) // 2
                middle = middle.replace(second=0, microsecond=0)
                least, most = (middle, most) if _offset(tz, middle) == before else (least, middle)
            found.append(((most + before * _MINUTE).replace(tzinfo=None), before, after))
        before, day = after, day + _DAY
    return found


def _rule(found: list[datetime]) -> Rule | None:
    """The rule that gives just these, one a year; midnight may be the end of a day."""
    for before in (0, 1):
        dates = [one - before * _DAY for one in found]
        month, weekday = dates[0].month, dates[0].isoweekday() % 7
        minute = found[0].hour * 60 + found[0].minute + before * 1440
        rule = (month, min(one.day for one in dates), weekday, minute)
        if found == [_moment(year, rule) for year in YEARS]:
            return rule
    return None


def _moment(year: int, rule: Rule) -> datetime:
    month, day, weekday, minute = rule
    start = datetime(year, month, min(day, calendar.monthrange(year, month)[1]))
    return start + timedelta(days=(weekday - start.isoweekday()) % 7, minutes=minute)
