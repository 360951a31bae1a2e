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

from propeller.errors import SpecError
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
from propeller.sources.attached import Attached
from propeller.sources.documents import Document, SpecFile
from propeller.sources.gathering import Gathering
from propeller.sources.hooks import PROCESSES, Hooks
from propeller.sources.images import NOWHERE, Images
from propeller.sources.modules import Inspect, Keep, Modules
from propeller.sources.names import Names
from propeller.sources.plugins import FREE as UNBOUND
from propeller.sources.plugins import KIND as PLUGIN
from propeller.sources.plugins import Bound, Files, Known, Plugins
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
    """The state of one call: files and faults are with `gathering`, what they name `attached`."""

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
        self.domain = domain
        self.keep = keep
        self.cache = cache
        self.files = Gathering(tree, cache.files)
        self.attached = Attached(self.files, cache.modules, keep=keep, inspect=inspect)

    def run(self) -> Revision:
        files = self.files.choose()
        owners = Owners(self.files.claims(files), self.owner)
        self.files.check_apps(owners)
        built: dict[Key, _Built] = {}
        used: dict[tuple[Any, ...], _Built] = {}
        written: dict[Key, tuple[str, Document]] = {}
        places: dict[Key, tuple[str, Document]] = {}
        names = Names()
        self._read_plugins(files, owners)
        for path, document in self._with_steps(files, owners):
            if len(built) == MAX_OBJECTS:
                self.files.fault(path, document, (), f"more than {MAX_OBJECTS} objects in one tree")
                break
            around = owners.of(path)
            remembered, one = self._build(path, document, around, owners.ceilings(around))
            if one is None:
                continue
            clash = names.clash(one.object) or names.crowded(one.object, owners.ceilings(around))
            if clash is not None:
                field_path, message = clash
                if path in self.files.real:
                    message += "; overlays of one base need Apps with namespaces of their own"
                self.files.fault(path, document, field_path, message)
                continue
            built[one.object.meta.key] = one
            used[remembered] = one
            if self.plugins:
                places[one.object.meta.key] = (path, document)
            if needs(one.object):
                written[one.object.meta.key] = (path, document)
        if written:
            self._check_dependencies(built, written)
        if places and not self.files.faults:
            self._consult(built, places)
        if self.files.faults:
            raise SpecError(dict.fromkeys(self.files.told(one) for one in self.files.faults))
        self.cache.objects = used
        self.cache.files = {self.files.content[path]: spec for path, spec in files.items()}
        self.cache.modules.forget_except(
            {
                f"{path.rpartition('.')[2]} {self.files.tree.content_id(path)}"
                for path in self.files.modules()
            }
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
            self.files.fault(path, document, ("spec", "dependsOn"), f"goes in a circle: {told}")

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
            self.attached.module_at,
            lambda where: self.cache.modules.wasm(self.files.tree, where),
            self.keep,
        )
        for path, document in documents:
            name, owner = document.meta["name"], owners.of(path)
            for field_path, message in self.plugins.read(name, document.spec, path, owner, there):
                self.files.fault(path, document, field_path, message)

    def _consult(
        self, built: dict[Key, _Built], places: Mapping[Key, tuple[str, Document]]
    ) -> None:
        """Ask the plugins about every object, and take what they make of it."""
        objects = {key: one.object for key, one in built.items()}
        done = self.plugins.consult(objects, self.cache.answers)
        for key, message in done.faults:
            path, document = places[key]
            self.files.fault(path, document, ("metadata", "name"), message)
        for key, thing in done.objects.items():
            if thing is not built[key].object:
                built[key] = replace(built[key], object=thing, want=_want(thing))

    def _with_steps(
        self, files: Mapping[str, SpecFile], owners: Owners
    ) -> Iterator[tuple[str, Document]]:
        """Every document, and behind a Workflow the Tasks that carry its steps out."""
        for path, document in self.files.documents(files):
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
                self.files.fault(path, one, ("spec", "name"), long)
                return None
            if "file" in row["module"]:
                found = self.attached.module(path, one)
                if found is None:
                    return None
                row = {**row, "module": {**row["module"], "digest": found.identity}}  # noqa: PLW2901
            steps.append(row)
        return replace(document, spec={**document.spec, "steps": steps})

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
            found = self.attached.module(path, document)
            if found is None:
                return (), None
            module = found
            spec["module"] = {**spec["module"], "digest": module.identity}
        if "file" in spec.get("model", ()):
            digest = self.attached.model(path, document)
            if digest is None:
                return (), None
            spec["model"] = {**spec["model"], "initial": digest}
        aggregator = spec.get("strategy", {}).get("module")
        if aggregator is not None:
            digest, flaws = aggregator_of(aggregator, path, self.attached.module_at)
            for where, message in flaws:
                self.files.fault(path, document, ("spec", "strategy", "module", where), message)
            if flaws:
                return (), None
            aggregator = {**aggregator, "digest": digest}
            spec["strategy"] = {**spec["strategy"], "module": aggregator}
        if any("file" in row for row in spec.get("run", {}).get("models", ())):
            rows = self.attached.model_files(path, document)
            if rows is None:
                return (), None
            spec["run"] = {**spec["run"], "models": rows}
        namespace = document.meta.get("namespace", owner.namespace)
        remember = (
            self.files.content[path], document.index, document.within, path, self.domain,
            owner.name, namespace, spec.get("prune"), module and module.digest,
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
            self.files.fault(path, document, ("metadata", "moved"), message)
            return remember, None
        meta = {
            **document.meta,
            "namespace": namespace,
            "uid": uid_for(self.domain, key, document.meta.get("uid")),
            "app": owner.name,
            "file": self.files.real.get(path, path),
            "line": int(document.line),
        }
        made = parse_object(document.kind, meta, spec)
        if isinstance(made, Modular):
            wrong = list(refusals(made, module, ceilings, owner))
            for below, message in wrong:
                self.files.fault(path, document, ("spec", *below), message)
            if wrong:
                return remember, None
        return remember, _Built(made, _want(made), module)

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
            name=self.files.tree.name,
            digest=Digest("sha256:" + whole.hexdigest()),
            objects={key: built[key].object for key in ordered},
            modules=modules,
            author=self.files.tree.author,
            message=self.files.tree.message,
            time=self.files.tree.time,
            skipped=tuple(self.files.skipped),
            signed_by=self.files.tree.signed_by,
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
