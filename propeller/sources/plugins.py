"""Plugins of a spec tree: read from its documents, asked about its objects, and what comes of it.

Called by `load` once all objects are made. First everybody who enriches, in the order of names,
then everybody who admits: what is admitted is what is taken. A refusal is a fault of the object
that it is about, so the revision is not taken; so is an answer that cannot be had, where the plugin
says `onFailure: Closed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from propeller.errors import Unavailable
from propeller.model.binding import NONE, Binding, binding
from propeller.model.canonical import canonical_digest
from propeller.model.ids import Digest, Key
from propeller.model.module import Export, Module
from propeller.model.plugins import (
    Answer,
    Hook,
    Plugin,
    enriched,
    noted,
    question,
    scored,
    scorer,
)
from propeller.model.scoring import Failing
from propeller.model.signing import Mode, Rule
from propeller.model.specs import Daemon, ModuleRef, Object, Task
from propeller.plan.admission import judged
from propeller.sources.apps import IMPLICIT, Claim
from propeller.sources.hooks import PROCESSES, Hooks, installed
from propeller.sources.images import NOWHERE, Absent, Images, Pulled, pinned
from propeller.sources.modules import Keep, NoModule, inside
from propeller.sources.nodes import Path
from propeller.sources.sandboxed import Fitting, unfit

KIND: Final = "Plugin"
SPACE: Final = "propeller"
MOST: Final = 64
"""Plugins of one tree."""
IMPORTS: Final = ("refuse", "warn", "label", "annotation", "env")
_CALLS: Final[Mapping[Hook, tuple[str, ...]]] = {
    Hook.ADMIT: (),
    Hook.ENRICH: (),
    Hook.PLACE: ("i64",),
}

Known = dict[tuple[Digest, Hook, str], Answer]
"""Answers by plugin, hook and question; those that failed are not among them."""


def problems(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What the schema cannot say; paths are relative to `spec`."""
    if ("module" in spec) == ("python" in spec):
        yield ("module",), "needs exactly one of module and python"
    if "module" not in spec:
        return
    given = spec["module"]
    if ("file" in given) == ("image" in given):
        yield ("module",), "needs exactly one of file and image"
    elif given.get("file", "").startswith("/"):
        yield ("module", "file"), "must be relative to the spec file"
    elif "image" in given and "digest" not in given and "@" not in given["image"]:
        words = "needs a digest, so that one commit means one plugin: NAME@sha256:..."
        yield ("module", "image"), f"{words}, or digest beside it; `propeller bump` writes them"


def ref_of(spec: Mapping[str, Any]) -> ModuleRef | None:
    """The module in a registry that a plugin names, if it does."""
    given = spec.get("module", {})
    if "image" not in given:
        return None
    digest = given.get("digest")
    return ModuleRef(image=given["image"], digest=None if digest is None else Digest(digest))


@dataclass(frozen=True, slots=True)
class Files:
    """Module files of the tree: what one is, and its Wasm bytes. keep: what stores such bytes."""

    module_at: Callable[[str], Module | NoModule]
    bytes_at: Callable[[str], bytes]
    keep: Keep


@dataclass(frozen=True, slots=True)
class _Here:
    """A module, its bytes, and what a person calls it. words: what a rule says that only warns."""

    module: Module
    wasm: bytes
    where: str
    words: str = ""


_Found = _Here | Absent | tuple[Path, str]
"""The last: what is wrong, at which field."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Plugins from outside the tree that bind it. wasm: bytes of a blob; raises OSError."""

    binding: Binding
    wasm: Callable[[Digest], bytes]


def _no_blob(digest: Digest) -> bytes:
    raise FileNotFoundError(digest)


FREE: Final = Bound(NONE, _no_blob)
"""Nobody binds it."""


@dataclass(slots=True)
class Plugins:
    """Those of one tree, in the order of their names. wasm: bytes of a module by digest.

    bound: those from outside, which are asked before its own. absent: those whose module is not
    here, and whose `onFailure` is Open. far: names of those that bind the sources of Apps.
    """

    hooks: Hooks = PROCESSES
    images: Images = NOWHERE
    bound: Bound = FREE
    found: dict[str, Plugin] = field(default_factory=dict)
    wasm: dict[Digest, bytes] = field(default_factory=dict)
    absent: dict[str, Plugin] = field(default_factory=dict)
    far: set[str] = field(default_factory=set)
    _pulled: Mapping[ModuleRef, Pulled | Absent] = field(default_factory=dict)
    _doubted: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.found or self.absent or self.bound.binding.plugins)

    @property
    def binding(self) -> Binding:
        """Those that bind the sources of Apps, as far as they are here."""
        return binding(self.found[name] for name in self.far if name in self.found)

    def _asked(self) -> list[Plugin]:
        """All of them, in the order in which they are asked."""
        return [*self.bound.binding.plugins, *(self.found[name] for name in sorted(self.found))]

    def pull(self, specs: Iterable[Mapping[str, Any]]) -> None:
        """Have the modules fetched that are in registries, all of them at once."""
        refs = [ref for ref in map(ref_of, specs) if ref is not None]
        if refs:
            self._pulled = self.images.fetch(tuple(dict.fromkeys(refs)))

    def read(
        self, name: str, spec: Mapping[str, Any], path: str, owner: Claim, files: Files
    ) -> Iterator[tuple[Path, str]]:
        """Take one in; what is wrong with it, as (field of the document, words).

        owner: whose file it stands in. Raises Unavailable where its module is not here yet and
        `onFailure` is Closed.
        """
        if name in self.found or name in self.absent:
            yield ("metadata", "name"), f"the plugin {name} is given twice"
            return
        if any(one.name == name for one in self.bound.binding.plugins):
            words = f"{name} is a plugin of the fleet that binds this App: choose another name"
            yield ("metadata", "name"), words
            return
        if spec["binds"] == "Apps":
            if owner is not IMPLICIT:
                words = "Apps can only stand outside Apps, in the tree that is followed"
                yield ("spec", "binds"), words
                return
            self.far.add(name)
        if len(self.found) + len(self.absent) == MOST:
            yield (), f"more than {MOST} plugins in one tree"
            return
        if "python" in spec:
            digest = installed(spec["python"])
            if digest is None:
                yield ("spec", "python"), "is offered by no installed package, or by several"
                return
            self.found[name] = _plugin(name, spec, digest)
            return
        ref = ref_of(spec)
        found = (
            _filed(spec, path, files) if ref is None else self._from_registry(spec, ref, owner.name)
        )
        match found:
            case Absent() if Failing(spec["onFailure"]) is Failing.CLOSED:
                raise Unavailable(
                    f"{path}: the plugin {name}: {found.why}, and onFailure is Closed: nothing is"
                    " taken until it is here"
                )
            case Absent():
                digest = pinned(ref) if ref is not None else None
                self.absent[name] = _plugin(name, spec, digest or Digest(""))
            case _Here():
                at: Path = ("spec", "module", "file" if ref is None else "image")
                plugin = _plugin(name, spec, found.module.digest)
                wrong = list(_unfit(found.module, plugin.hooks, plugin.memory))
                yield from ((at, f"{found.where} {words}") for words in wrong)
                if wrong:
                    return
                self.found[name] = plugin
                self.wasm[plugin.digest] = found.wasm
                files.keep(found.wasm)  # who scores proplets or binds Apps is read from there
                self._doubted[name] = found.words
            case _:
                yield found

    def _from_registry(self, spec: Mapping[str, Any], ref: ModuleRef, app: str) -> _Found:
        """What became of the image."""
        at: Path = ("spec", "module", "image")
        found = self._pulled.get(ref) or Absent("was not asked for", again=True)
        if isinstance(found, Absent):
            return found if found.again else (at, found.why)
        if found.module.plain is not None:
            return at, f"{ref} is encrypted to devices; a plugin runs here: push it as it is"
        stops, warns = _doubts(ref, found.module, self.images.rules, spec["namespaces"], app)
        if stops or warns:
            self.images.forget(ref)
        if stops:
            return Absent(stops, again=True)
        return _Here(found.module, found.wasm, str(ref), warns)

    def consult(self, objects: Mapping[Key, Object], known: Known) -> Consulted:
        """Ask all of them about all objects. known: what need not be asked; set to what was used.

        Raises Unavailable where a plugin that has to answer was late or died: to ask again may
        help, and until then nothing is taken.
        """
        done = Consulted(dict(objects))
        used: Known = {}
        for hook in (Hook.ENRICH, Hook.ADMIT):
            for plugin in self._asked():
                if hook in plugin.hooks:
                    self._hear(plugin, hook, done, known, used)
        self._note_others(done)
        self._lend(done)
        known.clear()
        known.update(used)
        return done

    def _note_others(self, done: Consulted) -> None:
        """What is to be said of plugins whatever they answer: not here, or not vouched for."""
        for _, plugin in sorted(self.absent.items()):
            for key in filter(plugin.concerns, list(done.objects)):
                done.say(plugin, key, ["was not asked: its module is not here yet"])
        for name, words in sorted(self._doubted.items()):
            plugin = self.found[name]
            for key in filter(plugin.concerns, list(done.objects) if words else ()):
                done.say(plugin, key, [f"is used all the same: {words}"])

    def _lend(self, done: Consulted) -> None:
        """Objects that are placed by a number of copies carry who scores proplets for them."""
        placing = [one for one in self._asked() if Hook.PLACE in one.hooks]
        for key, thing in done.objects.items() if placing else ():
            mine = [scorer(one) for one in placing if one.concerns(key)]
            if mine and isinstance(thing, Task | Daemon):
                done.objects[key] = scored(thing, mine)

    def _hear(self, plugin: Plugin, hook: Hook, done: Consulted, known: Known, used: Known) -> None:
        asked = {
            key: question(plugin, hook, thing)
            for key, thing in done.objects.items()
            if plugin.concerns(key) and not (hook is Hook.ENRICH and _is_step(thing))
        }
        names = {key: (plugin.digest, hook, _digest(text)) for key, text in asked.items()}
        new = [key for key, name in names.items() if name not in known]
        if new:
            told = self._told(plugin, hook, [asked[key] for key in new])
            fresh = dict(zip(new, told, strict=True))
        else:
            fresh = {}
        for key, name in names.items():
            answer = fresh.get(key) or known[name]
            if not answer.failed:
                used[name] = answer
            done.take(plugin, key, answer)

    def _told(self, plugin: Plugin, hook: Hook, questions: list[bytes]) -> list[Answer]:
        wasm = b""
        if not plugin.python:
            try:
                wasm = self.wasm.get(plugin.digest) or self.bound.wasm(plugin.digest)
            except OSError:
                lost = Answer(failed="is not in the blob store", again=True)
                return [lost] * len(questions)
        return self.hooks.ask(plugin, wasm, hook, questions)


@dataclass(slots=True)
class Consulted:
    """The objects as plugins left them. faults: (object, words) of those that are not taken."""

    objects: dict[Key, Object]
    faults: list[tuple[Key, str]] = field(default_factory=list)
    _said: dict[tuple[Key, str], list[str]] = field(default_factory=dict)

    def take(self, plugin: Plugin, key: Key, answer: Answer) -> None:
        """What one plugin said of one object."""
        said: list[str] = []
        if answer.failed:
            words = f"the plugin {plugin.version} {answer.failed}"
            if plugin.failing is Failing.CLOSED and answer.again:
                raise Unavailable(
                    f"{key}: {words}, and onFailure is Closed: nothing is taken until it answers"
                )
            if plugin.failing is Failing.CLOSED:
                self.faults.append((key, f"{words}, and onFailure is Closed"))
                return
            said.append(f"did not answer: {answer.failed}")
        if answer.refused:
            self.faults.append((key, f"the plugin {plugin.version} refuses: {answer.refused}"))
            return
        thing, added = enriched(self.objects[key], answer)
        said += [f"added {words}" for words in added]
        said += [f"warns: {words}" for words in answer.warnings]
        self.objects[key] = thing
        self.say(plugin, key, said)

    def say(self, plugin: Plugin, key: Key, words: Iterable[str]) -> None:
        """What stands on the object of this plugin, behind what it said before."""
        said = self._said.setdefault((key, plugin.name), [])
        before = len(said)
        said += words
        if len(said) > before:
            self.objects[key] = noted(self.objects[key], plugin, said)


def _is_step(thing: Object) -> bool:
    """A step of a Workflow says what its Workflow says: other bytes would be another run."""
    return isinstance(thing, Task) and thing.step is not None


def _digest(text: bytes) -> str:
    return canonical_digest(text.decode())


def _plugin(name: str, spec: Mapping[str, Any], digest: Digest) -> Plugin:
    return Plugin(
        name=name,
        digest=digest,
        python=spec.get("python", ""),
        hooks=frozenset(Hook(one) for one in spec["hooks"]),
        kinds=frozenset(spec["kinds"]),
        namespaces=tuple(spec["namespaces"]),
        failing=Failing(spec["onFailure"]),
        fuel=spec["limits"]["fuel"],
        memory=spec["limits"]["memory"],
        timeout=spec["limits"]["timeout"],
        parameters=tuple(sorted(spec["parameters"].items())),
    )


def _filed(spec: Mapping[str, Any], path: str, files: Files) -> _Found:
    """What became of the file."""
    at: Path = ("spec", "module", "file")
    where = inside(path.rpartition("/")[0], spec["module"]["file"])
    if where is None:
        return at, "must be inside the spec tree"
    module = files.module_at(where)
    if isinstance(module, NoModule):
        return at, module.message
    if spec["module"].get("digest") not in (None, module.identity, module.digest):
        return ("spec", "module", "digest"), f"does not match: {where} is {module.identity}"
    return _Here(module, files.bytes_at(where), where)


def _doubts(
    ref: ModuleRef, module: Module, rules: tuple[Rule, ...], spaces: Iterable[str], app: str
) -> tuple[str, str]:
    """What rules say against a module, where they have to be kept and where they only warn.

    spaces: patterns of the namespaces that it judges. A rule about one of these is about it, so
    that a plugin needs the strictest of those whose objects it may change.
    """
    named = {name for rule in rules for name in rule.namespaces}
    over = [name for name in sorted(named) if any(fnmatchcase(name, one) for one in spaces)]
    said = [
        one
        for namespace in ("", *over)
        for one in judged(ref, module, rules, namespace=namespace, app=app)
        if one.words
    ]
    words = {mode: next((one.words for one in said if one.rule.mode is mode), "") for mode in Mode}
    return words[Mode.REQUIRED], words[Mode.WARN]


def _unfit(module: Module, hooks: Iterable[Hook], memory: int) -> Iterator[str]:
    fitting = Fitting(
        what="a plugin",
        space=SPACE,
        imports=IMPORTS,
        memory=memory,
        gives=f"limits.memory gives {memory}",
    )
    wanted = [Export("input", ("i32",), ("i32",))]
    wanted += [Export(hook.lower(), (), _CALLS[hook]) for hook in sorted(hooks)]
    return unfit(module, fitting, wanted)
