"""Overlays: a folder of specs varied for an environment, as if the base's files lay in it.

A folder that holds `overlay.yaml` is an overlay. Its specs and those of its base count only where
it is chosen: by an App's `source.path`, or by `--overlay` for the whole tree. `load` asks which
files count by themselves, and for the documents of those that were chosen.

The order is: the base (itself perhaps an overlay), the specs beside `overlay.yaml`, the patches one
after the other, then the variables, outermost first.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from propeller.errors import Fault
from propeller.sources.documents import parse_documents
from propeller.sources.explain import explain, show
from propeller.sources.nodes import Flaw, Map, Number, Parsed, Path, dotted, line_of
from propeller.sources.patches import Merge
from propeller.sources.schemas import API_GROUP
from propeller.sources.select import Selection
from propeller.sources.tree import Tree
from propeller.sources.variables import NAME, Substitution, Variable

OVERLAY_FILE: Final = "overlay.yaml"
KIND: Final = "Overlay"
MAX_CHAIN: Final = 8
_FIXED: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


@dataclass(frozen=True, slots=True)
class Patch:
    """One entry of `patches`. line: where it begins."""

    target: Map
    patch: Map
    line: int


@dataclass(frozen=True, slots=True)
class Overlay:
    """One `overlay.yaml`, read. base: folder in the tree, None for none. shared: variablesFrom."""

    file: str
    base: str | None
    patches: tuple[Patch, ...]
    variables: Mapping[str, Variable]
    shared: frozenset[str]

    @property
    def folder(self) -> str:
        """Where it stands; "" is the root."""
        return self.file.rpartition("/")[0]


@dataclass(slots=True)
class Varied:
    """One file as an overlay makes it. real: where it lies. content: equal for equal results."""

    real: str
    content: str
    parsed: list[Parsed]
    flaws: list[Flaw]

    @property
    def json(self) -> bool:
        return self.real.endswith(".json")


@dataclass(slots=True)
class Rendering:
    """What a chosen overlay holds: paths relative to its folder. modules: path -> where it lies."""

    files: dict[str, Varied] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


class Overlays:
    """The overlays of one tree. `faults` gathers what is wrong with those that were looked at."""

    def __init__(self, tree: Tree, selection: Selection) -> None:
        self._tree = tree
        self._selection = selection
        self.faults: list[Fault] = []
        self._known: dict[str, Overlay | None] = {}
        specs = [] if tree.only else [path for path in tree.files if selection.is_spec(path)]
        self.folders = frozenset(
            path.rpartition("/")[0] for path in specs if path.rpartition("/")[2] == OVERLAY_FILE
        )
        self._hidden = self._hide() if self.folders else frozenset()

    def _hide(self) -> frozenset[str]:
        found = set(self.folders)
        for folder in self.folders:
            overlay = self.get(folder)
            if overlay is not None and overlay.base is not None:
                found.add(overlay.base)
        return frozenset(found)

    def hides(self, path: str) -> bool:
        """Whether a file counts only through an overlay."""
        return bool(self._hidden) and any(folder in self._hidden for folder in _above(path))

    def get(self, folder: str) -> Overlay | None:
        """The overlay of a folder; None, and faults, when it cannot be read."""
        if folder not in self._known:
            self._known[folder] = None  # a base that leads back here finds nothing
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def render(self, folder: str) -> Rendering:
        """The documents of an overlay, whole or with faults."""
        chain = self._chain(folder)
        if not chain:
            return Rendering()
        rendering = self._files(chain)
        for overlay in reversed(chain):
            for patch in overlay.patches:
                self._patch(rendering, overlay, patch)
        variables: dict[str, Variable] = {}
        for overlay in reversed(chain):
            variables.update(overlay.variables)
        substitution = Substitution(variables, chain[0].file)
        digest = self._digest(chain)
        for varied in rendering.files.values():
            varied.content = f"overlay {digest} {varied.real} {varied.content}"
            for one in filter(_ours, varied.parsed):
                one.value = substitution.into(one.value, file=varied.real, line=one.line)
        self.faults += substitution.faults
        return rendering

    # -- one overlay.yaml ---------------------------------------------------------------------

    def _fault(self, file: str, line: int, path: Path, message: str) -> None:
        self.faults.append(Fault(file, int(line), dotted(path), message))

    def _read(self, folder: str) -> Overlay | None:
        file = f"{folder}/{OVERLAY_FILE}" if folder else OVERLAY_FILE
        if file in self._tree.problems:
            self._fault(file, 0, (), self._tree.problems[file])
            return None
        parsed, flaws = parse_documents(self._tree.files[file], json=False)
        found = [one for one in parsed if one.value is not None]
        for one in found:
            flaws += one.flaws
        if not flaws and len(found) != 1:
            flaws.append(Flaw(0, (), f"must be one document of kind {KIND}, not {len(found)}"))
        if not flaws and not isinstance(found[0].value, Map):
            flaws.append(Flaw(1, (), f"must be a mapping, not {show(found[0].value)}"))
        if not flaws:
            flaws = explain(KIND, found[0].value, found[0].line)
        for flaw in flaws:
            self._fault(file, flaw.line, flaw.path, flaw.message)
        return None if flaws else self._overlay(file, found[0])

    def _overlay(self, file: str, one: Parsed) -> Overlay:
        spec, folder = one.value["spec"], file.rpartition("/")[0]
        patches: list[Patch] = []
        for index, entry in enumerate(spec.get("patches") or ()):
            line = spec["patches"].lines[index]
            patches.append(Patch(entry["target"], entry["patch"], line))
            for fixed in _FIXED:
                if _has(entry["patch"], fixed):
                    path: Path = ("spec", "patches", index, "patch", *fixed)
                    message = "must not be patched: it says which object this is"
                    self._fault(file, line_of(one.value, path, line), path, message)
        variables, shared = self._shared(file, one, spec.get("variablesFrom") or ())
        own = spec.get("variables")
        if isinstance(own, Map):
            variables |= {
                name: Variable(value, f"{file}:{own.lines[name]}") for name, value in own.items()
            }
        return Overlay(file, self._base(file, folder, one), tuple(patches), variables, shared)

    def _base(self, file: str, folder: str, one: Parsed) -> str | None:
        given = one.value["spec"].get("base")
        if given is None:
            return None
        path: Path = ("spec", "base")
        line = line_of(one.value, path, one.line)
        base = posixpath.normpath(posixpath.join(folder, given))
        base = "" if base == "." else base
        if base.startswith(("/", "../")) or base == "..":
            message = (
                f"{given} leads out of the spec tree; read a folder that holds both, and choose"
                f" this overlay with --overlay"
            )
            self._fault(file, line, path, message)
        elif base == folder or folder.startswith(f"{base}/") or not base:
            self._fault(file, line, path, f"{given} holds this overlay itself")
        elif not any(path.startswith(f"{base}/") for path in self._tree.files):
            self._fault(file, line, path, f"there is no folder {base} in the spec tree")
        else:
            return base
        return None

    def _shared(
        self, file: str, one: Parsed, entries: Any
    ) -> tuple[dict[str, Variable], frozenset[str]]:
        variables: dict[str, Variable] = {}
        shared: set[str] = set()
        for index, entry in enumerate(entries):
            path: Path = ("spec", "variablesFrom", index, "file")
            where = posixpath.normpath(posixpath.join(file.rpartition("/")[0], entry["file"]))
            if where not in self._tree.files:
                problem = self._tree.problems.get(where, f"there is no {where} in the spec tree")
                self._fault(file, line_of(one.value, path, one.line), path, problem)
                continue
            shared.add(where)
            variables |= self._values(where)
        return variables, frozenset(shared)

    def _values(self, file: str) -> dict[str, Variable]:
        """The variables of one file."""
        parsed, flaws = parse_documents(self._tree.files[file], json=file.endswith(".json"))
        found = [one for one in parsed if one.value is not None]
        for one in found:
            flaws += one.flaws
        if not flaws and (len(found) > 1 or (found and not isinstance(found[0].value, Map))):
            flaws.append(Flaw(1, (), "must be one mapping from name to value"))
        variables: dict[str, Variable] = {}
        for name, value in found[0].value.items() if found and not flaws else ():
            line = found[0].value.lines[name]
            if NAME.match(name) is None:
                flaws.append(Flaw(line, (name,), "must be a name of letters, digits and '_'"))
            elif not isinstance(value, str | int | Number):
                flaws.append(Flaw(line, (name,), f"must be text or a number, not {show(value)}"))
            else:
                variables[name] = Variable(value, f"{file}:{line}")
        for flaw in flaws:
            self._fault(file, flaw.line, flaw.path, flaw.message)
        return variables

    # -- rendering ----------------------------------------------------------------------------

    def _chain(self, folder: str) -> list[Overlay]:
        """The overlay, its base where that is one, and so on; the last one has plain files below.

        Empty, with a fault, when one of them cannot be read.
        """
        chain: list[Overlay] = []
        at: str | None = folder
        while at is not None and at in self.folders:
            overlay = self.get(at)
            if overlay is None:
                return []
            if overlay in chain or len(chain) == MAX_CHAIN:
                names = " -> ".join(one.folder or "." for one in (*chain, overlay))
                self._fault(chain[0].file, 0, ("spec", "base"), f"leads too far: {names}")
                return []
            chain.append(overlay)
            at = overlay.base
        return chain

    def _files(self, chain: list[Overlay]) -> Rendering:
        """The files of all of the chain under one root, before anything was changed."""
        rendering = Rendering()
        last = chain[-1]
        roots = [*([last.base] if last.base is not None else []), *(o.folder for o in chain[::-1])]
        shared = frozenset().union(*(overlay.shared for overlay in chain))
        others = self.folders | {overlay.base for overlay in chain if overlay.base is not None}
        for root in roots:
            for path in self._below(root, others):
                inside = path[len(root) + 1 :] if root else path
                if self._selection.is_module(path):
                    rendering.modules[inside] = path  # an overlay's module replaces the base's
                elif inside == OVERLAY_FILE or path in shared:
                    continue
                elif inside in rendering.files:
                    first = rendering.files[inside].real
                    message = f"{first} would lie in the same place; patch it, or rename this file"
                    self._fault(path, 0, (), message)
                else:
                    rendering.files[inside] = self._parsed(path)
        return rendering

    def _below(self, root: str, others: frozenset[str]) -> Iterator[str]:
        """Spec and module files below a folder, less those of `others` in it."""
        prefix = f"{root}/" if root else ""
        for path in sorted({*self._tree.files, *self._tree.problems}):
            if not path.startswith(prefix):
                continue
            if not (self._selection.is_spec(path) or self._selection.is_module(path)):
                continue
            if not any(len(one) > len(root) and one in others for one in _above(path)):
                yield path

    def _parsed(self, path: str) -> Varied:
        if path in self._tree.problems:
            self._fault(path, 0, (), self._tree.problems[path])
            return Varied(path, "", [], [])
        json = path.endswith(".json")
        parsed, flaws = parse_documents(self._tree.files[path], json=json)
        content = f"{'json' if json else 'yaml'} {self._tree.content_id(path)}"
        return Varied(path, content, [replace(one) for one in parsed], flaws)

    def _patch(self, rendering: Rendering, overlay: Overlay, patch: Patch) -> None:
        matched = 0
        hits: set[Path] = set()
        misses: dict[Path, int] = {}
        for varied in rendering.files.values():
            for one in varied.parsed:
                if not _ours(one) or not _fits(one.value, patch.target):
                    continue
                matched += 1
                merge = Merge(overlay.file, varied.real)
                one.value = merge.over(one.value, patch.patch)
                hits |= merge.hits
                misses |= merge.misses
        if not matched:
            words = ", ".join(f"{key}: {_shown(value)}" for key, value in patch.target.items())
            self._fault(
                overlay.file, patch.line, ("spec", "patches"), f"no spec of the base has {words}"
            )
            return
        for path, line in misses.items():
            if path not in hits:
                message = f"{dotted(path)} is not there to be removed"
                self._fault(overlay.file, line, ("spec", "patches"), message)

    def _digest(self, chain: list[Overlay]) -> str:
        """Over everything that varies a file, the file itself excepted."""
        whole = hashlib.sha256()
        for overlay in chain:
            for path in (overlay.file, *sorted(overlay.shared)):
                whole.update(f"{path}\0{self._tree.content_id(path)}\0".encode())
        return whole.hexdigest()


def _above(path: str) -> Iterator[str]:
    """The folders a file lies in, innermost first, the root ("") last."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _has(value: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(value, Map) or step not in value:
            return False
        value = value[step]
    return True


def _fits(document: Map, target: Map) -> bool:
    """Whether a document of ours agrees with every field of the target."""
    meta = document.get("metadata")
    meta = meta if isinstance(meta, Map) else {}
    labels = meta.get("labels")
    for key, wanted in target.items():
        match key:
            case _ if wanted is None:
                continue
            case "kind":
                fits = document.get("kind") == wanted
            case "labels":
                held = labels if isinstance(labels, Map) else {}
                fits = all(held.get(name) == value for name, value in wanted.items())
            case _:
                fits = meta.get(key) == wanted
        if not fits:
            return False
    return True


def _ours(one: Parsed) -> bool:
    """Whether it is a document of Propeller: others are let be."""
    version = one.value.get("apiVersion") if isinstance(one.value, Map) else None
    return isinstance(version, str) and version.startswith(API_GROUP)


def _shown(value: Any) -> str:
    if isinstance(value, Map):
        return "{" + ", ".join(f"{key}: {below}" for key, below in value.items()) + "}"
    return str(value)
