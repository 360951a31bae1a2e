"""A plugin whose module is in a registry: here or not, in words, and never half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from propeller.errors import SpecError, Unavailable
from propeller.model.ids import Key, sha256_digest
from propeller.model.module import Module
from propeller.model.plugins import Answer, notes_of
from propeller.model.signing import Mode, Rule, Signed, key_set
from propeller.model.specs import ModuleRef
from propeller.registry.wasm import inspect
from propeller.sources.images import Absent, Pulled
from propeller.sources.load import Cache, load
from propeller.sources.tree import Tree

ROOT = Path(__file__).parents[2]
RULES = bytes(wat2wasm((ROOT / "examples" / "plugins" / "house-rules.wat").read_text()))
MANIFEST = sha256_digest(b"a manifest")
IMAGE = f"registry.example/house/rules@{MANIFEST}"
HEAD = "apiVersion: propeller.dev/v1alpha1\n"
PLUGIN = HEAD + (
    "kind: Plugin\nmetadata: {name: house-rules}\nspec:\n"
    f'  module: {{image: "{IMAGE}"}}\n  hooks: [Admit, Enrich]\n'
)
OPEN = PLUGIN + "  onFailure: Open\n"
TASK = HEAD + (
    "kind: Task\nmetadata: {name: a, labels: {team: blue}}\nspec:\n  module: {file: a.wat}\n"
)
A = Key("Task", "default", "a")
GONE = Absent("registry.example: no answer", again=True)


class Shelf:
    """Images by hand; keeps what it was told to forget."""

    def __init__(self, found: Pulled | Absent, *rules: Rule) -> None:
        self.found = found
        self.rules = rules
        self.asked: list[ModuleRef] = []
        self.forgotten: list[ModuleRef] = []

    def fetch(self, refs: Sequence[ModuleRef]) -> Mapping[ModuleRef, Pulled | Absent]:
        self.asked += refs
        return dict.fromkeys(refs, self.found)

    def forget(self, ref: ModuleRef) -> None:
        self.forgotten.append(ref)


class Admits:
    """Whoever is asked says no word."""

    def ask(self, _plugin: Any, _wasm: bytes, _hook: Any, questions: Sequence[bytes]) -> Any:
        return [Answer()] * len(questions)


def pulled(wasm: bytes = RULES, *by: str, **more: Any) -> Pulled:
    """A module that these keys vouch for."""
    facts, digest = inspect(wasm), sha256_digest(wasm)
    module = Module(
        identity=digest,
        digest=digest,
        size=len(wasm),
        imports=facts.imports,
        exports=facts.exports,
        memory_min=facts.memory_min,
        signed=Signed(looked=key_set(["ana", "eve"]), by=by),
        **more,
    )
    return Pulled(module, wasm)


def rule(**more: Any) -> Rule:
    """Who signs plugins."""
    fields: dict[str, Any] = {
        "name": "house",
        "where": "propeller.yaml: modulePolicies[0]",
        "mode": Mode.REQUIRED,
        "repositories": ("registry.example/house/*",),
        "keys": ("ana",),
    }
    return Rule(**{**fields, **more})


def read(shelf: Any, plugin: str = PLUGIN, *, hooks: Any = None, cache: Cache | None = None) -> Any:
    """The revision of a tree with that plugin and one Task."""
    files = {"plugin.yaml": plugin, "a.yaml": TASK}
    files["a.wat"] = '(module (memory (export "memory") 1) (func (export "_start")))'
    tree = Tree("dir@test", {path: text.encode() for path, text in files.items()})
    return load(
        tree,
        domain="d",
        keep=sha256_digest,
        inspect=inspect,
        cache=cache,
        hooks=hooks or Admits(),
        images=shelf,
    )


def faults(*given: Any, **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        read(*given, **more)
    return str(caught.value)


def test_it_is_asked_as_a_plugin_of_the_tree_is() -> None:
    """The version that is told is the digest of the module, not of its manifest."""
    from propeller.sources.hooks import PROCESSES

    thing = read(Shelf(pulled()), hooks=PROCESSES).objects[A]
    assert thing.meta.labels["reviewed"] == "house-rules"
    version = sha256_digest(RULES).removeprefix("sha256:")[:12]
    assert notes_of(thing) == [f"house-rules@{version}: added labels reviewed; added env LOG_LEVEL"]


def test_an_image_needs_a_digest_at_either_place() -> None:
    """A tag would let somebody change the rules without a commit."""
    plain = PLUGIN.replace(f"@{MANIFEST}", ":2")
    assert "spec.module.image: needs a digest" in faults(Shelf(pulled()), plain)
    beside = plain.replace(':2"', f':2", digest: {sha256_digest(RULES)}')
    shelf = Shelf(pulled())
    assert set(read(shelf, beside).objects) == {A}
    assert shelf.asked == [
        ModuleRef(image="registry.example/house/rules:2", digest=sha256_digest(RULES))
    ]


def test_while_it_is_not_there_nothing_is_taken() -> None:
    """Closed: words that say what is missing; the next look may find it."""
    with pytest.raises(Unavailable) as caught:
        read(Shelf(GONE))
    assert str(caught.value) == (
        "plugin.yaml: the plugin house-rules: registry.example: no answer, and onFailure is Closed:"
        " nothing is taken until it is here"
    )
    assert read(Shelf(pulled())).absent == ()


def test_open_takes_objects_without_it_and_says_so() -> None:
    """As if nobody had been asked, and the revision knows that there is more to come."""
    cache = Cache()
    revision = read(Shelf(GONE), OPEN, cache=cache)
    assert revision.absent == ("house-rules",)
    version = MANIFEST.removeprefix("sha256:")[:12]
    words = f"house-rules@{version}: was not asked: its module is not here yet"
    assert notes_of(revision.objects[A]) == [words]
    later = read(Shelf(pulled()), OPEN, cache=cache)
    assert (later.absent, notes_of(later.objects[A])) == ((), [])
    assert later.digest != revision.digest


def test_what_can_never_be_a_plugin_is_a_fault_whatever_on_failure_says() -> None:
    """No later look would help."""
    nothing = Absent("it is not WebAssembly", again=False)
    bare = bytes(wat2wasm('(module (memory (export "memory") 1))'))
    for plugin in (PLUGIN, OPEN):
        assert "spec.module.image: it is not WebAssembly" in faults(Shelf(nothing), plugin)
        told = faults(Shelf(pulled(bare)), plugin)
        assert f"spec.module.image: {IMAGE} must export input(i32) -> i32" in told
        sealed = Shelf(pulled(plain=sha256_digest(b"inside")))
        assert "is encrypted to devices" in faults(sealed, plugin)


def test_a_tree_of_a_request_asks_no_registry() -> None:
    """What came over the API is judged at once, with what it brought."""
    from propeller.sources.images import NOWHERE

    assert "no registry is asked" in faults(NOWHERE)


def test_who_has_to_sign_modules_has_to_sign_plugins() -> None:
    """Unsigned is not there: it may be signed later, without another commit."""
    shelf = Shelf(pulled(RULES, "eve"), rule())
    with pytest.raises(Unavailable, match="none of the keys ana signed it"):
        read(shelf)
    assert shelf.forgotten == [ModuleRef(image=IMAGE)]
    assert read(Shelf(pulled(RULES, "eve"), rule()), OPEN).absent == ("house-rules",)
    shelf = Shelf(pulled(RULES, "ana"), rule())
    assert (read(shelf).absent, shelf.forgotten) == ((), [])
    other = rule(repositories=("registry.example/other/*",))
    with pytest.raises(Unavailable, match="takes images of registry"):
        read(Shelf(pulled(RULES, "ana"), other))


def test_a_rule_that_warns_stops_nothing() -> None:
    """Its words stand on what the plugin is asked about."""
    revision = read(Shelf(pulled(RULES, "eve"), rule(mode=Mode.WARN)))
    (note,) = notes_of(revision.objects[A])
    assert "is used all the same: " in note
    assert "none of the keys ana signed it" in note


def test_a_plugin_needs_the_strictest_of_the_namespaces_it_judges() -> None:
    """Whoever may sign for one namespace does not sign what judges another."""
    rules = (rule(namespaces=("prod",)), rule(namespaces=("lab",), keys=("eve",), name="lab"))
    for spaces, by, taken in (
        ("[lab]", "eve", True),
        ("[prod]", "eve", False),
        ("['*']", "eve", False),
        ("[p*]", "ana", True),
    ):
        shelf = Shelf(pulled(RULES, by), *rules)
        plugin = PLUGIN + f"  namespaces: {spaces}\n"
        if taken:
            assert set(read(shelf, plugin).objects) == {A}
        else:
            with pytest.raises(Unavailable, match="none of the keys ana"):
                read(shelf, plugin)


def test_a_tree_has_a_bounded_number_of_plugins() -> None:
    """Each may take time of everybody who reads the tree."""
    many = "---\n".join(PLUGIN.replace("house-rules", f"p{number}") for number in range(65))
    assert "more than 64 plugins in one tree" in faults(Shelf(pulled()), many)


def test_what_enrich_added_stays_said_where_admit_warns() -> None:
    """One note a plugin, with all it said."""

    class Both:
        def ask(self, _plugin: Any, _wasm: bytes, hook: Any, questions: Sequence[bytes]) -> Any:
            answer = (
                Answer(labels=(("x", "y"),)) if hook == "Enrich" else Answer(warnings=("careful",))
            )
            return [answer] * len(questions)

    (note,) = notes_of(read(Shelf(pulled()), hooks=Both()).objects[A])
    assert note.endswith(": added labels x; warns: careful")
