"""Pages of learning and of commits: curves, one round, a model's line, how long a commit took."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from urllib.parse import urljoin

import pytest
import requests
from learned import Learned

from propeller.gateway.dashboard.convergence import convergence, span
from propeller.gateway.dashboard.facts import ObjectRow
from propeller.gateway.dashboard.learning import curves_of, line_of
from propeller.gateway.dashboard.pages import MOST_WAVES, waves_of
from propeller.model.ids import Key
from propeller.state.records import RevisionRecord

T = 1_800_000_000_000


def words_of(door, path):
    """What a person reads there."""
    answer = requests.get(urljoin(door.base, path), headers={"Accept": "text/html"}, timeout=20)
    assert answer.status_code == 200, answer.text
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main.partition(">")[2])).split())


def test_curves_have_ends_and_say_them(door, tmp_path):
    """Lowest, highest, first and last round, for who sees and for who hears."""
    (curve,) = curves_of(Learned(door.state, door.store, tmp_path / "fl").rounds)
    assert (curve.metric, curve.low, curve.high) == ("accuracy", "0.5", "0.9")
    assert (curve.first, curve.last) == (1, 3)
    assert curve.words == (
        "accuracy by round: 0.5 in round 1, 0.7 in round 3, lowest 0.5, highest 0.9"
    )


def test_a_round_tells_counts_and_where_its_model_comes_from(open_door, tmp_path):
    """Without a word of the spec no proplet is named; each attempt is there."""
    door = open_door(open_to_anyone=True)
    learned = Learned(door.state, door.store, tmp_path / "fl")
    words = words_of(door, f"/objects/{learned.key}/rounds/1")
    assert "Attempt 2: Committed" in words
    assert "Attempt 1: Abandoned 1 good updates, needs 2" in words
    assert "dropped: it fell silent 1" in words
    assert "Who they are is not told" in words
    assert "/proplets/a" not in words
    words = words_of(door, f"/objects/{learned.key}/rounds/3")
    model = str(learned.models[2].digest)[7:19]
    assert words.count(model) >= 2, "what round 2 made and round 3 started from"
    assert "Metrics accuracy 0.7" in words


def test_the_latest_round_has_a_name(open_door, tmp_path):
    """So that a link stays good."""
    door = open_door(open_to_anyone=True)
    learned = Learned(door.state, door.store, tmp_path / "fl")
    assert "Round 4 of FederatedTask line" in words_of(
        door, f"/objects/{learned.key}/rounds/latest"
    )


def test_contributors_are_named_where_the_spec_says_so(open_door, tmp_path):
    """reveal: Proplets."""
    door = open_door(open_to_anyone=True)
    learned = Learned(door.state, door.store, tmp_path / "fl", reveal="Proplets")
    words = words_of(door, f"/objects/{learned.key}/rounds/2")
    assert "Contributors Proplet Samples" in words
    assert re.search(r"\ba 3 ", words)


@pytest.mark.parametrize("number", ["0", "9", "x", "99999999999"])
def test_a_round_that_is_not_there_is_not_found(open_door, tmp_path, number):
    """Whatever stands in its place."""
    door = open_door(open_to_anyone=True)
    learned = Learned(door.state, door.store, tmp_path / "fl")
    answer = door.ask("GET", f"/objects/{learned.key}/rounds/{number}")
    assert answer.status_code == 404


def test_a_models_line_goes_back_from_its_round(door, tmp_path):
    """Newest first, attempts without a model left out."""
    learned = Learned(door.state, door.store, tmp_path / "fl")
    line = line_of(learned.rounds, 2)
    assert [(one.number, one.attempt) for one in line] == [(2, 1), (1, 2)]
    assert line[0].base == line[1].model


def test_waves_are_told_while_a_rollout_is_under_way():
    """Those before are done; none where it is over; never more than a page can hold."""
    states = [one.state for one in waves_of({"step": 2, "of": 3, "phase": "Wave"})]
    assert states == ["done", "under way", "to come"]
    assert waves_of({"phase": "Settled"}) == []
    assert waves_of(None) == []
    assert len(waves_of({"step": 1, "of": 10_000})) == MOST_WAVES


def a_revision(name, at, outcome="accepted"):
    """One as the store has it."""
    return RevisionRecord(name=name, digest="d", source="s", at=at, outcome=outcome)


def an_object(name, applied, *, ready="True", since=T):
    """One as a picture has it."""
    return ObjectRow(
        key=Key("Task", "default", name),
        ready=ready,
        message="",
        devices="",
        revision=applied,
        app="",
        stalled=False,
        applied=applied,
        since=since,
    )


def test_a_commit_took_until_the_last_of_its_objects_was_ready():
    """One that still waits takes until now; one that was moved on by others says so."""
    revisions = [a_revision("c", T + 50_000), a_revision("b", T + 9_000), a_revision("a", T)]
    objects = [
        an_object("x", "a", since=T + 4_200),
        an_object("y", "a", since=T - 1_000),
        an_object("z", "c", ready="False"),
    ]
    newest, moved, first = convergence(revisions, objects, T + 110_000)
    assert (first.took, first.words) == (4_200, "2 objects are ready, after 4.2 s")
    assert (newest.took, newest.words) == (None, "1 of 1 objects are not ready after 60 s")
    assert (newest.width, first.width) == (400, 28)
    assert moved.words.startswith("nothing is as it left it")
    assert (moved.took, moved.width) == (None, 0)


def test_refused_commits_took_nothing():
    """They are in the timeline below, with their faults."""
    refused = dataclasses.replace(a_revision("x", T), outcome="rejected")
    assert convergence([refused], [], T) == []


def test_lengths_of_time_are_for_people():
    """From tenths of a second to hours."""
    assert [span(ms) for ms in (0, 4_250, 61_000, 900_000, 7_200_000 * 6)] == [
        "0.0 s",
        "4.2 s",
        "61 s",
        "15 min",
        "12 h",
    ]
