"""Pokes: somebody outside says "look now". Many in a row are few looks.

Called from the broker's thread and from the webhook receivers; what came with a poke is not even
read. The first is followed at once, then at most one look every `gap` seconds, the last of them
never lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

GAP = 2.0


class Pokes:
    """Hands pokes on to `look`. From any thread; never waits."""

    def __init__(self, look: Callable[[], None], *, gap: float = GAP) -> None:
        self._look = look
        self._gap = gap
        self._lock = threading.Lock()
        self._next = 0.0
        self._timer: threading.Timer | None = None
        self._stopped = False
        self.count = 0

    def poke(self) -> None:
        """Look now, or as soon as the gap is over."""
        with self._lock:
            self.count += 1
            if self._timer is not None or self._stopped:
                return
            wait = self._next - time.monotonic()
            if wait > 0:
                self._timer = threading.Timer(wait, self._fire)
                self._timer.daemon = True
                self._timer.start()
                return
            self._next = time.monotonic() + self._gap
        self._look()

    def stop(self) -> None:
        """No more looks."""
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()

    def _fire(self) -> None:
        with self._lock:
            self._timer = None
            if self._stopped:
                return
            self._next = time.monotonic() + self._gap
        self._look()
