"""One way out: a thread with a bounded box, so that the loop never waits for the outside.

The loop puts news in and goes on. The thread empties the box, lets its `Desk` take the news into
memory, then lets it work; a desk that fails is logged and asked again later. Notes past the bound
are dropped, oldest first, and counted; of everything else the box keeps the newest state only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from propeller.writeback.news import Batch

log = logging.getLogger("propeller.writeback")

MAX_NOTES: Final = 10_000
MAX_TOOK: Final = 100
AFTER_TROUBLE: Final = 10_000
"""ms until a desk that raised is asked again."""


class Desk(Protocol):
    """What is done with news. Only its worker's thread calls it."""

    def take(self, batch: Batch, now: int) -> None:
        """Note what is new. Memory only."""

    def work(self, now: int) -> int | None:
        """Do what is due; may wait for the outside. Returns when to be asked again (Unix ms)."""

    def finish(self, now: int) -> None:
        """The process ends: do what should not be left undone, within seconds."""


class Worker:
    """Runs one desk. `put` may be called from any thread and never waits for the desk."""

    def __init__(
        self, name: str, desk: Desk, *, clock: Callable[[], int], notes: int = MAX_NOTES
    ) -> None:
        self.name = name
        self._desk = desk
        self._clock = clock
        self._limit = notes
        self._batch = Batch()
        self._news = threading.Condition()
        self._woken = self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, change: Callable[[Batch], None]) -> None:
        """Let `change` add to the box. It must be quick."""
        with self._news:
            change(self._batch)
            self._bound()
            self._woken = True
            self._news.notify()

    def wake(self) -> None:
        """Something the desk waits for has happened."""
        self.put(lambda _: None)

    def stop(self, timeout: float) -> bool:
        """Let it finish, for at most `timeout` seconds. Whether it did."""
        with self._news:
            self._stopping = self._woken = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _bound(self) -> None:
        batch = self._batch
        over = len(batch.notes) - self._limit
        if over > 0:
            del batch.notes[:over]
            batch.dropped += over
        del batch.took[:-MAX_TOOK]

    def _run(self) -> None:
        due: int | None = None
        while True:
            batch, stopping = self._wait(due)
            now = self._clock()
            try:
                self._desk.take(batch, now)
                if stopping:
                    self._desk.finish(now)
                    return
                due = self._desk.work(now)
            except Exception:
                log.exception("%s: this should not have happened", self.name)
                if stopping:
                    return
                due = now + AFTER_TROUBLE

    def _wait(self, due: int | None) -> tuple[Batch, bool]:
        """What is in the box once there is something, or `due` has come."""
        with self._news:
            wait = None if due is None else max(0.0, (due - self._clock()) / 1000)
            if not self._woken:
                self._news.wait(wait)
            batch, self._batch = self._batch, Batch()
            self._woken = False
            return batch, self._stopping
