"""The files of a tree that count: by themselves, or through an overlay that was chosen; and faults.

A fault is said of the file its author can change, which with overlays is not the one that was read
for an object. Used by `load` only, for one tree at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from propeller.errors import Fault
from propeller.model.ceilings import ceilings_of
from propeller.model.specs import Prune
from propeller.sources.apps import Claim, Owners
from propeller.sources.documents import Document, Lines, SpecFile, read_spec_file, spec_file
from propeller.sources.explain import did_you_mean
from propeller.sources.nodes import Path, Place, dotted, printable
from propeller.sources.overlays import OVERLAY_FILE, Overlays, Rendering
from propeller.sources.plugins import KIND as PLUGIN
from propeller.sources.select import IGNORE_FILE, Selection
from propeller.sources.tree import Tree


class Gathering:
    """See the module. known: files as they were read before, by what is in them.

    skipped: what is in the tree and is no spec of ours. content: what is in a file, for a cache.
    real: where a file of an overlay really lies.
    """

    def __init__(self, tree: Tree, known: Mapping[str, SpecFile]) -> None:
        self.tree = tree
        self._known = known
        self.faults: list[Fault] = []
        self.skipped = list(tree.skipped)
        self._lines: dict[str, Lines] = {}
        self.real: dict[str, str] = {}
        self.content: dict[str, str] = {}

    def choose(self) -> dict[str, SpecFile]:
        """What counts: files by themselves, and those of overlays that were chosen."""
        selection = Selection(self.tree.files.get(IGNORE_FILE, b""))
        overlays = Overlays(self.tree, selection)
        if self.tree.overlay:
            files = self._overlaid(overlays, self.tree.overlay)
        else:
            files = self._files(selection, overlays)
            if overlays.folders:
                self._choose(overlays, files)
        self.faults += overlays.faults
        return files

    def _overlaid(self, overlays: Overlays, folder: str) -> dict[str, SpecFile]:
        """One overlay stands for the whole tree."""
        if folder not in overlays.folders:
            near = did_you_mean(folder, overlays.folders)
            hint = f', did you mean "{near}"?' if near else ""
            message = f"there is no {OVERLAY_FILE} in this folder of the spec tree{hint}"
            self.faults.append(Fault(folder, 0, "", message))
            return {}
        rendering = overlays.render(folder)
        return self._mount(rendering, "", alone=True)

    def _choose(self, overlays: Overlays, files: dict[str, SpecFile]) -> None:
        """Adds the overlays that Apps name, and those that Apps in these name."""
        chosen: set[str] = set()
        while True:
            wanted = {claim.path for claim in self.claims(files)} & overlays.folders - chosen
            if not wanted:
                break
            for folder in sorted(wanted):
                chosen.add(folder)
                files |= self._mount(overlays.render(folder), f"{folder}/", alone=False)
        if not chosen:
            message = "no App has this overlay as its source.path; choose one with --overlay"
            self.faults += [
                Fault(f"{folder}/{OVERLAY_FILE}".lstrip("/"), 0, "", message)
                for folder in overlays.folders
            ]

    def _mount(self, rendering: Rendering, prefix: str, *, alone: bool) -> dict[str, SpecFile]:
        """Takes the files of an overlay in, as if all of them lay in its folder."""
        files: dict[str, SpecFile] = {}
        moved = {prefix + path: where for path, where in rendering.modules.items()}
        for below, varied in rendering.files.items():
            path = prefix + below
            moved[path] = varied.real
            self.content[path] = varied.content
            spec = self._known.get(varied.content)
            if spec is None:
                spec = spec_file(varied.parsed, varied.flaws)
            files[path] = spec
            self._lines[path] = Lines(varied.parsed)
            self._take(varied.real, path, spec)
        self.real |= {path: where for path, where in moved.items() if path != where}
        self.tree = self.tree.mounted(moved, alone=alone)
        return files

    def _files(self, selection: Selection, overlays: Overlays) -> dict[str, SpecFile]:
        found: dict[str, SpecFile] = {}
        fresh: dict[str, SpecFile] = {}
        for path in sorted({*self.tree.files, *self.tree.problems}):
            if not selection.is_spec(path) or self.tree.only not in (None, path):
                continue
            if overlays.hides(path):
                continue
            if path in self.tree.problems:
                self.faults.append(Fault(path, 0, "", self.tree.problems[path]))
                continue
            json = path.endswith(".json")
            self.content[path] = ("json " if json else "yaml ") + self.tree.content_id(path)
            spec = self._known.get(self.content[path]) or fresh.get(self.content[path])
            if spec is None:
                spec = read_spec_file(self.tree.files[path], json=json)
                fresh[self.content[path]] = spec
            found[path] = spec
            self._take(path, path, spec)
        return found

    def _take(self, shown: str, path: str, spec: SpecFile) -> None:
        self.skipped += [f"{shown}:{line}" for line in spec.foreign]
        self.faults += [
            Fault(path, flaw.line, dotted(flaw.path), flaw.message) for flaw in spec.flaws
        ]

    def documents(self, files: Mapping[str, SpecFile]) -> Iterator[tuple[str, Document]]:
        """What is written in them, save plugins, which no object is made of."""
        for path, spec in files.items():
            for document in spec.documents:
                if document.kind != PLUGIN:
                    yield path, document

    def claims(self, files: Mapping[str, SpecFile]) -> Iterator[Claim]:
        """What their Apps own."""
        for path, document in self.documents(files):
            if document.kind == "App":
                yield Claim(
                    name=document.meta["name"],
                    file=path,
                    index=document.index,
                    path=document.spec["source"].get("path", ""),
                    namespace=document.spec["namespace"],
                    keeps=document.spec["prune"] == Prune.NEVER.value,
                    ceilings=ceilings_of(document.spec.get("ceilings")),
                )

    def modules(self) -> Iterator[str]:
        """The files of the tree that are modules."""
        selection = Selection(self.tree.files.get(IGNORE_FILE, b""))
        return (path for path in self.tree.files if selection.is_module(path))

    def check_apps(self, owners: Owners) -> None:
        """Whether they can all own what they say."""
        if not owners.claims:
            return
        folders: dict[str, None] = {}
        for path in self.tree.files:
            folder = path.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = None
                folder = folder.rpartition("/")[0]
        for claim, where, message in owners.problems(folders):
            steps: Path = tuple(where.split("."))
            line = self._line(claim.file, claim.index, steps)
            self.faults.append(Fault(claim.file, line, where, message))

    def fault(self, file: str, document: Document, path: Path, message: str) -> None:
        """Something is wrong at that field of a document."""
        if path[:1] == ("spec",):
            path = (*document.within, *path[1:])
        line = self._line(file, document.index, path)
        self.faults.append(Fault(file, line, dotted(path), message))

    def _line(self, file: str, index: int, path: Path) -> int:
        if file not in self._lines:
            self._lines[file] = Lines.of(self.tree.files[file], json=file.endswith(".json"))
        return self._lines[file].line(index, path)

    def told(self, fault: Fault) -> Fault:
        """The fault as its author can use it: where the file really lies, safe for a terminal."""
        file, message = self.real.get(fault.file, fault.file), fault.message
        if isinstance(fault.line, Place):
            file = fault.line.file
            message += f" ({fault.line.note})" if fault.line.note else ""
        return Fault(printable(file), int(fault.line), fault.path, printable(message))
