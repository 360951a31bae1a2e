"""Plugins of the tree that is followed which bind the sources of Apps: asked first, always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from wasmtime import wat2wasm

from propeller.errors import SpecError, Unavailable
from propeller.model.binding import NONE, Binding, binding, binding_of, binding_text
from propeller.model.ceilings import FREE as NO_CEILINGS
from propeller.model.ids import Digest, Key, sha256_digest
from propeller.model.plugins import Answer, Hook, Plugin, notes_of
from propeller.registry.wasm import inspect
from propeller.sources.apps import IMPLICIT, Claim
from propeller.sources.load import load
from propeller.sources.plugins import Bound
from propeller.sources.tree import Tree

HEAD = "apiVersion: propeller.dev/v1alpha1\n"
TASK = HEAD + "kind: Task\nmetadata: {name: a}\nspec:\n  module: {file: a.wat}\n"
RED = Claim("red", "", 0, ".", "plant", False, NO_CEILINGS)
A = Key("Task", "plant", "a")
WAT = """(module (memory (export "memory") 1)
  (func (export "input") (param i32) (result i32) (i32.const 1024))
  (func (export "admit")) (func (export "enrich"))
  (func (export "place") (result i64) i64.const 1))"""


def plugin(name: str, more: str = "") -> str:
    return HEAD + (
        f"kind: Plugin\nmetadata: {{name: {name}}}\nspec:\n"
        f"  module: {{file: p.wat}}\n  hooks: [Admit, Enrich, Place]\n{more}"
    )


class Asked:
    """Keeps who was asked what; each adds a label of its name and one that all of them want."""

    def __init__(self, **refuses: str) -> None:
        self.refuses = refuses
        self.seen: list[tuple[str, Hook]] = []

    def ask(
        self, plugin: Plugin, wasm: bytes, hook: Hook, questions: Sequence[bytes]
    ) -> list[Answer]:
        assert wasm.startswith(b"\0asm")
        self.seen.append((plugin.name, hook))
        if hook is Hook.ENRICH:
            answer = Answer(labels=((plugin.name, "x"), ("first", plugin.name)))
        else:
            answer = Answer(refused=self.refuses.get(plugin.name, ""))
        return [answer] * len(questions)


def read(
    files: dict[str, str], *, owner: Claim = IMPLICIT, bound: Any = None, hooks: Any = None
) -> Any:
    texts = {"a.yaml": TASK, "a.wat": '(module (func (export "_start")))', "p.wat": WAT} | files
    tree = Tree("dir@test", {path: text.encode() for path, text in texts.items()})
    more = {} if bound is None else {"bound": bound}
    return load(
        tree,
        domain="d",
        keep=sha256_digest,
        inspect=inspect,
        owner=owner,
        hooks=hooks or Asked(),
        **more,
    )


def platform(*names: str) -> Bound:
    """What a tree with these plugins binds Apps with."""
    files = {f"{name}.yaml": plugin(name, "  binds: Apps\n") for name in names}
    found = read(files).binding
    return Bound(found, lambda _digest: bytes(wat2wasm(WAT)))


def test_only_what_says_so_binds_apps() -> None:
    """In the order of names, whatever their files are called."""
    files = {"1.yaml": plugin("z", "  binds: Apps\n"), "2.yaml": plugin("b", "  binds: Apps\n")}
    found = read(files | {"3.yaml": plugin("c")}).binding
    assert [one.name for one in found.plugins] == ["b", "z"]
    assert read({"3.yaml": plugin("c")}).binding == NONE
    assert NONE.name == ""


def test_a_binding_comes_back_from_the_store_as_it_was() -> None:
    """With all that a question depends on."""
    found = read({"p.yaml": plugin("p", "  binds: Apps\n  parameters: {who: ana}\n")}).binding
    assert binding_of(binding_text(found)) == found
    assert binding_of(binding_text(found)).name == found.name
    assert binding_of("") == NONE
    assert binding(found.plugins).name != Binding().name


def test_those_of_the_tree_are_asked_first_and_see_the_last_word() -> None:
    """What an App's own plugin adds is admitted by the fleet's; its scorers are on the object."""
    hooks = Asked()
    files = {"own.yaml": plugin("a-own")}
    thing = read(files, owner=RED, bound=platform("z", "b"), hooks=hooks).objects[A]
    asked = ["b", "z", "a-own"]
    wanted = [(name, hook) for hook in (Hook.ENRICH, Hook.ADMIT) for name in asked]
    assert hooks.seen == wanted
    assert thing.meta.labels["first"] == "b"
    assert [one.name for one in thing.meta.scorers] == asked
    assert [note.partition("@")[0] for note in notes_of(thing)] == ["a-own", "b", "z"]


def test_an_app_cannot_take_the_place_of_one() -> None:
    """Not by its name, not by binding others, not from a folder of the tree."""
    bound = platform("rules")
    for files, owner, words in (
        ({"own.yaml": plugin("rules")}, RED, "rules is a plugin of the fleet that binds this App"),
        ({"own.yaml": plugin("own", "  binds: Apps\n")}, RED, "spec.binds: Apps can only stand"),
        (
            {
                "app.yaml": HEAD + "kind: App\nmetadata: {name: in}\nspec: {source: {path: in}}\n",
                "in/own.yaml": plugin("own", "  binds: Apps\n"),
                "in/p.wat": WAT,
            },
            IMPLICIT,
            "spec.binds: Apps can only stand",
        ),
    ):
        with pytest.raises(SpecError, match=words):
            read(files, owner=owner, bound=bound)


def test_what_it_refuses_is_a_fault_of_the_app() -> None:
    """At the App's own file."""
    with pytest.raises(SpecError, match=r"^a.yaml:3: metadata.name: the plugin rules@\w+ refuses"):
        read({}, owner=RED, bound=platform("rules"), hooks=Asked(rules="no"))


def test_a_module_that_was_lost_stops_the_app_in_words() -> None:
    """Closed: nothing is taken; it is asked again."""

    def lost(digest: Digest) -> bytes:
        raise FileNotFoundError(digest)

    with pytest.raises(Unavailable, match="is not in the blob store, and onFailure is Closed"):
        read({}, owner=RED, bound=Bound(platform("rules").binding, lost))
