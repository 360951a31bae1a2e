"""Plugins of a spec tree: what they refuse is not taken, what they add is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from propeller.errors import SpecError, Unavailable
from propeller.model.ids import Key, sha256_digest
from propeller.model.plugins import (
    Answer,
    Hook,
    Plugin,
    answer_of,
    notes_of,
    question,
    scoring,
)
from propeller.model.specs import models_of
from propeller.registry.wasm import inspect
from propeller.sources.hooks import PROCESSES
from propeller.sources.load import Cache, load
from propeller.sources.tree import Tree

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "examples" / "plugins" / "house-rules.wat").read_text()
HEAD = "apiVersion: propeller.dev/v1alpha1\n"
PLUGIN = HEAD + (
    "kind: Plugin\nmetadata: {name: house-rules}\nspec:\n"
    "  module: {file: rules.wat}\n  hooks: [Admit, Enrich]\n"
)
TASK = HEAD + (
    "kind: Task\nmetadata: {name: a, labels: {team: blue}}\nspec:\n"
    "  module: {file: a.wat}\n  run: {env: [{name: OWN, value: x}]}\n"
)
A = Key("Task", "default", "a")
BODY = """(module (import "propeller" "refuse" (func $refuse (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "input") (param i32) (result i32) (i32.const 1024))
  (func (export "admit") %s))"""


def read(
    rules: str = RULES,
    task: str = TASK,
    plugin: str = PLUGIN,
    *,
    cache: Cache | None = None,
    hooks: Any = PROCESSES,
    **more: str,
) -> Any:
    """The revision of a tree with that module as its plugin."""
    files = {"plugin.yaml": plugin, "rules.wat": rules, "a.yaml": task} | more
    files["a.wat"] = '(module (memory (export "memory") 1) (func (export "_start")))'
    tree = Tree("dir@test", {path: text.encode() for path, text in files.items()})
    return load(
        tree, domain="d", keep=sha256_digest, inspect=inspect, cache=cache or Cache(), hooks=hooks
    )


def faults(*given: Any, **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        read(*given, **more)
    return str(caught.value)


class Asked:
    """Answers by hand, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.questions: list[tuple[Hook, bytes]] = []

    def ask(
        self, plugin: Plugin, wasm: bytes, hook: Hook, questions: Sequence[bytes]
    ) -> list[Answer]:
        assert wasm.startswith(b"\0asm")
        self.questions += [(hook, one) for one in questions]
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [answer] * len(questions)


# -- a module, in its process ---------------------------------------------------------------------


def test_what_a_module_adds_is_part_of_the_object_and_said_on_it() -> None:
    """A label, a variable behind its own; a plugin itself is no object."""
    revision = read()
    assert set(revision.objects) == {A}
    thing = revision.objects[A]
    assert thing.run.env == (("OWN", "x"), ("LOG_LEVEL", "info"))
    assert thing.meta.labels == {"team": "blue", "reviewed": "house-rules"}
    (note,) = notes_of(thing)
    assert note.startswith("house-rules@")
    assert note.endswith(": added labels reviewed; added env LOG_LEVEL")


def test_what_a_module_refuses_is_a_fault_of_the_object() -> None:
    """With file, line, the plugin's version and its words; a warning is none."""
    told = faults(task=TASK.replace("team: blue", "squad: blue"))
    assert told.startswith("a.yaml:3: metadata.name: the plugin house-rules@")
    assert told.endswith(" refuses: needs a label team: who is called when it fails?")
    warned = read(task=TASK + "  limits: {memory: Unlimited}\n").objects[A]
    assert notes_of(warned)[0].endswith("warns: may take all the memory of a device")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("(loop (br 0))", "used up its fuel of 100000"),
        ("unreachable", "trapped: unreachable"),
        ("(call $refuse (i32.const -8) (i32.const 99))", "is not inside its memory"),
        ("(drop (i32.load (i32.const 70000)))", "trapped: access outside of its memory"),
    ],
)
def test_a_module_that_fails_takes_nothing_or_is_as_if_it_were_not_there(
    body: str, why: str
) -> None:
    """As its spec says; either way in words."""
    plugin = PLUGIN.replace("[Admit, Enrich]", "[Admit]") + "  limits: {fuel: 100000}\n"
    assert f"{why}, and onFailure is Closed" in faults(BODY % body, plugin=plugin)
    taken = read(BODY % body, plugin=plugin + "  onFailure: Open\n").objects[A]
    assert f"did not answer: {why}" in notes_of(taken)[0].replace("a text it hands out ", "")


def test_a_late_module_is_asked_again_later() -> None:
    """Being late is no property of the commit: nothing is taken and nothing is refused for good."""
    plugin = PLUGIN.replace("[Admit, Enrich]", "[Admit]")
    plugin += "  limits: {fuel: 10000000000, timeout: 10ms}\n"
    with pytest.raises(Unavailable, match="was not done after 10 ms"):
        read(BODY % "(loop (br 0))", plugin=plugin)


def test_each_question_has_an_instance_of_its_own() -> None:
    """What a module remembers, it forgets: the second answer is as the first."""
    counts = """(module (import "propeller" "refuse" (func $refuse (param i32 i32)))
      (memory (export "memory") 1) (data (i32.const 0) "again") (global $n (mut i32) (i32.const 0))
      (func (export "input") (param i32) (result i32) (i32.const 1024))
      (func (export "admit")
        (if (global.get $n) (then (call $refuse (i32.const 0) (i32.const 5))))
        (global.set $n (i32.const 1))))"""
    plugin = PLUGIN.replace("[Admit, Enrich]", "[Admit]")
    assert (
        len(read(counts, plugin=plugin, **{"b.yaml": TASK.replace("name: a", "name: b")}).objects)
        == 2
    )


# -- an installed one -----------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers the plugin `strict`."""
    (tmp_path / "strictly.py").write_text(
        "print('no answer')\n"
        "def admit(question):\n"
        "    if question['object']['metadata']['labels'].get('team') == 'red':\n"
        "        return 'red may not, says ' + question['parameters']['who']\n"
        "def enrich(question):\n"
        "    return {'labels': {'by': 'strict'}}\n"
        "def place(question):\n"
        "    return 1 / 0\n"
    )
    info = tmp_path / "strictly-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strictly\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[propeller.plugins]\nstrict = strictly\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("package")
def test_an_installed_package_is_asked_the_same() -> None:
    """Its functions are named as the hooks; its name and version stand for its bytes."""
    plugin = PLUGIN.replace("module: {file: rules.wat}", "python: strict")
    plugin += "  parameters: {who: ana}\n"
    assert read(plugin=plugin).objects[A].meta.labels["by"] == "strict"
    assert "refuses: red may not, says ana" in faults(
        task=TASK.replace("team: blue", "team: red"), plugin=plugin
    )


def test_a_package_that_is_not_there_is_a_fault() -> None:
    """Not a plugin less."""
    plugin = PLUGIN.replace("module: {file: rules.wat}", "python: strict")
    assert "spec.python: is offered by no installed package" in faults(plugin=plugin)
    assert sys.modules.get("strictly") is None, "nothing of it runs in this process"


PLACE = """(module (import "propeller" "warn" (func (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "input") (param i32) (result i32) (i32.const 1024))
  (func (export "place") (result i64) (i64.const %d)))"""


def test_who_scores_proplets_goes_with_the_object() -> None:
    """By digest: another module is another scorer, and no other generation."""
    plugin = PLUGIN.replace("[Admit, Enrich]", "[Place]")
    one, two = (read(PLACE % points, plugin=plugin).objects[A] for points in (7, 8))
    (scorer,) = one.meta.scorers
    assert models_of(one) == {scorer.digest}, "the clean-up would throw it away"
    assert one.meta.scorers != two.meta.scorers
    assert one.meta.spec_digest == two.meta.spec_digest
    asked = question(scoring(scorer), Hook.PLACE, one, {"labels": {}})
    wasm = bytes(wat2wasm(PLACE % 7))
    (answer,) = PROCESSES.ask(scoring(scorer), wasm, Hook.PLACE, [asked])
    assert answer == Answer(score=7)


# -- who is asked, and how often ------------------------------------------------------------------


def test_an_answer_is_asked_for_once() -> None:
    """A change of one object asks about that one; a change of the plugin asks about all."""
    hooks, cache = Asked(Answer()), Cache()
    both = {"b.yaml": TASK.replace("name: a", "name: b")}
    read(hooks=hooks, cache=cache, **both)
    assert len(hooks.questions) == 4
    read(hooks=hooks, cache=cache, **both)
    assert len(hooks.questions) == 4
    read(task=TASK + '  runKey: "2"\n', hooks=hooks, cache=cache, **both)
    assert len(hooks.questions) == 6
    read(RULES.replace("LOG_LEVEL", "LOG_LEVEB"), hooks=hooks, cache=cache, **both)
    assert len(hooks.questions) == 10


def test_a_failure_is_not_remembered() -> None:
    """The next look at the source asks again."""
    hooks, cache = Asked(Answer(failed="was late", again=True), Answer()), Cache()
    with pytest.raises(Unavailable):
        read(hooks=hooks, cache=cache)
    assert set(read(hooks=hooks, cache=cache).objects) == {A}


def test_what_is_admitted_is_what_was_enriched() -> None:
    """Whoever admits sees what others added."""
    hooks = Asked(Answer(labels=(("site", "north"),)), Answer())
    read(hooks=hooks)
    assert [hook for hook, _ in hooks.questions] == [Hook.ENRICH, Hook.ADMIT]
    assert b'"site":"north"' not in hooks.questions[0][1]
    assert b'"site":"north"' in hooks.questions[1][1]


def test_what_an_author_wrote_stays() -> None:
    """A default is for who has none."""
    hooks = Asked(Answer(labels=(("team", "red"),), env=(("OWN", "y"),)), Answer())
    thing = read(hooks=hooks).objects[A]
    assert thing.meta.labels == {"team": "blue"}
    assert thing.run.env == (("OWN", "x"),)
    assert notes_of(thing) == []


def test_a_plugin_is_asked_about_its_kinds_and_namespaces() -> None:
    """And about nothing else."""
    for line in ("  kinds: [Daemon]\n", "  namespaces: [plant-*]\n"):
        hooks = Asked(Answer(refused="no"))
        assert set(read(plugin=PLUGIN + line, hooks=hooks).objects) == {A}
        assert hooks.questions == []


def test_steps_are_admitted_and_not_enriched() -> None:
    """Other variables would be another run of a Workflow that is under way."""
    flow = HEAD + (
        "kind: Workflow\nmetadata: {name: w, labels: {team: blue}}\nspec:\n"
        "  steps: [{name: one, module: {file: a.wat}}]\n"
    )
    hooks = Asked(Answer(env=(("X", "1"),)), Answer())
    found = read(task=flow, hooks=hooks).objects
    assert found[Key("Task", "default", "w-one")].run.env == ()
    assert [hook for hook, _ in hooks.questions] == [Hook.ENRICH, Hook.ADMIT, Hook.ADMIT]


# -- what is no plugin ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "rules", "why"),
    [
        (
            PLUGIN,
            RULES.replace('"propeller" "warn"', '"env" "warn"'),
            "imports env.warn; a plugin may",
        ),
        (PLUGIN, BODY % "", "must export enrich()"),
        (PLUGIN, RULES.replace('"memory") 1', '"memory") 999'), "limits.memory gives 16777216"),
        (PLUGIN.replace("rules.wat", "../rules.wat"), RULES, "must be inside the spec tree"),
        (PLUGIN + "  python: strict\n", RULES, "needs exactly one of module and python"),
        (PLUGIN + "  limits: {timeout: 1m}\n", RULES, "spec.limits.timeout: must be"),
        (PLUGIN + "---\n" + PLUGIN, RULES, "the plugin house-rules is given twice"),
    ],
)
def test_what_is_no_plugin_is_a_fault(plugin: str, rules: str, why: str) -> None:
    """Before anything is asked."""
    assert why in faults(rules, plugin=plugin)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"labels": {"a b": "x"}}, "which is none"),
        ({"labels": {"a": "x y"}}, "which is none"),
        ({"annotations": {"propeller.dev/x": "y"}}, "not its own"),
        ({"env": {"A": "x" * 1025}}, "at most 1024 bytes"),
        ({"env": {f"A{n}": "x" for n in range(33)}}, "added more than 32"),
        ({"warnings": ["w"] * 9}, "warned more than 8"),
        ({"refused": "no"}, "refused when asked to Enrich"),
        ({"score": 10**7}, "gave a score"),
    ],
)
def test_an_answer_that_is_too_much_is_none(told: dict[str, Any], why: str) -> None:
    """Nothing of it counts."""
    with pytest.raises(ValueError, match=why):
        answer_of(told, Hook.ENRICH)


def test_words_steer_no_terminal() -> None:
    """What cannot be printed is not."""
    assert answer_of({"refused": "no\x1b[2J"}, Hook.ADMIT).refused == "no?[2J"
