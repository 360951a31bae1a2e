"""Looking into a module and compiling it. Runs in a worker that ends afterwards.

Compilation cannot be interrupted and can take a lot: the agent bounds this process by processor
time, wall clock and memory, and lives on when it is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from wasmtime import WasmtimeError

from propeller.capabilities import GUEST, PUBLISH, RECEIVE, WASI, left_without
from propeller.errors import WireError
from propeller.registry.wasm import inspect
from proplet.runtime.engine import compile_into, compile_to, is_whole
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
    deny = cast("list[str]", job["deny"])
    denied, guest = left_without(deny), PROPELLER_NAMES - left_without(deny, GUEST)
    try:
        facts = inspect(wasm)
    except WireError as error:
        return {"trouble": f"not a WebAssembly module: {error.what}"}
    if facts.component:
        return {"trouble": "is a component; this proplet runs core modules and WASI preview 1"}
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
        "params": None if entry is None else list(entry.params),
        "results": [] if entry is None else list(entry.results),
        "functions": [export.name for export in facts.exports[:NAMES]],
        "memory_min": facts.memory_min,
    }
    native = Path(str(job["native"]))
    in_memory = job.get("inMemory") is True
    if others is not None:
        return told  # another engine compiles it
    if not missing and entry is not None and (in_memory or not is_whole(native)):
        put = compile_into if in_memory else compile_to
        try:
            put(native, wasm, fuel=bool(job["fuel"]), exact=bool(job["exact"]))
        except WasmtimeError as error:
            first = str(error).splitlines()[0] if str(error) else "unknown"
            return {"trouble": f"does not compile: {first[:160]}"}
    return told
