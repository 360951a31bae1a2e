"""A worker that answers calls with a component: by `wasi:cli/run` as in CGI, or a typed export."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from wasmtime import Store, WasiConfig
from wasmtime.component import Func

from propeller.wire.call_messages import MAX_BODY
from proplet.runtime.component import Loaded, command_ended
from proplet.runtime.component_values import Misfit, read_body, read_texts, write
from proplet.runtime.exchange import JSON, Asked, Said, Wrong
from proplet.runtime.serving import NotAsked, Serving


class ComponentServing(Serving):
    """See the module. A fresh instance a call, or one that is kept, as for core modules."""

    _kept: Func | None = None

    def _load(self, native: Path) -> None:
        self._loaded = Loaded(self._engine, native, str(self._job["entrypoint"]))

    def _invoke(self, asked: Asked) -> Said:
        if self._interface == "Command":
            return self._command(asked)
        made = self._loaded.signature
        try:
            if asked.body:
                values = read_body(made.params, asked.body)
            else:
                rows = parse_qsl(asked.query, keep_blank_values=True)
                values = read_texts(made.params, [value for _, value in rows])
        except Misfit as error:
            raise NotAsked(str(error)) from None
        self._imports.begin(asked)
        store, function = self._typed()
        returned = function(store, *values)
        text = "null" if made.result is None else write(made.result, returned)
        body = text.encode()
        if len(body) > MAX_BODY:
            raise Wrong(f"its answer is {len(body)} bytes, at most {MAX_BODY}")
        return Said(body, 200, JSON)

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
