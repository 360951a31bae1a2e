"""What the loop says of itself while it runs: counted in memory, read by whoever watches.

Plain numbers, so that nothing here can slow a turn; the loop's thread alone writes, any may read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

EDGES: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds: upper ends of the buckets that turns are sorted into."""


class Signals:
    """See the module. waiting, dropped: of the inbox, asked when read."""

    def __init__(
        self,
        *,
        waiting: Callable[[], int] = lambda: 0,
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self.waiting, self.dropped = waiting, dropped
        self.turns = 0
        self.failed = 0
        self.events = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(EDGES) + 1)
        self.lag = 0.0
        self.connected = False
        self.echo_ms: int | None = None

    def turned(self, seconds: float, *, events: int, lag: float) -> None:
        """A turn is over. lag: seconds by which it began after it was due."""
        self.turns += 1
        self.events += events
        self.seconds += seconds
        self.buckets[bisect_left(EDGES, seconds)] += 1
        self.lag = lag
