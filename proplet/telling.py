"""What guests of Tasks and Daemons told of themselves: the last number of each name, for reports.

Owned by the supervisor. What Functions tell is with their pools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proplet.gauges import MOST, NAMED
from proplet.pool import keep_told
from proplet.records import Key


class Telling:
    """See the module. A guest that is gone is told of once more, so that a short one was heard."""

    def __init__(self) -> None:
        self._told: dict[Key, dict[str, int]] = {}
        self._gone: dict[Key, dict[str, int]] = {}

    def said(self, key: Key, metrics: Mapping[object, object]) -> None:
        """Its process hands over numbers."""
        keep_told(self._told.setdefault(key, {}), metrics)

    def ended(self, key: Key) -> None:
        """It has no process any more."""
        told = self._told.pop(key, None)
        if told and len(self._gone) < MOST:
            self._gone[key] = told

    def gauges(self) -> Iterator[tuple[str, int]]:
        """`g/1a2b3c4d/name` in thousandths."""
        rows = {**self._gone, **self._told}
        self._gone = {}
        for key in sorted(rows)[:MOST]:
            for name, number in sorted(rows[key].items()):
                yield f"g/{key[0][:NAMED]}/{name}", number
