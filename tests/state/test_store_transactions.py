"""Transactions, counters and readers of every Store, whichever database is behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.state.base import Store

Opener = Callable[..., Store]


def test_meta_values_are_kept(open_store: Opener) -> None:
    """Named values: absent is None, put again is replaced."""
    store = open_store()
    assert store.meta("inst") is None
    with store.transaction():
        store.set_meta("inst", "a")
        store.set_meta("inst", "b")
    store.close()
    assert open_store().meta("inst") == "b"


def test_a_fence_is_never_lower_than_the_clock_nor_than_the_last(open_store: Opener) -> None:
    """`max(stored + 1, now)`: a clock that runs backwards cannot bring an old fence back."""
    store = open_store()
    assert store.take_fence(1000) == 1000
    assert store.take_fence(1000) == 1001
    store.close()
    store = open_store()
    assert store.take_fence(5) == 1002
    assert store.take_fence(9000) == 9000


def test_a_block_that_raises_leaves_nothing(store: Store, samples: Any) -> None:
    """All of a transaction or none of it, and the store goes on after it."""

    def half() -> None:
        with store.transaction():
            store.set_meta("a", "1")
            store.put_seen(samples.seen())
            raise KeyError("in the middle")

    serial = store.serial()
    with pytest.raises(KeyError):
        half()
    assert (store.meta("a"), store.fleet(), store.serial()) == (None, [], serial)
    with store.transaction(durable=True):
        store.set_meta("a", "2")
    assert store.meta("a") == "2"


def test_a_write_outside_a_transaction_is_refused(store: Store) -> None:
    """Forgetting the transaction is a mistake in our own code, said at once."""
    with pytest.raises(AssertionError):
        store.set_meta("a", "1")
    assert store.meta("a") is None


def test_transactions_do_not_nest(store: Store) -> None:
    """An inner transaction would commit or undo what the outer one has not decided yet."""
    with store.transaction():
        store.set_meta("a", "1")
        with pytest.raises(AssertionError), store.transaction():
            pass
    assert store.meta("a") == "1"


def test_the_serial_moves_with_each_change_and_only_then(open_store: Opener) -> None:
    """A saved plan is stale exactly when the serial moved: reading does not move it."""
    store = open_store()
    start = store.serial()
    with store.transaction():
        store.meta("a")
    assert store.serial() == start
    with store.transaction():
        store.set_meta("a", "1")
        store.set_meta("b", "1")
    changed = store.serial()
    assert changed > start
    store.close()
    store = open_store()
    assert store.serial() == changed
    store.take_fence(1)
    assert store.serial() > changed


def test_a_reader_sees_what_was_committed_while_the_writer_works(
    open_store: Opener, samples: Any
) -> None:
    """A reader is never in the writer's way, and sees a transaction whole or not at all."""
    writer = open_store()
    reader = open_store(readonly=True)
    with writer.transaction():
        writer.put_seen(samples.seen())
        writer.put_runs(PropletId("p1"), [samples.seen_run()], [])
        assert reader.fleet() == []
    assert len(reader.fleet()[0].runs) == 1


def test_a_reader_may_hold_one_picture(open_store: Opener) -> None:
    """Inside a transaction of its own a reader sees one state, whatever is committed meanwhile."""
    writer = open_store()
    reader = open_store(readonly=True)
    with reader.transaction():
        assert reader.meta("a") is None
        with writer.transaction():
            writer.set_meta("a", "1")
        assert reader.meta("a") is None
    assert reader.meta("a") == "1"


def test_readers_in_other_threads_only_see_whole_transactions(
    open_store: Opener, samples: Any
) -> None:
    """A busy writer and a busy reader side by side: two rows that change together never differ."""
    writer = open_store()
    with writer.transaction():
        writer.set_meta("left", "0")
        writer.set_meta("right", "0")
    reader = open_store(readonly=True)
    torn: list[tuple[str | None, str | None]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with reader.transaction():
                pair = reader.meta("left"), reader.meta("right")
            if pair[0] != pair[1]:
                torn.append(pair)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(200):
            with writer.transaction():
                writer.set_meta("left", str(number))
                writer.set_meta("right", str(number))
    finally:
        done.set()
        thread.join()
    assert torn == []


def test_a_reader_cannot_write(open_store: Opener) -> None:
    """A store opened for reading refuses every change."""
    open_store().close()
    reader = open_store(readonly=True)
    with pytest.raises(AssertionError, match="reading"), reader.transaction():
        reader.set_meta("a", "1")
    assert reader.meta("a") is None
