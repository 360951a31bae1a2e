"""Cron slots, time zones included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from propeller.plan.schedule import due_at, latest_slot, newest_due, next_slot

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: Any = UTC, fold: int = 0) -> int:
    """Unix ms of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def test_the_next_slot_is_strictly_later(w: Any) -> None:
    """A slot that was just fired is not fired again."""
    hourly = w.hourly()
    assert next_slot(hourly, at("2025-06-15T10:00:00")) == at("2025-06-15T11:00:00")
    assert next_slot(hourly, at("2025-06-15T09:59:59") + 999) == at("2025-06-15T10:00:00")


def test_the_latest_slot_may_be_now(w: Any) -> None:
    """A slot counts from its own second on."""
    hourly = w.hourly()
    assert latest_slot(hourly, at("2025-06-15T10:00:00")) == at("2025-06-15T10:00:00")
    assert latest_slot(hourly, at("2025-06-15T10:59:59")) == at("2025-06-15T10:00:00")


def test_a_schedule_that_never_comes_has_no_slot(w: Any) -> None:
    """30 February."""
    never = w.hourly(cron="0 0 30 2 *")
    assert next_slot(w.hourly(cron="0 0 29 2 *"), at("2025-06-15T10:00:00")) == at(
        "2028-02-29T00:00:00"
    )
    assert next_slot(never, at("2025-06-15T10:00:00")) is None


def test_a_slot_is_local_to_its_time_zone(w: Any) -> None:
    """Half past two in Berlin, summer and winter."""
    daily = w.hourly(cron="30 2 * * *", time_zone="Europe/Berlin")
    assert next_slot(daily, at("2025-07-01T12:00:00")) == at("2025-07-02T00:30:00")
    assert next_slot(daily, at("2025-12-01T12:00:00")) == at("2025-12-02T01:30:00")


def test_a_slot_in_the_skipped_hour_moves_to_its_end(w: Any) -> None:
    """On 30 March 2025 Berlin has no half past two."""
    daily = w.hourly(cron="30 2 * * *", time_zone="Europe/Berlin")
    slot = next_slot(daily, at("2025-03-29T12:00:00", BERLIN))
    assert slot == at("2025-03-30T03:00:00", BERLIN)
    assert next_slot(daily, slot) == at("2025-03-31T02:30:00", BERLIN)


def test_a_slot_in_the_repeated_hour_fires_once(w: Any) -> None:
    """On 26 October 2025 Berlin has half past two twice."""
    daily = w.hourly(cron="30 2 * * *", time_zone="Europe/Berlin")
    slot = next_slot(daily, at("2025-10-25T12:00:00", BERLIN))
    assert slot == at("2025-10-26T02:30:00", BERLIN)
    assert next_slot(daily, slot) == at("2025-10-27T02:30:00", BERLIN)


@pytest.mark.parametrize("cron", ["*/20 * * * *", "0 */6 * * *", "15 3 * * 1-5", "0 0 1 * *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_slots_follow_one_another_and_none_is_skipped(w: Any, cron: str, zone: str) -> None:
    """From any second of a year, no slot lies between the latest one and the next one."""
    schedule = w.hourly(cron=cron, time_zone=zone)
    start = datetime(2025, 1, 1, 0, 7, 13, tzinfo=UTC)
    for step in range(60):
        now = int((start + timedelta(days=6, hours=5) * step).timestamp() * 1000)
        upcoming = next_slot(schedule, now)
        latest = latest_slot(schedule, now)
        assert upcoming is not None
        assert latest is not None
        assert latest <= now < upcoming
        assert next_slot(schedule, latest) == upcoming


def test_jitter_spreads_objects_and_is_always_the_same(w: Any) -> None:
    """A hundred schedules of one hour do not start together; nobody draws lots twice."""
    spread = w.hourly(jitter=600_000)
    slot = at("2025-06-15T10:00:00")
    moments = [due_at(spread, w.uid("Task", f"t{number}"), slot) for number in range(100)]
    assert all(slot <= one <= slot + 600_000 for one in moments)
    assert max(moments) - min(moments) > 500_000
    assert moments == [due_at(spread, w.uid("Task", f"t{number}"), slot) for number in range(100)]
    assert due_at(w.hourly(), w.uid("Task", "t0"), slot) == slot


def test_a_slot_whose_time_has_not_come_is_not_the_newest(w: Any) -> None:
    """Before its moment the one before it counts."""
    spread, uid = w.hourly(jitter=600_000), w.uid("Task", "t1")
    slot = at("2025-06-15T10:00:00")
    moment = due_at(spread, uid, slot)
    assert moment > slot
    assert newest_due(spread, uid, moment - 1) == at("2025-06-15T09:00:00")
    assert newest_due(spread, uid, moment) == slot
