"""What a gateway reads over and over: rows that did not change are the same objects again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.state.records import StatusRow
from propeller.state.sqlite import SqliteStore

A, B = PropletId("a"), PropletId("b")


def run(number, state=RunState.RUNNING):
    """A run."""
    return SeenRun(
        uid=Uid(f"00000000-0000-4000-8000-{number:012}"),
        run=RunId(f"{number:032x}"),
        digest=Digest("sha256:" + "0" * 64),
        cause="once",
        state=state,
    )


@pytest.fixture
def store(tmp_path):
    """Two proplets, three runs, two statuses."""
    made = SqliteStore.open(tmp_path / "x.db")
    with made.transaction():
        for name in (A, B):
            made.put_seen(Seen(id=name, declared=True, presence=Presence.ONLINE))
        made.put_runs(A, [run(1), run(2, RunState.FAILED)], [])
        made.put_runs(B, [run(3)], [])
        for name in ("x", "y"):
            made.put_status(status(name))
    yield made
    made.close()


def status(name, document="{}"):
    """A status."""
    return StatusRow(
        uid=Uid(name), key=Key("Task", "d", name), ready="True", document=document, changed_at=1
    )


def test_sightings_are_the_fleet_without_runs(store):
    """By id; equal to what `fleet` says but for the runs."""
    found = store.sightings({})
    assert found == [replace(one, runs={}) for one in store.fleet()]


def test_what_did_not_change_is_the_same_object(store):
    """Only the row that moved is made anew, and what left is forgotten."""
    known = {}
    a, b = store.sightings(known)
    with store.transaction():
        store.put_seen(replace(b, last_heard=7))
    again_a, again_b = store.sightings(known)
    assert again_a is a
    assert (again_b is b, again_b.last_heard) == (False, 7)
    with store.transaction():
        store.drop_seen(A)
    assert store.sightings(known) == [again_b]
    assert set(known) == {B}


def test_statuses_are_kept_as_long_as_they_say_the_same(store):
    """By document, whatever the time says."""
    known = {}
    x, y = store.statuses_since(known)
    assert [x, y] == list(store.statuses())
    with store.transaction():
        store.put_status(status("y", '{"moved":1}'))
    again_x, again_y = store.statuses_since(known)
    assert again_x is x
    assert again_y.document == '{"moved":1}'
    with store.transaction():
        store.drop_status(Uid("x"))
    assert store.statuses_since(known) == [again_y]
    assert set(known) == {Uid("y")}


def test_runs_are_counted_and_read_where_they_are_shown(store):
    """One proplet's, and how many of each state."""
    assert (store.count_runs(A), store.count_runs(PropletId("none"))) == (2, 0)
    assert store.run_states() == {"Running": 2, "Failed": 1}
    member = store.member(A)
    assert member == next(one for one in store.fleet() if one.id == A)
    assert store.member(PropletId("none")) is None
