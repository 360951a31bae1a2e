"""What a revision changes in the inventory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import Digest
from propeller.model.specs import Origin, Prune
from propeller.plan.diff import diff, fields
from propeller.plan.types import ChangeOp, FieldDiff

LATER = 1_750_000_600_000


def _having(w: Any, *objects: Any, **more: Any) -> Any:
    return {obj.meta.uid: w.held(obj, **more) for obj in objects}


def test_a_new_object_begins_at_generation_one(w: Any) -> None:
    """Created now, by this revision."""
    change = diff({}, w.revision(w.task("add")), now=LATER)
    (held,) = change.created
    assert (held.generation, held.created_at, held.changed_at) == (1, LATER, LATER)
    assert held.revision == "main@2"
    (line,) = change.changes
    assert (line.op, line.reason) == (ChangeOp.CREATE, "added in main@2")


def test_an_equal_object_is_left_alone(w: Any) -> None:
    """Not a byte of its row changes, so nothing is written."""
    having = _having(w, w.task("add"))
    change = diff(having, w.revision(w.task("add")), now=LATER)
    assert change.unchanged == tuple(having.values())
    assert change.moved() == ()
    assert change.changes == ()


def test_an_edited_spec_moves_the_generation(w: Any) -> None:
    """And says when, and by which revision."""
    having = _having(w, w.task("add", args=("1",)), generation=4)
    change = diff(having, w.revision(w.task("add", args=("2",))), now=LATER)
    (held,) = change.updated
    assert (held.generation, held.changed_at, held.created_at) == (5, LATER, w.NOW)
    (line,) = change.changes
    assert line.fields == (FieldDiff("spec.run.args[0]", "1", "2"),)
    assert line.reason == "spec.run.args changed"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"labels": {"a": "b"}}, "metadata.labels.a changed"),
        ({"annotations": {"a": "b"}}, "metadata.annotations.a changed"),
        ({"app": "plant"}, "only where it is written or its App changed"),
        ({"origin": Origin("b.yaml", 9)}, "only where it is written or its App changed"),
    ],
)
def test_what_is_not_spec_moves_the_object_and_not_its_generation(
    w: Any, edit: dict[str, Any], reason: str
) -> None:
    """Labels, annotations, App and origin."""
    having = _having(w, w.task("add"), generation=4)
    change = diff(having, w.revision(w.task("add", **edit)), now=LATER)
    (held,) = change.updated
    assert (held.generation, held.changed_at) == (4, w.NOW)
    assert [line.reason for line in change.changes] == [reason]


def test_a_renamed_object_with_its_uid_is_the_same_one(w: Any) -> None:
    """`metadata.uid` carries identity over a rename."""
    old = w.task("old")
    new = w.task("new", uid=old.meta.uid)
    change = diff(_having(w, old), w.revision(new), now=LATER)
    assert change.created == change.deleted == ()
    assert [line.reason for line in change.changes] == ["moved from Task/default/old"]


def test_a_removed_object_becomes_a_tombstone(w: Any) -> None:
    """It is not gone before its devices say so."""
    change = diff(_having(w, w.task("add")), w.revision(), now=LATER)
    (held,) = change.deleted
    assert (held.deleted_at, held.orphan, held.revision) == (LATER, False, "main@2")
    (line,) = change.changes
    assert (line.op, line.reason) == (ChangeOp.DELETE, "removed from main@2")


def test_a_tombstone_is_deleted_once(w: Any) -> None:
    """The next revision without it changes nothing."""
    having = _having(w, w.task("add"), deleted_at=5)
    change = diff(having, w.revision(), now=LATER)
    assert change.moved() == ()
    assert change.unchanged == tuple(having.values())


@pytest.mark.parametrize(("args", "generation"), [(("1",), 3), (("2",), 4)])
def test_what_comes_back_rises_from_its_tombstone(
    w: Any, args: tuple[str, ...], generation: int
) -> None:
    """With its generation, which moves only if the spec did."""
    having = _having(w, w.task("add", args=("1",)), generation=3, deleted_at=5, orphan=True)
    change = diff(having, w.revision(w.task("add", args=args)), now=LATER)
    (held,) = change.revived
    assert (held.deleted_at, held.orphan, held.generation) == (None, False, generation)
    assert [line.reason for line in change.changes] == ["back in main@2"]


def test_what_is_not_to_be_pruned_becomes_an_orphan(w: Any) -> None:
    """The object says so itself."""
    change = diff(_having(w, w.task("add", prune=Prune.NEVER)), w.revision(), now=LATER)
    assert [held.orphan for held in change.deleted] == [True]
    assert change.changes[0].reason == "removed from main@2; spec.prune is Never"


@pytest.mark.parametrize("app_stays", [True, False])
def test_an_app_may_say_that_nothing_of_it_is_pruned(w: Any, app_stays: bool) -> None:
    """Also when the App itself left with it."""
    plant = w.app("plant", prune=Prune.NEVER)
    having = _having(w, plant, w.task("add", app="plant"))
    change = diff(having, w.revision(*([plant] if app_stays else [])), now=LATER)
    assert all(held.orphan for held in change.deleted)
    assert len(change.deleted) == (1 if app_stays else 2)


def test_the_newest_word_of_an_app_counts(w: Any) -> None:
    """The revision that removes the object also lifts the App's `prune: Never`."""
    having = _having(w, w.app("plant", prune=Prune.NEVER), w.task("add", app="plant"))
    change = diff(having, w.revision(w.app("plant")), now=LATER)
    assert [held.orphan for held in change.deleted] == [False]


def test_a_protected_object_is_not_pruned(w: Any) -> None:
    """`metadata.protect`."""
    change = diff(_having(w, w.task("add", protect=True)), w.revision(), now=LATER)
    assert [held.orphan for held in change.deleted] == [True]


def test_a_proplet_has_no_prune_policy(w: Any) -> None:
    """It leaves the inventory when it leaves the source."""
    change = diff(_having(w, w.declared("p1")), w.revision(), now=LATER)
    assert [held.orphan for held in change.deleted] == [False]


def test_runtime_state_survives_an_edit(w: Any) -> None:
    """Holds and cron slots are not the source's to change."""
    hold = w.suspend()
    having = _having(w, w.task("add"), hold=hold, last_slot=7)
    change = diff(having, w.revision(w.task("add", args=("2",))), now=LATER)
    assert [(held.hold, held.last_slot) for held in change.updated] == [(hold, 7)]


def test_everything_is_sorted_by_key(w: Any) -> None:
    """Same inputs, same bytes."""
    objects = [w.task("c"), w.daemon("b"), w.task("a")]
    forth = diff({}, w.revision(*objects), now=LATER)
    back = diff({}, w.revision(*reversed(objects)), now=LATER)
    assert forth == back
    assert [str(line.key) for line in forth.changes] == [
        "Daemon/default/b",
        "Task/default/a",
        "Task/default/c",
    ]


# -- fields ---------------------------------------------------------------------------------------


def _spec(w: Any, spec: dict[str, Any]) -> Any:
    add = w.task("add")
    return replace(add, meta=replace(add.meta, spec=spec, spec_digest=Digest("sha256:x")))


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 2}, [("spec.a", 1, 2)]),
        ({"a": 1}, {}, [("spec.a", 1, None)]),
        ({}, {"a": {"b": 1}}, [("spec.a", None, {"b": 1})]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, [("spec.a.b", 1, 3)]),
        ({"a": ["x", "y"]}, {"a": ["x", "z"]}, [("spec.a[1]", "y", "z")]),
        ({"a": ["x"]}, {"a": ["x", "y"]}, [("spec.a[1]", None, "y")]),
        ({"a": 1}, {"a": True}, [("spec.a", 1, True)]),
        ({"a": ["x"]}, {"a": "x"}, [("spec.a", ["x"], "x")]),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}]},
            [("spec.env[A]", {"name": "A", "value": "1"}, None), ("spec.env[B].value", "2", "3")],
        ),
        (
            {"env": [{"name": "A"}, {"name": "B"}]},
            {"env": [{"name": "B"}, {"name": "A"}]},
            [("spec.env[0].name", "A", "B"), ("spec.env[1].name", "B", "A")],
        ),
    ],
)
def test_fields_are_compared_one_by_one(
    w: Any, before: dict[str, Any], after: dict[str, Any], found: list[tuple[Any, ...]]
) -> None:
    """Lists of named things by name, other lists by place; a boolean is not a number."""
    moved = fields(_spec(w, before), _spec(w, after))
    assert [(one.path, one.before, one.after) for one in moved] == found


def test_the_reason_names_the_first_root_and_counts_the_others(w: Any) -> None:
    """Spec before metadata, and a list once however many of its items moved."""
    before = _spec(w, {"args": ["a", "b"], "limits": {"memory": 1}})
    after = _spec(w, {"args": ["c", "d"], "limits": {"memory": 2}})
    after = replace(after, meta=replace(after.meta, labels={"x": "y"}))
    change = diff(_having(w, before), w.revision(after), now=LATER)
    assert change.changes[0].reason == "spec.args and 2 more changed"
