"""What devices measured, written down: one row a minute of each that reports, one an hour after it.

Called by `hear` with each report, inside its transaction; `tick` makes the rows of hours, a few
proplets a turn. Bounded: a report counts once a minute, names are few and short, and the table has
a quota (`state.quotas`). What is refused is counted.
"""

from __future__ import annotations

import re
from collections import Counter, deque

from propeller.model.ids import PropletId
from propeller.model.samples import HOUR, MINUTE, Sample, of_an_hour
from propeller.model.seen import Seen
from propeller.state.base import Store

MOST_NAMES = 256
"""Numbers of one proplet in one row."""
AT_ONCE = 4
"""Proplets whose hour is made in one turn."""
EVERY = 200
"""ms between two turns that make hours."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,95}")


class History:
    """Remembers which minute of each proplet was written last, and which hours are due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: dict[PropletId, int] = {}
        self._hours: deque[tuple[PropletId, int]] = deque()
        self._next = 0
        self.refused: Counter[str] = Counter()

    def note(self, seen: Seen, now: int) -> None:
        """A proplet has reported now (Unix ms)."""
        minute = now - now % MINUTE
        before = self._last.get(seen.id)
        if before is not None and before >= minute:
            return
        self._last[seen.id] = minute
        hour = minute - minute % HOUR
        if before is None:
            self._hours.append((seen.id, hour - HOUR))  # perhaps we were not there when it ended
        elif before < hour:
            self._hours.append((seen.id, before - before % HOUR))
        mean = self._named(seen)
        if mean:
            self._store.put_sample(Sample(proplet=seen.id, span=MINUTE, at=minute, mean=mean))

    def _named(self, seen: Seen) -> dict[str, int]:
        """What is kept of a report, with how often runs began anew."""
        told = {name: n for name, n in seen.metrics.items() if not name.startswith("dropped.")}
        for (uid, _), run in seen.runs.items():
            if not run.state.ended:
                told[f"restarts/{uid[:8]}"] = run.restarts
        kept: dict[str, int] = {}
        for name, value in told.items():
            if _NAME.fullmatch(name) is None:
                self.refused["metric_name"] += 1
            elif len(kept) >= MOST_NAMES:
                self.refused["metric_quota"] += 1
            else:
                kept[name] = value
        return kept

    def tick(self, now: int) -> None:
        """Make some of the hours that are over. Inside a store transaction."""
        if not self._hours or now < self._next:
            return
        self._next = now + EVERY
        for _ in range(min(AT_ONCE, len(self._hours))):
            proplet, hour = self._hours.popleft()
            if self._store.samples(proplet, HOUR, since=hour, until=hour + 1):
                continue
            minutes = self._store.samples(proplet, MINUTE, since=hour, until=hour + HOUR)
            if minutes:
                self._store.put_sample(of_an_hour(proplet, hour, minutes))

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return self._next if self._hours else None

    def forget(self, proplet: PropletId) -> None:
        """It is gone."""
        self._last.pop(proplet, None)
        self._store.drop_samples(proplet)
