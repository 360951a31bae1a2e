"""Once-runs that left the list and may never be started again. Pure.

Called by `runs`. Bounded: the oldest goes first, and then only the manager remembers it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proplet.effects import DropRun, Effect, SaveRun
from proplet.records import Key, RunRecord


class Tombstones:
    """See the module. `most`: how many are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stones: dict[Key, RunRecord] = {}

    def bury(self, record: RunRecord, emit: Callable[[Effect], None]) -> None:
        """The run is not listed any more: keep it if it was a once-run that started."""
        if record.mode != "once" or record.starts == 0:
            emit(DropRun(record.key))
            return
        stone = replace(record, tombstone=True)
        self._stones[record.key] = stone
        emit(SaveRun(stone))
        while len(self._stones) > self._most:
            oldest = next(iter(self._stones))
            del self._stones[oldest]
            emit(DropRun(oldest))

    def dig_up(self, key: Key) -> RunRecord | None:
        """It is listed again: what became of it, None for a run that was never here."""
        stone = self._stones.pop(key, None)
        return None if stone is None else replace(stone, tombstone=False)
