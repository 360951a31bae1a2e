"""What the agent's own process takes, for the report's metrics."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from proplet.blobs import Blobs

EVERY = 5000
"""Ms between two looks."""


class Vitals:
    """Named integers about this process."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._at: int | None = None
        self._cpu = 0.0

    def stale(self, now: int) -> bool:
        """Whether it is time to look again (monotonic ms)."""
        return self._at is None or now - self._at >= EVERY

    def read(self, now: int) -> tuple[tuple[str, int], ...]:
        """cpuPermille since the last look, rssBytes, blobBytes."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        span = now - self._at if self._at is not None else 0
        permille = int((cpu - self._cpu) * 1_000_000 / span) if span else 0
        self._at, self._cpu = now, cpu
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return (
            ("cpuPermille", permille),
            ("rssBytes", pages * self._page),
            ("blobBytes", self._blobs.used()),
        )
