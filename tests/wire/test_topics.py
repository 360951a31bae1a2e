"""Topics: made by one function each, told apart by its inverse."""

from __future__ import annotations

import pytest

from propeller.errors import WireError
from propeller.wire.topics import MESSAGE_OF, Channel, Heard, Kind, is_id, parse

CHANNEL = Channel("d1", "c1")


def matches(pattern: str, topic: str) -> bool:
    """MQTT's own rule for filters, for those we use: `+` is one level."""
    wanted, found = pattern.split("/"), topic.split("/")
    return len(wanted) == len(found) and all(
        w in ("+", f) for w, f in zip(wanted, found, strict=True)
    )


MADE = {
    CHANNEL.desired("p"): Heard(Kind.DESIRED, "p"),
    CHANNEL.report("p"): Heard(Kind.REPORT, "p"),
    CHANNEL.status("p"): Heard(Kind.STATUS, "p"),
    CHANNEL.hello("p"): Heard(Kind.HELLO, "p"),
    CHANNEL.op("p"): Heard(Kind.OP, "p"),
    CHANNEL.op_answer("p", "o"): Heard(Kind.OP_ANSWER, "p", "o"),
    CHANNEL.call("p"): Heard(Kind.CALL, "p"),
    CHANNEL.call_answer("p", "g"): Heard(Kind.CALL_ANSWER, "p", "g"),
    CHANNEL.blob_get("p"): Heard(Kind.BLOB_GET, "p"),
    CHANNEL.blob_data("p"): Heard(Kind.BLOB_DATA, "p"),
    CHANNEL.blob_put("p"): Heard(Kind.BLOB_PUT, "p"),
    CHANNEL.blob_ack("p"): Heard(Kind.BLOB_ACK, "p"),
    CHANNEL.metrics("p"): Heard(Kind.METRICS, "p"),
    CHANNEL.log("p"): Heard(Kind.LOG, "p"),
    CHANNEL.trust(): Heard(Kind.TRUST),
    CHANNEL.trust(2): Heard(Kind.TRUST, "", "p256"),
    CHANNEL.releases(): Heard(Kind.RELEASES),
    CHANNEL.manager_status(): Heard(Kind.MANAGER_STATUS),
    CHANNEL.manager_status(2): Heard(Kind.MANAGER_STATUS, "", "p256"),
    CHANNEL.manager_echo("m1"): Heard(Kind.MANAGER_ECHO, "", "m1"),
}


def test_parse_is_the_inverse_of_every_topic() -> None:
    """What a function makes, parse tells apart again; every kind has its topic and its message."""
    assert {topic: parse(CHANNEL, topic) for topic in MADE} == MADE
    assert {heard.kind for heard in MADE.values()} == set(Kind) == set(MESSAGE_OF)


def test_a_fleet_does_not_hear_another() -> None:
    """The same topics of another channel are foreign."""
    other = Channel("d1", "c2")
    assert [other.parse(topic) for topic in MADE] == [None] * len(MADE)


def test_the_managers_filters_match_what_devices_send_and_nothing_else() -> None:
    """Each upward topic is heard on exactly one connection; downward ones on none."""
    groups = {
        "control": CHANNEL.control_filters(),
        "blobs": CHANNEL.blob_filters(),
        "telemetry": CHANNEL.telemetry_filters(),
        "calls": CHANNEL.call_filters("g"),
    }
    heard = {
        name: {MADE[topic].kind for topic in MADE for one in filters if matches(one, topic)}
        for name, filters in groups.items()
    }
    assert heard == {
        "control": {Kind.REPORT, Kind.STATUS, Kind.HELLO, Kind.OP_ANSWER},
        "blobs": {Kind.BLOB_GET, Kind.BLOB_PUT},
        "telemetry": {Kind.METRICS, Kind.LOG},
        "calls": {Kind.STATUS, Kind.CALL_ANSWER},
    }


def test_a_device_subscribes_to_its_own_topics_only() -> None:
    """No wildcard, trust first, nothing of a neighbour."""
    filters = CHANNEL.device_filters("p")
    assert not any("+" in one or "#" in one for one in filters)
    assert filters[0] == CHANNEL.trust()
    kinds = {MADE[one].kind for one in filters}
    assert kinds == {
        Kind.TRUST,
        Kind.MANAGER_STATUS,
        Kind.DESIRED,
        Kind.OP,
        Kind.CALL,
        Kind.BLOB_DATA,
        Kind.BLOB_ACK,
    }


@pytest.mark.parametrize("bad", ["control", "control/x", "+/x", "#", "", "/x"])
def test_data_of_the_channel_is_never_control(bad: str) -> None:
    """A topic that a spec names can reach no device and no manager."""
    assert CHANNEL.data("sensors/+/raw") == "m/d1/c/c1/sensors/+/raw"
    with pytest.raises(ValueError, match="control/"):
        CHANNEL.data(bad)


def test_a_bootstrap_reads_three_topics_by_id() -> None:
    """Hello, report and status of one device, without wildcards (rulings on re-reading)."""
    kinds = [MADE[topic].kind for topic in CHANNEL.retained_of("p")]
    assert kinds == [Kind.HELLO, Kind.REPORT, Kind.STATUS]


@pytest.mark.parametrize("bad", ["", "a/b", "+", "#", "a b", "é", "a" * 65, "a\n"])
def test_no_topic_is_made_from_what_is_no_id(bad: str) -> None:
    """A spec or a device cannot smuggle levels or wildcards into a topic."""
    assert not is_id(bad)
    for make in (
        CHANNEL.desired,
        CHANNEL.manager_echo,
        lambda text: CHANNEL.op_answer("p", text),
        lambda text: Channel(text, "c"),
        lambda text: Channel("d", text),
    ):
        with pytest.raises(WireError) as caught:
            make(bad)
        assert caught.value.reject == "bad_id"


def test_a_poke_is_a_topic_of_its_own_that_says_nothing() -> None:
    """It carries no message: nothing decodes it, and no filter of a device or manager hears it."""
    assert CHANNEL.poke == f"{CHANNEL.base}manager/poke"
    assert CHANNEL.parse(CHANNEL.poke) is None
    filters = (*CHANNEL.control_filters(), *CHANNEL.blob_filters(), *CHANNEL.device_filters("p"))
    assert not any(matches(one, CHANNEL.poke) for one in filters)
