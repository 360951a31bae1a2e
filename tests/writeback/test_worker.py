"""A worker: the loop never waits for it, and nothing it does stops it."""

from __future__ import annotations

import logging
import threading

import pytest

from propeller.model.ids import Key
from propeller.writeback.news import Batch, Note, Standing
from propeller.writeback.worker import Worker


class Desk:
    """Keeps what it is given; may be told to hang or to raise."""

    def __init__(self):
        self.batches = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.looked = threading.Semaphore(0)
        self.raises = False
        self.due = None
        self.finished = False

    def take(self, batch, now):
        self.batches.append(batch)

    def work(self, now):
        self.go_on.wait(30)
        self.looked.release()
        if self.raises:
            raise ZeroDivisionError
        return self.due

    def finish(self, now):
        self.finished = True


@pytest.fixture
def worker():
    """Starts workers and stops them."""
    made = []

    def make(desk, **more):
        one = Worker("test", desk, clock=lambda: 0, **more)
        made.append((one, desk))
        one.start()
        return one

    yield make
    for one, desk in made:
        desk.go_on.set()
        assert one.stop(10)


def note(n):
    return Note(at=n, severity="Info", reason="R", message="m")


def test_a_desk_that_hangs_holds_nobody_up(worker):
    """Notes pile up to the bound, the oldest are dropped and counted; states are kept newest."""
    desk = Desk()
    desk.go_on.clear()
    one = worker(desk, notes=100)
    one.wake()
    while not desk.batches:
        threading.Event().wait(0.001)
    key = Key("Task", "n", "a")
    for n in range(250):
        one.put(lambda batch, n=n: batch.notes.append(note(n)))
        one.put(lambda batch, n=n: batch.standings.update({key: Standing(ready=str(n))}))
    desk.go_on.set()
    assert desk.looked.acquire(timeout=10)
    assert desk.looked.acquire(timeout=10)
    (batch,) = desk.batches[1:]
    assert [one.at for one in batch.notes] == list(range(150, 250))
    assert batch.dropped == 150
    assert batch.standings == {key: Standing(ready="249")}


def test_a_desk_that_raises_is_asked_again(worker, caplog):
    """And the log says so."""
    desk = Desk()
    desk.raises = True
    one = worker(desk)
    with caplog.at_level(logging.ERROR):
        one.wake()
        assert desk.looked.acquire(timeout=10)
        one.wake()
        assert desk.looked.acquire(timeout=10)
    assert "should not have happened" in caplog.text


def test_it_comes_back_by_itself_when_something_is_due(worker):
    """The clock of this test stands still: what is due now is due at once."""
    desk = Desk()
    desk.due = 0
    one = worker(desk)
    one.wake()
    for _ in range(5):
        assert desk.looked.acquire(timeout=10)
    desk.due = None


def test_stopping_lets_it_finish(worker):
    """With what came until then."""
    desk = Desk()
    one = worker(desk)
    one.put(lambda batch: batch.notes.append(note(1)))
    assert one.stop(10)
    assert desk.finished
    assert sum(len(batch.notes) for batch in desk.batches) == 1


def test_one_that_never_started_is_stopped_at_once():
    """As when the service fails to start."""
    assert Worker("test", Desk(), clock=lambda: 0).stop(0.1)
    assert Batch().turns == 0
