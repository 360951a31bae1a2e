"""What calls by itself: messages and the clock. A hand-held caller, no broker, no waiting."""

from __future__ import annotations

import base64
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from propeller.gateway.calls import End, Outcome, Request, Route
from propeller.gateway.triggers import Triggers
from propeller.model.functions import Calls, CronTrigger, MqttTrigger, Trigger
from propeller.wire.topics import Channel

CHANNEL = Channel("d1", "c1")
BASE = "m/d1/c/c1/"
MINUTE = 60_000


@dataclass
class Hands:
    """Keeps what was asked; answers when a test does."""

    asked: list[tuple[str, Request, str | None]] = field(default_factory=list)
    futures: list[Future[Outcome]] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def begin_for(self, name: str, request: Request, *, key: str | None) -> Future[Outcome]:
        self.asked.append((name, request, key))
        self.futures.append(Future())
        return self.futures[-1]

    def slot(self, trigger: str) -> int | None:
        return self.slots.get(trigger)

    def put_slot(self, trigger: str, at: int) -> None:
        self.slots[trigger] = at

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))

    def subscribe(self, filters: list[str]) -> None:
        self.subscribed += filters

    def unsubscribe(self, filters: list[str]) -> None:
        self.left += filters


def route(*triggers: Trigger, shut: str = "", since: int = 0) -> dict[str, Route]:
    made = Route(
        uid="u1",
        name="plant-a/f",
        timeout=1000,
        calls=Calls(),
        triggers=triggers,
        since=since,
        shut=shut,
    )
    return {made.name: made}


def by_message(topic: str, answer: str = "") -> Trigger:
    return Trigger(name="m", by=MqttTrigger(topic=topic, answer=answer))


def by_clock(*, catch_up: bool = True, deadline: int = 10 * MINUTE) -> Trigger:
    cron = CronTrigger(
        cron="* * * * *", time_zone="UTC", catch_up=catch_up, deadline=deadline, body="{}"
    )
    return Trigger(name="c", by=cron)


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_a_message_is_a_call_and_its_answer_a_message(hands: Hands) -> None:
    """The payload is the request; the answer's body goes to the topic that the trigger names."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_message("sensors/+/raw", "sensors/filtered")))
    assert hands.subscribed == [f"{BASE}sensors/+/raw"]
    triggers.hear(f"{BASE}sensors/s1/raw", b"\x00\xff", retained=False)
    ((name, request, key),) = hands.asked
    assert (name, key, request.path) == ("plant-a/f", None, "sensors/s1/raw")
    assert base64.b64decode(request.body) == b"\x00\xff"
    hands.futures[0].set_result(Outcome(end=End.DONE, body=base64.b64encode(b"out").decode()))
    assert hands.published == [(f"{BASE}sensors/filtered", b"out")]


def test_what_failed_is_published_nowhere(hands: Hands) -> None:
    """Only an answer is an answer."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_message("in", "out")))
    triggers.hear(f"{BASE}in", b"x", retained=False)
    hands.futures[0].set_result(Outcome(end=End.FAILED, cause="trap", error="unreachable"))
    assert hands.published == []


def test_other_topics_old_messages_and_too_large_ones_call_nobody(hands: Hands) -> None:
    """A retained message was for somebody before us."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_message("in")))
    triggers.hear(f"{BASE}other", b"x", retained=False)
    triggers.hear(f"{BASE}in", b"x", retained=True)
    triggers.hear(f"{BASE}in", b"x" * (129 << 10), retained=False)
    assert (hands.asked, triggers.dropped) == ([], 1)


def test_messages_beyond_what_may_be_under_way_are_dropped_and_counted(hands: Hands) -> None:
    """A flood costs the flooder its messages, not the gateway its memory."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_message("in")))
    for _ in range(300):
        triggers.hear(f"{BASE}in", b"x", retained=False)
    assert (len(hands.asked), triggers.dropped) == (256, 44)
    hands.futures[0].set_result(Outcome(end=End.DONE))
    triggers.hear(f"{BASE}in", b"x", retained=False)
    assert len(hands.asked) == 257


def test_topics_follow_the_specs_and_come_back_with_the_connection(hands: Hands) -> None:
    """Subscribed once, left when no trigger wants it, none while it is suspended."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_message("in")))
    triggers.learn(route(by_message("in")))
    assert hands.subscribed == [f"{BASE}in"]
    triggers.connected()
    assert hands.subscribed == [f"{BASE}in"] * 2
    triggers.learn(route(by_message("in"), shut="suspended"))
    assert hands.left == [f"{BASE}in"]
    triggers.hear(f"{BASE}in", b"x", retained=False)
    assert hands.asked == []


def test_each_time_of_a_schedule_is_one_call(hands: Hands) -> None:
    """Under a key of its own, so that it is one also across a restart."""
    triggers = Triggers(hands, CHANNEL)
    triggers.learn(route(by_clock(), since=90_000))
    triggers.tick(100_000)
    assert hands.asked == []
    for now in (120_000, 120_500, 179_999):
        triggers.tick(now)
    ((_, request, key),) = hands.asked
    assert key == "cron/u1/c/120000"
    assert (request.method, base64.b64decode(request.body)) == ("CRON", b"{}")
    again = Triggers(hands, CHANNEL)
    again.learn(route(by_clock(), since=90_000))
    again.tick(121_000)
    assert len(hands.asked) == 1
    again.tick(180_000)
    assert [key for _, _, key in hands.asked] == ["cron/u1/c/120000", "cron/u1/c/180000"]


@pytest.mark.parametrize(("catch_up", "calls"), [(True, 1), (False, 0)])
def test_times_that_nobody_was_there_for(hands: Hands, catch_up: bool, calls: int) -> None:
    """The newest one is made up for, or none."""
    triggers = Triggers(hands, CHANNEL)
    late = by_clock(catch_up=catch_up, deadline=10_000)
    hands.slots["u1/c"] = 0
    triggers.learn(route(late))
    triggers.tick(59 * MINUTE + 30_000)
    assert len(hands.asked) == calls
    assert hands.slots["u1/c"] == 59 * MINUTE
