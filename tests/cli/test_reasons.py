"""`explain REASON`: every reason of the pages, in any case, and nothing that is none."""

from __future__ import annotations

import json

import pytest

from propeller.cli.reasons import find, known, near


def test_every_row_of_the_pages_is_known():
    """Conditions, events, faults of modules, exit codes, words of the wire and of receivers."""
    kinds = {one.kind for rows in known().values() for one in rows}
    assert kinds == {
        "condition",
        "event",
        "fault of a module",
        "exit code",
        "word of the wire",
        "word of a receiver",
    }
    assert len(known()) > 150
    for rows in known().values():
        for one in rows:
            assert one.meaning.strip()
            assert one.do.strip()
            assert "](" not in one.meaning + one.do, "a link of the page stayed in"


@pytest.mark.parametrize("word", ["NoMatch", "nomatch", "unknown_kid", "130", "UpdatesLeft"])
def test_a_word_is_found_in_any_case(word):
    """As it stands in a status, a log or after `echo $?`."""
    assert find(word)[0].word.lower() == word.lower()


def test_it_is_told_with_what_to_do_and_where_more_stands(cli):
    """A word with two meanings has both."""
    said = cli("explain", "NoMatch")
    assert said.code == 0
    assert "REASON:   NoMatch (condition)" in said.out
    assert "DO:       compare `placement`" in said.out
    assert "docs/reference/events.md#reasons-of-conditions" in said.out
    assert cli("explain", "RevisionRefused").out.count("REASON:") == 2
    rows = json.loads(cli("explain", "unknown_kid", "-o", "json").out)["reasons"]
    assert rows[0]["kind"] == "word of the wire"


def test_what_is_nearly_one_is_asked_about(cli):
    """And what is none at all is looked for among the kinds."""
    assert near("NoMatsch") == "NoMatch"
    said = cli("explain", "NoMatsch")
    assert said.code == 2
    assert "did you mean 'NoMatch'?" in said.err
    assert "no kind is called 'zzz'" in cli("explain", "zzz").err
