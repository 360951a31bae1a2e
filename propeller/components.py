"""Which components can be served at all, told from the names of what they import and export. Pure.

`sources` asks when a spec is read and its bytes are known, `proplet` before anything is compiled.
What only the types tell (resources, streams) is for the proplet alone: it has the engine at hand.
Every refusal begins with one of four words, for whoever reads it by program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from propeller.capabilities import COMPONENT_WASI, unversioned

IMPORT: Final = "ComponentImport"
EXPORT: Final = "ComponentExport"
TYPE: Final = "ComponentType"
HTTP: Final = "ComponentHttp"

RUN: Final = "wasi:cli/run"
HANDLER: Final = "wasi:http/incoming-handler"
COMMAND: Final = "_start"

_WHY: Final = {
    "wasi:http/outgoing-handler": f"{HTTP}: it imports wasi:http/outgoing-handler, and no guest"
    " calls out from here: wasmtime's Python package has no hook for an allow-list",
    "wasi:http/types": f"{HTTP}: it imports wasi:http/types, which only an HTTP client or handler"
    " needs; neither is served here",
}


def import_problem(imports: Iterable[str]) -> str:
    """Why a component that imports these names cannot be served, "" when it can."""
    for name in imports:
        plain = unversioned(name)
        if plain in COMPONENT_WASI:
            continue
        if plain in _WHY:
            return _WHY[plain]
        if plain.startswith("wasi:sockets/"):
            return f"{IMPORT}: it imports {name[:80]}, and no guest gets a socket"
        return f"{IMPORT}: it imports {name[:80]}, which nobody provides to a component"
    return ""


def export_problem(exports: Sequence[str], entrypoint: str) -> str:
    """Why `entrypoint` cannot be called, as far as names tell, "" when it may be.

    exports: functions and instances, as written. entrypoint: `_start` for a command, else
    `function` or `interface#function`.
    """
    if entrypoint == COMMAND:
        if any(unversioned(name) == RUN for name in exports):
            return ""
        if any(unversioned(name) == HANDLER for name in exports):
            return (
                f"{HTTP}: it exports {HANDLER}: requests reach a command ({RUN}) or a typed"
                " export, not a handler"
            )
        return f"{EXPORT}: it is no command: it exports no {RUN}; {_there(exports)}"
    interface, hash_, _ = entrypoint.rpartition("#")
    wanted = interface if hash_ else entrypoint
    if any(names(name, wanted) for name in exports):
        return ""
    return f"{EXPORT}: it exports no {wanted[:80]!r}; {_there(exports)}"


def names(export: str, wanted: str) -> bool:
    """Whether an export goes by this name: the same, or the same but for a version left out."""
    return export == wanted or ("@" not in wanted and export.partition("@")[0] == wanted)


def _there(exports: Sequence[str]) -> str:
    return f"it exports {', '.join(name[:60] for name in exports[:4]) or 'nothing'}"
