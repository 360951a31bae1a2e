"""A guest's stdout and stderr: pipes, and threads that empty them into bounded files.

Runs in workers only. Made while the worker is idle, so that a start costs no thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from proplet.runtime.capture import STREAMS, Capture


class Streams:
    """`ends`: the descriptors the guest writes to. `full` is called once, when stdout is cut."""

    def __init__(self, full: Callable[[], None]) -> None:
        self._full = full
        self._directory = Path()
        self._limit = 0
        self._ring = False
        self._threads: list[threading.Thread] = []
        self.ends: dict[str, int] = {}
        for stream in STREAMS:
            source, self.ends[stream] = os.pipe()
            thread = threading.Thread(target=self._empty, args=(source, stream), daemon=True)
            thread.start()
            self._threads.append(thread)

    def open(self, directory: Path, *, limit: int, ring: bool) -> None:
        """Where the bytes go, if any come; stderr is a ring always."""
        self._directory, self._limit, self._ring = directory, limit, ring

    def _empty(self, source: int, stream: str) -> None:
        """Until the end; past the limit bytes are dropped, so that the guest can be ended."""
        cut = False
        capture: Capture | None = None
        while data := os.read(source, 65536):
            if capture is None:
                ring = self._ring or stream == "stderr"
                capture = Capture(self._directory, stream, limit=self._limit, ring=ring)
            if not capture.write(data) and not cut:
                cut = True
                threading.Thread(target=self._full, daemon=True).start()

    def close(self) -> None:
        """The guest is gone: wait until everything it wrote is on disk."""
        for end in self.ends.values():
            os.close(end)
        for thread in self._threads:
            thread.join(1.0)
