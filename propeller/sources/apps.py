"""Which App owns which file.

An App's files are those under its path, less those under the paths of Apps inside it. The file that
declares an App belongs to the App around it: following owners upwards must end at the implicit App.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from propeller.model.ceilings import FREE, Ceilings

DEFAULT_APP: Final = "default"
DEFAULT_NAMESPACE: Final = "default"
MAX_APP_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """One declared App: where it was written, and its `path`, normalised ("." is the root).

    path: "" where its specs are elsewhere, in a source of its own.
    """

    name: str
    file: str
    index: int
    path: str
    namespace: str
    keeps: bool = False
    ceilings: Ceilings = FREE


IMPLICIT: Final = Claim(DEFAULT_APP, "", 0, ".", DEFAULT_NAMESPACE)


class Owners:
    """Answers whose a file is."""

    def __init__(self, claims: Iterable[Claim], root: Claim = IMPLICIT) -> None:
        """root: whose all files are that no App claims."""
        self._root = root
        self._by_path: dict[str, Claim] = {}
        self.claims = tuple(claims)
        for claim in self.claims:
            if claim.path:
                self._by_path.setdefault(claim.path, claim)
        self._of_folder: dict[str, Claim] = {}
        self._ceilings: dict[str, Ceilings] = {}

    def of(self, file: str) -> Claim:
        """The innermost App whose path holds `file`, else the implicit one."""
        folder = file.rpartition("/")[0]
        known = self._of_folder.get(folder)
        if known is None:
            known = self._innermost(folder)
            self._of_folder[folder] = known
        return known

    def _innermost(self, folder: str) -> Claim:
        while folder:
            if folder in self._by_path:
                return self._by_path[folder]
            folder = folder.rpartition("/")[0]
        return self._by_path.get(".", self._root)

    def ceilings(self, claim: Claim) -> Ceilings:
        """What the objects of an App may ask for: its own ceilings, and those of Apps around it."""
        known = self._ceilings.get(claim.name)
        if known is None:
            known, owner = claim.ceilings, claim
            for _ in range(MAX_APP_DEPTH + 1):  # a circle is a fault of its own
                if owner is self._root:
                    break
                owner = self.of(owner.file)
                known = known.within(owner.ceilings)
            self._ceilings[claim.name] = known
        return known

    def problems(self, folders: Mapping[str, object]) -> Iterator[tuple[Claim, str, str]]:
        """(claim, field, message). `folders`: every folder of the tree that holds something."""
        names: dict[str, Claim] = {}
        for claim in self.claims:
            if claim.name == DEFAULT_APP:
                message = f'"{DEFAULT_APP}" is the implicit App around all others; choose another'
                yield claim, "metadata.name", message
            first = names.setdefault(claim.name, claim)
            if first is not claim:
                message = f"an App of this name is declared in {first.file} already"
                yield claim, "metadata.name", message
            if not claim.path:
                continue
            owner = self._by_path[claim.path]
            if claim.path != "." and claim.path not in folders:
                yield claim, "spec.source.path", f"there is no folder {claim.path} in the spec tree"
            elif owner is not claim:
                message = f'{claim.path} belongs to the App "{owner.name}" of {owner.file} already'
                yield claim, "spec.source.path", message
            else:
                wrong = self._climb(claim)
                if wrong:
                    yield claim, "spec.source.path", wrong

    def _climb(self, claim: Claim) -> str:
        owner, chain = self.of(claim.file), [claim.name]
        while owner is not self._root:
            chain.append(owner.name)
            if owner is claim:
                if len(chain) == 2:
                    return "an App cannot own the file that declares it; move it out of this folder"
                return f"Apps own each other in a circle: {' -> '.join(chain)}"
            if len(chain) > MAX_APP_DEPTH:
                return f"Apps may be nested {MAX_APP_DEPTH} deep, not more"
            owner = self.of(owner.file)
        return ""
