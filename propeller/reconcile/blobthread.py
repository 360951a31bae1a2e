"""The thread that serves blobs: what its own connection brings, in turn, and what is due.

Blobs are large and have a connection of their own, so that no document waits behind one. Owned by
`service`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from propeller.reconcile.blobservice import BlobService
from propeller.transport.base import Connected, Event, Received


class BlobThread:
    """See the module. clock: Unix ms."""

    def __init__(self, service: BlobService, clock: Callable[[], int]) -> None:
        self._service = service
        self._clock = clock
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="blobs", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def hear(self, event: Event) -> None:
        """The broker brought something. Any thread."""
        self._queue.put(event)

    def stop(self) -> None:
        """Serve no more; waits for nothing."""
        self._queue.put(None)

    def _run(self) -> None:
        due: int | None = None
        while True:
            wait = 1.0 if due is None else max(0.0, (due - self._clock()) / 1000)
            try:
                event = self._queue.get(timeout=wait)
                if event is None:
                    return
                if isinstance(event, Connected):
                    self._service.connected()
                elif isinstance(event, Received):
                    self._service.hear(event)
            except queue.Empty:
                pass
            due = self._service.turn()
