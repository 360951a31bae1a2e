"""When a commit is made, and when it is not."""

from __future__ import annotations

import random

import pytest

from propeller.errors import Conflict, Unavailable
from propeller.writeback.branch import NOTHING, Tip, blob_id
from propeller.writeback.news import Batch, Took
from propeller.writeback.statusbranch import ATTEMPTS, SETTLE, StatusBranch, news_in

T0 = 1_800_000_000_000
MINUTE = 60_000
READY = b"""\
kind: Task
metadata:
  name: add
status:
  observedGeneration: 1
  devices:
    ready: 1
  copies:
  - proplet: press
    run: 00ff
    state: Running
    restarts: 0
    started: '2026-11-24T07:00:00Z'
  conditions:
  - type: Ready
    status: 'True'
    message: 1 of 1 are healthy
    lastTransitionTime: '2026-11-24T07:00:00Z'
"""
LATER = READY.replace(b"restarts: 0", b"restarts: 7").replace(b"07:00:00", b"09:30:00")
FAILED = READY.replace(b"Running", b"Failed")


class Branch:
    """A branch in memory; others can be made to push, and the remote to fail."""

    def __init__(self):
        self.patience = 60.0
        self.files = {}
        self.messages = []
        self.looks = 0
        self.others = 0
        self.down = ""

    def tip(self):
        self.looks += 1
        if self.down:
            raise Unavailable(self.down)
        ids = {path: blob_id(text) for path, text in self.files.items()}
        return Tip(str(len(self.messages)), ids) if self.messages else NOTHING

    def read(self, blobs):
        return {path: self.files[path] for path in blobs}

    def push(self, tip, changes, message, at):
        if self.others:
            self.others -= 1
            raise Conflict("moved on")
        assert tip.commit == (str(len(self.messages)) if self.messages else "")
        for path, text in changes.items():
            if text is None:
                del self.files[path]
            else:
                self.files[path] = text
        self.messages.append(message)
        return str(len(self.messages))


class Desk(StatusBranch):
    """The desk with its surroundings at hand."""

    def __init__(self, start=None, **more):
        self.branch = Branch()
        self.remarks = []
        super().__init__(
            self.branch,
            shown="branch s",
            interval=MINUTE,
            remark=lambda *words: self.remarks.append(words),
            rng=random.Random(1),
            start=lambda: start or {},
            **more,
        )

    def change(self, now, **files):
        """Files `n__Task__a` changed."""
        paths = {f"{name.replace('__', '/')}.yaml": text for name, text in files.items()}
        self.take(Batch(files=paths), now)


@pytest.fixture
def desk():
    """A desk that has committed one file at T0."""
    made = Desk()
    made.change(T0, n__Task__add=READY)
    assert made.work(T0) == T0 + SETTLE
    assert made.work(T0 + SETTLE) is None
    assert made.branch.messages == ["Status of Task/n/add\n\n+ Task/n/add"]
    return made


def test_a_restart_counter_or_an_age_is_no_news():
    """The lines that change all the time, and only they, are looked past."""
    assert news_in(READY) == news_in(LATER)
    assert news_in(READY) != news_in(FAILED)
    assert b"state: Running" in news_in(READY)
    assert b"status: 'True'" in news_in(READY)


def test_what_is_no_news_makes_no_commit_and_travels_with_the_next(desk):
    """The branch is not kept busy by a counter, and not stale in the end."""
    desk.change(T0 + 5 * MINUTE, n__Task__add=LATER)
    assert desk.work(T0 + 5 * MINUTE) is None
    assert len(desk.branch.messages) == 1
    desk.change(T0 + 6 * MINUTE, n__Task__b=READY)
    desk.work(T0 + 6 * MINUTE + SETTLE)
    assert desk.branch.messages[1:] == ["Status of Task/n/b\n\n+ Task/n/b"]
    assert desk.branch.files["n/Task/add.yaml"] == LATER


def test_many_changes_in_an_interval_are_one_commit(desk):
    """At most one commit a minute here, with the newest of everything."""
    for second in range(50):
        text = FAILED if second % 2 else READY
        desk.change(T0 + second * 1000 + 2000, n__Task__add=text, n__Task__b=text)
        assert desk.work(T0 + second * 1000 + 2000) == T0 + SETTLE + MINUTE
    assert desk.work(T0 + SETTLE + MINUTE) is None
    assert desk.branch.messages[1:] == ["Status of 2 objects\n\n~ Task/n/add\n+ Task/n/b"]
    assert desk.branch.files["n/Task/add.yaml"] == FAILED


def test_a_change_that_went_back_makes_no_commit(desk):
    """Failed and Ready again within the interval: the branch says Ready already."""
    desk.change(T0 + 2000, n__Task__add=FAILED)
    desk.change(T0 + 3000, n__Task__add=READY)
    desk.work(T0 + 2 * MINUTE)
    assert len(desk.branch.messages) == 1


def test_an_object_that_left_leaves_the_branch(desk):
    """With a commit that says so."""
    desk.change(T0 + MINUTE, n__Task__add=None)
    desk.work(T0 + 2 * MINUTE)
    assert desk.branch.messages[1:] == ["Status of Task/n/add\n\n- Task/n/add"]
    assert desk.branch.files == {}


def test_a_restart_commits_nothing_that_the_branch_has(desk):
    """What it held before is compared with, not remembered."""
    again = Desk(start={"n/Task/add.yaml": LATER})
    again.branch.files, again.branch.messages = desk.branch.files, desk.branch.messages
    again.take(Batch(), T0)
    again.work(T0 + SETTLE)
    assert again.branch.looks == 1
    assert len(again.branch.messages) == 1


def test_the_commit_names_the_revision_that_was_taken(desk):
    """Newest accepted; a refused one is no revision of the status."""
    took = [
        Took(name="main@sha1:aa", source="s", accepted=True),
        Took(name="main@sha1:bb", source="s", accepted=False),
    ]
    desk.take(Batch(took=took, files={"n/Task/add.yaml": FAILED}), T0 + MINUTE)
    desk.work(T0 + 2 * MINUTE)
    assert desk.branch.messages[-1].endswith("\n\nRevision main@sha1:aa")


def test_pushes_of_others_are_built_upon(desk):
    """Several in a row; only when it never ends is it a failure, and then it is tried later."""
    desk.branch.others = ATTEMPTS - 1
    desk.change(T0 + MINUTE, n__Task__add=FAILED)
    assert desk.work(T0 + 2 * MINUTE) is None
    assert desk.remarks == []
    desk.branch.others = ATTEMPTS
    desk.change(T0 + 4 * MINUTE, n__Task__add=READY)
    due = desk.work(T0 + 5 * MINUTE)
    assert due > T0 + 5 * MINUTE
    assert [words[:2] for words in desk.remarks] == [("Warning", "StatusBranchFailed")]
    assert desk.work(due) is None
    assert desk.branch.files["n/Task/add.yaml"] == READY


def test_a_dead_remote_is_told_once_and_tried_less_and_less(desk):
    """Nothing is lost, and the end of the trouble is told as well."""
    desk.branch.down = "no route to host"
    desk.change(T0 + MINUTE, n__Task__add=FAILED)
    now, waits = T0 + 2 * MINUTE, []
    for _ in range(12):
        due = desk.work(now)
        waits.append(due - now)
        assert desk.work(due - 1) == due  # not a moment earlier
        now = due
    assert waits == sorted(waits) or max(waits[:3]) < max(waits[-3:])
    assert 2_500 <= waits[0] <= 5_000
    assert waits[-1] <= 600_000
    assert [reason for _, reason, _ in desk.remarks] == ["StatusBranchFailed"]
    assert "no route to host" in desk.remarks[0][2]
    desk.branch.down = ""
    assert desk.work(now) is None
    assert [reason for _, reason, _ in desk.remarks] == [
        "StatusBranchFailed",
        "StatusBranchWritten",
    ]
    assert desk.branch.files["n/Task/add.yaml"] == FAILED


def test_the_end_of_the_process_commits_what_is_left(desk):
    """Whatever the interval, unless the remote is down anyway."""
    desk.change(T0 + 2000, n__Task__add=FAILED)
    desk.finish(T0 + 2100)
    assert desk.branch.files["n/Task/add.yaml"] == FAILED
    desk.change(T0 + 3000, n__Task__add=READY)
    desk.branch.down = "gone"
    desk.work(T0 + 2 * MINUTE)
    looks = desk.branch.looks
    desk.finish(T0 + 2 * MINUTE + 1)
    assert desk.branch.looks == looks


def test_a_long_list_is_cut():
    """A commit message stays readable when a whole fleet moves."""
    one = Desk(start={f"n/Task/t{i:03}.yaml": READY for i in range(100)})
    one.take(Batch(), T0)
    one.work(T0 + SETTLE)
    lines = one.branch.messages[0].splitlines()
    assert lines[0] == "Status of 100 objects"
    assert len(lines) == 23
    assert lines[-1] == "  and 80 more"
