"""Looking into a module and compiling it. Runs in a worker that ends afterwards.

Compilation cannot be interrupted and can take a lot: the agent bounds this process by processor
time, wall clock and memory, and lives on when it is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from wasmtime import Engine, Module, WasmtimeError

from propeller.capabilities import (
    GUEST,
    POINT_READ,
    POINT_WRITE,
    PUBLISH,
    RECEIVE,
    WASI,
    interfaces_without,
    left_without,
    unversioned,
)
from propeller.components import calls_out, export_problem, import_problem, is_handler
from propeller.errors import WireError
from propeller.registry.wasm import WasmFacts, inspect
from proplet.runtime.engine import engine, is_whole, keep, keep_in_memory
from proplet.runtime.fit import (
    CALL_NAMES,
    FL,
    FL_NAMES,
    PROPELLER,
    PROPELLER_NAMES,
    WASI_NAMES,
)

NAMES = 8


def prepare(job: Mapping[str, object]) -> dict[str, object]:
    """The facts of `fit.Facts`; native code is in place when there is no trouble in them."""
    wasm = Path(str(job["wasm"])).read_bytes()
    try:
        facts = inspect(wasm)
    except WireError as error:
        return {"trouble": f"not a WebAssembly module: {error.what}"}
    if facts.component and job.get("external") is not None:
        return {"trouble": "is a component; external engines are given core modules"}
    try:
        return _component(job, wasm, facts) if facts.component else _core(job, wasm, facts)
    except WasmtimeError as error:
        first = str(error).splitlines()[0] if str(error) else "unknown"
        return {"trouble": f"does not compile: {first[:160]}"}


def _core(job: Mapping[str, object], wasm: bytes, facts: WasmFacts) -> dict[str, object]:
    deny = cast("list[str]", job["deny"])
    denied, guest = left_without(deny), PROPELLER_NAMES - left_without(deny, GUEST)
    others = cast("list[str] | None", job.get("external"))
    mine = {FL: FL_NAMES, PROPELLER: guest} if others is None else {}
    missing = [
        f"{wanted.module}.{wanted.name}"
        for wanted in facts.imports
        if not (wanted.module == WASI and wanted.name in WASI_NAMES - denied)
        and wanted.name not in mine.get(wanted.module, ())
        and wanted.module not in (others or ())
    ]
    asked = [wanted.name for wanted in facts.imports if wanted.module == PROPELLER]
    entry = next((e for e in facts.exports if e.name == job["entrypoint"]), None)
    told: dict[str, object] = {
        "missing": missing,
        "trains": any(wanted.module == FL for wanted in facts.imports),
        "called": next((name for name in asked if name in CALL_NAMES), ""),
        "publishes": PUBLISH in asked,
        "hears": bool(RECEIVE & set(asked)),
        "reads": POINT_READ in asked,
        "writes": POINT_WRITE in asked,
        "params": None if entry is None else list(entry.params),
        "results": [] if entry is None else list(entry.results),
        "functions": [export.name for export in facts.exports[:NAMES]],
        "memory_min": facts.memory_min,
    }
    if others is not None:
        return told  # another engine compiles it
    if not missing and entry is not None and not _is_there(job):
        _keep(job, Module(_engine(job), wasm).serialize())
    return told


def _component(job: Mapping[str, object], wasm: bytes, facts: WasmFacts) -> dict[str, object]:
    from wasmtime.component import Component

    from proplet.runtime import component, proxy_host
    from proplet.runtime.shapes import Unservable

    imports = [wanted.module for wanted in facts.imports]
    exports = [export.name for export in facts.exports]
    entrypoint = str(job["entrypoint"])
    handler = is_handler(exports, entrypoint)
    refused = import_problem(imports, handler=handler) or export_problem(
        exports, entrypoint, called=handler
    )
    if refused:
        return {"trouble": refused}
    left = interfaces_without(cast("list[str]", job["deny"]))
    missing = [name for name in imports if unversioned(name) not in left]
    told: dict[str, object] = {
        "component": True,
        "handler": handler,
        "calls_out": calls_out(imports),
        "missing": missing,
        "memory_min": facts.memory_min,
    }
    if missing:
        return told
    engine = _engine(job)
    native = Path(str(job["native"]))
    if _is_there(job):
        made = Component.deserialize_file(engine, str(native))
    else:
        made = Component(engine, wasm)
        _keep(job, made.serialize())
    try:
        if handler or told["calls_out"]:
            told |= proxy_host.facts(made, engine, calls_out=calls_out(imports))
        if handler:
            return {**told, "params": [], "results": []}
        return {**told, **component.facts(made, engine, entrypoint)}
    except Unservable as error:
        return {"trouble": str(error)}


def _engine(job: Mapping[str, object]) -> Engine:
    return engine(fuel=bool(job["fuel"]), exact=bool(job["exact"]))


def _is_there(job: Mapping[str, object]) -> bool:
    return job.get("inMemory") is not True and is_whole(Path(str(job["native"])))


def _keep(job: Mapping[str, object], data: bytes | bytearray) -> None:
    put = keep_in_memory if job.get("inMemory") is True else keep
    put(Path(str(job["native"])), bytes(data))
