"""Blast radius: what one revision may take away or restart before a person must say yes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.rollout import Amount
from propeller.model.specs import Guards, Prune
from propeller.plan.diff import diff
from propeller.plan.guards import (
    change_digest,
    confirmed_by,
    guard,
    guards_by_app,
    without,
)

NOW = 1_750_000_600_000
DIGEST = "sha256:" + "ab" * 32


def having(w: Any, *objects: Any) -> Any:
    return {obj.meta.uid: w.held(obj) for obj in objects}


def tripped(w: Any, held: Any, revision: Any, guards: Guards) -> Any:
    """The guards that trip when `revision` is taken; all of it is in the App `plant`."""
    change = diff(held, revision, now=NOW)
    return guard(held, change, {"plant": guards}, frozenset(held))


def many(w: Any, count: int, **more: Any) -> list[Any]:
    return [w.daemon(f"d{number}", app="plant", **more) for number in range(count)]


@pytest.mark.parametrize(
    ("most", "gone", "trips"),
    [
        (Amount(2), 2, False),
        (Amount(2), 3, True),
        (Amount(0), 1, True),
        (Amount(30, percent=True), 3, False),
        (Amount(30, percent=True), 4, True),
        (Amount(5, percent=True), 1, True),
        (None, 9, False),
    ],
)
def test_max_delete_counts_or_takes_a_share(w: Any, most: Any, gone: int, trips: bool) -> None:
    """Of ten objects; a share is rounded down, so 5 % of ten is none."""
    objects = many(w, 10)
    found = tripped(w, having(w, *objects), w.revision(*objects[gone:]), Guards(max_delete=most))
    assert [trip.guard for trip in found] == (["maxDelete"] if trips else [])


def test_the_message_says_what_is_allowed_and_what_would_happen(w: Any) -> None:
    """A person decides on it."""
    objects = many(w, 10)
    (trip,) = tripped(
        w,
        having(w, *objects),
        w.revision(*objects[4:]),
        Guards(max_delete=Amount(10, percent=True)),
    )
    assert trip.message == (
        "maxDelete is 10%, and 4 of 10 objects would be deleted"
        " (Daemon/default/d0, Daemon/default/d1, Daemon/default/d2 and 1 more)"
    )


def test_what_is_only_left_alone_is_not_deleted(w: Any) -> None:
    """`protect` and `prune: Never` stop nothing, so they do not count."""
    objects = [w.daemon("a", app="plant", prune=Prune.NEVER), w.daemon("b", app="plant")]
    assert (
        tripped(w, having(w, *objects), w.revision(objects[1]), Guards(max_delete=Amount(0))) == ()
    )


def test_an_app_is_not_emptied_unasked(w: Any) -> None:
    """On by default: an empty folder is more often a mistake than a wish."""
    objects = many(w, 2)
    (trip,) = tripped(w, having(w, *objects), w.revision(), Guards())
    assert trip.guard == "neverEmpty"
    assert trip.message.startswith("all 2 objects would be gone")
    assert tripped(w, having(w, *objects), w.revision(), Guards(never_empty=False)) == ()


def test_a_rename_of_the_only_object_empties_nothing(w: Any) -> None:
    """Something is there afterwards."""
    assert tripped(w, having(w, *many(w, 1)), w.revision(w.task("t", app="plant")), Guards()) == ()


def test_a_move_to_another_app_deletes_nothing(w: Any) -> None:
    """Its uid does not know the App."""
    before = having(w, w.daemon("d", app="plant"))
    revision = w.revision(w.daemon("d", app="other"))
    assert tripped(w, before, revision, Guards(max_delete=Amount(0))) == ()


def test_max_restart_counts_what_devices_would_run_anew(w: Any) -> None:
    """Arguments restart; a label does not; what has no copy has nothing to restart."""
    objects = many(w, 4)
    held = having(w, *objects)
    edited = [w.daemon(f"d{number}", app="plant", args=("x",)) for number in range(4)]
    labelled = [w.daemon(f"d{number}", app="plant", labels={"a": "b"}) for number in range(4)]
    guards = Guards(max_restart=Amount(50, percent=True))
    (trip,) = tripped(w, held, w.revision(*edited), guards)
    assert trip.guard == "maxRestart"
    assert "4 of 4 Tasks and Daemons" in trip.message
    assert tripped(w, held, w.revision(*edited[:2], *objects[2:]), guards) == ()
    assert tripped(w, held, w.revision(*labelled), guards) == ()
    change = diff(held, w.revision(*edited), now=NOW)
    assert guard(held, change, {"plant": guards}, frozenset()) == ()


def test_everything_of_the_app_is_held_back_and_nothing_of_others(w: Any) -> None:
    """Half a rename must never stand."""
    mine, other = many(w, 2), w.daemon("o", app="other")
    held = having(w, *mine, other)
    revision = w.revision(
        mine[0],
        w.daemon("new", app="plant"),
        w.daemon("o", app="other", args=("x",)),
    )
    change = diff(held, revision, now=NOW)
    (trip,) = guard(held, change, {"plant": Guards(max_delete=Amount(0))}, frozenset(held))
    rest = without(change, trip.uids)
    assert [one.object.meta.key.name for one in rest.moved()] == ["o"]
    assert [line.key.name for line in rest.changes] == ["o"]


def test_an_app_that_goes_with_its_folder_stays_with_its_objects(w: Any) -> None:
    """Else its guards would go first, and its objects at the next look."""
    app, objects = w.app("plant", guards=Guards(max_delete=Amount(0))), many(w, 2)
    held = having(w, app, *objects, w.task("t"))
    change = diff(held, w.revision(w.task("t")), now=NOW)
    (trip,) = guard(held, change, guards_by_app(held, ()), frozenset())
    assert without(change, trip.uids).moved() == ()


def test_the_guards_that_count_are_those_of_the_new_revision(w: Any) -> None:
    """Lifting a guard is a commit like any other."""
    held = having(w, w.app("plant", guards=Guards(max_delete=Amount(0))))
    wanted = [w.app("plant", guards=Guards(max_delete=Amount(9)))]
    assert guards_by_app(held, wanted)["plant"].max_delete == Amount(9)
    assert guards_by_app(held, ())["plant"].max_delete == Amount(0)


# -- digests --------------------------------------------------------------------------------------


def test_the_digest_names_the_change_and_not_the_commit(w: Any) -> None:
    """A check on a branch computes the digest that counts after the merge."""
    held = having(w, *many(w, 2))
    wanted = many(w, 1)
    on_branch = diff(held, w.revision(*wanted, name="fix@1"), now=NOW)
    on_main = diff(held, w.revision(*wanted, name="main@9"), now=NOW + 1)
    assert change_digest(held, on_branch) == change_digest(held, on_main)


def test_the_digest_moves_with_what_was_there_before(w: Any) -> None:
    """The same wish on another inventory is another plan."""
    wanted = w.revision(w.daemon("d0", app="plant", args=("new",)))
    one, other = having(w, *many(w, 1)), having(w, *many(w, 1, args=("old",)))
    first, second = (diff(held, wanted, now=NOW) for held in (one, other))
    assert change_digest(one, first) != change_digest(other, second)


def test_a_file_that_was_renamed_is_no_change_to_confirm(w: Any) -> None:
    """Where something is written is nobody's plan."""
    from propeller.model.specs import Origin

    held = having(w, *many(w, 1))
    (thing,) = many(w, 1)
    moved = replace(thing, meta=replace(thing.meta, origin=Origin("elsewhere.yaml", 3)))
    empty = change_digest(held, diff(held, w.revision(thing), now=NOW))
    assert change_digest(held, diff(held, w.revision(moved), now=NOW)) == empty


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (f"Drop old ones\n\nPropeller-Confirm: {DIGEST}\n", {DIGEST}),
        (f"x\n\nSigned-off-by: a\nPropeller-Confirm: {DIGEST}", {DIGEST}),
        (f"x\n\n  Propeller-Confirm: {DIGEST}", set()),
        ("x\n\nPropeller-Confirm: sha256:abc", set()),
        (f"talk of Propeller-Confirm: {DIGEST} in a line", set()),
        ("", set()),
    ],
)
def test_a_commit_confirms_by_a_trailer(message: str, found: set[str]) -> None:
    """A line of its own with a whole digest, and nothing else."""
    assert confirmed_by(message) == found
