"""`wait`: four endings, told apart by the exit code."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from propeller.state.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["task/default/add"], 0),
        (["filter", "--for", "Scheduled"], 0),
        (["filter", "--for", "Ready=Unknown"], 0),
        (["filter", "--for", "Stalled=False"], 0),
        (["task/default/add", "task/plant-a/add", "--timeout", "200ms"], 4),
        (["--all", "--timeout", "200ms"], 4),
        (["not-there", "--timeout", "200ms"], 4),
        (["not-there", "--for", "Deleted"], 0),
        (["task/default/add", "--for", "Deleted", "--timeout", "200ms"], 4),
        (["add"], 2),
        ([], 2),
        (["filter", "--all"], 2),
        (["filter", "--for", "?"], 2),
        (["filter", "--timeout", "soon"], 2),
        (["task/default/add", "--revision", "0123456", "--timeout", "200ms"], 4),
        (["task/default/add", "--revision", "012"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_how_it_ends(cli, fleet, words, code):
    """0 met, 2 error, 4 out of time."""
    assert cli("wait", *words).code == code


def test_what_needs_a_person_ends_at_once(cli, fleet):
    """Stalled is 3, whatever the timeout."""
    held = fleet.held("Daemon", "plant-a", "filter")
    row = next(row for row in fleet.store.statuses() if row.uid == held.uid)
    with fleet.store.transaction():
        text = row.document.replace('"type":"Reconciling"', '"type":"Stalled"')
        fleet.store.put_status(replace(row, document=text))
    before = time.monotonic()
    said = cli("wait", "filter", "--timeout", "5m")
    assert said.code == 3
    assert "Daemon/plant-a/filter: 1 of 2 ready" in said.err
    assert time.monotonic() - before < 60


def test_it_may_begin_before_there_is_a_state(cli, tmp_path, specs):
    """`up` in the background, `wait` right behind it."""
    from fleet_rows import Fleet

    from propeller.state.layout import StateDir

    def later():
        time.sleep(0.3)
        state = StateDir(tmp_path / ".propeller")
        state.create()
        store = SqliteStore.open(state.database)
        Fleet(store, specs, int(time.time() * 1000))
        store.close()

    other = threading.Thread(target=later)
    other.start()
    said = cli("wait", "task/default/add", "--timeout", "20s")
    other.join()
    assert said.code == 0
    assert "no state in" in said.err


def test_a_status_of_the_last_generation_does_not_count(cli, fleet):
    """An edit that was taken and not looked at yet is not Ready."""
    held = fleet.held("Task", "default", "add")
    with fleet.store.transaction():
        fleet.store.put_held(replace(held, generation=2))
    said = cli("wait", "task/default/add", "--timeout", "200ms")
    assert said.code == 4
    assert "not looked at yet" in said.err


def test_a_stall_of_the_last_generation_does_not_end_it(cli, fleet):
    """The edit that mends what stalled was taken: what was stalled before says nothing of it."""
    held = fleet.held("Daemon", "plant-a", "filter")
    row = next(row for row in fleet.store.statuses() if row.uid == held.uid)
    with fleet.store.transaction():
        text = row.document.replace('"type":"Reconciling"', '"type":"Stalled"')
        fleet.store.put_status(replace(row, document=text))
    assert cli("wait", "filter", "--timeout", "200ms").code == 3
    with fleet.store.transaction():
        fleet.store.put_held(replace(held, generation=held.generation + 1))
    said = cli("wait", "filter", "--timeout", "200ms")
    assert said.code == 4
    assert "not looked at yet" in said.err


def test_a_revision_that_was_not_taken_is_waited_for(cli, fleet):
    """What was Ready before a push is no answer about the push; once it was taken, it is."""
    from propeller.state.records import RevisionRecord

    commit = "4f" * 20
    early = cli("wait", "task/default/add", "--revision", commit, "--timeout", "200ms")
    assert early.code == 4
    assert f"revision {commit} was not taken yet" in early.err
    record = RevisionRecord(
        name=f"main@sha1:{commit}", digest="sha256:0", source="git", at=1, outcome="accepted"
    )
    with fleet.store.transaction():
        fleet.store.note_revision(record)
    assert cli("wait", "task/default/add", "--revision", commit).code == 0
    assert cli("wait", "task/default/add", "--revision", commit[:7]).code == 0


def test_a_revision_that_was_refused_ends_it(cli, fleet):
    """A person has to mend it: exit 3, with the faults."""
    from propeller.state.records import RevisionRecord

    record = RevisionRecord(
        name="main@sha1:" + "ab" * 20,
        digest="",
        source="git",
        at=1,
        outcome="rejected",
        faults=("add.yaml:3: spec.replcias: unknown field",),
    )
    with fleet.store.transaction():
        fleet.store.note_revision(record)
    said = cli("wait", "task/default/add", "--revision", "ab" * 10)
    assert said.code == 3
    assert "spec.replcias" in said.err
