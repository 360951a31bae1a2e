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

TYPES: Final = "wasi:http/types"
CLIENT: Final = "wasi:http/outgoing-handler"


def is_handler(exports: Sequence[str], entrypoint: str) -> bool:
    """Whether its requests go to `wasi:http/incoming-handler`: there is no command to be called."""
    plain = {unversioned(name) for name in exports}
    return entrypoint == COMMAND and HANDLER in plain and RUN not in plain


def calls_out(imports: Iterable[str]) -> bool:
    """Whether it sends HTTP requests: for that its spec needs `run.http`."""
    return any(unversioned(name) == CLIENT for name in imports)


def import_problem(imports: Sequence[str], *, handler: bool) -> str:
    """Why a component that imports these names cannot be served, "" when it can."""
    lone = not handler and not calls_out(imports)
    for name in imports:
        plain = unversioned(name)
        if plain == TYPES and lone:
            return f"{HTTP}: it imports {TYPES}, and neither handles requests nor sends any"
        if plain.startswith("wasi:sockets/"):
            return f"{IMPORT}: it imports {name[:80]}, and no guest gets a socket"
        if plain not in COMPONENT_WASI:
            return f"{IMPORT}: it imports {name[:80]}, which nobody provides to a component"
    return ""


def export_problem(exports: Sequence[str], entrypoint: str, *, called: bool) -> str:
    """Why `entrypoint` cannot be called, as far as names tell, "" when it may be.

    exports: functions and instances, as written. entrypoint: `_start` for a command or a handler,
    else `function` or `interface#function`. called: by a Function with interface Command.
    """
    if entrypoint == COMMAND:
        if is_handler(exports, entrypoint):
            return "" if called else uncalled()
        if any(unversioned(name) == RUN for name in exports):
            return ""
        return f"{EXPORT}: it is no command: it exports no {RUN}; {_there(exports)}"
    interface, hash_, _ = entrypoint.rpartition("#")
    wanted = interface if hash_ else entrypoint
    if any(names(name, wanted) for name in exports):
        return ""
    return f"{EXPORT}: it exports no {wanted[:80]!r}; {_there(exports)}"


def fileless(imports: Sequence[str], *, handler: bool) -> str:
    """What to say of files for a component that gets none, "" where it may have some."""
    if handler or calls_out(imports):
        what = "handles" if handler else "sends"
        return f"{HTTP}: it {what} requests, and such a component gets no files"
    return ""


def uncalled() -> str:
    """What to say of a handler that is to run without being called."""
    return f"{HTTP}: it handles requests ({HANDLER}): a Function with interface Command calls it"


def names(export: str, wanted: str) -> bool:
    """Whether an export goes by this name: the same, or the same but for a version left out."""
    return export == wanted or ("@" not in wanted and export.partition("@")[0] == wanted)


def _there(exports: Sequence[str]) -> str:
    return f"it exports {', '.join(name[:60] for name in exports[:4]) or 'nothing'}"
