"""A tree of files -> one immutable Revision, or every fault of every file.

The reconciler calls it with what a source read; `validate` and `diff` call it too. It reads no
disk and no network: the tree has the bytes, `keep` stores modules, `inspect` looks into them. A
`Cache` kept between calls makes a small change cost little: files, modules and objects are kept by
content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from propeller.errors import Fault, SpecError
from propeller.model.canonical import canonical_digest
from propeller.model.ceilings import FREE, Ceilings, ceilings_form, ceilings_of
from propeller.model.ids import Digest, Key, uid_for
from propeller.model.module import Module
from propeller.model.parse import parse_object, stored_form
from propeller.model.revision import Revision
from propeller.model.specs import Modular, ModuleRef, Object, Prune
from propeller.plan.depends import circle, needs
from propeller.sources.admission import refusals
from propeller.sources.aggregators import aggregator_of
from propeller.sources.apps import IMPLICIT, Claim, Owners
from propeller.sources.documents import Document, Lines, SpecFile, read_spec_file, spec_file
from propeller.sources.explain import did_you_mean
from propeller.sources.hooks import PROCESSES, Hooks
from propeller.sources.images import NOWHERE, Images
from propeller.sources.modules import (
    Inspect,
    Keep,
    Modules,
    NoModule,
    inside,
    missing,
)
from propeller.sources.names import Names
from propeller.sources.nodes import Path, Place, dotted, printable
from propeller.sources.overlays import OVERLAY_FILE, Overlays, Rendering
from propeller.sources.plugins import FREE as UNBOUND
from propeller.sources.plugins import KIND as PLUGIN
from propeller.sources.plugins import Bound, Files, Known, Plugins
from propeller.sources.select import IGNORE_FILE, Selection
from propeller.sources.tree import Tree
from propeller.sources.workflow_rules import name_problem
from propeller.sources.workflow_tasks import tasks_of

MAX_OBJECTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class _Built:
    """One object with what it brings along. `want` is equal for objects that want the same."""

    object: Object
    want: str
    module: Module | None = None


@dataclass(slots=True)
class Cache:
    """What `load` may reuse next time. Empty is always right; it holds one tree's worth."""

    files: dict[str, SpecFile] = field(default_factory=dict)
    objects: dict[tuple[Any, ...], _Built] = field(default_factory=dict)
    modules: Modules = field(default_factory=Modules)
    answers: Known = field(default_factory=dict)


def load(
    tree: Tree,
    *,
    domain: str,
    keep: Keep,
    inspect: Inspect,
    cache: Cache | None = None,
    owner: Claim = IMPLICIT,
    hooks: Hooks = PROCESSES,
    images: Images = NOWHERE,
    bound: Bound = UNBOUND,
) -> Revision:
    """The revision `tree` holds. Raises SpecError with all faults; then nothing of it counts.

    keep: stores a module's Wasm bytes and returns their digest. inspect:
    `propeller.registry.wasm.inspect`. The cache is only changed when the tree is good.
    owner: the App whose source the tree is. hooks: who asks the plugins of the tree. images:
    who has modules of plugins that are in a registry. bound: who binds it besides. Raises
    Unavailable where one of them has to
    answer and was late, or has to be here and is not.
    """
    return _Load(
        tree,
        domain=domain,
        keep=keep,
        inspect=inspect,
        cache=cache or Cache(),
        owner=owner,
        plugins=Plugins(hooks, images, bound),
    ).run()


class _Load:
    """The state of one call: faults gathered so far and what was already found."""

    def __init__(
        self,
        tree: Tree,
        *,
        domain: str,
        keep: Keep,
        inspect: Inspect,
        cache: Cache,
        owner: Claim,
        plugins: Plugins,
    ) -> None:
        self.owner = owner
        self.plugins = plugins
        self.tree = tree
        self.domain = domain
        self.keep = keep
        self.inspect = inspect
        self.cache = cache
        self.faults: list[Fault] = []
        self.skipped = list(tree.skipped)
        self.lines: dict[str, Lines] = {}
        self.real: dict[str, str] = {}
        self.content: dict[str, str] = {}

    def run(self) -> Revision:
        files = self._chosen_files()
        owners = Owners(self._claims(files), self.owner)
        self._check_apps(owners)
        built: dict[Key, _Built] = {}
        used: dict[tuple[Any, ...], _Built] = {}
        written: dict[Key, tuple[str, Document]] = {}
        places: dict[Key, tuple[str, Document]] = {}
        names = Names()
        self._read_plugins(files, owners)
        for path, document in self._with_steps(files, owners):
            if len(built) == MAX_OBJECTS:
                self._fault(path, document, (), f"more than {MAX_OBJECTS} objects in one tree")
                break
            around = owners.of(path)
            remembered, one = self._build(path, document, around, owners.ceilings(around))
            if one is None:
                continue
            clash = names.clash(one.object) or names.crowded(one.object, owners.ceilings(around))
            if clash is not None:
                field_path, message = clash
                if path in self.real:
                    message += "; overlays of one base need Apps with namespaces of their own"
                self._fault(path, document, field_path, message)
                continue
            built[one.object.meta.key] = one
            used[remembered] = one
            if self.plugins:
                places[one.object.meta.key] = (path, document)
            if needs(one.object):
                written[one.object.meta.key] = (path, document)
        if written:
            self._check_dependencies(built, written)
        if places and not self.faults:
            self._consult(built, places)
        if self.faults:
            raise SpecError(dict.fromkeys(self._told(one) for one in self.faults))
        self.cache.objects = used
        self.cache.files = {self.content[path]: spec for path, spec in files.items()}
        self.cache.modules.forget_except(
            {f"{path.rpartition('.')[2]} {self.tree.content_id(path)}" for path in self._modules()}
        )
        return self._revision(built)

    def _check_dependencies(
        self, built: Mapping[Key, _Built], written: Mapping[Key, tuple[str, Document]]
    ) -> None:
        way = circle(one.object for one in built.values())
        if way:
            # An App's `dependsOn` may be the link although only its objects are on the way.
            said = next((key for key in way if key in written), min(written))
            path, document = written[said]
            told = " -> ".join(str(key) for key in way)
            self._fault(path, document, ("spec", "dependsOn"), f"goes in a circle: {told}")

    # -- files --------------------------------------------------------------------------------

    def _chosen_files(self) -> dict[str, SpecFile]:
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
            wanted = {claim.path for claim in self._claims(files)} & overlays.folders - chosen
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
            spec = self.cache.files.get(varied.content)
            if spec is None:
                spec = spec_file(varied.parsed, varied.flaws)
            files[path] = spec
            self.lines[path] = Lines(varied.parsed)
            self._take(varied.real, path, spec)
        self.real |= {path: where for path, where in moved.items() if path != where}
        self.tree = self.tree.mounted(moved, alone=alone)
        return files

    def _take(self, shown: str, path: str, spec: SpecFile) -> None:
        self.skipped += [f"{shown}:{line}" for line in spec.foreign]
        self.faults += [
            Fault(path, flaw.line, dotted(flaw.path), flaw.message) for flaw in spec.flaws
        ]

    def _told(self, fault: Fault) -> Fault:
        """The fault as its author can use it: where the file really lies, safe for a terminal."""
        file, message = self.real.get(fault.file, fault.file), fault.message
        if isinstance(fault.line, Place):
            file = fault.line.file
            message += f" ({fault.line.note})" if fault.line.note else ""
        return Fault(printable(file), int(fault.line), fault.path, printable(message))

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
            spec = self.cache.files.get(self.content[path]) or fresh.get(self.content[path])
            if spec is None:
                spec = read_spec_file(self.tree.files[path], json=json)
                fresh[self.content[path]] = spec
            found[path] = spec
            self._take(path, path, spec)
        return found

    def _documents(self, files: Mapping[str, SpecFile]) -> Iterator[tuple[str, Document]]:
        for path, spec in files.items():
            for document in spec.documents:
                if document.kind != PLUGIN:
                    yield path, document

    # -- plugins ------------------------------------------------------------------------------

    def _read_plugins(self, files: Mapping[str, SpecFile], owners: Owners) -> None:
        documents = [
            (path, document)
            for path, spec in files.items()
            for document in spec.documents
            if document.kind == PLUGIN
        ]
        self.plugins.pull(document.spec for _, document in documents)
        there = Files(
            self._module_at, lambda where: self.cache.modules.wasm(self.tree, where), self.keep
        )
        for path, document in documents:
            name, owner = document.meta["name"], owners.of(path)
            for field_path, message in self.plugins.read(name, document.spec, path, owner, there):
                self._fault(path, document, field_path, message)

    def _consult(
        self, built: dict[Key, _Built], places: Mapping[Key, tuple[str, Document]]
    ) -> None:
        """Ask the plugins about every object, and take what they make of it."""
        objects = {key: one.object for key, one in built.items()}
        done = self.plugins.consult(objects, self.cache.answers)
        for key, message in done.faults:
            path, document = places[key]
            self._fault(path, document, ("metadata", "name"), message)
        for key, thing in done.objects.items():
            if thing is not built[key].object:
                built[key] = replace(built[key], object=thing, want=_want(thing))

    def _with_steps(
        self, files: Mapping[str, SpecFile], owners: Owners
    ) -> Iterator[tuple[str, Document]]:
        """Every document, and behind a Workflow the Tasks that carry its steps out."""
        for path, document in self._documents(files):
            if document.kind != "Workflow":
                yield path, document
                continue
            pinned = self._pinned(path, document)
            if pinned is not None:
                namespace = document.meta.get("namespace", owners.of(path).namespace)
                yield path, pinned
                yield from ((path, one) for one in tasks_of(pinned, self.domain, namespace))

    def _pinned(self, path: str, document: Document) -> Document | None:
        """A Workflow whose modules are known by digest, so that other bytes are another run."""
        steps: list[Mapping[str, Any]] = []
        for index, row in enumerate(document.spec["steps"]):
            one = replace(document, spec=row, within=("spec", "steps", index))
            long = name_problem(document.meta["name"], row["name"])
            if long:
                self._fault(path, one, ("spec", "name"), long)
                return None
            if "file" in row["module"]:
                found = self._module(path, one)
                if found is None:
                    return None
                row = {**row, "module": {**row["module"], "digest": found.identity}}  # noqa: PLW2901
            steps.append(row)
        return replace(document, spec={**document.spec, "steps": steps})

    def _modules(self) -> Iterator[str]:
        selection = Selection(self.tree.files.get(IGNORE_FILE, b""))
        return (path for path in self.tree.files if selection.is_module(path))

    def _fault(self, file: str, document: Document, path: Path, message: str) -> None:
        if path[:1] == ("spec",):
            path = (*document.within, *path[1:])
        line = self._line(file, document.index, path)
        self.faults.append(Fault(file, line, dotted(path), message))

    def _line(self, file: str, index: int, path: Path) -> int:
        if file not in self.lines:
            self.lines[file] = Lines.of(self.tree.files[file], json=file.endswith(".json"))
        return self.lines[file].line(index, path)

    # -- apps ---------------------------------------------------------------------------------

    def _claims(self, files: Mapping[str, SpecFile]) -> Iterator[Claim]:
        for path, document in self._documents(files):
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

    def _check_apps(self, owners: Owners) -> None:
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

    # -- objects ------------------------------------------------------------------------------

    def _build(
        self, path: str, document: Document, owner: Claim, ceilings: Ceilings
    ) -> tuple[tuple[Any, ...], _Built | None]:
        spec, module = dict(document.spec), None
        if not document.own_prune and owner.keeps and "prune" in spec:
            spec["prune"] = Prune.NEVER.value
        if document.kind == "App" and ceilings != FREE:
            own = ceilings_of(spec.get("ceilings"))
            spec["ceilings"] = ceilings_form(own.within(ceilings))
        if "file" in spec.get("module", ()):
            found = self._module(path, document)
            if found is None:
                return (), None
            module = found
            spec["module"] = {**spec["module"], "digest": module.identity}
        if "file" in spec.get("model", ()):
            digest = self._model(path, document)
            if digest is None:
                return (), None
            spec["model"] = {**spec["model"], "initial": digest}
        aggregator = spec.get("strategy", {}).get("module")
        if aggregator is not None:
            digest, flaws = aggregator_of(aggregator, path, self._module_at)
            for where, message in flaws:
                self._fault(path, document, ("spec", "strategy", "module", where), message)
            if flaws:
                return (), None
            aggregator = {**aggregator, "digest": digest}
            spec["strategy"] = {**spec["strategy"], "module": aggregator}
        if any("file" in row for row in spec.get("run", {}).get("models", ())):
            rows = self._model_files(path, document)
            if rows is None:
                return (), None
            spec["run"] = {**spec["run"], "models": rows}
        namespace = document.meta.get("namespace", owner.namespace)
        remember = (
            self.content[path], document.index, document.within, path, self.domain, owner.name,
            namespace, spec.get("prune"), module and module.digest,
            spec.get("model", {}).get("initial"), aggregator and aggregator["digest"],
            spec["runKey"] if len(document.within) > 1 else _modules_of(spec),
            ceilings, tuple(row.get("digest") for row in spec.get("run", {}).get("models", ())),
        )  # fmt: skip
        known = self.cache.objects.get(remember)
        if known is not None:
            return remember, known
        key = Key(document.kind, namespace, document.meta["name"])
        if "moved" in document.meta and document.kind not in ("Task", "Daemon", "Function"):
            message = "only Tasks, Daemons and Functions keep their runs under another name"
            self._fault(path, document, ("metadata", "moved"), message)
            return remember, None
        meta = {
            **document.meta,
            "namespace": namespace,
            "uid": uid_for(self.domain, key, document.meta.get("uid")),
            "app": owner.name,
            "file": self.real.get(path, path),
            "line": int(document.line),
        }
        made = parse_object(document.kind, meta, spec)
        if isinstance(made, Modular):
            wrong = list(refusals(made, module, ceilings, owner))
            for below, message in wrong:
                self._fault(path, document, ("spec", *below), message)
            if wrong:
                return remember, None
        return remember, _Built(made, _want(made), module)

    def _module(self, path: str, document: Document) -> Module | None:
        given = document.spec["module"]
        where = inside(path.rpartition("/")[0], given["file"])
        if where is None:
            message = "must be inside the spec tree"
            self._fault(path, document, ("spec", "module", "file"), message)
            return None
        found = self._module_at(where)
        if isinstance(found, NoModule):
            self._fault(path, document, ("spec", "module", "file"), found.message)
            return None
        if given.get("digest") not in (None, found.identity):
            message = f"does not match: {where} is {found.identity}"
            self._fault(path, document, ("spec", "module", "digest"), message)
            return None
        return found

    def _module_at(self, where: str) -> Module | NoModule:
        return self.cache.modules.get(self.tree, where, keep=self.keep, inspect=self.inspect)

    def _model(self, path: str, document: Document) -> Digest | None:
        """The digest of a model file, whose bytes are kept; what is in it a worker looks at."""
        given = document.spec["model"]
        found = self._kept(path, document, given, ("spec", "model"), "initial")
        return None if found is None else found[0]

    def _model_files(self, path: str, document: Document) -> list[dict[str, Any]] | None:
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
        elif where in self.tree.problems:
            wrong = f"{where}: {self.tree.problems[where]}"
        elif where not in self.tree.files:
            wrong = missing(self.tree, where)
        else:
            digest = self.keep(self.tree.files[where])
            if given.get(pin) not in (None, digest):
                wrong = f"does not match: {where} is {digest}"
        if wrong or digest is None or where is None:
            self._fault(path, document, (*at, pin if digest is not None else "file"), wrong)
            return None
        return digest, len(self.tree.files[where])

    def _revision(self, built: Mapping[Key, _Built]) -> Revision:
        ordered = sorted(built)
        whole = hashlib.sha256()
        for key in ordered:
            whole.update(f"{key} {built[key].want}\n".encode())
        modules: dict[ModuleRef, Module] = {}
        for key in ordered:
            one = built[key]
            if one.module is not None and isinstance(one.object, Modular):
                modules[one.object.module] = one.module
        return Revision(
            name=self.tree.name,
            digest=Digest("sha256:" + whole.hexdigest()),
            objects={key: built[key].object for key in ordered},
            modules=modules,
            author=self.tree.author,
            message=self.tree.message,
            time=self.tree.time,
            skipped=tuple(self.skipped),
            signed_by=self.tree.signed_by,
            absent=tuple(sorted(self.plugins.absent)),
            binding=self.plugins.binding,
        )


def _modules_of(spec: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The modules of a Workflow's steps, by digest where they are files."""
    return tuple(row["module"].get("digest") for row in spec.get("steps", ()))


def _want(made: Object) -> str:
    """Equal for objects that differ in nothing but the place they were written in."""
    form = stored_form(made)
    meta = {key: value for key, value in form["meta"].items() if key not in ("file", "line")}
    return canonical_digest(meta)
