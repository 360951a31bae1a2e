"""What an object names by a file beside it: its module, its model, the models it reads.

The bytes are kept as blobs, and the object names them by digest from then on. Used by `load` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propeller.model.ids import Digest
from propeller.model.module import Module
from propeller.sources.documents import Document
from propeller.sources.gathering import Gathering
from propeller.sources.modules import Inspect, Keep, Modules, NoModule, inside, missing
from propeller.sources.nodes import Path


class Attached:
    """See the module. files: the tree, and where faults go. modules: what was looked into."""

    def __init__(self, files: Gathering, modules: Modules, *, keep: Keep, inspect: Inspect) -> None:
        self._files = files
        self._modules = modules
        self._keep = keep
        self._inspect = inspect

    def module(self, path: str, document: Document) -> Module | None:
        """The module it names by a file; None where that is a fault."""
        given = document.spec["module"]
        where = inside(path.rpartition("/")[0], given["file"])
        if where is None:
            message = "must be inside the spec tree"
            self._files.fault(path, document, ("spec", "module", "file"), message)
            return None
        found = self.module_at(where)
        if isinstance(found, NoModule):
            self._files.fault(path, document, ("spec", "module", "file"), found.message)
            return None
        if given.get("digest") not in (None, found.identity):
            message = f"does not match: {where} is {found.identity}"
            self._files.fault(path, document, ("spec", "module", "digest"), message)
            return None
        return found

    def module_at(self, where: str) -> Module | NoModule:
        """The module in that file of the tree, or why there is none."""
        return self._modules.get(self._files.tree, where, keep=self._keep, inspect=self._inspect)

    def model(self, path: str, document: Document) -> Digest | None:
        """The digest of a model file, whose bytes are kept; what is in it a worker looks at."""
        given = document.spec["model"]
        found = self._kept(path, document, given, ("spec", "model"), "initial")
        return None if found is None else found[0]

    def model_files(self, path: str, document: Document) -> list[dict[str, Any]] | None:
        """`run.models` with digests and sizes of what is in the tree; None where one is missing."""
        rows: list[dict[str, Any]] = []
        for index, row in enumerate(document.spec["run"]["models"]):
            if "file" not in row:
                rows.append(dict(row))
                continue
            found = self._kept(path, document, row, ("spec", "run", "models", index), "digest")
            if found is None:
                return None
            rows.append({**row, "digest": found[0], "size": found[1]})
        return rows

    def _kept(
        self, path: str, document: Document, given: Mapping[str, Any], at: Path, pin: str
    ) -> tuple[Digest, int] | None:
        """Digest and size of the file that `given` names, kept as a blob. pin: what may say its
        digest already."""
        where = inside(path.rpartition("/")[0], given["file"])
        wrong, digest = "", None
        if where is None:
            wrong = "must be inside the spec tree"
        elif where in self._files.tree.problems:
            wrong = f"{where}: {self._files.tree.problems[where]}"
        elif where not in self._files.tree.files:
            wrong = missing(self._files.tree, where)
        else:
            digest = self._keep(self._files.tree.files[where])
            if given.get(pin) not in (None, digest):
                wrong = f"does not match: {where} is {digest}"
        if wrong or digest is None or where is None:
            self._files.fault(path, document, (*at, pin if digest is not None else "file"), wrong)
            return None
        return digest, len(self._files.tree.files[where])
