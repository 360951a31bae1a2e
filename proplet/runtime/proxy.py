"""A worker that answers calls with a component's `wasi:http/incoming-handler`.

It is linked with `proxy_io` and `proxy_http` alone, so every handle it may have is one of ours.
"""

from __future__ import annotations

from pathlib import Path

from wasmtime import Engine, WasmtimeError
from wasmtime.component import Component, ComponentInstanceType, FuncType

from propeller.capabilities import unversioned
from propeller.components import HANDLER, HTTP
from proplet.runtime.component import exported, lookup
from proplet.runtime.engine import check_owner
from proplet.runtime.exchange import Asked, Said
from proplet.runtime.proxy_http import Exchange, offered
from proplet.runtime.proxy_io import Interface, Io, Things, link
from proplet.runtime.serving import Serving

HANDLE = "handle"


class Host:
    """What a handler is linked with. env, say: of `Io`."""

    def __init__(self, env: list[tuple[str, str]], say: object = None) -> None:
        self.things = Things()
        self.io = Io(self.things, env, say if callable(say) else _mute)
        self.exchange = Exchange(self.things, self.io)

    def interfaces(self) -> dict[str, Interface]:
        """By name."""
        return {**self.io.interfaces(), "wasi:http/types": self.exchange.interface()}


def _mute(_: bytes) -> None:
    """Where nobody listens."""


def facts(component: Component, engine: Engine) -> dict[str, object]:
    """Part of `fit.Facts`: a handler takes no arguments. In words what it asks for in vain."""
    there = offered(Host([]).interfaces())
    for name, item in component.type.imports(engine).items():
        kind = item.ty
        if not isinstance(kind, ComponentInstanceType):
            continue
        for inner, one in kind.exports(engine).items():
            if isinstance(one.ty, FuncType) and inner not in there.get(
                unversioned(name), frozenset()
            ):
                words = f"{HTTP}: it imports {inner[:80]} of {name[:80]}, which no handler gets"
                return {"trouble": words}
    return {"params": [], "results": []}


class HandlerServing(Serving):
    """See the module. A fresh instance a call, as for any Command."""

    def _load(self, native: Path) -> None:
        check_owner(native)
        self._component = Component.deserialize_file(self._engine, str(native))
        self._host = Host(self._env, self._stderr.add)
        self._proxy = link(self._engine, self._host.things, self._host.interfaces())
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
            function(store, *self._host.exchange.begin(asked))
            return self._host.exchange.end()
        finally:
            self._forget()
