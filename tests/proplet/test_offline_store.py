"""What a device without a manager must not forget, on a real disk; and files of older agents."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from propeller.wire.messages import BlobRef, PastRun
from proplet.effects import SaveSilence, SaveTimes
from proplet.records import Silence, Times
from proplet.store import Store
from proplet.switchboard import Discard, Keep, Outgoing

KEY = ("00000000-0000-0000-0000-000000000001", "1" * 32)
TIMES = Times(
    began=5,
    last=60_000,
    attempt=2,
    due=61_000,
    running=PastRun(slot=60_000, state="Running", attempt=2, started=60_001),
    past=(
        PastRun(slot=1, state="Succeeded", exit=0, result="42", started=2, ended=3),
        PastRun(slot=9, state="Failed", result_blob=BlobRef(digest="sha256:" + "a" * 64, size=9)),
    ),
    lost=3,
)


def opened(folder: Path) -> Store:
    return Store(folder, new_inst=lambda: "0" * 32)


def test_schedules_silence_and_messages_are_read_back(tmp_path: Path) -> None:
    """As they were saved last; what was discarded is gone."""
    store = opened(tmp_path)
    store.save([SaveTimes(KEY, TIMES), SaveTimes(("u", "r"), Times()), SaveSilence(Silence(7, 8))])
    store.save([SaveTimes(("u", "r"), None)])
    one, two = Outgoing(1, "o/out", "a/b", b"\x00\xff"), Outgoing(2, "o/out", "a/b", b"")
    store.keep([Keep(two), Keep(one)])
    store.close()
    store = opened(tmp_path)
    stored = store.load()
    assert stored.times == ((KEY, TIMES),)
    assert stored.silence == Silence(7, 8)
    assert store.outgoing() == (one, two)
    store.keep([Discard((1,))])
    assert store.outgoing() == (two,)
    store.close()


def test_a_directory_of_an_older_agent_is_taken_over(tmp_path: Path) -> None:
    """Its first tables get those that came later; nothing in them changes."""
    store = opened(tmp_path)
    boot = store.boot
    store.close()
    with sqlite3.connect(tmp_path / "agent.db", isolation_level=None) as db:
        db.execute("DROP TABLE outgoing")
        db.execute("DROP TABLE times")
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = opened(tmp_path)
    assert store.boot == boot + 1
    assert (store.outgoing(), store.load().times, store.load().silence) == ((), (), None)
    store.close()
