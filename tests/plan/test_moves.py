"""A move is not delete plus create; and what only looks like one is told, not guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from propeller.model.ids import Key
from propeller.plan.diff import diff
from propeller.plan.moves import identified
from propeller.plan.types import ChangeOp

NOW = 1_750_000_600_000
OLD = Key("Daemon", "default", "old")


def moved(thing: Any, *keys: Key) -> Any:
    """The object with names it had before."""
    return replace(thing, meta=replace(thing.meta, moved=keys))


def having(w: Any, *objects: Any) -> Any:
    return {obj.meta.uid: w.held(obj) for obj in objects}


def taken(w: Any, held: Any, *objects: Any) -> Any:
    revision = identified(held, w.revision(*objects))
    return diff(held, revision, now=NOW)


def test_a_moved_object_keeps_its_uid(w: Any) -> None:
    """So its runs keep their names, and no device notices."""
    held = having(w, w.daemon("old"))
    change = taken(w, held, moved(w.daemon("new"), OLD))
    (after,) = change.updated
    assert after.uid == w.uid("Daemon", "old")
    assert after.object.meta.key.name == "new"
    assert change.deleted == change.created == ()
    (line,) = change.changes
    assert (line.op, line.reason) == (ChangeOp.UPDATE, "moved from Daemon/default/old")


def test_the_entry_may_go_once_the_move_was_made(w: Any) -> None:
    """What is there under the name is the object, whatever its uid was made from."""
    held = having(w, w.daemon("old"))
    after = {one.uid: one for one in taken(w, held, moved(w.daemon("new"), OLD)).moved()}
    change = taken(w, after, w.daemon("new"))
    assert [one.uid for one in (*change.updated, *change.unchanged)] == [w.uid("Daemon", "old")]
    assert change.deleted == change.created == ()


def test_a_name_that_is_still_wanted_is_not_taken_from_it(w: Any) -> None:
    """Both are objects of their own then."""
    held = having(w, w.daemon("old"))
    change = taken(w, held, w.daemon("old"), moved(w.daemon("new"), OLD))
    assert [one.object.meta.key.name for one in change.created] == ["new"]
    assert change.deleted == ()


def test_two_cannot_be_the_same_one(w: Any) -> None:
    """The first by its key is; the other is new."""
    held = having(w, w.daemon("old"))
    change = taken(w, held, moved(w.daemon("a"), OLD), moved(w.daemon("b"), OLD))
    assert len(change.updated) == len(change.created) == 1


def test_a_new_namespace_is_a_move_too(w: Any) -> None:
    """Names are kind, namespace and name."""
    held = having(w, w.daemon("d"))
    thing = w.daemon("d")
    key = Key("Daemon", "plant-a", "d")
    there = replace(
        thing, meta=replace(thing.meta, key=key, uid="11111111-1111-5111-8111-111111111111")
    )
    change = taken(w, held, moved(there, Key("Daemon", "default", "d")))
    assert [one.uid for one in change.updated] == [thing.meta.uid]


def test_what_moved_and_changed_is_both(w: Any) -> None:
    """The move first, the fields below it."""
    held = having(w, w.daemon("old"))
    (line,) = taken(w, held, moved(w.daemon("new", args=("x",)), OLD)).changes
    assert line.reason == "moved from Daemon/default/old"
    assert [one.path for one in line.fields] == ["spec.run.args[0]"]


def test_a_likely_rename_is_suggested_and_not_guessed(w: Any) -> None:
    """Both changes stand; the line says how to keep the runs."""
    held = having(w, w.daemon("old"))
    change = taken(w, held, w.daemon("new"))
    assert [line.op for line in change.changes] == [ChangeOp.CREATE, ChangeOp.DELETE]
    assert change.changes[0].reason == (
        "added in main@2; looks like a rename of Daemon/default/old,"
        " whose runs metadata.moved: [{name: old}] would keep"
    )


def test_nothing_is_suggested_where_several_fit(w: Any) -> None:
    """Nor where the specs differ, or the kinds."""
    held = having(w, w.daemon("old"), w.daemon("older"))
    assert not [line for line in taken(w, held, w.daemon("new")).changes if "rename" in line.reason]
    held = having(w, w.daemon("old"))
    change = taken(w, held, w.daemon("new", args=("x",)), w.task("t"))
    assert not [line for line in change.changes if "rename" in line.reason]
