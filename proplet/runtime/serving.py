"""A worker that stays and answers calls, one at a time, each in a fresh instance.

Runs in workers only, on the main thread. Besides it there is a clock thread that looks every few
milliseconds while a call is under way: it stops a guest that has had its time or was cancelled,
first by an epoch, and if that does not do (a guest asleep in a host call) by ending the process.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from wasmtime import (
    Engine,
    ExitTrap,
    Func,
    Instance,
    Linker,
    Module,
    Store,
    WasiConfig,
    WasmtimeError,
)

from propeller.capabilities import WASI
from propeller.wire.call_messages import MAX_BODY, MAX_HEADERS
from proplet.runtime import exchange, limits
from proplet.runtime.callends import ENDS, STOPPED, NotAsked, told_of
from proplet.runtime.engine import check_owner
from proplet.runtime.exchange import Asked, Said, Wrong
from proplet.runtime.fit import PROPELLER
from proplet.runtime.guest import first_line
from proplet.runtime.imports import Imports
from proplet.runtime.logstream import LogStream
from proplet.runtime.pipes import Pipe
from proplet.runtime.points import PointImports, point_rows
from proplet.runtime.talk import Reader, Words, pack
from proplet.runtime.topics import Topics, rows_of

TICK = 0.004
"""Seconds between two looks of the clock thread while calls come."""
QUIET = 1.0
"""Seconds without a call after which it sleeps."""
PATIENCE = 0.15
"""Seconds a guest has to come back once its epoch passed."""
MOST_LOG = 16 * 1024
"""Bytes of stderr kept of one call, the newest."""


class Serving:
    """One worker of a pool. job: what the entry says; connection: to the agent."""

    def __init__(
        self,
        job: Mapping[str, object],
        engine: Engine,
        linker: Linker,
        connection: socket.socket,
        early: tuple[Reader, list[Words]],
    ) -> None:
        self._job = job
        self._engine = engine
        self._linker = linker
        self._connection = connection
        self._reader, self._early = early
        self._interface = str(job["interface"])
        self._invocations = cast(int, job["invocations"])
        self._env = [(name, value) for name, value in cast("list[list[str]]", job["env"])]
        self._mounts = cast("list[tuple[str, str, bool]]", job["mounts"])
        self._memory = cast("int | None", job["memory"])
        self._fuel = cast("int | None", job["fuel"])
        self._stdout = Pipe(MAX_BODY + MAX_HEADERS, newest=False)
        self._stderr = Pipe(MOST_LOG, newest=True)
        self._imports = Imports(dict(self._env), self._stderr.add)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._call = ""
        self._stream = LogStream(self._stderr, self._send)
        self._deadline = 0.0
        self._cause = ""
        self._last = 0.0
        self._woken = threading.Event()
        self._store: Store | None = None
        self._instance: Instance | None = None
        self._left = 0

    def run(self) -> None:
        """Load the module, then answer until the agent goes away."""
        limits.bound_memory(self._memory)
        began = time.perf_counter()
        try:
            self._load(Path(str(self._job["native"])))
        except (WasmtimeError, OSError, ValueError) as error:
            self._send({"event": "served", "trouble": first_line(str(error))})
            return
        threading.Thread(target=self._watch, name="clock", daemon=True).start()
        took = int((time.perf_counter() - began) * 1e6)
        self._send({"event": "served", "us": took, "pid": os.getpid()})
        while True:
            message = self._next()
            if message is None:
                return
            if message.get("do") == "call":
                self._answer(message)

    def _load(self, native: Path) -> None:
        """Raises WasmtimeError, OSError, ValueError."""
        check_owner(native)
        module = Module.deserialize_file(self._engine, str(native))
        wanted = {one.module for one in module.imports}
        self._wasi = WASI in wanted or self._interface == "Command"
        if PROPELLER in wanted:
            self._imports.link(self._linker)
            Topics(self._send, rows_of(self._job)).link(self._linker)
            PointImports(self._send, point_rows(self._job)).link(self._linker)
        self._pre = self._linker.instantiate_pre(module)
        self._export = str(self._job["entrypoint"])
        kind = next(one.type for one in module.exports if one.name == self._export)
        self._params = [str(one) for one in kind.params]  # type: ignore[union-attr]
        self._results = [str(one) for one in kind.results]  # type: ignore[union-attr]

    # -- the agent -------------------------------------------------------------------------------

    def _next(self) -> Words | None:
        while not self._early:
            data = self._connection.recv(65536)
            if not data:
                return None
            self._early = self._reader.feed(data)
        return self._early.pop(0)

    def _send(self, message: Words) -> None:
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(pack(message))

    # -- one call --------------------------------------------------------------------------------

    def _answer(self, message: Words) -> None:
        began = time.perf_counter()
        call = str(message["id"])
        told: dict[str, object]
        stopped = ""
        try:
            body = base64.b64decode(str(message["body"]), validate=True)
            asked = exchange.asked_of(message, body)
            with self._lock:
                self._stream.begin(cast(int, message.get("follow", 0)))
            self._begin(call, cast(int, message["timeout"]))
            try:
                said = self._invoke(asked)
            finally:
                stopped = self._end()
            if self._stdout.over and self._interface == "Command":
                raise Wrong(f"its answer is more than {MAX_BODY} bytes")
            told = {
                "state": "done",
                "status": said.status,
                "headers": said.headers,
                "body": base64.b64encode(said.body).decode("ascii"),
            }
        except ENDS as error:
            told = told_of(error, stopped)
        used = self._used_fuel()
        if told["state"] != "done":
            self._forget()
        took = int((time.perf_counter() - began) * 1e6)
        with self._lock:
            self._stream.end(call)
        log = self._stderr.take()
        self._stdout.take()
        self._stdout.over = 0
        answer = {"event": "answered", "id": call, "took": took, **told}
        more = {
            "fuel": used,
            "log": log.decode("utf-8", "replace"),
            "metrics": self._imports.metrics,
        }
        self._send({**answer, **{name: value for name, value in more.items() if value}})

    def _used_fuel(self) -> int:
        """Of the call that has ended, 0 where nobody counts."""
        if self._fuel is None or self._store is None:
            return 0
        return max(0, self._fuel - self._store.get_fuel())

    def _invoke(self, asked: Asked) -> Said:
        if self._interface == "Command":
            return self._command(asked)
        if self._interface == "Values":
            try:
                values = exchange.read_values(asked, self._params)
            except Wrong as error:
                raise NotAsked(str(error)) from None
            store, function = self._function()
            returned = function(store, *values)
            return exchange.write_values(self._results, _listed(self._results, returned))
        self._imports.begin(asked)
        store, function = self._function()
        code = function(store)
        if self._results and code:
            raise Wrong(f"{self._export} returned {code}")
        imports = self._imports
        return Said(bytes(imports.output), imports.status, (("content-type", imports.kind),))

    def _command(self, asked: Asked) -> Said:
        wasi = WasiConfig()
        wasi.argv = [str(self._job["name"]), *cast("list[str]", self._job["args"])]
        path = str(self._job["path"])
        wasi.env = [*exchange.environment(asked, path), *self._env]
        stdin = -1
        if asked.body:
            stdin = os.memfd_create("stdin")
            os.write(stdin, asked.body)
            wasi.stdin_file = f"/proc/self/fd/{stdin}"
        self._imports.begin(asked)
        try:
            try:
                self._start(wasi)
            except ExitTrap as exit_:
                if exit_.code:
                    raise
            finally:
                self._forget()
        finally:
            if stdin >= 0:
                os.close(stdin)
        return exchange.answer_of(self._stdout.take())

    def _start(self, wasi: WasiConfig) -> None:
        store, function = self._fresh(wasi)
        function(store)

    def _function(self) -> tuple[Store, Func]:
        """The export, in the instance that is kept where one is, else in a fresh one."""
        if self._left > 0 and self._store is not None and self._instance is not None:
            self._again(self._store)
            function = self._instance.exports(self._store)[self._export]
            assert isinstance(function, Func)
            return self._store, function
        self._forget()
        store, function = self._fresh(WasiConfig() if self._wasi else None)
        assert self._instance is not None
        prepare = self._instance.exports(store).get("_initialize")
        if isinstance(prepare, Func):
            prepare(store)
        self._left = self._invocations - 1
        return store, function

    def _again(self, store: Store) -> None:
        """One more call of the instance that is kept."""
        self._left -= 1
        store.set_epoch_deadline(1)
        if self._fuel is not None:
            store.set_fuel(self._fuel)

    def _fresh(self, wasi: WasiConfig | None) -> tuple[Store, Func]:
        store = self._new_store(wasi)
        self._instance = self._pre.instantiate(store)
        function = self._instance.exports(store)[self._export]
        assert isinstance(function, Func)
        return store, function

    def _new_store(self, wasi: WasiConfig | None) -> Store:
        store = self._store = Store(self._engine)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=-1 if self._memory is None else self._memory,
            memories=limits.MEMORIES,
            tables=limits.TABLES,
            table_elements=limits.TABLE_ELEMENTS,
        )
        if self._fuel is not None:
            store.set_fuel(self._fuel)
        if wasi is not None:
            if self._interface != "Command":
                wasi.env = self._env
                wasi.stdout_file = self._stderr.path
            else:
                wasi.stdout_file = self._stdout.path
            wasi.stderr_file = self._stderr.path
            for host, guest, writable in self._mounts:
                wasi.preopen_dir(host, guest, writable)
            store.set_wasi(wasi)
        return store

    def _forget(self) -> None:
        """Throw the instance away."""
        self._left = 0
        self._instance = None
        if self._store is not None:
            self._store.close()
            self._store = None

    # -- the clock thread ------------------------------------------------------------------------

    def _begin(self, call: str, timeout: int) -> None:
        now = time.monotonic()
        with self._lock:
            self._call, self._cause = call, ""
            self._deadline, self._last = now + timeout / 1000, now
        if not self._woken.is_set():
            self._woken.set()

    def _end(self) -> str:
        """The call is over; why it was stopped, if it was."""
        with self._lock:
            self._call = ""
            return self._cause

    def _watch(self) -> None:
        while True:
            self._woken.wait()
            while self._busy() or time.monotonic() - self._last < QUIET:
                time.sleep(TICK)
                if self._busy():
                    self._look()
            self._woken.clear()
            with self._lock:
                if self._busy():  # it began while we fell asleep
                    self._woken.set()

    def _busy(self) -> bool:
        return self._call != ""

    def _look(self) -> None:
        self._stdout.empty()
        self._stderr.empty()
        cause = ""
        call = self._call
        with self._lock:
            if not call or self._over(call):
                return
            self._stream.look(call)
            if time.monotonic() >= self._deadline:
                cause = "timeout"
            elif self._stdout.over:
                cause = "output"
            elif self._cancelled(call):
                cause = "cancelled"
            if not cause:
                return
            self._cause = cause
            self._engine.increment_epoch()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._over(call):
                return
            time.sleep(0.001)
        with self._lock:
            if self._over(call):
                return
            self._stream.end(call)
            log = self._stderr.take()
            told = {"state": "failed", "cause": cause, "error": STOPPED[cause]}
            answer = {"event": "answered", "id": call, "took": 0, "last": True, **told}
            self._send({**answer, "log": log.decode("utf-8", "replace")} if log else answer)
            os._exit(0)  # no epoch wakes a guest that sleeps in a host call

    def _over(self, call: str) -> bool:
        return self._call != call

    def _cancelled(self, call: str) -> bool:
        """Whether the agent says so. Called while the main thread is in the guest, never reads."""
        ready, _, _ = select.select([self._connection], [], [], 0)
        if not ready:
            return False
        data = self._connection.recv(65536)
        if not data:
            os._exit(1)
        messages = self._reader.feed(data)
        self._early += [one for one in messages if one.get("do") != "cancel"]
        return any(one.get("do") == "cancel" and one.get("id") == call for one in messages)


def _listed(types: list[str], returned: object) -> list[object]:
    if not types:
        return []
    return [returned] if len(types) == 1 else list(cast("list[object]", returned))


def serve(
    job: Mapping[str, object],
    engine: Engine,
    linker: Linker,
    connection: socket.socket,
    early: tuple[Reader, list[Words]],
) -> None:
    """Answer calls until the agent goes away."""
    if job.get("form") == "component":
        from proplet.runtime.component_serving import ComponentServing

        ComponentServing(job, engine, linker, connection, early).run()
        return
    if job.get("form") == "caller":
        from proplet.runtime.component_serving import CallerServing

        CallerServing(job, engine, linker, connection, early).run()
        return
    if job.get("form") == "handler":
        from proplet.runtime.proxy import HandlerServing

        HandlerServing(job, engine, linker, connection, early).run()
        return
    Serving(job, engine, linker, connection, early).run()
