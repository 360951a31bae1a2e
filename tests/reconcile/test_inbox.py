"""The one way into the loop: bounded for devices, open for everybody else."""

from __future__ import annotations

import threading

from propeller.reconcile.events import Tick
from propeller.reconcile.inbox import Inbox
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
