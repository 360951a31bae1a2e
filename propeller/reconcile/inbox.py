"""The one way into the loop. Anyone may put; only the loop takes.

The queue is bounded: broker messages past the bound are dropped and counted (retained reports
and the next heartbeat tell again), everything else always gets in.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from propeller.reconcile.events import Event, Tick
from propeller.transport.base import Received

LONGEST_REST = 0.01
"""Seconds."""


class Pace:
    """Turns that would follow each other closely are as long apart as the last one took.

    What came meanwhile is one turn's work instead of many, which a fleet that answers all at once
    needs, and an event after a quiet while waits for nothing. clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._ended = clock()

    def begin(self) -> None:
        """A turn begins."""
        self._began = self._clock()

    def end(self) -> None:
        """It is over."""
        self._ended = self._clock()

    def rest(self) -> float:
        """Seconds until the next turn may begin."""
        pause = min(LONGEST_REST, self._ended - self._began)
        return max(0.0, self._ended + pause - self._clock())


class Inbox:
    """A many-to-one queue. `put` never waits."""

    def __init__(self, *, limit: int = 200_000) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._limit = limit
        self.dropped = 0

    def put(self, event: Event) -> None:
        """Hand over."""
        if isinstance(event, Received) and self._queue.qsize() >= self._limit:
            self.dropped += 1
            return
        self._queue.put(event)

    def waiting(self) -> int:
        """How many events are in it, about."""
        return self._queue.qsize()

    def take(
        self, timeout: float, *, rest: Callable[[], float] | None = None, most: int = 2_000
    ) -> list[Event]:
        """What is there, waiting up to `timeout` seconds for the first. May be empty.

        rest: asked once the first is there, for the seconds that others are given to join it.
        """
        events: list[Event] = []
        try:
            events.append(self._queue.get(timeout=max(0.0, timeout)))
            if rest is not None and not isinstance(events[0], Tick):
                time.sleep(rest())
            while len(events) < most:
                events.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return [event for event in events if not isinstance(event, Tick)]
