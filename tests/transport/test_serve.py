"""The embedded broker's sessions, byte by byte, with no socket: what it does to odd clients.

What it does for good ones is in test_contract.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.transport import packets as mqtt
from propeller.transport import serve
from propeller.transport.serve import Hub, Session


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def connect(name, *, version=4, flags=0x02, keepalive=10, properties=b"", more=b"", user=None):
    body = (
        text("MQTT") + bytes((version, flags | (0xC0 if user else 0))) + b"\0" + bytes([keepalive])
    )
    if version == 5:
        body += mqtt.varint(len(properties)) + properties
    body += text(name) + more
    for field in user or ():
        body += text(field)
    return mqtt.packet(mqtt.CONNECT, body)


def publish(topic, payload=b"", *, qos=0, retain=False, packet_id=1, properties=b"", version=4):
    return mqtt.publish(
        topic,
        payload,
        qos=qos,
        retain=retain,
        packet_id=packet_id,
        properties=properties,
        version=version,
    )


def subscribe(*filters, options=1, version=4, packet_id=1):
    body = packet_id.to_bytes(2, "big") + (b"\0" if version == 5 else b"")
    body += b"".join(text(one) + bytes([options]) for one in filters)
    return mqtt.packet(mqtt.SUBSCRIBE, body, 2)


class Wire(asyncio.Transport):
    """The network under a session: remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.stuck = 0
        self.closed = False

    def write(self, data):
        self.data += data

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def get_write_buffer_size(self):
        return self.stuck


class Guest:
    """One client of a hub, with a script for a body."""

    def __init__(self, hub: Hub, version: int = 4) -> None:
        self.version = version
        self.wire = Wire()
        self.session = Session(hub)
        self.session.connection_made(self.wire)

    async def says(self, *data: bytes) -> list[tuple[int, int, bytes]]:
        """Send, and give what came back since: (type, flags, body)."""
        for one in data:
            self.session.data_received(one)
        await asyncio.sleep(0)
        return self.heard()

    def heard(self) -> list[tuple[int, int, bytes]]:
        data, self.wire.data = self.wire.data, b""
        found = []
        while data:
            size = shift = 0
            at = 1
            while True:
                byte = data[at]
                size |= (byte & 127) << shift
                shift, at = shift + 7, at + 1
                if byte < 128:
                    break
            found.append((data[0] >> 4, data[0] & 15, data[at : at + size]))
            data = data[at + size :]
        return found

    def messages(self) -> list[mqtt.Publish]:
        return [
            mqtt.read_publish(flags, body, self.version)
            for kind, flags, body in self.heard()
            if kind == mqtt.PUBLISH
        ]

    async def joins(self, name: str, **options) -> Guest:
        (answer, *_) = await self.says(connect(name, version=self.version, **options))
        assert answer[0] == mqtt.CONNACK
        assert answer[2][1] == 0
        return self


def a_hub(**options) -> Hub:
    return Hub(**{"users": {}, "max_message": 100_000, **options})


def play(scene: Callable[[Hub], object], **options) -> None:
    """Run one scene on a new hub, on a loop of its own."""

    async def run():
        await scene(a_hub(**options))

    asyncio.run(run())


def in_a_loop(scene):
    """A test that is a coroutine over a new hub."""

    def test():
        play(scene)

    test.__doc__ = scene.__doc__
    test.__name__ = scene.__name__
    return test


@in_a_loop
async def test_a_packet_may_come_in_pieces(hub):
    """TCP has no packets: byte by byte is as good as all at once."""
    guest = Guest(hub)
    for byte in connect("a") + subscribe("x") + publish("x", b"1"):
        guest.session.data_received(bytes([byte]))
    await asyncio.sleep(0)
    assert [kind for kind, *_ in guest.heard()] == [mqtt.CONNACK, mqtt.SUBACK, mqtt.PUBLISH]


@settings(max_examples=300, deadline=None)
@given(data=st.lists(st.binary(max_size=60), max_size=5), joined=st.booleans())
def test_any_bytes_end_at_most_the_connection_they_came_over(data, joined):
    """Whatever a client sends, the session takes it or closes; the neighbour never notices."""

    async def scene(hub):
        neighbour = await Guest(hub).joins("neighbour")
        await neighbour.says(subscribe("quiet"))
        guest = Guest(hub)
        if joined:
            await guest.joins("a")
        for part in data:
            guest.session.data_received(part)
        guest.session.connection_lost(None)
        await neighbour.says(publish("quiet", b"still here"))
        assert not neighbour.wire.closed

    play(scene)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.integers(0, 15),
    flags=st.integers(0, 15),
    body=st.binary(max_size=40),
    version=st.sampled_from([4, 5]),
)
def test_any_packet_ends_at_most_the_connection_it_came_over(kind, flags, body, version):
    """The same for packets whose length is right, which get deeper."""

    async def scene(hub):
        guest = await Guest(hub, version).joins("a")
        guest.session.data_received(mqtt.packet(kind, body, flags))
        await asyncio.sleep(0)
        guest.session.connection_lost(None)
        assert hub.sessions == {}
        assert hub.connections == set()

    play(scene)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(publish("x"), id="publish before connect"),
        pytest.param(connect("a") + connect("a"), id="connect twice"),
        pytest.param(connect("a", version=3), id="version 3"),
        pytest.param(connect("a", flags=0x03), id="reserved flag"),
        pytest.param(connect("a", more=b"x"), id="bytes after connect"),
        pytest.param(connect("a") + b"\x36\x05\x00\x01x\x00\x01", id="qos 3"),
        pytest.param(connect("a") + b"\x32\x05\x00\x01x\x00\x00", id="packet id 0"),
        pytest.param(connect("a") + publish("x/+"), id="wildcard topic"),
        pytest.param(connect("a") + subscribe(), id="no filters"),
        pytest.param(connect("a") + subscribe("x#"), id="bad filter"),
        pytest.param(connect("a") + subscribe("x", options=3), id="subscribe qos 3"),
        pytest.param(connect("a") + mqtt.packet(mqtt.SUBACK, b"\0\1\0"), id="a server's packet"),
        pytest.param(connect("a") + b"\x30\xff\xff\xff\xff\x01", id="endless length"),
        pytest.param(connect("a") + b"\x30\xff\xff\xff\x7f", id="larger than allowed"),
        pytest.param(connect("a", version=5, properties=b"\x21\0\0"), id="receive maximum of zero"),
        pytest.param(
            connect("a", version=5) + publish("x", version=5, properties=b"\x23\0\1"),
            id="topic alias",
        ),
        pytest.param(connect("a", version=5, properties=b"\x7f\0"), id="unknown property"),
    ],
)
def test_what_the_standard_forbids_ends_the_connection(data):
    """And nothing of it reaches anybody."""

    async def scene(hub):
        watcher = await Guest(hub).joins("watcher")
        await watcher.says(subscribe("#"))
        guest = Guest(hub)
        guest.session.data_received(data)
        await asyncio.sleep(0)
        assert guest.wire.closed
        assert watcher.messages() == []
        assert list(hub.sessions) == ["watcher"]

    play(scene)


@in_a_loop
async def test_a_version_5_client_is_told_why(hub):
    """DISCONNECT with a reason comes before the end."""
    guest = await Guest(hub, 5).joins("a")
    heard = await guest.says(publish("x", version=5, properties=b"\x23\0\1"))
    assert heard == [(mqtt.DISCONNECT, 0, b"\x94\0")]


@in_a_loop
async def test_who_says_nothing_is_shown_out(hub):
    """No CONNECT within ten seconds, or one and a half keepalives of silence."""
    mute = Guest(hub)
    guest = await Guest(hub).joins("a", keepalive=20)
    forever = await Guest(hub).joins("b", keepalive=0)
    now = time.monotonic()
    for one in (mute, guest, forever):
        one.session.check(now + 9)
        assert not one.wire.closed
    for one in (mute, guest, forever):
        one.session.check(now + 29)
    assert [one.wire.closed for one in (mute, guest, forever)] == [True, False, False]
    guest.session.check(now + 31)
    forever.session.check(now + 9_999)
    assert [one.wire.closed for one in (guest, forever)] == [True, False]


@in_a_loop
async def test_a_slow_reader_is_thrown_out_not_cut(hub):
    """What cannot be delivered ends the connection, so that its owner knows to read again."""
    slow = await Guest(hub).joins("slow")
    await slow.says(subscribe("x"))
    slow.wire.stuck = 1 << 40
    other = await Guest(hub).joins("other")
    await other.says(publish("x", b"1"))
    assert slow.wire.closed
    assert not other.wire.closed


def test_a_reader_that_never_acknowledges_is_thrown_out_in_the_end(monkeypatch):
    """A thousand may be unacknowledged, and a bounded number of bytes waits behind them."""
    monkeypatch.setattr(serve, "_WAITING_BYTES", 50_000)

    async def scene(hub):
        mute = await Guest(hub).joins("mute")
        await mute.says(subscribe("x"))
        other = await Guest(hub).joins("other")
        await other.says(*[publish("x", b"y" * 100, qos=1)] * 1_100)
        assert len(mute.messages()) == 1_000
        assert not mute.wire.closed
        await other.says(*[publish("x", b"y" * 100, qos=1)] * 500)
        assert mute.wire.closed

    play(scene)


@in_a_loop
async def test_an_acknowledgement_lets_the_next_one_through(hub):
    """Receive Maximum of MQTT 5 is kept."""
    guest = await Guest(hub, 5).joins("a", properties=b"\x21\0\2")
    await guest.says(subscribe("x", version=5))
    await guest.says(*[publish("x", b"%d" % n, qos=1, version=5) for n in range(4)])
    guest.wire.data = b""
    other = await Guest(hub).joins("b")
    await other.says(publish("x", b"4", qos=1))
    assert guest.messages() == []
    await guest.says()
    guest.session.data_received(mqtt.acknowledge(mqtt.PUBACK, 1))
    await asyncio.sleep(0)
    assert [message.payload for message in guest.messages()] == [b"2"]


@in_a_loop
async def test_qos_2_from_a_publisher_is_routed_once(hub):
    """A repeated PUBLISH before its PUBREL is the same message."""
    watcher = await Guest(hub).joins("watcher")
    await watcher.says(subscribe("x"))
    guest = await Guest(hub).joins("a")
    first = await guest.says(publish("x", b"1", qos=2, packet_id=7))
    again = await guest.says(publish("x", b"1", qos=2, packet_id=7))
    assert first == again == [(mqtt.PUBREC, 0, b"\0\7")]
    released = await guest.says(mqtt.acknowledge(mqtt.PUBREL, 7, 2))
    assert released == [(mqtt.PUBCOMP, 0, b"\0\7")]
    await guest.says(publish("x", b"2", qos=2, packet_id=7))
    got = watcher.messages()
    assert [(message.payload, message.qos) for message in got] == [(b"1", 1), (b"2", 1)]


@in_a_loop
async def test_options_of_a_version_5_subscription(hub):
    """No Local, Retain As Published and Retain Handling do what they say."""
    teller = await Guest(hub).joins("teller")
    await teller.says(publish("kept", b"k", retain=True))
    no_local = await Guest(hub, 5).joins("a")
    await no_local.says(subscribe("x", options=0x05, version=5))
    await no_local.says(publish("x", b"own", version=5))
    assert no_local.messages() == []
    as_published = await Guest(hub, 5).joins("b")
    await as_published.says(subscribe("x", options=0x09, version=5))
    await teller.says(publish("x", b"r", retain=True))
    assert [message.retain for message in as_published.messages()] == [True]
    assert [message.retain for message in no_local.messages()] == [False]
    only_new = await Guest(hub, 5).joins("c")
    only_new.session.data_received(subscribe("kept", options=0x11, version=5))
    only_new.session.data_received(subscribe("kept", options=0x11, version=5))
    await asyncio.sleep(0)
    assert len(only_new.messages()) == 1
    never = await Guest(hub, 5).joins("d")
    never.session.data_received(subscribe("kept", options=0x21, version=5))
    await asyncio.sleep(0)
    assert never.messages() == []


@in_a_loop
async def test_properties_travel_between_version_5_clients(hub):
    """A user property arrives as it was sent, and a 3.1.1 client gets the message without."""
    new, old = await Guest(hub, 5).joins("new"), await Guest(hub).joins("old")
    await new.says(subscribe("x", version=5))
    await old.says(subscribe("x"))
    user = b"\x26" + text("k") + text("v")
    sender = await Guest(hub, 5).joins("sender")
    await sender.says(publish("x", b"1", version=5, properties=user))
    assert [message.properties for message in new.messages()] == [user]
    assert [message.payload for message in old.messages()] == [b"1"]


@in_a_loop
async def test_a_disconnect_that_asks_for_the_will_gets_it(hub):
    """Reason 4 of MQTT 5; without it a DISCONNECT withdraws the will."""
    watcher = await Guest(hub).joins("watcher")
    await watcher.says(subscribe("w"))
    for body, wanted in ((b"\x04\0", [b"gone"]), (b"\0\0", []), (b"", [])):
        guest = await Guest(hub, 5).joins("a", flags=0x06, more=b"\0" + text("w") + text("gone"))
        await guest.says(mqtt.packet(mqtt.DISCONNECT, body))
        assert [message.payload for message in watcher.messages()] == wanted


@in_a_loop
async def test_shared_subscriptions_are_refused(hub):
    """Said in SUBACK; the other filters of the same packet are granted."""
    for version, refused in ((4, 0x80), (5, 0x9E)):
        guest = await Guest(hub, version).joins("a")
        ((kind, _, body),) = await guest.says(subscribe("$share/g/x", "y", version=version))
        assert kind == mqtt.SUBACK
        assert body[-2:] == bytes([refused, 1])


@in_a_loop
async def test_a_client_without_an_id_is_given_one(hub):
    """Two of them do not throw each other out."""
    one, two = await Guest(hub).joins(""), await Guest(hub, 5).joins("")
    assert not one.wire.closed
    assert not two.wire.closed
    assert len(hub.sessions) == 2


@pytest.mark.parametrize(
    ("user", "welcome"),
    [(("u", "secret"), True), (("u", "wrong"), False), (("v", "secret"), False), (None, False)],
)
def test_only_named_users_come_in(user, welcome):
    """The refusal is a CONNACK in words, and nothing is taken from who was refused."""

    async def scene(hub):
        for version, code in ((4, 0x05), (5, 0x86)):
            guest = Guest(hub, version)
            ((kind, _, body),) = await guest.says(connect("a", version=version, user=user))
            assert kind == mqtt.CONNACK
            assert body[1] == (0 if welcome else code)
            assert guest.wire.closed is not welcome
            await guest.says(publish("x", b"", retain=True, version=version))
            guest.session.connection_lost(None)

    play(scene, users={"u": "secret"})


def test_what_is_retained_is_bounded(monkeypatch):
    """Past the bound new topics are not kept; what is there can still be replaced and cleared."""
    monkeypatch.setattr(serve, "_RETAINED", 3)

    async def scene(hub):
        guest = await Guest(hub).joins("a")
        await guest.says(*[publish(f"x/{n}", b"1", retain=True) for n in range(5)])
        assert sorted(hub.retained) == ["x/0", "x/1", "x/2"]
        await guest.says(publish("x/1", b"2", retain=True), publish("x/2", b"", retain=True))
        assert {topic: kept.payload for topic, kept in hub.retained.items()} == {
            "x/0": b"1",
            "x/1": b"2",
        }

    play(scene)


@in_a_loop
async def test_a_will_that_throws_out_a_slow_neighbour_does_not_go_round(hub):
    """Ends that cause ends come to an end."""
    guests = []
    for number in range(20):
        guest = await Guest(hub).joins(
            f"g{number}", flags=0x06, more=text("w") + text(f"{number} is gone")
        )
        await guest.says(subscribe("w"))
        guest.wire.stuck = 1 << 40
        guests.append(guest)
    guests[0].session.connection_lost(None)
    for _ in range(50):
        await asyncio.sleep(0)
    assert all(guest.wire.closed for guest in guests[1:])
    assert hub.sessions == {}
