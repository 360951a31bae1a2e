"""What guests took in the last hour, as far as somebody looked: a few numbers in memory.

Devices report what each guest takes (`cpu/1a2b3c4d`, `rss/1a2b3c4d`); the store keeps only what was
reported last. Whoever takes pictures of the store notes them here on the way. Bounded: one point a
minute, an hour of them, so many guests; gone with the process.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from propeller.model.seen import Seen

MINUTE: Final = 60_000
POINTS: Final = 60
MOST: Final = 4_096
"""Guests that are remembered. Who comes when it is full waits until others were silent for long."""

NAMED: Final = 8
"""Digits of a uid in the names of a report's metrics."""


@dataclass(frozen=True, slots=True)
class Point:
    """One report. at: Unix ms. cpu: thousandths of a core, memory: bytes; None: not told."""

    at: int
    cpu: int | None
    memory: int | None


class Trends:
    """See the module. Used under the lock of whoever owns it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], deque[Point]] = {}
        self._swept = 0

    def note(self, seen: Seen) -> None:
        """A proplet reported; the same report again changes nothing."""
        at = seen.metrics_at
        if not at:
            return
        marks = {name[4:] for name in seen.metrics if name.startswith(("cpu/", "rss/"))}
        for mark in marks:
            series = self._series((str(seen.id), mark), at)
            if series is None or (series and series[-1].at >= at):
                continue
            point = Point(at, seen.metrics.get(f"cpu/{mark}"), seen.metrics.get(f"rss/{mark}"))
            if series and series[-1].at // MINUTE == at // MINUTE:
                series[-1] = point
            else:
                series.append(point)

    def of(self, proplet: str, uid: str, now: int) -> tuple[Point, ...]:
        """The last hour of one guest, oldest first."""
        found = self._known.get((proplet, uid[:NAMED]), ())
        return tuple(one for one in found if one.at > now - POINTS * MINUTE)

    def _series(self, key: tuple[str, str], at: int) -> deque[Point] | None:
        found = self._known.get(key)
        if found is None and len(self._known) >= MOST:
            self._sweep(at)
        if found is None and len(self._known) < MOST:
            found = self._known[key] = deque(maxlen=POINTS)
        return found

    def _sweep(self, now: int) -> None:
        """Forget guests of which nothing was heard for an hour; looked for once a minute."""
        if now < self._swept + MINUTE:
            return
        self._swept = now
        old = now - POINTS * MINUTE
        for key in [
            key for key, series in self._known.items() if not series or series[-1].at < old
        ]:
            del self._known[key]
