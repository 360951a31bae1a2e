"""The one way into the loop. Anyone may put; only the loop takes.

The queue is bounded: broker messages past the bound are dropped and counted (retained reports
and the next heartbeat tell again), everything else always gets in.
"""

from __future__ import annotations

import queue

from propeller.reconcile.events import Event, Tick
from propeller.transport.base import Received


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

    def take(self, timeout: float, *, most: int = 2_000) -> list[Event]:
        """What is there, waiting up to `timeout` seconds for the first. May be empty."""
        events: list[Event] = []
        try:
            events.append(self._queue.get(timeout=max(0.0, timeout)))
            while len(events) < most:
                events.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return [event for event in events if not isinstance(event, Tick)]
