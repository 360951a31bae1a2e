"""`spec.strategy.module` of a FederatedTask: the module file that is the strategy.

What can be said of it before it ever runs is said with the spec: that it is there, that it imports
no more than it may and that it exports what a round calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from propeller.fl.aggregators import EXPORTS, IMPORTS, MEMORY, NAME, SPACE
from propeller.model.ids import Digest
from propeller.model.module import Export, Module
from propeller.sources.modules import NoModule, inside
from propeller.sources.nodes import Path
from propeller.sources.sandboxed import Fitting, unfit

_FITTING: Final = Fitting(
    what="an aggregator",
    space=SPACE,
    imports=IMPORTS,
    memory=MEMORY,
    gives=f"at most {MEMORY} are given",
)
_EXPORTS: Final = tuple(Export(name, *types) for name, types in EXPORTS.items())


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
    return found.digest, [("file", f"{where} {one}") for one in unfit(found, _FITTING, _EXPORTS)]
