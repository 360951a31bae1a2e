"""What every Transport promises, over memory and over real brokers.

Where brokers differ the test says how: those lines are the facts of docs/explanation/transport.md.
"""

from __future__ import annotations

import pytest

from propeller.transport.base import Connected, Received, Will

MIB = 1024 * 1024


def test_a_client_hears_that_it_is_connected_once(stage):
    """`Connected` comes once for a connection and counts from 1."""
    client = stage.client("a")
    client.in_step()
    assert client.ears.events == [Connected(1)]
    assert client.transport.stats().connects == 1


@pytest.mark.parametrize("payload", [b"", b"\x00\xff text \n", b"P1" + bytes(range(256))])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_arrives_as_it_was_sent(stage, payload, qos):
    """Topic and bytes are untouched, and a live message is not marked as retained."""
    alice, bob = stage.client("alice"), stage.client("bob")
    topic = stage.topic("news")
    bob.transport.subscribe([topic])
    bob.in_step()
    assert alice.transport.publish(topic, payload, qos=qos)
    assert bob.hears(payload)
    assert bob.ears.messages == [Received(topic, payload, False)]


def test_messages_of_one_client_keep_their_order(stage):
    """Without injected faults a subscriber hears a publisher in order."""
    alice, bob = stage.client("alice"), stage.client("bob")
    topic = stage.topic("count")
    bob.transport.subscribe([topic])
    bob.in_step()
    wanted = [b"%d" % number for number in range(300)]
    assert all(alice.transport.publish(topic, payload) for payload in wanted)
    assert bob.hears(*wanted)


def test_a_retained_message_waits_for_its_subscriber(stage):
    """What was retained before is delivered on SUBSCRIBE and marked."""
    alice, bob = stage.client("alice"), stage.client("bob")
    topic = stage.topic("state")
    assert alice.transport.publish(topic, b"old", retain=True)
    assert alice.transport.publish(topic, b"new", retain=True)
    alice.in_step()
    bob.transport.subscribe([topic])
    assert bob.hears(b"new")
    assert bob.ears.messages == [Received(topic, b"new", True)]


def test_unsubscribe_then_subscribe_reads_a_retained_message_again(stage):
    """The one way to re-read a topic that works on every broker."""
    client = stage.client("a")
    topic = stage.topic("state")
    client.transport.publish(topic, b"kept", retain=True)
    client.in_step()
    client.transport.subscribe([topic])
    assert client.hears(b"kept")
    for times in (2, 3):
        client.transport.unsubscribe([topic])
        client.transport.subscribe([topic])
        assert client.hears(*[b"kept"] * times)
    assert all(message.retained for message in client.ears.messages)


def test_a_held_filter_may_send_nothing_again(stage):
    """The standard says it sends again; brokers exist that do not, and memory is one."""
    client = stage.client("a")
    topic = stage.topic("state")
    client.transport.publish(topic, b"kept", retain=True)
    client.in_step()
    client.transport.subscribe([topic])
    assert client.hears(b"kept")
    client.transport.subscribe([topic])
    client.in_step()
    stage.world.pause()
    assert len(client.ears.messages) == (2 if stage.world.resends_held else 1)


def test_an_empty_retained_message_clears_the_slot(stage):
    """It reaches who is subscribed now, and leaves nothing for who comes later."""
    alice, bob, carol = (stage.client(name) for name in ("alice", "bob", "carol"))
    topic = stage.topic("state")
    bob.transport.subscribe([topic])
    bob.in_step()
    alice.transport.publish(topic, b"kept", retain=True)
    alice.transport.publish(topic, b"", retain=True)
    assert bob.hears(b"kept", b"")
    carol.transport.subscribe([topic])
    carol.in_step()
    assert carol.ears.messages == []


def test_an_unsubscribed_client_hears_no_more(stage):
    """UNSUBSCRIBE ends one filter and leaves the others."""
    client = stage.client("a")
    left, kept = stage.topic("left"), stage.topic("kept")
    client.transport.subscribe([left, kept])
    client.transport.unsubscribe([left])
    client.transport.publish(left, b"no")
    client.transport.publish(kept, b"yes")
    assert client.hears(b"yes")
    client.in_step()
    assert client.ears.payloads == [b"yes"]


def test_wildcards_match_levels(stage):
    """`+` is one level, `#` any number."""
    alice, one, many = (stage.client(name) for name in ("alice", "one", "many"))
    one.transport.subscribe([stage.topic("+/report")])
    many.transport.subscribe([stage.topic("p/#")])
    one.in_step()
    many.in_step()
    for name in ("p/report", "q/report", "p/x/report", "p/status"):
        alice.transport.publish(stage.topic(name), name.encode())
    assert one.hears(b"p/report", b"q/report")
    assert many.hears(b"p/report", b"p/x/report", b"p/status")


def test_a_thousand_retained_by_wildcard(stage):
    """All of them: our brokers do not cut a subscriber's queue."""
    client = stage.client("a")
    for number in range(1_000):
        assert client.transport.publish(stage.topic(f"p{number}/report"), b"r" * 200, retain=True)
    client.in_step()
    client.transport.subscribe([stage.topic("+/report")])
    assert stage.world.until(lambda: len(client.ears.messages) >= 1_000)
    assert len({message.topic for message in client.ears.messages}) == 1_000


def test_a_thousand_retained_by_id(stage):
    """Filters without a wildcard are answered in full everywhere: bootstrap stands on this."""
    client = stage.client("a")
    topics = [stage.topic(f"p{number}/report") for number in range(1_000)]
    for topic in topics:
        assert client.transport.publish(topic, topic.encode(), retain=True)
    client.in_step()
    client.transport.subscribe(topics)
    assert stage.world.until(lambda: len(client.ears.messages) >= 1_000)
    assert {message.topic for message in client.ears.messages} == set(topics)
    assert all(message.payload == message.topic.encode() for message in client.ears.messages)


def test_ten_thousand_retained_documents_are_taken_in_one_go(stage):
    """A bulk publish fits the queue and every document is kept."""
    client = stage.client("a")
    for number in range(10_000):
        assert client.transport.publish(stage.topic(f"p{number}/desired"), b"d" * 500, retain=True)
    assert client.transport.flush(60)
    wanted = [stage.topic(f"p{number}/desired") for number in range(0, 10_000, 97)]
    client.transport.subscribe(wanted)
    assert stage.world.until(lambda: len(client.ears.messages) >= len(wanted))
    assert {message.topic for message in client.ears.messages} == set(wanted)


def test_a_will_is_said_when_a_client_vanishes(stage):
    """`abort` is a crash: the broker says the will, and keeps it."""
    bob = stage.client("bob")
    topic = stage.topic("status")
    bob.transport.subscribe([topic])
    bob.in_step()
    alice = stage.client("alice", Will(topic, b"offline"))
    alice.transport.abort()
    assert bob.hears(b"offline")
    late = stage.client("late")
    late.transport.subscribe([topic])
    assert late.hears(b"offline")
    assert late.ears.messages[0].retained


def test_no_will_after_a_close(stage):
    """`close` is a goodbye: what was sent before it arrives, the will does not."""
    bob = stage.client("bob")
    topic = stage.topic("status")
    bob.transport.subscribe([topic])
    bob.in_step()
    alice = stage.client("alice", Will(topic, b"offline"))
    alice.transport.publish(topic, b"leaving", retain=True)
    alice.transport.close()
    assert bob.hears(b"leaving")
    stage.world.pause()
    bob.in_step()
    assert bob.ears.payloads == [b"leaving"]


def test_closing_twice_is_closing_once(stage):
    """`close` and `abort` are idempotent in any order; nothing is heard or taken afterwards."""
    client = stage.client("a")
    topic = stage.topic("x")
    client.transport.subscribe([topic])
    client.transport.close()
    client.transport.close()
    client.transport.abort()
    stage.client("b").transport.publish(topic, b"x")
    stage.world.pause()
    assert client.ears.events == [Connected(1)]
    assert not client.transport.publish(topic, b"x")
    assert not client.transport.flush(1)
    client.transport.subscribe([topic])


def test_a_transport_is_started_once(stage):
    """A second `start` is a mistake of the owner, also after a close."""
    client = stage.client("a")
    with pytest.raises(AssertionError, match="started once"):
        client.transport.start(client.ears)
    client.transport.close()
    with pytest.raises(AssertionError, match="started once"):
        client.transport.start(client.ears)


def test_the_broker_goes_and_comes_back(stage):
    """While it is away nothing is taken; then the client is back by itself, without filters."""
    client = stage.client("a")
    topic = stage.topic("x")
    client.transport.subscribe([topic])
    client.in_step()
    stage.world.crash()
    assert stage.world.until(lambda: client.ears.disconnects == 1)
    assert not client.transport.publish(topic, b"lost")
    assert not client.transport.flush(0.01)
    stage.world.begin()
    assert stage.world.until(lambda: client.ears.connects == 2)
    client.transport.publish(topic, b"nobody listens yet")
    client.in_step()
    client.transport.subscribe([topic])
    client.transport.publish(topic, b"heard")
    assert client.hears(b"heard")
    stats = client.transport.stats()
    assert (stats.connects, stats.disconnects) == (2, 1)
    assert stats.publish_refused == 1
    assert stats.last_error


def test_a_broker_that_is_away_at_the_start_is_waited_for(stage):
    """The first connection is tried again like any other."""
    stage.world.crash()
    client = stage.idle("a")
    client.transport.start(client.ears)
    assert stage.world.until(lambda: client.transport.stats().failed_connects >= 1)
    assert not client.transport.publish(stage.topic("x"), b"")
    assert client.ears.events == []
    stage.world.begin()
    assert stage.world.until(lambda: client.ears.events == [Connected(1)])


def test_a_new_will_holds_from_the_next_connection(stage):
    """MQTT fixes the will at CONNECT: `set_will` is for the connection after."""
    topic = stage.topic("status")
    alice = stage.client("alice", Will(topic, b"first", retain=False))
    alice.transport.set_will(Will(topic, b"second", retain=False))
    stage.world.crash()
    assert stage.world.until(lambda: alice.ears.disconnects == 1)
    stage.world.begin()
    assert stage.world.until(lambda: alice.ears.connects == 2)
    bob = stage.client("bob")
    bob.transport.subscribe([topic])
    bob.in_step()
    alice.transport.abort()
    assert bob.hears(b"second")


def test_the_newer_of_two_with_one_id_wins(stage):
    """The older connection ends and its will is said; this is what a cloned device looks like."""
    topic = stage.topic("status")
    bob = stage.client("bob")
    bob.transport.subscribe([topic])
    bob.in_step()
    old = stage.client("twin", Will(topic, b"old"))
    new = stage.client("twin", Will(topic, b"new"))
    assert stage.world.until(lambda: b"old" in bob.ears.payloads)
    assert stage.world.until(lambda: old.ears.disconnects >= 1)
    old.transport.close()
    new.transport.close()


def test_a_mebibyte_passes(stage):
    """A blob frame of 1 MiB goes through with the default bounds."""
    alice, bob = stage.client("alice"), stage.client("bob")
    topic = stage.topic("blob")
    bob.transport.subscribe([topic])
    bob.in_step()
    payload = bytes(range(256)) * (MIB // 256)
    assert alice.transport.publish(topic, payload)
    assert bob.hears(payload)


def test_an_oversize_payload_is_dropped_on_the_way_in(stage):
    """It never reaches the listener and costs nobody the connection."""
    alice, bob = stage.client("alice"), stage.client("bob", max_payload=5_000)
    topic = stage.topic("x")
    bob.transport.subscribe([topic])
    bob.in_step()
    alice.transport.publish(topic, b"x" * 200_000)
    alice.transport.publish(topic, b"small")
    assert bob.hears(b"small")
    stats = bob.transport.stats()
    assert (stats.connects, stats.disconnects) == (1, 0)
    # Under MQTT 5 we tell the broker our bound, and it does not even send it.
    assert stats.oversize == (0 if stage.world.name.endswith("-5") else 1)


def test_an_oversize_payload_is_refused_on_the_way_out(stage):
    """It is not sent, because a broker answers it by hanging up."""
    client = stage.client("a", max_payload=5_000)
    assert not client.transport.publish(stage.topic("x"), b"x" * 5_001)
    client.in_step()
    stats = client.transport.stats()
    assert (stats.oversize, stats.publish_refused, stats.disconnects) == (1, 1, 0)
    assert client.transport.publish(stage.topic("x"), b"x" * 5_000)


def test_a_full_flush_means_all_was_acknowledged(stage):
    """After `flush` said True nothing is queued."""
    client = stage.client("a")
    for number in range(500):
        assert client.transport.publish(stage.topic(f"x{number}"), b"x")
    assert client.transport.flush(20)
    stats = client.transport.stats()
    assert (stats.published, stats.acknowledged, stats.queued) == (500, 500, 0)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "\ud800", "x" * 70_000])
def test_a_forbidden_topic_is_a_mistake_of_the_caller(stage, topic):
    """ValueError, before anything reaches a broker that would hang up on it."""
    client = stage.client("a")
    with pytest.raises(ValueError, match="topic"):
        client.transport.publish(topic, b"")
    with pytest.raises(ValueError, match="topic"):
        client.transport.set_will(Will(topic, b""))
    client.in_step()
    assert client.ears.events == [Connected(1)]


@pytest.mark.parametrize("text", ["", "a/#/b", "a#", "a+/b", "a\0b"])
def test_a_forbidden_filter_is_a_mistake_of_the_caller(stage, text):
    """ValueError, and the good filters beside it are not subscribed either."""
    client = stage.client("a")
    good = stage.topic("good")
    with pytest.raises(ValueError, match="filter"):
        client.transport.subscribe([good, text])
    with pytest.raises(ValueError, match="filter"):
        client.transport.unsubscribe([text])
    client.transport.publish(good, b"x")
    client.in_step()
    assert client.ears.events == [Connected(1)]
