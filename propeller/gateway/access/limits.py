"""How often somebody may ask: a bucket each, bounded in number. Pure but for the clock given."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable


class Buckets:
    """Token buckets by name. rate: drops a second; burst: drops of a full one. clock: seconds.

    At most `most` are kept; the one that was used longest ago is forgotten, which fills it.
    """

    def __init__(
        self, *, rate: float, burst: float, clock: Callable[[], float], most: int = 4_096
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take a drop: 0.0 when there was one, else the seconds until there is."""
        with self._lock:
            level = self._level(name)
            taken = level >= 1.0
            self._put(name, level - 1.0 if taken else level)
            return 0.0 if taken else (1.0 - level) / self._rate

    def empty(self, name: str) -> bool:
        """Whether there is none, without taking one."""
        with self._lock:
            return self._level(name) < 1.0

    def _level(self, name: str) -> float:
        now = self._clock()
        level, at = self._levels.get(name, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate)

    def _put(self, name: str, level: float) -> None:
        self._levels[name] = (level, self._clock())
        self._levels.move_to_end(name)
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)
