"""Processes that workers wait for: bounded in time, and ended when the manager ends."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Running:
    """Processes under way, so that whoever ends can end them, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._processes)

    def stop(self) -> None:
        """Kill what runs; what is started later is killed at once."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()

    @contextmanager
    def bounded(self, process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
        """Within, the process is alive for so long at most; afterwards it is gone."""
        with self._lock:
            self._processes.add(process)
            if self._stopped:
                process.kill()
        clock = threading.Timer(seconds, process.kill)
        clock.daemon = True
        clock.start()
        try:
            yield
        finally:
            clock.cancel()
            with self._lock:
                self._processes.discard(process)
            process.kill()
            process.wait()
