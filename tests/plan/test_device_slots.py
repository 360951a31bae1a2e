"""Schedules for devices without cron's language and time zones; firmware/tests has the rest."""

from __future__ import annotations

import pytest

from propeller.deviceslots import device_slots
from propeller.wire.timed_messages import WireSlots


def _slots(cron: str, zone: str = "UTC") -> WireSlots:
    made = device_slots(cron, zone)
    assert isinstance(made, WireSlots), made
    return made


def test_fields_become_bits() -> None:
    """Minutes, hours and the rest as sets; the last day of a month and Sundays have bit 0."""
    made = _slots("0,30 6-8 L 2 7")
    assert int(made.minutes, 16) == 1 | 1 << 30
    assert made.hours == 0b111 << 6
    assert (made.days, made.months, made.weekdays) == (1, 1 << 2, 1)
    assert made.once
    assert not _slots("* 6 * * *").once
    assert [_slots(f"0 0 {days}").either for days in ("1 * 1", "* * 1", "1 * *")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("zone", "offset", "summer", "starts", "ends"),
    [
        ("UTC", 0, None, (), ()),
        ("Asia/Kolkata", 330, None, (), ()),
        ("Europe/Belgrade", 60, 120, (3, 25, 0, 120), (10, 25, 0, 180)),
        ("America/Santiago", -240, -180, (9, 2, 0, 0), (4, 2, 0, 0)),
        ("Australia/Lord_Howe", 630, 660, (10, 1, 0, 120), (4, 1, 0, 120)),
        ("Africa/Cairo", 120, 180, (4, 24, 5, 0), (10, 25, 4, 1440)),
    ],
)
def test_a_zone_becomes_the_rule_of_its_years(
    zone: str, offset: int, summer: int | None, starts: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    """The days on which its clock changes; midnight may be the end of a day."""
    made = _slots("0 4 * * *", zone)
    assert (made.offset, made.summer, made.starts, made.ends) == (offset, summer, starts, ends)


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        ("0 0 LW * *", "UTC", "no LW, L or #"),
        ("0 0 * * 5L", "UTC", "no LW, L or #"),
        ("0 0 * * 1#2", "UTC", "no LW, L or #"),
        ("0 0 * * *", "Africa/Casablanca", "no yearly rule"),
    ],
)
def test_what_cannot_be_said_so_is_said_in_words(cron: str, zone: str, words: str) -> None:
    """Never something near it."""
    assert words in str(device_slots(cron, zone))
