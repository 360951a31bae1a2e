"""`spec.strategy.module` of a FederatedTask: the module file that is the strategy.

What can be said of it before it ever runs is said with the spec: that it is there, that it imports
no more than it may and that it exports what a round calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from propeller.fl.aggregators import EXPORTS, IMPORTS, MEMORY, NAME, SPACE
from propeller.model.ids import Digest
from propeller.model.module import Export, Module
from propeller.sources.modules import NoModule, inside
from propeller.sources.nodes import Path


def module_problems(given: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Of `spec.strategy` alone: whether a module is given just where one is needed."""
    here: Path = ("strategy", "module")
    if given["name"] == NAME and "module" not in given:
        yield here, f"required with {NAME}: the file of a module that folds updates"
    elif given["name"] != NAME and "module" in given:
        yield here, f"must not stand beside {given['name']}; the strategy {NAME} takes one"
    elif given.get("module", {}).get("file", "").startswith("/"):
        yield (*here, "file"), "must be relative to the spec file"


def aggregator_of(
    given: Mapping[str, Any], path: str, read: Callable[[str], Module | NoModule]
) -> tuple[Digest, list[tuple[str, str]]]:
    """The digest of the Wasm bytes, which are kept; and what is wrong, as (field, words).

    given: `spec.strategy.module` of the spec file at `path`. Its digest may be that of the file or
    of the Wasm bytes, which differ where the file is text.
    """
    where = inside(path.rpartition("/")[0], given["file"])
    if where is None:
        return Digest(""), [("file", "must be inside the spec tree")]
    found = read(where)
    if isinstance(found, NoModule):
        return Digest(""), [("file", found.message)]
    if given.get("digest") not in (None, found.identity, found.digest):
        return Digest(""), [("digest", f"does not match: {where} is {found.identity}")]
    return found.digest, [("file", f"{where} {wrong}") for wrong in _unfit(found)]


def _unfit(module: Module) -> Iterator[str]:
    if module.component:
        yield "is a component; an aggregator is a core module"
        return
    for one in module.imports:
        if one.module != SPACE or one.name not in IMPORTS:
            yield (
                f"imports {one.module[:60]}.{one.name[:60]}; an aggregator may import "
                + " and ".join(f"{SPACE}.{name}" for name in IMPORTS)
            )
    if module.memory_min > MEMORY:
        yield f"needs {module.memory_min} bytes of memory, at most {MEMORY} are given"
    known = {one.name: one for one in module.exports}
    for name, (params, results) in EXPORTS.items():
        wanted = Export(name, params, results)
        if known.get(name) != wanted:
            yield f"must export {_typed(wanted)}" + (
                f", not {_typed(known[name])}" if name in known else ""
            )


def _typed(export: Export) -> str:
    told = f"{export.name}({', '.join(export.params)})"
    return f"{told} -> {', '.join(export.results)}" if export.results else told
