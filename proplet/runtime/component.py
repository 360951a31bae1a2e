"""Components of WASI preview 2: looked into, compiled, started and called. Runs in workers only.

What wasmtime's package does for core modules it does for these by other names; this is the one
place that knows them. A guest gets `wasi:cli`, `clocks`, `filesystem`, `io` and `random` from
wasmtime, or from `proxy_host` where it sends HTTP requests; sockets are linked with the former, but
a component that imports them was refused before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from wasmtime import Engine, Store, WasmtimeError, _ffi
from wasmtime.component import (
    Component,
    ComponentInstanceType,
    Func,
    FuncType,
    Instance,
    Linker,
)

from propeller.components import COMMAND, RUN, names
from proplet.runtime.component_values import case_of, read_texts, write
from proplet.runtime.engine import check_owner
from proplet.runtime.guest import ReturnedError
from proplet.runtime.shapes import Cases, Plain, Shape, Shaping, Unservable, text_of

MOST_EXPORTS = 1000


@dataclass(frozen=True, slots=True)
class Signature:
    """Where a function is among the exports, and what it takes and gives."""

    path: tuple[str, ...]
    params: tuple[tuple[str, Shape], ...]
    result: Shape | None


def exported(component: Component, engine: Engine) -> Iterator[tuple[tuple[str, ...], FuncType]]:
    """Its functions, those of its instances included."""
    for name, item in component.type.exports(engine).items():
        kind = item.ty
        if isinstance(kind, FuncType):
            yield (name,), kind
        elif isinstance(kind, ComponentInstanceType):
            for inner, one in kind.exports(engine).items():
                if isinstance(one.ty, FuncType):
                    yield (name, inner), one.ty


def find(component: Component, engine: Engine, entrypoint: str) -> FuncPath | None:
    """The function an entry point names: `_start`, `function` or `interface#function`."""
    if entrypoint == COMMAND:
        interface, hash_, function = f"{RUN}#run".rpartition("#")
    else:
        interface, hash_, function = entrypoint.rpartition("#")
    for path, kind in exported(component, engine):
        if hash_ and len(path) == 2 and path[1] == function and names(path[0], interface):
            return path, kind
        if not hash_ and path == (function,):
            return path, kind
    return None


FuncPath = tuple[tuple[str, ...], FuncType]


def signature(found: FuncPath) -> Signature:
    """What can be called with text. Raises Unservable."""
    path, kind = found
    if _is_async(kind):
        raise Unservable("it is async, which wasmtime's Python package cannot call")
    shaping = Shaping()
    params = tuple((name, shaping.shape(one, given=True)) for name, one in kind.params)
    result = kind.result
    return Signature(path, params, None if result is None else shaping.shape(result, given=False))


def _is_async(kind: FuncType) -> bool:
    """The package's own classes do not tell; where it has no such types they do not compile."""
    ask = getattr(_ffi, "wasmtime_component_func_type_async", None)
    return ask is not None and bool(ask(kind.ptr()))


def facts(component: Component, engine: Engine, entrypoint: str) -> dict[str, object]:
    """Part of `fit.Facts`: the entry point's types as text, and names of what there is.

    Raises Unservable.
    """
    found = find(component, engine, entrypoint)
    told: dict[str, object] = {
        "functions": sorted("#".join(path)[:80] for path, _ in exported(component, engine))[:8],
        "params": None,
        "results": [],
    }
    if found is not None:
        made = signature(found)
        told["params"] = [text_of(one) for _, one in made.params]
        told["results"] = [] if made.result is None else [text_of(made.result)]
    return told


class Loaded:
    """A component that was compiled, and the linker to start it with."""

    def __init__(
        self, engine: Engine, native: Path, entrypoint: str, linker: Linker | None = None
    ) -> None:
        """linker: of a host of ours, None: wasmtime's own. Raises WasmtimeError, OSError,
        Unservable."""
        check_owner(native)
        self._component = Component.deserialize_file(engine, str(native))
        self.engine = engine
        self._linker = Linker(engine) if linker is None else linker
        if linker is None:
            self._linker.add_wasip2()
        found = find(self._component, engine, entrypoint)
        if found is None:
            raise WasmtimeError(f"exports no function {entrypoint!r}")
        self.signature = signature(found)

    def start(self, store: Store) -> Func:
        """A fresh instance; its function. Raises WasmtimeError."""
        instance = self._linker.instantiate(store, self._component)
        return lookup(instance, store, self.signature.path)


def lookup(instance: Instance, store: Store, path: Sequence[str]) -> Func:
    index = None
    for name in path:
        index = instance.get_export_index(store, name, index)
        if index is None:
            raise WasmtimeError(f"exports no {name!r}")
    function = None if index is None else instance.get_func(store, index)
    if function is None:
        raise WasmtimeError(f"{path[-1]!r} is no function")
    return function


def ready(
    engine: Engine, native: Path, job: Mapping[str, object], linker: Linker | None = None
) -> Callable[[Store], Callable[[], str | None]]:
    """What starts a run: an instance first, then its call, whose text is the result. linker: of
    `Loaded`.

    Raises WasmtimeError, OSError, Misfit, Unservable.
    """
    entrypoint, args = str(job["entrypoint"]), cast("list[str]", job["args"])
    loaded = Loaded(engine, native, entrypoint, linker)
    made = loaded.signature
    values = [] if entrypoint == COMMAND else read_texts(made.params, args)

    def start(store: Store) -> Callable[[], str | None]:
        function = loaded.start(store)

        def call() -> str | None:
            returned = function(store, *values)
            if entrypoint == COMMAND:
                command_ended(made, returned)
                return None
            return None if made.result is None else _result(made.result, returned)

        return call

    return start


def command_ended(made: Signature, returned: object) -> None:
    """Raises ReturnedError where `run` gave back err."""
    if isinstance(made.result, Cases) and case_of(made.result, returned)[0] == "err":
        raise ReturnedError("exit 1", 1)


def _result(shape: Shape, returned: object) -> str:
    """A result of type string as it stands, anything else as JSON; of a `result` what it holds."""
    if isinstance(shape, Cases) and shape.kind == "result":
        name, payload = case_of(shape, returned)
        inner = dict(shape.cases)[name]
        text = "" if inner is None else _result(inner, payload)
        if name == "err":
            raise ReturnedError(f"returned err{': ' if text else ''}{text[:200]}")
        return text
    return str(returned) if shape == Plain("string") else write(shape, returned)
