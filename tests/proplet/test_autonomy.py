"""How long there was no word of the manager: over reboots, with and without a clock. Pure."""

from __future__ import annotations

from proplet.autonomy import LEAST, PARTS, Autonomy
from proplet.effects import Now
from proplet.records import Silence

HOUR = 3_600_000
WALL = 1_790_000_000_000


def at(mono: int, *, synced: bool = True) -> Now:
    return Now(mono, WALL + mono, synced=synced)


def test_silence_begins_when_the_manager_goes_and_ends_with_its_next_word() -> None:
    """While it is there no time passes."""
    one = Autonomy(None)
    one.booted(at(0))
    assert one.silence(at(500)) == 500
    one.contact(True, at(1_000))
    assert one.silence(at(HOUR)) == 0
    one.contact(False, at(HOUR))
    one.contact(False, at(HOUR + 10))
    assert one.silence(at(HOUR + 700)) == 700


def test_nothing_is_saved_where_nothing_has_a_budget() -> None:
    """No write for the many that go on for ever."""
    one = Autonomy(None)
    one.booted(at(0))
    assert (one.save(None, at(0)), one.due(None)) == (None, None)


def test_the_last_word_is_saved_often_enough_and_no_oftener() -> None:
    """A sixteenth of the budget, a minute at least; at once when the manager goes."""
    one = Autonomy(None)
    one.booted(at(0))
    one.contact(True, at(0))
    both = (HOUR, HOUR)
    assert one.save(both, at(0)) == Silence(WALL, 0)
    assert one.save(both, at(HOUR // PARTS - 1)) is None
    assert one.save(both, at(HOUR // PARTS)) == Silence(WALL + HOUR // PARTS, 0)
    one.contact(False, at(HOUR))
    assert one.save(both, at(HOUR)) == Silence(WALL + HOUR, 0)
    assert one.save((1, HOUR), at(HOUR + LEAST)) == Silence(WALL + HOUR, LEAST)
    assert one.due((1, HOUR)) == HOUR + 2 * LEAST


def test_nothing_more_is_saved_once_every_budget_is_spent() -> None:
    """A device alone for a year does not write for a year; a longer budget goes on counting."""
    one = Autonomy(None)
    one.booted(at(0))
    assert one.save((1, HOUR), at(0)) == Silence(WALL, 0)
    assert one.save((1, HOUR), at(HOUR)) == Silence(WALL, HOUR)
    assert (one.due((1, HOUR)), one.save((1, HOUR), at(9 * HOUR))) == (None, None)
    assert one.save((1, 2 * HOUR), at(9 * HOUR)) == Silence(WALL, 9 * HOUR)
    one.contact(True, at(10 * HOUR))
    assert one.save((1, HOUR), at(10 * HOUR)) == Silence(WALL + 10 * HOUR, 0)


def test_a_reboot_goes_on_where_it_was_and_counts_the_time_without_power() -> None:
    """With a set clock by the wall, without one by what was saved."""
    saved = Silence(WALL, 5_000)
    one = Autonomy(saved)
    one.booted(Now(10, WALL + HOUR))
    assert one.silence(Now(20, WALL + HOUR + 10)) == HOUR + 10
    blind = Autonomy(saved)
    blind.booted(Now(10, 12, synced=False))
    assert blind.silence(Now(20, 22, synced=False)) == 5_010
    stepped = Autonomy(saved)
    stepped.booted(Now(10, WALL - HOUR))
    assert stepped.silence(Now(20, WALL - HOUR)) == 5_010
    assert stepped.save((HOUR, HOUR), Now(20, WALL - HOUR)) == Silence(WALL, 5_010)
