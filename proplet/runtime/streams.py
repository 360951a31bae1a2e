"""A guest's stdout and stderr: pipes, and threads that empty them into bounded files.

Runs in workers only. Made while the worker is idle, so that a start costs no thread.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proplet.runtime.capture import STREAMS, Capture

DRAIN = 0.1
"""Seconds that `drain` takes at most."""


class Streams:
    """`ends`: the descriptors the guest writes to. `full` is called once, when stdout is cut."""

    def __init__(self, full: Callable[[], None]) -> None:
        self._full = full
        self._directory = Path()
        self._limit = 0
        self._ring = False
        self._threads: list[threading.Thread] = []
        self._sources: dict[str, int] = {}
        self._captures: dict[str, Capture] = {}
        self._locks = {stream: threading.Lock() for stream in STREAMS}
        self._cut = False
        self.ends: dict[str, int] = {}
        for stream in STREAMS:
            self._sources[stream], self.ends[stream] = os.pipe()
            thread = threading.Thread(target=self._empty, args=(stream,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def open(self, directory: Path, *, limit: int, ring: bool) -> None:
        """Where the bytes go, if any come; stderr is a ring always."""
        self._directory, self._limit, self._ring = directory, limit, ring

    def _empty(self, stream: str) -> None:
        while True:
            select.select([self._sources[stream]], [], [])
            if not self._take(stream):
                return

    def _take(self, stream: str) -> bool:
        """Move what is in the pipe to disk; False at its end.

        Past the limit bytes are dropped, so that the guest can be ended.
        """
        source = self._sources[stream]
        with self._locks[stream]:
            if not _filled(source):
                return True  # somebody else was here first
            data = os.read(source, 65536)
            if not data:
                return False
            capture = self._captures.get(stream)
            if capture is None:
                ring = self._ring or stream == "stderr"
                capture = Capture(self._directory, stream, limit=self._limit, ring=ring)
                self._captures[stream] = capture
            if not capture.write(data) and not self._cut:
                self._cut = True
                threading.Thread(target=self._full, daemon=True).start()
        return True

    def drain(self) -> None:
        """Everything written so far is on disk when this returns. Any thread.

        A guest that goes on writing is followed for a moment only.
        """
        end = time.monotonic() + DRAIN
        for stream, source in self._sources.items():
            while self._take(stream) and _filled(source) and time.monotonic() < end:
                pass

    def close(self) -> None:
        """The guest is gone: wait until everything it wrote is on disk."""
        for end in self.ends.values():
            os.close(end)
        for thread in self._threads:
            thread.join(1.0)


def _filled(source: int) -> bool:
    """Whether a read would not wait: bytes, or the end."""
    return bool(select.select([source], [], [], 0)[0])
