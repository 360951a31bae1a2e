"""Messages between guests and topics: order, bounds, what is kept, what is dropped. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propeller.wire.messages import Entry, WireModule
from propeller.wire.topic_messages import WireTopic
from proplet.capacity import refusal
from proplet.ceilings import NONE
from proplet.live import fresh
from proplet.switchboard import (
    MOST_BYTES,
    WINDOW,
    Deliver,
    Discard,
    Hear,
    Keep,
    Outgoing,
    Send,
    Switchboard,
    Unhear,
    wrong_grant,
)

OUT = WireTopic(name="out", publish="telemetry/{proplet}/temp", size=8, rate=1000, keep=3)
IN = WireTopic(name="in", subscribe="cmds/+", size=8, keep=2)
ENTRY = Entry(
    uid="00000000-0000-0000-0000-000000000001",
    ref="Daemon/default/d",
    run="1" * 32,
    cause="daemon",
    mode="daemon",
    digest="",
    module=WireModule(digest="sha256:" + "a" * 64, size=10),
    entrypoint="_start",
    topics=(OUT, IN),
)
KEY = (ENTRY.uid, ENTRY.run)


def board(*, entry: Entry = ENTRY, stored: tuple[Outgoing, ...] = ()) -> Switchboard:
    made = Switchboard("p1", most=1000, stored=stored)
    made.grant([entry])
    return made


def sent(acts: list[object]) -> list[bytes]:
    return [act.message.data for act in acts if isinstance(act, Send)]


def test_while_there_is_a_link_a_message_goes_out_at_once_on_the_devices_topic() -> None:
    """`{proplet}` is the device, and nothing is written to the disk."""
    one = board()
    assert one.connected() == [Hear(("cmds/+",))]
    acts = one.published(KEY, "out", b"21", 0)
    assert acts == [Send(Outgoing(1, f"{ENTRY.uid}/out", "telemetry/p1/temp", b"21"))]
    assert one.delivered() == []
    assert one.waiting == 0


def test_without_a_link_messages_are_kept_and_go_out_in_order_when_it_is_back() -> None:
    """Each is on the disk before the guest's next one; once acknowledged it need not be."""
    one = board()
    kept = [act for text in (b"1", b"2") for act in one.published(KEY, "out", text, 0)]
    assert [type(act) for act in kept] == [Keep, Keep]
    assert sent(one.connected()) == [b"1", b"2"]
    assert one.delivered() == [Discard((1, 2))]


def test_what_was_kept_survives_a_reboot_and_goes_before_what_is_new() -> None:
    """The disk's messages are the older ones."""
    stored = (Outgoing(8, "x/out", "a", b"b"), Outgoing(7, "x/out", "a", b"a"))
    one = board(stored=stored)
    one.published(KEY, "out", b"c", 0)
    assert sent(one.connected()) == [b"a", b"b", b"c"]


def test_the_oldest_goes_when_more_wait_than_may_be_kept_and_is_counted() -> None:
    """`keep: 3` of one name: the fourth takes the place of the first, on the disk too."""
    one = board()
    acts = [one.published(KEY, "out", str(number).encode(), 0) for number in range(5)]
    assert [act for turn in acts for act in turn if isinstance(act, Discard)] == [
        Discard((1,)),
        Discard((2,)),
    ]
    assert sent(one.connected()) == [b"2", b"3", b"4"]
    assert one.counts == {"topicOut": 2}


def test_what_was_on_its_way_when_the_link_went_is_kept_and_sent_again_first() -> None:
    """At least once, in order: nobody knows which of them arrived."""
    one = board()
    one.connected()
    for text in (b"1", b"2"):
        one.published(KEY, "out", text, 0)
    assert [act.message.data for act in one.disconnected() if isinstance(act, Keep)] == [b"1", b"2"]
    one.published(KEY, "out", b"3", 0)
    assert sent(one.connected()) == [b"1", b"2", b"3"]


def test_what_the_transport_did_not_take_is_tried_again_and_nothing_overtakes_it() -> None:
    """A full queue: the message and all behind it wait a second."""
    one = board(entry=replace(ENTRY, topics=(replace(OUT, keep=9),)))
    for text in (b"1", b"2", b"3"):
        one.published(KEY, "out", text, 0)
    one.connected()
    one.untaken(2, now=100)
    assert [one.expects(seq) for seq in (1, 2, 3)] == [True, False, False]
    assert one.published(KEY, "out", b"4", 150) == []
    assert one.tick(1099) == []
    assert sent(one.tick(1100)) == [b"2", b"3", b"4"]


def test_no_more_is_handed_over_than_the_window() -> None:
    """A broker that acknowledges nothing holds up the rest, which is bounded."""
    entry = replace(ENTRY, topics=(replace(OUT, keep=4096),))
    one = board(entry=entry)
    one.connected()
    for number in range(WINDOW + 10):
        one.published(KEY, "out", b"x", number)
    assert (one.flying, one.waiting) == (WINDOW, WINDOW + 10)


def test_a_guest_that_may_not_publish_there_or_so_long_or_so_often_is_dropped_and_counted() -> None:
    """Whatever its process let through: the agent has the last word."""
    slow = replace(ENTRY, topics=(replace(OUT, rate=1, keep=100), IN))
    one = board(entry=slow)
    assert one.published(KEY, "in", b"x", 0) == []
    assert one.published(KEY, "none", b"x", 0) == []
    assert one.published(("other", "run"), "out", b"x", 0) == []
    assert one.published(KEY, "out", b"123456789", 0) == []
    assert [bool(one.published(KEY, "out", b"x", at)) for at in (0, 0, 0, 500)] == [
        True,
        True,
        False,
        True,
    ]
    assert one.counts == {"topicDenied": 4, "topicFast": 1}


def test_a_message_waits_until_the_guest_asks_and_the_oldest_goes_when_too_many_wait() -> None:
    """`keep: 2`; what is too long never waits."""
    one = board()
    for text in (b"1", b"2", b"3", b"123456789"):
        assert one.heard("cmds/go", text) == []
    assert one.heard("other/go", b"no") == []
    assert one.asked(KEY, "in") == [Deliver(KEY, "in", "cmds/go", b"2")]
    assert one.asked(KEY, "in") == [Deliver(KEY, "in", "cmds/go", b"3")]
    assert one.asked(KEY, "in") == []
    assert one.heard("cmds/stop", b"4") == [Deliver(KEY, "in", "cmds/stop", b"4")]
    assert one.heard("cmds/stop", b"5") == []
    assert one.counts == {"topicIn": 2}


def test_all_queues_together_hold_so_many_bytes() -> None:
    """However many guests are granted however much: the queue that is full gives way."""
    topics = tuple(
        WireTopic(name=f"n{number}", subscribe=f"t/{number}", size=65536, keep=4096)
        for number in range(3)
    )
    one = board(entry=replace(ENTRY, topics=topics))
    big = bytes(65536)
    most = MOST_BYTES // len(big)
    for number in range(most + 5):
        one.heard(f"t/{number % 2}", big)
    assert one.counts == {"topicIn": 5}
    one.heard("t/2", b"small")
    assert one.counts == {"topicIn": 6}
    assert one.grant([]) == []
    one.grant([ENTRY])
    one.heard("cmds/go", b"1")
    assert one.asked(KEY, "in") != []


def test_what_a_guest_that_is_gone_asked_for_stays_for_the_one_after_it() -> None:
    """A restart loses no message that was not handed over."""
    one = board()
    one.asked(KEY, "in")
    one.began(KEY)
    assert one.heard("cmds/go", b"1") == []
    (given,) = one.asked(KEY, "in")
    assert isinstance(given, Deliver)
    one.returned(given)
    assert one.asked(KEY, "in") == [given]


def test_subscriptions_follow_what_runs() -> None:
    """An entry that goes takes its filter along; the same filter of another stays."""
    one = board()
    one.connected()
    other = replace(ENTRY, run="2" * 32, topics=(IN, replace(IN, name="more", subscribe="b/#")))
    assert one.grant([ENTRY, other]) == [Hear(("b/#",))]
    assert one.grant([other]) == []
    assert one.grant([]) == [Unhear(("b/#", "cmds/+"))]
    assert one.published(KEY, "out", b"x", 0) == []


@pytest.mark.parametrize(
    "topic",
    [
        WireTopic(name="a", publish="control/manager/status"),
        WireTopic(name="a", subscribe="control/#"),
        WireTopic(name="a", subscribe="#"),
        WireTopic(name="a", subscribe="+/proplet/p2/desired"),
        WireTopic(name="a", publish="a/+"),
        WireTopic(name="a", publish="/a"),
        WireTopic(name="a", publish="{proplet}/a"),
        WireTopic(name="a", subscribe="a/#/b"),
        WireTopic(name="in", subscribe="a"),
    ],
)
def test_a_device_refuses_topics_that_are_no_guests_whoever_signed_them(topic: WireTopic) -> None:
    """Never `control/`, by no wildcard and no device's id either; and no name twice."""
    from propeller.wire.messages import Hello

    entry = replace(ENTRY, topics=(IN, topic))
    assert wrong_grant(entry)
    hello = Hello(
        id="p1", inst="0" * 32, boot=1, arch="", os="", runtime="", runtime_version="", agent="",
        memory=0, storage=0, tasks=0, max_module=0, max_payload=1024, min_run_interval=0,
        heartbeat=1000, imports=(), components=False, mounts=(), encodings=(), algs=(), fetch=(),
        labels=(), key="", box="",
    )  # fmt: skip
    assert refusal(fresh(entry), hello, NONE) == wrong_grant(entry)
    assert wrong_grant(ENTRY) == ""
