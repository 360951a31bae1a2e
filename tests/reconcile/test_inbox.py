"""The one way into the loop: bounded for devices, open for everybody else."""

from __future__ import annotations

import threading

from propeller.reconcile.events import Tick
from propeller.reconcile.inbox import LONGEST_REST, Inbox, Pace
from propeller.transport.base import Connected, Received


def message(number: int) -> Received:
    return Received("t", str(number).encode(), False)


def test_what_was_put_comes_out_in_order() -> None:
    """Whoever puts, one order."""
    inbox = Inbox()
    for number in range(3):
        inbox.put(message(number))
    assert inbox.take(0.0) == [message(number) for number in range(3)]
    assert inbox.take(0.0) == []


def test_messages_beyond_the_bound_are_dropped_and_counted() -> None:
    """A flood costs messages that will be told again, never a word of our own."""
    inbox = Inbox(limit=2)
    for number in range(5):
        inbox.put(message(number))
    inbox.put(Connected(1))
    assert inbox.take(0.0) == [message(0), message(1), Connected(1)]
    assert inbox.dropped == 3
    inbox.put(message(9))
    assert inbox.take(0.0) == [message(9)]


def test_one_turn_takes_so_many_at_most() -> None:
    """A turn stays short; the rest waits for the next."""
    inbox = Inbox()
    for number in range(5):
        inbox.put(message(number))
    assert len(inbox.take(0.0, most=3)) == 3
    assert len(inbox.take(0.0, most=3)) == 2


def test_a_tick_only_wakes() -> None:
    """It ends the wait and carries nothing."""
    inbox = Inbox()
    woken = threading.Timer(0.05, inbox.put, [Tick()])
    woken.start()
    assert inbox.take(30.0) == []
    woken.join()


def test_what_comes_in_a_rest_is_in_the_same_turn() -> None:
    """The first event is waited for, and others get the time that `rest` says then."""
    inbox = Inbox()
    inbox.put(message(0))
    threading.Timer(0.02, inbox.put, [message(1)]).start()
    assert inbox.take(1.0, rest=lambda: 0.5) == [message(0), message(1)]


def test_nobody_rests_where_the_loop_is_to_end() -> None:
    """A tick asks for a turn now."""
    inbox = Inbox()
    inbox.put(Tick())

    def never() -> float:
        raise AssertionError("asked")

    assert inbox.take(1.0, rest=never) == []


def test_turns_are_as_long_apart_as_the_last_one_took() -> None:
    """So a busy loop takes many events at once; after a quiet while nothing waits."""
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.rest() == 0
    pace.begin()
    now = 100.004
    pace.end()
    now = 100.005
    assert 0.0029 < pace.rest() < 0.0031
    now = 100.02
    assert pace.rest() == 0
    pace.begin()
    now = 107.0
    pace.end()
    assert 0 < pace.rest() <= LONGEST_REST + 1e-9
