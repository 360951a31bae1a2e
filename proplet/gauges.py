"""What each guest takes, as named integers for the report: `cpu/1a2b3c4d` and `rss/1a2b3c4d`; what
a Function has besides is in `pool`.

The eight digits are the first of the object's uid: a device holds few, and bytes may be dear. Where
a report has no room for all guests they take turns (`turns`).

A Function may have several processes: theirs are added up.

A guest is a process of its own, so the kernel has counted it already; the guest is not asked and
cannot lie about it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from proplet.runtime.capture import STREAMS, dropped_of
from proplet.workers import Worker

MOST = 256
"""Guests looked at."""
NAMED = 8
"""Digits of the uid."""


class Gauges:
    """Remembers how much each process had used when it was looked at last."""

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._before: dict[int, tuple[int, int]] = {}

    def read(self, workers: Iterable[Worker], now: int) -> tuple[tuple[str, int], ...]:
        """`cpu` in thousandths of one core since the last look, `rss` in bytes. now: mono ms."""
        values: Counter[str] = Counter()
        seen: dict[int, tuple[int, int]] = {}
        guests = [one for one in workers if one.key is not None and one.pid and not one.done]
        told: set[str] = set()
        for worker in guests:
            assert worker.key is not None
            told.add(worker.key[0][:NAMED])
            if len(told) > MOST:
                break
            used = _used(worker.pid)
            if used is None:
                continue
            ticks, pages = used
            uid = worker.key[0][:NAMED]
            before = self._before.get(worker.pid)
            seen[worker.pid] = (ticks, now)
            values[f"rss/{uid}"] += pages * self._page
            if before is not None and now > before[1]:
                permille = (ticks - before[0]) * 1_000_000 // (self._ticks * (now - before[1]))
                values[f"cpu/{uid}"] += permille
        self._before = seen
        return tuple(sorted(values.items()))


def lost_of(logs: Iterable[tuple[str, Path]]) -> list[tuple[str, int]]:
    """Bytes of output that made way for newer ones, by guest. logs: uid and folder of each run."""
    lost = Counter[str]()
    for uid, folder in islice(logs, MOST):
        for stream in STREAMS:
            lost[f"lost/{uid[:NAMED]}"] += dropped_of(folder, stream)
    return [row for row in lost.items() if row[1]]


def _used(pid: int) -> tuple[int, int] | None:
    """Clock ticks of processor time and pages in memory; None for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # After the name, which may hold anything: state is the first, utime and stime the 12th and
    # 13th, rss the 22nd (proc(5)).
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]), int(fields[21])
