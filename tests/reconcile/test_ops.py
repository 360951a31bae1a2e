"""Operations: numbered, written down, and Unknown where nobody answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.reconcile.ops import ANSWER_TIMEOUT, Operations, holders_of
from propeller.state.sqlite import SqliteStore
from propeller.wire.messages import Op, OpAnswer

NOW = 1_800_000_000_000
A = Seen(id=PropletId("a"), declared=True, presence=Presence.ONLINE, inst="i", boot=2, conn=3)
UID = Uid("00000000-0000-0000-0000-000000000001")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "s.db", clock=lambda: NOW)
    yield store
    store.close()


def operations(store: SqliteStore) -> Operations:
    names = count(1)
    return Operations(store, source="m", new_id=lambda: f"op{next(names)}")


class Asker:
    """Someone who waits for answers."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, object]] = []

    def __call__(self, words: Mapping[str, object]) -> None:
        self.heard.append(words)

    def states(self) -> list[object]:
        return [words["state"] for words in self.heard]


def answer(op: Op, n: int, state: str, text: str = "") -> OpAnswer:
    return OpAnswer(id=op.to, op=op.id, inst=op.inst, boot=op.boot, n=n, state=state, text=text)


def test_one_is_for_one_connection_and_counts_on_over_restarts(store: SqliteStore) -> None:
    """A device drops any number not above the last of its source."""
    with store.transaction():
        first = operations(store).begin("logs", A, now=NOW)
        second = operations(store).begin("logs", A, now=NOW)
    assert (first.to, first.inst, first.boot, first.conn, first.src) == ("a", "i", 2, 3, "m")
    assert second.n == first.n + 1


def test_answers_go_to_who_asked_in_order_and_once(store: SqliteStore) -> None:
    """Repeated and late ones are nobody's; `done` closes it."""
    ops, asker = operations(store), Asker()
    with store.transaction():
        op = ops.begin("logs", A, reply=asker, now=NOW)
        assert ops.answered(A.id, answer(op, 0, "accepted"), NOW)
        assert ops.answered(A.id, answer(op, 1, "progress", "hi"), NOW)
        assert not ops.answered(A.id, answer(op, 1, "progress", "hi"), NOW)
        assert not ops.answered(PropletId("b"), answer(op, 2, "done"), NOW)
        assert ops.answered(A.id, answer(op, 2, "done"), NOW)
        assert not ops.answered(A.id, answer(op, 3, "done"), NOW)
    assert asker.states() == ["accepted", "progress", "done"]
    assert [words["done"] for words in asker.heard] == [False, False, True]
    assert [row.state for row in store.ops()] == ["done"]


def test_refused_ends_it_too(store: SqliteStore) -> None:
    """With the device's own words."""
    ops, asker = operations(store), Asker()
    with store.transaction():
        op = ops.begin("restart", A, reply=asker, now=NOW)
        ops.answered(A.id, answer(op, 0, "refused", "no such run"), NOW)
    assert asker.heard[0]["text"] == "no such run"
    assert [row.state for row in store.ops()] == ["refused"]


def test_silence_is_unknown_after_a_while(store: SqliteStore) -> None:
    """Every answer moves the end; the last silence counts."""
    ops, asker = operations(store), Asker()
    with store.transaction():
        op = ops.begin("logs", A, reply=asker, now=NOW)
        ops.answered(A.id, answer(op, 0, "accepted"), NOW + 10_000)
        due = ops.due()
        assert due == NOW + 10_000 + ANSWER_TIMEOUT
        ops.expire(due - 1)
        assert asker.states() == ["accepted"]
        ops.expire(due)
    assert asker.states() == ["accepted", "Unknown"]
    assert [row.state for row in store.ops()] == ["Unknown"]
    assert ops.due() is None


def test_a_follow_lasts_as_long_as_it_was_asked_for(store: SqliteStore) -> None:
    """`logs -f` for a minute is not given up after a quarter of it."""
    ops = operations(store)
    with store.transaction():
        ops.begin("logs", A, follow=60_000, now=NOW)
    assert ops.due() == NOW + 60_000 + ANSWER_TIMEOUT


def test_a_device_on_another_connection_answers_nothing_of_the_old_one(store: SqliteStore) -> None:
    """It is never sent again."""
    ops, asker = operations(store), Asker()
    with store.transaction():
        ops.begin("cancel", A, reply=asker, now=NOW)
        ops.left(A.id, 3)
        assert asker.states() == []
        ops.left(A.id, 4)
    assert asker.states() == ["Unknown"]


def test_what_an_earlier_process_had_under_way_is_unknown(store: SqliteStore) -> None:
    """What was already over stays what it was."""
    with store.transaction():
        ops = operations(store)
        op = ops.begin("logs", A, now=NOW)
        ops.answered(A.id, answer(op, 0, "done"), NOW)
    with store.transaction():
        Operations(store, source="m", new_id=lambda: "later").begin("logs", A, now=NOW)
    with store.transaction():
        operations(store).forget_old(NOW)
    assert sorted(row.state for row in store.ops()) == ["Unknown", "done"]


def test_who_holds_a_run_and_which(store: SqliteStore) -> None:
    """The newest run of each proplet that has one."""

    def run(name: str, started: int) -> SeenRun:
        return SeenRun(
            uid=UID,
            run=RunId(name * 32),
            digest=Digest("sha256:" + "0" * 64),
            cause="daemon",
            state=RunState.RUNNING,
            started=started,
        )

    runs = {(UID, one.run): one for one in (run("1", 5), run("2", 9))}
    a, b = replace(A, runs=runs), replace(A, id=PropletId("b"))
    assert holders_of([b, a], UID, None) == [(a, "2" * 32)]
    assert holders_of([b, a], UID, PropletId("b")) == []
