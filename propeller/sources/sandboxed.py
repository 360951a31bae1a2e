"""Modules that compute for us: what can be said of one before it ever runs.

Whatever it may import is in one place of names, and what it has to export is known. Used for the
modules of `Plugin` and for those that are the strategy of a FederatedTask; how they run is
`sources.sandbox`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from propeller.model.module import Export, Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What a module has to be. what: "a plugin". imports: of `space`, all it may import. memory:
    bytes it gets, and words for who gives them."""

    what: str
    space: str
    imports: tuple[str, ...]
    memory: int
    gives: str


def unfit(module: Module, fitting: Fitting, exports: Iterable[Export]) -> Iterator[str]:
    """What is wrong with it, in words that follow its name. exports: those that it must have."""
    if module.component:
        yield f"is a component; {fitting.what} is a core module"
        return
    for one in module.imports:
        if one.module != fitting.space or one.name not in fitting.imports:
            allowed = ", ".join(f"{fitting.space}.{name}" for name in fitting.imports)
            yield (
                f"imports {one.module[:60]}.{one.name[:60]}; {fitting.what} may import {allowed}"
            )
    if module.memory_min > fitting.memory:
        yield f"needs {module.memory_min} bytes of memory, {fitting.gives}"
    known = {one.name: one for one in module.exports}
    for wanted in exports:
        found = known.get(wanted.name)
        if found != wanted:
            yield f"must export {_typed(wanted)}" + (f", not {_typed(found)}" if found else "")


def _typed(export: Export) -> str:
    told = f"{export.name}({', '.join(export.params)})"
    return f"{told} -> {', '.join(export.results)}" if export.results else told
