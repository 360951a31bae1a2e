"""Promotions: the branch that is pushed, the edit in it, and what is done where it cannot be."""

from __future__ import annotations

import os
import random

import pytest

from propeller.model.ids import Digest, Key, Uid, sha256_digest
from propeller.model.promotion import Proposal
from propeller.model.rounds import Blob
from propeller.reconcile.promotions import edit
from propeller.sources.gitcli import Git
from propeller.writeback.news import Batch
from propeller.writeback.promotions import Promotions
from propeller.writeback.sidebranch import SideBranches

AT = 1_800_000_000_000
OLD = sha256_digest(b"old")
NEW = Blob(Digest(sha256_digest(b"new")), 312)
INFER = f"""# who uses it
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {{name: infer}}
spec:
  run:
    models:
      - name: line  # what was learnt
        digest: {OLD}
        size: 9
"""
PROPOSAL = Proposal(
    uid=Uid("u"),
    job="job",
    key=Key("FederatedTask", "default", "line"),
    round=4,
    model=NEW,
    to=Key("Daemon", "default", "infer"),
    row="",
    branch="promote/default/line-1234-0004-abcd",
    message="Promote round 4",
)


class Told:
    """What a desk says."""

    def __init__(self):
        self.opened = []
        self.remarks = []

    def remark(self, severity, reason, message, key):
        self.remarks.append((severity, reason, message, key))


@pytest.fixture
def main(remote):
    """A spec tree in the folder `specs` of main, with an executable beside it."""
    remote.push("main", "specs/infer.yaml", INFER)
    remote.push("main", "README", "hello", onto="main")
    return remote


@pytest.fixture
def desk(tmp_path, main):
    """Makes desks on repositories of their own, and what they say."""
    made = []

    def make(url=None, **more):
        made.append(1)
        told = Told()
        target = SideBranches(
            Git(tmp_path / "home", environ=os.environ),
            tmp_path / f"mirror-{len(made)}.git",
            remote=url or main.url,
            watched="main",
            fleet="plant/fleet",
            folder="specs",
        )
        found = Promotions(
            more.get("target", lambda one: one)(target),
            edit=edit,
            done=told.opened.append,
            remark=told.remark,
            rng=random.Random(1),
        )
        return found, told

    return make


def propose(desk, proposal=PROPOSAL, now=AT):
    desk.take(Batch(proposals={PROPOSAL.uid: proposal}), now)
    return desk.work(now)


def test_the_branch_is_main_with_two_values_changed(desk, main):
    """One commit on top of main, comments kept, main as it was; its commit is told."""
    one, told = desk()
    before = main.log("main")
    assert propose(one) is None
    shown = main.show(PROPOSAL.branch, "specs/infer.yaml")
    expected = INFER.replace(OLD, NEW.digest).replace("size: 9", "size: 312")
    assert shown == expected
    assert main.log("main") == before
    assert main.log(PROPOSAL.branch) == ["Promote round 4", *before]
    assert main.show(PROPOSAL.branch, "README") == "hello"
    body = main.git("log", "-1", "--format=%B", PROPOSAL.branch).strip().splitlines()
    assert body[-2:] == ["Propeller-Promote: true", "Propeller-Fleet: plant/fleet"]
    (opened,) = told.opened
    assert opened.commit == main.git("rev-parse", PROPOSAL.branch).strip()
    assert told.remarks == []


def test_a_branch_that_is_there_is_left_as_it_is(desk, main):
    """Asked again by one who forgot, after a reviewer's commit on top: that stays the tip."""
    propose(desk()[0])
    main.push(PROPOSAL.branch, "NOTE", "looks good", onto=PROPOSAL.branch)
    one, told = desk()
    propose(one)
    assert main.log(PROPOSAL.branch)[0] == "add NOTE"
    assert told.opened[0].commit == main.git("rev-parse", PROPOSAL.branch).strip()


def test_a_spec_that_has_the_model_needs_no_branch(desk, main):
    """It was merged: nothing is pushed, and that is told as done."""
    text = INFER.replace(OLD, NEW.digest).replace("size: 9", "size: 312")
    main.push("main", "specs/infer.yaml", text, onto="main")
    one, told = desk()
    propose(one)
    assert [row.commit for row in told.opened] == [""]
    assert main.git("branch", "--list", "promote/*").strip() == ""


def test_a_missing_row_is_told_once_and_done_once_it_is_written(desk, main):
    """The words say what to write; nobody has to ask again."""
    main.push("main", "specs/infer.yaml", INFER.partition("  run:")[0] + "  run: {}\n", onto="main")
    one, told = desk()
    due = propose(one)
    again = one.work(due)
    assert told.opened == []
    ((severity, reason, words, key),) = told.remarks
    assert (severity, reason, key) == ("Warning", "PromotionFailed", PROPOSAL.key)
    assert "which of run.models of Daemon/default/infer is meant? There are: none" in words
    main.push("main", "specs/infer.yaml", INFER, onto="main")
    assert one.work(again) is None
    assert len(told.opened) == 1


def test_one_that_is_not_wanted_any_more_is_not_pushed(desk, main):
    """A proposal that failed and was taken back is forgotten."""
    one, told = desk(url=str(main.path) + "-gone")
    due = propose(one)
    assert due > AT
    assert propose(one, None, due) is None
    assert len(told.remarks) == 1


def test_who_is_overtaken_takes_the_branch_that_came_first(desk, main):
    """Two reconcilers of one fleet, one hanging: the second push is refused and nothing is lost."""

    class Late:
        """Sees no branch the first time, as if the other had pushed right after the look."""

        def __init__(self, target):
            self._target = target
            self._looks = 0

        def __getattr__(self, name):
            return getattr(self._target, name)

        def tip(self, branch):
            self._looks += 1
            return "" if self._looks == 1 else self._target.tip(branch)

    propose(desk()[0])
    main.push(PROPOSAL.branch, "NOTE", "theirs", onto=PROPOSAL.branch)
    one, told = desk(target=Late)
    propose(one)
    assert main.log(PROPOSAL.branch)[0] == "add NOTE"
    assert len(told.opened) == 1


def test_a_mode_and_odd_names_survive(desk, main):
    """A file that is executable stays so; a quote in a name is no trouble."""
    main.push("main", 'specs/a "b".yaml', INFER.replace("infer", "other"), onto="main")
    one, told = desk()
    other = Key("Daemon", "default", "other")
    from dataclasses import replace

    propose(one, replace(PROPOSAL, to=other))
    assert len(told.opened) == 1
    assert NEW.digest in main.show(PROPOSAL.branch, 'specs/a "b".yaml')


def test_a_remote_that_is_away_is_asked_again(desk, main, tmp_path):
    """Later, with a pause that grows, and told once."""
    away = tmp_path / "away.git"
    one, told = desk(url=str(away))
    first = propose(one)
    second = one.work(first)
    assert second - first > 0
    assert len(told.remarks) == 1
    main.path.rename(away)
    assert one.work(second) is None
    assert len(told.opened) == 1


def test_nothing_is_read_of_a_file_too_large_for_a_spec(desk, main):
    """What no reader of specs would take is not looked at."""
    main.push("main", "specs/infer.yaml", INFER + "# " + "x" * (1 << 20), onto="main")
    one, told = desk()
    propose(one)
    assert "has no Daemon/default/infer" in told.remarks[0][2]


def test_the_end_of_the_process_opens_what_is_left(desk, main):
    """`reconcile --once` ends right after the last round: the branch is pushed all the same."""
    one, told = desk()
    one.take(Batch(proposals={PROPOSAL.uid: PROPOSAL}), AT)
    one.finish(AT)
    assert len(told.opened) == 1
