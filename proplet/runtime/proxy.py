"""A worker that answers calls with a component's `wasi:http/incoming-handler`.

It is linked with `proxy_host` alone.
"""

from __future__ import annotations

from pathlib import Path

from wasmtime import WasmtimeError
from wasmtime.component import Component

from propeller.capabilities import unversioned
from propeller.components import HANDLER
from proplet.runtime.component import exported, lookup
from proplet.runtime.engine import check_owner
from proplet.runtime.exchange import Asked, Said
from proplet.runtime.proxy_host import Host, terms_from
from proplet.runtime.serving import Serving

HANDLE = "handle"


class HandlerServing(Serving):
    """See the module. A fresh instance a call, as for any Command."""

    def _load(self, native: Path) -> None:
        check_owner(native)
        self._component = Component.deserialize_file(self._engine, str(native))
        self._host = Host(self._env, self._stderr.add, terms=terms_from(self._job))
        self._proxy = self._host.linker(self._engine)
        path = next(
            (
                path
                for path, _ in exported(self._component, self._engine)
                if unversioned(path[0]) == HANDLER and path[1:] == (HANDLE,)
            ),
            None,
        )
        if path is None:
            raise WasmtimeError(f"exports no {HANDLER}")
        self._path = path

    def _invoke(self, asked: Asked) -> Said:
        self._imports.begin(asked)
        try:
            store = self._new_store(None)
            instance = self._proxy.instantiate(store, self._component)
            function = lookup(instance, store, self._path)
            self._host.begin()
            function(store, *self._host.exchange.begin(asked))
            return self._host.exchange.end()
        finally:
            self._forget()
