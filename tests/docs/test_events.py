"""docs/reference/events.md names every reason that the code can give, and none that it cannot.

Reasons are found in the source: where an event or a note is made, where a condition is put, where a
block or a module's fault is made, also through the parameters named `reason` and the tuples that
are handed on as rows. What is made of the words of a closed list is taken from that list.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from propeller.model.drift import DriftReason
from propeller.model.flow import StepState
from propeller.model.specs import Scheduling
from propeller.plan.board import NEEDS_A_PERSON, WAITS
from propeller.plan.types import ChangeOp
from propeller.reconcile import runwords
from propeller.registry import resolve
from tests.docs.conftest import ROOT

PAGE = ROOT / "docs" / "reference" / "events.md"
PLACES = ("plan", "reconcile", "registry", "writeback", "state", "cli/outward.py")
WORD = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
STATUSES = {"TRUE", "FALSE", "UNKNOWN", "status"}
HOLDERS = {"reason", "word", "blocked", "waits", "row"}
EVENTS = {"Event", "StoredEvent", "Note", "Remark", "_event", "_remark"}
SEVERITIES = {"Info", "Warning"}

MADE_EVENTS = {
    *(str(state) for state in runwords._WORDS),  # how a run goes on
    *(f"{op.value.capitalize()}d".replace("dd", "d") for op in ChangeOp if op.value[-1] == "e"),
    *(f"Step{state.value}" for state in (StepState.SUCCEEDED, StepState.FAILED)),
    *(str(one) for one in Scheduling),  # what a person says of a proplet
}
MADE_FAULTS = set(resolve._BROKEN.values())
MADE_CONDITIONS = {
    *(str(one) for one in DriftReason),
    "DuplicateIdentity",  # why a proplet is quarantined
    "ForeignFence",
    "RevisionRefused",  # why the source of an App is not taken
}


def sources() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / "propeller" / place
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


TREES = {path: ast.parse(path.read_text()) for path in sources()}


def pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each name and its value, also in `a, b = 1, 2`."""
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def named(node: ast.expr) -> str:
    """The last name of `a.b.c` or `c`."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
    return ""


CONSTANTS = {
    named(target): value.value
    for tree in TREES.values()
    for node in tree.body
    if isinstance(node, ast.Assign)
    for target, value in pairs(node)
    if isinstance(value, ast.Constant) and isinstance(value.value, str)
}


def words(node: ast.expr) -> Iterator[str]:
    """The reasons an expression may be."""
    match node:
        case ast.Constant(value=str() as text) if WORD.fullmatch(text) and text not in SEVERITIES:
            yield text
        case ast.Name(id=name) if WORD.fullmatch(CONSTANTS.get(name, "")):
            yield CONSTANTS[name]
        case ast.IfExp():
            yield from words(node.body)
            yield from words(node.orelse)
        case ast.BoolOp():
            for value in node.values:
                yield from words(value)


def where_reasons_go(tree: ast.Module) -> dict[str, int]:
    """At which place a function or a class of this module takes its reason."""
    places = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.FunctionDef):
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            names = [each for each in names if each != "self"]
        elif isinstance(node, ast.ClassDef):
            fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
            names = [named(each) for each in fields]
        if "reason" in names and not isinstance(node, ast.Module):
            places[node.name] = names.index("reason")  # type: ignore[union-attr]
    return places


SHARED = {"Note": 0, "ModuleProblem": 0, "ArtifactError": 0, "put": 2, "_remark": 1}


def reasons_of(path: Path) -> Iterator[tuple[str, str]]:
    """(reason, where it goes: the callee, or "row", "return", "name")."""
    tree = TREES[path]
    places = SHARED | where_reasons_go(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                callee = named(node.func)
                given = [each.value for each in node.keywords if each.arg == "reason"]
                if callee in places:
                    given += node.args[places[callee] : places[callee] + 1]
                for value in given:
                    yield from ((word, callee) for word in words(value))
            case ast.Tuple(elts=[first, second, _]):
                if named(first) in STATUSES or isinstance(first, ast.IfExp):
                    yield from ((word, "row") for word in words(second))
            case ast.Assign():
                for target, value in pairs(node):
                    if named(target) in HOLDERS:
                        yield from ((word, "name") for word in words(value))
            case ast.Return(value=ast.Tuple(elts=[first, _])):
                yield from ((word, "return") for word in words(first))
            case ast.Return(value=ast.expr() as value) if path.parent.name == "plan":
                yield from ((word, "return") for word in words(value))


FOUND: dict[str, set[str]] = defaultdict(set)
for _path in TREES:
    for _word, _how in reasons_of(_path):
        FOUND[_word].add(_how)


def section(title: str) -> dict[str, tuple[str, str]]:
    """Reason to meaning and what to do, of a section of the page."""
    text = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {row[1]: (row[2], row[3]) for row in ROW.finditer(text)}


CONDITIONS = section("Reasons of conditions")
EVENTS_PAGE = section("Reasons of events")
MODULES = section("Faults of modules")
FROM_CODE = FOUND.keys() | MADE_EVENTS | MADE_CONDITIONS | MADE_FAULTS


def test_every_reason_is_on_the_page() -> None:
    """Whoever adds a reason says what it means and what to do."""
    assert FROM_CODE - CONDITIONS.keys() - EVENTS_PAGE.keys() - MODULES.keys() == set()


def test_every_reason_on_the_page_is_in_the_code() -> None:
    """No row tells of what cannot happen any more."""
    assert (CONDITIONS.keys() | EVENTS_PAGE.keys() | MODULES.keys()) - FROM_CODE == set()


def test_reasons_stand_where_they_are_met() -> None:
    """What goes into an event is among events, what goes into a condition among conditions."""
    events = {word for word, how in FOUND.items() if how & EVENTS} | MADE_EVENTS
    rows = {word for word, how in FOUND.items() if how & {"row", "put", "Blocked", "_block"}}
    faults = {word for word, how in FOUND.items() if how & {"ArtifactError", "ModuleProblem"}}
    assert events - EVENTS_PAGE.keys() == set()
    assert (rows | MADE_CONDITIONS | WAITS | NEEDS_A_PERSON) - CONDITIONS.keys() == set()
    assert (faults | MADE_FAULTS) - MODULES.keys() == set()


@pytest.mark.parametrize(
    "title", ["Reasons of conditions", "Reasons of events", "Faults of modules"]
)
def test_rows_are_in_order_and_say_something(title: str) -> None:
    """Sorted, so that a word is found by eye; a meaning and a next step each."""
    rows = section(title)
    assert list(rows) == sorted(rows)
    assert all(meaning.strip() and todo.strip() for meaning, todo in rows.values())


def test_the_search_finds_what_is_there() -> None:
    """Through a constant, a choice, a tuple, a parameter and a note; a search that misses fails."""
    assert FOUND["WindowClosed"] >= {"Blocked"}
    assert "name" in FOUND["StepWaiting"] | FOUND["Held"]
    assert FOUND["Succeeded"] >= {"row"}
    assert "_event" in FOUND["BrokerLost"]
    assert "Note" in FOUND["RoundCommitted"]
    assert "_block" in FOUND["TooFewProplets"]
    assert "return" in FOUND["SecretKeyUnknown"]
    assert FOUND.keys() >= WAITS
    assert FOUND.keys() >= NEEDS_A_PERSON


def test_every_type_of_condition_is_told() -> None:
    """What a condition is called is on the page, and is called so by the code."""
    put = {
        node.args[0].value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and named(node.func) == "put" and len(node.args) > 1
        if isinstance(node.args[0], ast.Constant)
    }
    assert section("Types of conditions").keys() == put
