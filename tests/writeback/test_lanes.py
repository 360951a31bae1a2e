"""Lanes: order, patience, and one bad sink that bothers nobody else."""

from __future__ import annotations

import random
import threading

import pytest

from propeller.model.specs import Sink, SlackSink
from propeller.writeback.lanes import ATTEMPTS, MAX_WAITING, Lanes
from propeller.writeback.router import Message
from propeller.writeback.sinks import Later, Refused

T0 = 1_800_000_000_000
OPS = Sink(name="ops", way=SlackSink(url_ref="ops"))
PAGER = Sink(name="pager", way=SlackSink(url_ref="pager"))


def message(text="x"):
    return Message(
        alert="n/a",
        kind="Alert",
        severity="Warning",
        subject="s",
        reason="R",
        text=text,
        at=0,
        since=0,
    )


class Bench:
    """Lanes whose deliveries go where the test says. `work` waits for what is under way."""

    def __init__(self):
        self.delivered = []
        self.failed = []
        self.answer = lambda sink, text: None
        self.woken = threading.Event()
        self.lanes = Lanes(
            self._deliver,
            wake=self.woken.set,
            failed=lambda lane, what: self.failed.append((*lane, what)),
            rng=random.Random(1),
        )

    def _deliver(self, sink, one):
        self.answer(sink, one.text)
        self.delivered.append((sink.name, one.text))

    def work(self, now):
        self.lanes.work(now)
        for future in self.lanes.under_way():
            future.exception(timeout=10)
        return self.lanes.work(now)

    def put(self, sink, *texts):
        for text in texts:
            self.lanes.put(("n/a", sink.name), sink, message(text))


@pytest.fixture
def bench():
    """Lanes at work."""
    made = Bench()
    yield made
    made.lanes.close()


def test_messages_of_a_lane_go_in_order(bench):
    """One after the other."""
    bench.put(OPS, "1", "2", "3")
    for _ in range(3):
        bench.work(T0)
    assert bench.delivered == [("ops", "1"), ("ops", "2"), ("ops", "3")]
    assert bench.woken.is_set()
    assert bench.lanes.delivered == 3


def test_a_sink_that_is_down_is_tried_again_and_keeps_the_order(bench):
    """With growing pauses; nothing is lost meanwhile."""
    down = [True]

    def answer(sink, text):
        if down[0]:
            raise Later("answered 503")

    bench.answer = answer
    bench.put(OPS, "1", "2")
    due = bench.work(T0)
    assert T0 + 2_500 <= due <= T0 + 5_000
    assert bench.work(due - 1) == due
    down[0] = False
    bench.work(due)
    bench.work(due)
    assert bench.delivered == [("ops", "1"), ("ops", "2")]
    assert bench.failed == []


def test_the_pause_a_sink_asks_for_is_kept(bench):
    """Retry-After, within reason."""

    def answer(sink, text):
        raise Later("answered 429", after=120)

    bench.answer = answer
    bench.put(OPS, "1")
    assert bench.work(T0) == T0 + 120_000


def test_a_message_is_given_up_in_the_end_and_the_next_one_tried(bench):
    """Said once, not for each message."""

    def answer(sink, text):
        raise Later("no connection")

    bench.answer = answer
    bench.put(OPS, "1", "2")
    now = T0
    for _ in range(2 * ATTEMPTS):
        now = bench.work(now) or now
    assert bench.failed == [
        ("n/a", "ops", "no connection; it is tried again"),
        ("n/a", "ops", f"no connection; given up after {ATTEMPTS} attempts"),
    ]
    assert bench.lanes.work(now + 10**9) is None


def test_a_refusal_is_not_tried_again(bench):
    """A wrong address stays wrong."""

    def answer(sink, text):
        raise Refused("answered 404")

    bench.answer = answer
    bench.put(OPS, "1", "2")
    bench.work(T0)
    bench.work(T0)
    assert bench.failed == [("n/a", "ops", "answered 404")]
    assert bench.delivered == []


def test_a_hanging_sink_holds_up_only_itself(bench):
    """Another lane goes on."""
    go_on = threading.Event()

    def answer(sink, text):
        if sink is OPS:
            go_on.wait(30)

    bench.answer = answer
    bench.put(OPS, "1")
    bench.lanes.work(T0)
    hanging = bench.lanes.under_way()
    bench.put(PAGER, "2")
    bench.lanes.work(T0)
    (other,) = [one for one in bench.lanes.under_way() if one not in hanging]
    other.result(timeout=10)
    assert bench.delivered == [("pager", "2")]
    go_on.set()
    hanging[0].result(timeout=10)


def test_a_lane_is_bounded(bench):
    """The oldest goes, and that is said."""
    bench.put(OPS, *(str(n) for n in range(MAX_WAITING + 1)))
    assert bench.failed[0][2].startswith(f"more than {MAX_WAITING} messages wait")
    bench.work(T0)
    assert bench.delivered == [("ops", "1")]
