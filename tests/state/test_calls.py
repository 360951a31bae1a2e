"""The gateway's own database: what was promised survives, and nothing grows without bound."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.state import calls
from propeller.state.calls import CallNote, CallRow, CallStore, newest_calls

ROW = CallRow(
    id="c1",
    function="plant-a/f",
    key="order-7",
    digest="d1",
    at=100,
    expires=200,
    request={"method": "POST", "body": "AA=="},
)


def test_a_call_is_what_it_was_after_a_restart(tmp_path: Path) -> None:
    """Taken, sent, ended: each state with what belongs to it."""
    path = tmp_path / "calls.db"
    store = CallStore(path)
    store.put(ROW)
    sent = replace(ROW, state="sent", place={"proplet": "p1", "boot": 3})
    store.put(sent)
    store.close()
    store = CallStore(path)
    assert store.open() == [sent]
    assert store.by_key("plant-a/f", "order-7") == sent
    assert store.by_key("plant-b/f", "order-7") is None
    ended = replace(sent, state="ended", expires=900, outcome={"end": "Done"})
    store.put(ended)
    assert (store.open(), store.find("c1")) == ([], ended)
    store.drop("c1")
    assert store.find("c1") is None
    store.close()
    assert path.stat().st_mode & 0o077 == 0, "requests are nobody else's business"


def test_one_key_names_one_call_of_a_function(tmp_path: Path) -> None:
    """The file itself says so; calls without a key do not meet."""
    store = CallStore(tmp_path / "calls.db")
    store.put(ROW)
    with pytest.raises(AssertionError, match="UNIQUE"):
        store.put(replace(ROW, id="c2"))
    store.put(replace(ROW, id="c3", function="plant-b/f"))
    store.put(replace(ROW, id="c4", key=None))
    store.put(replace(ROW, id="c5", key=None))
    store.close()


def test_ended_calls_go_when_their_time_is_over_and_open_ones_never(tmp_path: Path) -> None:
    """A promise is kept however long it takes."""
    store = CallStore(tmp_path / "calls.db")
    store.put(replace(ROW, id="c1", key=None, state="ended", expires=500))
    store.put(replace(ROW, id="c2", key=None, state="ended", expires=501))
    store.put(replace(ROW, id="c3", key=None, state="sent", expires=1))
    store.prune(500)
    assert [store.find(f"c{n}") is not None for n in (1, 2, 3)] == [False, True, True]
    store.close()


def test_too_many_ended_calls_lose_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by bytes."""
    monkeypatch.setattr(calls, "MOST_ROWS", 10)
    store = CallStore(tmp_path / "calls.db")
    for number in range(12):
        row = replace(ROW, id=f"c{number}", key=None, at=number, state="ended", expires=10**9)
        store.put(row)
    store.prune(0)
    left = [number for number in range(12) if store.find(f"c{number}") is not None]
    assert left == [7, 8, 9, 10, 11]
    monkeypatch.setattr(calls, "MOST_BYTES", 100)
    store.prune(0)
    assert [number for number in range(12) if store.find(f"c{number}") is not None] == [10, 11]
    store.close()


def test_a_time_of_a_schedule_is_used_up_for_good(tmp_path: Path) -> None:
    """Across restarts; the newest counts."""
    store = CallStore(tmp_path / "calls.db")
    assert store.slot("t") is None
    store.put_slot("t", 5)
    store.put_slot("t", 9)
    store.close()
    store = CallStore(tmp_path / "calls.db")
    assert store.slot("t") == 9
    store.close()


def test_a_newer_file_is_not_touched(tmp_path: Path) -> None:
    """Words that say what can be done."""
    path = tmp_path / "calls.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(UsageError, match="newer Propeller"):
        CallStore(path)


def test_who_looks_reads_the_newest_of_one_function_and_nothing_of_their_words(
    tmp_path: Path,
) -> None:
    """While the writer is at work; what was sent and answered stays behind."""
    path = tmp_path / "calls.db"
    assert newest_calls(path, "plant-a/f", 5) == [], "no file: nothing was kept yet"
    store = CallStore(path)
    outcome = {"end": "Failed", "cause": "trap", "proplet": "p1", "wait": 20, "took": 300}
    for number in range(4):
        store.put(replace(ROW, id=f"c{number}", key=None, at=number))
    store.put(replace(ROW, id="c2", state="sent", place={"proplet": "p2"}))
    store.put(replace(ROW, id="c1", state="ended", outcome={**outcome, "body": "AA=="}))
    store.put(replace(ROW, id="other", function="plant-b/f", at=99))
    assert newest_calls(path, "plant-a/f", 3) == [
        CallNote(id="c3", state="taken", at=3),
        CallNote(id="c2", state="sent", at=2, proplet="p2"),
        CallNote(
            id="c1", state="ended", at=1, proplet="p1", end="Failed", cause="trap", lasted=320
        ),
    ]
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Unavailable, match="another Propeller"):
        newest_calls(path, "plant-a/f", 3)
