"""The desk of alerts as a whole: from an event to a delivery, across a restart."""

from __future__ import annotations

import random

import pytest

from propeller.model.ids import Key, Uid
from propeller.model.specs import MqttSink, SlackSink
from propeller.writeback.alerts import SAVE_EVERY, AlertDesk
from propeller.writeback.news import Batch, Note, Standing
from propeller.writeback.sinks import Refused

T0 = 1_800_000_000_000
MINUTE = 60_000
UID = Uid("u")
ADD = Key("Task", "plant", "add")
FAILED = Note(at=T0, severity="Warning", reason="Failed", message="trap", key=ADD)


class Desk(AlertDesk):
    """A desk that delivers into a list."""

    def __init__(self, memory):
        self.sent = []
        self.remarks = []
        self.refuse = ""
        super().__init__(
            self._deliver,
            wake=lambda: None,
            remark=lambda *words: self.remarks.append(words),
            memory=memory,
            rng=random.Random(1),
        )

    def _deliver(self, sink, message):
        if self.refuse:
            raise Refused(self.refuse)
        self.sent.append((sink.name, message.kind, message.subject))

    def settle(self, now):
        """Work until nothing is under way."""
        due = self.work(now)
        for future in self._lanes.under_way():
            future.exception(timeout=10)
        return self.work(now) if self.sent or self.refuse else due


@pytest.fixture
def desk(tmp_path):
    """Makes desks on one memory file."""
    made = []

    def make():
        made.append(Desk(tmp_path / "alerts.json"))
        return made[-1]

    yield make
    for one in made:
        one._lanes.close()


def test_an_event_reaches_every_sink_of_every_alert_that_wants_it(desk, make_alert):
    """Alerts that came in the same batch count already."""
    one = desk()
    both = make_alert(ways={"ops": SlackSink(url_ref="o"), "line": MqttSink(topic="t")})
    other = make_alert("other", kinds=("Daemon",))
    one.take(Batch(alerts={UID: both, Uid("v"): other}, notes=[FAILED]), T0)
    one.settle(T0)
    assert sorted(one.sent) == [("line", "Alert", str(ADD)), ("ops", "Alert", str(ADD))]
    assert one.delivered == 2


def test_a_sink_that_refuses_becomes_an_event_of_the_alert(desk, make_alert):
    """Which no alert tells of."""
    one = desk()
    one.refuse = "answered 404"
    one.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0)
    one.settle(T0)
    assert one.remarks == [("Warning", "AlertFailed", "sink ops: answered 404", "default/on-call")]


def test_a_restart_in_the_middle_repeats_nothing_and_tells_the_end(desk, make_alert):
    """The memory is a file; without it only a repeat would be the price."""
    one = desk()
    one.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0)
    one.settle(T0)
    one.finish(T0)
    again = desk()
    again.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0 + MINUTE)
    again.settle(T0 + MINUTE)
    assert again.sent == []
    again.take(Batch(standings={ADD: Standing(ready="True")}), T0 + MINUTE)
    again.settle(T0 + 2 * MINUTE)
    assert again.sent == [("ops", "Recovery", str(ADD))]


def test_the_memory_survives_a_kill(desk, make_alert, tmp_path):
    """It is written some seconds after a message, not only at the end."""
    one = desk()
    one.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0)
    assert one.settle(T0) == T0 + SAVE_EVERY
    one.work(T0 + SAVE_EVERY)
    again = desk()
    again.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0 + MINUTE)
    again.settle(T0 + MINUTE)
    assert again.sent == []


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"alert": "u"}]', "{}"])
def test_a_broken_memory_is_no_memory(desk, make_alert, tmp_path, text):
    """Nothing else happens."""
    (tmp_path / "alerts.json").write_text(text)
    one = desk()
    one.take(Batch(alerts={UID: make_alert()}, notes=[FAILED]), T0)
    one.settle(T0)
    assert len(one.sent) == 1


def test_lost_events_are_told_of(desk, make_alert):
    """What was dropped before an alert could look is itself a warning."""
    one = desk()
    one.take(Batch(alerts={UID: make_alert()}, dropped=7), T0)
    one.settle(T0)
    assert one.sent == [("ops", "Alert", "fleet")]
