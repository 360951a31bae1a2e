"""Plugins of a spec tree: read from its documents, asked about its objects, and what comes of it.

Called by `load` once all objects are made. First everybody who enriches, in the order of names,
then everybody who admits: what is admitted is what is taken. A refusal is a fault of the object
that it is about, so the revision is not taken; so is an answer that cannot be had, where the plugin
says `onFailure: Closed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from propeller.errors import Unavailable
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
from propeller.model.specs import Daemon, Object, Task
from propeller.sources.hooks import PROCESSES, Hooks, installed
from propeller.sources.modules import NoModule, inside
from propeller.sources.nodes import Path
from propeller.sources.sandboxed import Fitting, unfit

KIND: Final = "Plugin"
SPACE: Final = "propeller"
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
    if spec.get("module", {}).get("file", "").startswith("/"):
        yield ("module", "file"), "must be relative to the spec file"


@dataclass(slots=True)
class Plugins:
    """Those of one tree, in the order of their names. wasm: bytes of a module by digest."""

    hooks: Hooks = PROCESSES
    found: dict[str, Plugin] = field(default_factory=dict)
    wasm: dict[Digest, bytes] = field(default_factory=dict)

    def read(
        self,
        name: str,
        spec: Mapping[str, Any],
        path: str,
        module_at: Callable[[str], Module | NoModule],
        bytes_at: Callable[[str], bytes],
    ) -> Iterator[tuple[Path, str]]:
        """Take one in; what is wrong with it, as (field of the document, words)."""
        if name in self.found:
            yield ("metadata", "name"), f"the plugin {name} is given twice"
            return
        hooks = frozenset(Hook(one) for one in spec["hooks"])
        if "python" in spec:
            digest = installed(spec["python"])
            if digest is None:
                yield ("spec", "python"), "is offered by no installed package, or by several"
                return
        else:
            at: Path = ("spec", "module", "file")
            where = inside(path.rpartition("/")[0], spec["module"]["file"])
            if where is None:
                yield at, "must be inside the spec tree"
                return
            module = module_at(where)
            if isinstance(module, NoModule):
                yield at, module.message
                return
            if spec["module"].get("digest") not in (None, module.identity, module.digest):
                yield ("spec", "module", "digest"), f"does not match: {where} is {module.identity}"
                return
            wrong = list(_unfit(module, hooks, spec["limits"]["memory"]))
            for words in wrong:
                yield at, f"{where} {words}"
            if wrong:
                return
            digest = module.digest
            self.wasm[digest] = bytes_at(where)
        parameters = tuple(sorted(spec["parameters"].items()))
        self.found[name] = Plugin(
            name=name,
            digest=digest,
            python=spec.get("python", ""),
            hooks=hooks,
            kinds=frozenset(spec["kinds"]),
            namespaces=tuple(spec["namespaces"]),
            failing=Failing(spec["onFailure"]),
            fuel=spec["limits"]["fuel"],
            memory=spec["limits"]["memory"],
            timeout=spec["limits"]["timeout"],
            parameters=parameters,
        )

    def consult(self, objects: Mapping[Key, Object], known: Known) -> Consulted:
        """Ask all of them about all objects. known: what need not be asked; set to what was used.

        Raises Unavailable where a plugin that has to answer was late or died: to ask again may
        help, and until then nothing is taken.
        """
        done = Consulted(dict(objects))
        used: Known = {}
        for hook in (Hook.ENRICH, Hook.ADMIT):
            for _, plugin in sorted(self.found.items()):
                if hook in plugin.hooks:
                    self._hear(plugin, hook, done, known, used)
        self._lend(done)
        known.clear()
        known.update(used)
        return done

    def _lend(self, done: Consulted) -> None:
        """Objects that are placed by a number of copies carry who scores proplets for them."""
        placing = [one for _, one in sorted(self.found.items()) if Hook.PLACE in one.hooks]
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
            wasm = self.wasm.get(plugin.digest, b"")
            told = self.hooks.ask(plugin, wasm, hook, [asked[key] for key in new])
            fresh = dict(zip(new, told, strict=True))
        else:
            fresh = {}
        for key, name in names.items():
            answer = fresh.get(key) or known[name]
            if not answer.failed:
                used[name] = answer
            done.take(plugin, key, answer)


@dataclass(slots=True)
class Consulted:
    """The objects as plugins left them. faults: (object, words) of those that are not taken."""

    objects: dict[Key, Object]
    faults: list[tuple[Key, str]] = field(default_factory=list)

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
        if said:
            self.objects[key] = noted(thing, plugin, said)


def _is_step(thing: Object) -> bool:
    """A step of a Workflow says what its Workflow says: other bytes would be another run."""
    return isinstance(thing, Task) and thing.step is not None


def _digest(text: bytes) -> str:
    return canonical_digest(text.decode())


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
