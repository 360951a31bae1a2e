"""What happens in a worker: one job, then the process ends.

Called by `zygote` in the forked child with a connection to the agent. The guest runs on the main
thread; a second thread watches the connection and the clock and stops the guest: first by an epoch,
which ends guest code at once, and if that does not do (a guest asleep in a host call) by ending the
process. If the agent goes away, so does the worker.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from proplet.runtime import limits
from proplet.runtime.capture import STREAMS, Capture
from proplet.runtime.talk import Reader, Words, pack, receive

EPOCH_PATIENCE = 0.15
"""Seconds a guest has to come back once its epoch passed."""


class Watch:
    """Stops the guest when it must stop, and says once how it ended."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._told = False
        self._engine: object = None
        self.cause = ""

    def guard(self, engine: object, timeout: int | None) -> None:
        """Watch from now on. `timeout` in ms."""
        self._engine = engine
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        threading.Thread(target=self._run, args=(deadline,), daemon=True).start()

    def _run(self, deadline: float | None) -> None:
        reader = Reader()
        grace: float | None = None
        while True:
            ends = [time_ for time_ in (deadline, grace) if time_ is not None]
            wait = max(0.0, min(ends) - time.monotonic()) if ends else None
            ready, _, _ = select.select([self._connection], [], [], wait)
            if not ready:
                over = deadline is not None and time.monotonic() >= deadline
                self.interrupt("timeout" if over else "stop")
                return
            data = self._connection.recv(65536)
            if not data:
                os._exit(1)
            for message in reader.feed(data):
                if message.get("do") == "stop":
                    grace = time.monotonic() + cast(int, message["grace"]) / 1000

    def interrupt(self, cause: str) -> None:
        """End the guest, whatever it is doing. Called from any thread but the guest's."""
        with self._lock:
            if self.cause or self._told:
                return
            self.cause = cause
        from wasmtime import Engine

        assert isinstance(self._engine, Engine)
        self._engine.increment_epoch()
        time.sleep(EPOCH_PATIENCE)
        self.tell({"event": "ended", "cause": cause, "ok": False})
        os._exit(0)

    def tell(self, message: Words) -> None:
        """Say how it ended; only the first word counts."""
        with self._lock:
            if self._told:
                return
            self._told = True
        with contextlib.suppress(OSError):
            self._connection.sendall(pack(message))


def work(connection: socket.socket) -> None:
    """Warm up, wait for the job, do it, end the process. Never returns."""
    limits.confine()
    from wasmtime import Linker

    from proplet.runtime.engine import engine

    engines = {fuel: engine(fuel=fuel) for fuel in (False, True)}
    linkers = {fuel: Linker(made) for fuel, made in engines.items()}
    for linker in linkers.values():
        linker.define_wasi()
    gc.disable()
    job = receive(connection)
    if job is None:
        os._exit(0)
    began = time.perf_counter()
    match job["do"]:
        case "prepare":
            from proplet.runtime.prepare import prepare

            limits.bound_processor(cast(int, job["processor"]))
            connection.sendall(pack({"event": "prepared", **prepare(job)}))
        case "run":
            from proplet.runtime.guest import Warm, run

            fuel = job["fuel"] is not None
            warm = Warm(engines[fuel], linkers[fuel], Watch(connection), connection, began)
            run(job, warm)
        case _:
            pass
    os._exit(0)


class Streams:
    """Pipes from the guest and the threads that empty them into bounded files."""

    def __init__(self, job: Mapping[str, object], watch: Watch) -> None:
        directory, limit = Path(str(job["dir"])), cast(int, job["output"])
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ring = bool(job["ring"])
        self._watch = watch
        self._threads: list[threading.Thread] = []
        self.ends: dict[str, int] = {}
        for stream in STREAMS:
            source, self.ends[stream] = os.pipe()
            capture = Capture(directory, stream, limit=limit, ring=ring or stream == "stderr")
            thread = threading.Thread(target=self._empty, args=(source, capture), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _empty(self, source: int, capture: Capture) -> None:
        """Until the end; past the limit bytes are dropped, so that the guest can be ended."""
        while data := os.read(source, 65536):
            if not capture.write(data) and not self._watch.cause:
                threading.Thread(target=self._watch.interrupt, args=("output",)).start()
        capture.close()

    def close(self) -> None:
        """The guest is gone: wait until everything it wrote is on disk."""
        for end in self.ends.values():
            os.close(end)
        for thread in self._threads:
            thread.join(1.0)
