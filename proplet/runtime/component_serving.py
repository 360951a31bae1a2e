"""A worker that answers calls with a component: by `wasi:cli/run` as in CGI, or a typed export.

Arguments of an export come as JSON or as WAVE, and its result goes back as they came.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl

from wasmtime import Store, WasiConfig
from wasmtime.component import Func

from propeller.wire.call_messages import MAX_BODY
from proplet.runtime.callends import NotAsked
from proplet.runtime.component import Loaded, command_ended
from proplet.runtime.component_values import Misfit, read_body, read_texts, write
from proplet.runtime.exchange import JSON, Asked, Said, Wrong, answer_of, environment
from proplet.runtime.proxy_host import Host, terms_from
from proplet.runtime.proxy_io import Exited
from proplet.runtime.serving import Serving
from proplet.runtime.wave import MEDIA, read_wave, write_wave


class ComponentServing(Serving):
    """See the module. A fresh instance a call, or one that is kept, as for core modules."""

    _kept: Func | None = None

    def _load(self, native: Path) -> None:
        self._loaded = Loaded(self._engine, native, str(self._job["entrypoint"]))

    def _invoke(self, asked: Asked) -> Said:
        if self._interface == "Command":
            return self._command(asked)
        made = self._loaded.signature
        wave = dict(asked.headers).get("content-type", "").partition(";")[0].strip() == MEDIA
        try:
            if asked.body:
                values = (read_wave if wave else read_body)(made.params, asked.body)
            else:
                rows = parse_qsl(asked.query, keep_blank_values=True)
                values = read_texts(made.params, [value for _, value in rows])
        except Misfit as error:
            raise NotAsked(str(error)) from None
        self._imports.begin(asked)
        store, function = self._typed()
        returned = function(store, *values)
        if wave:
            text = "" if made.result is None else write_wave(made.result, returned)
        else:
            text = "null" if made.result is None else write(made.result, returned)
        body = text.encode()
        if len(body) > MAX_BODY:
            raise Wrong(f"its answer is {len(body)} bytes, at most {MAX_BODY}")
        return Said(body, 200, (("content-type", MEDIA),) if wave else JSON)

    def _start(self, wasi: WasiConfig) -> None:
        store = self._new_store(wasi)
        function = self._loaded.start(store)
        command_ended(self._loaded.signature, function(store))

    def _typed(self) -> tuple[Store, Func]:
        """The export, in the instance that is kept where one is, else in a fresh one."""
        if self._left > 0 and self._store is not None and self._kept is not None:
            self._again(self._store)
            return self._store, self._kept
        self._forget()
        store = self._new_store(WasiConfig())
        self._kept = self._loaded.start(store)
        self._left = self._invocations - 1
        return store, self._kept

    def _forget(self) -> None:
        self._kept = None
        super()._forget()


class CallerServing(ComponentServing):
    """The same for a component that sends HTTP requests: everything it has is of `proxy_host`."""

    def _load(self, native: Path) -> None:
        self._host = Host(self._env, self._stderr.add, self._heard, terms_from(self._job))
        linker = self._host.linker(self._engine)
        self._loaded = Loaded(self._engine, native, str(self._job["entrypoint"]), linker)

    def _heard(self, data: bytes) -> None:
        """What it writes to stdout is the answer of a command, and else goes into the log."""
        (self._stdout if self._interface == "Command" else self._stderr).add(data)

    def _command(self, asked: Asked) -> Said:
        io = self._host.io
        io.args = [str(self._job["name"]), *cast("list[str]", self._job["args"])]
        io.env = [*environment(asked, str(self._job["path"])), *self._env]
        io.stdin = asked.body
        self._imports.begin(asked)
        try:
            self._start(WasiConfig())
        except Exited as error:
            if error.failed:
                raise
        finally:
            self._forget()
        return answer_of(self._stdout.take())

    def _new_store(self, wasi: WasiConfig | None) -> Store:  # noqa: ARG002  there is none of it here
        self._host.things.clear()
        self._host.begin()
        return super()._new_store(None)

    def _again(self, store: Store) -> None:
        self._host.begin()
        super()._again(store)
