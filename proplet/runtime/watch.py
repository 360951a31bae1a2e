"""The thread of a worker that stops its guest. Runs in workers only.

It watches the connection to the agent and the clock, and ends the guest first by an epoch, which
stops guest code at once, and if that does not do (a guest asleep in a host call) by ending the
process. If the agent goes away, so does the worker.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from proplet.runtime.talk import Reader, Words, pack

EPOCH_PATIENCE = 0.15
"""Seconds a guest has to come back once its epoch passed."""

LOOK_EVERY, LOOKS = 0.001, 4
"""A guest whose thread slept through so many looks (seconds apart) is asleep in a host call."""


class Engine(Protocol):
    """What ends a guest: wasmtime's engine, or what stands for another one."""

    def increment_epoch(self) -> None: ...


class Watch:
    """Says once how the guest ended. `cause`: timeout, output or stop, once it was stopped.

    heard: given the messages of topics that the agent hands over. ending: called before the guest's
    own thread tells the end.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = Reader()
        self._early: list[Words] = []
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self.heard: Callable[[Words], None] = lambda _message: None
        self.ending: list[Callable[[], None]] = []
        self._told = False
        self._armed = threading.Event()
        self._engine: Engine | None = None
        self._deadline: float | None = None
        self._grace: float | None = None
        self._drain: Callable[[], None] = lambda: None
        self._abandon: Callable[[], None] = lambda: None
        self._guest = 0
        self._back = False
        self.cause = ""
        threading.Thread(target=self._run, daemon=True).start()

    def job(self) -> Words | None:
        """Wait for the first message; None when the agent went away."""
        while not self._early:
            data = self._connection.recv(65536)
            if not data:
                return None
            self._early = self._reader.feed(data)
        return self._early.pop(0)

    def early(self) -> tuple[Reader, list[Words]]:
        """What came right behind the job, for whoever reads the connection from now on."""
        return self._reader, self._early

    def guard(
        self,
        engine: Engine,
        timeout: int | None,
        drain: Callable[[], None],
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        """Watch a guest of `engine` from now on; it runs on the thread that calls this.

        timeout: in ms. drain: puts on disk what the guest has written so far. abandon: what there
        is to end besides this process when the agent goes away.
        """
        self._abandon = abandon
        self._engine, self._drain, self._guest = engine, drain, threading.get_native_id()
        self._deadline = None if timeout is None else time.monotonic() + timeout / 1000
        self._armed.set()

    def _run(self) -> None:
        self._armed.wait()
        self._hear(self._early)
        while True:
            ends = [end for end in (self._deadline, self._grace) if end is not None]
            wait = max(0.0, min(ends) - time.monotonic()) if ends else None
            ready, _, _ = select.select([self._connection], [], [], wait)
            if not ready:
                over = self._deadline is not None and time.monotonic() >= self._deadline
                self.interrupt("timeout" if over else "stop")
                return
            data = self._connection.recv(65536)
            if not data:
                self._abandon()
                os._exit(1)
            self._hear(self._reader.feed(data))

    def _hear(self, messages: list[Words]) -> None:
        for message in messages:
            if message.get("do") == "stop":
                self._grace = time.monotonic() + cast(int, message["grace"]) / 1000
            elif message.get("do") == "message":
                self.heard(message)

    def interrupt(self, cause: str) -> None:
        """End the guest, whatever it is doing. Called from any thread but the guest's."""
        with self._lock:
            if self.cause or self._told:
                return
            self.cause = cause
        assert self._engine is not None, "nothing is interrupted before guard"
        self._engine.increment_epoch()
        self._be_patient()
        self._drain()
        self.tell({"event": "ended", "cause": cause, "ok": False})
        os._exit(0)

    def came_back(self) -> None:
        """The guest's call is over, however it ended; its thread tells the rest."""
        self._back = True
        for last_words in self.ending:
            last_words()

    def _be_patient(self) -> None:
        """Wait for the guest to come back, but not for one that sleeps: no epoch wakes it."""
        end = time.monotonic() + EPOCH_PATIENCE
        slept, before = 0, ""
        while slept < LOOKS and time.monotonic() < end:
            time.sleep(LOOK_EVERY)
            now = "" if self._back else _asleep(self._guest)
            slept = slept + 1 if now and now == before else 0
            before = now

    def tell(self, message: Words) -> None:
        """Say how it ended; only the first word counts."""
        with self._lock:
            if self._told:
                return
            self._told = True
        self.send(message)

    def send(self, message: Words) -> None:
        """Hand a message to the agent, whole. Any thread."""
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(pack(message))


def _asleep(thread: int) -> str:
    """How often the thread has gone to sleep, if it sleeps now, else ""."""
    try:
        rows = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    except OSError:
        return ""
    told = dict(row.split(":", 1) for row in rows if ":" in row)
    sleeps = told.get("State", "").strip().startswith("S")
    return told.get("voluntary_ctxt_switches", "").strip() if sleeps else ""
