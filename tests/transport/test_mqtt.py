"""MqttTransport against a broker that does one odd thing: a scripted server on the loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from propeller.transport.base import Connected, Disconnected, Received, Will
from propeller.transport.endpoint import Endpoint, Tls
from propeller.transport.mqtt import MqttTransport

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14
ACCEPTED = {"3.1.1": b"\x20\x02\x00\x00", "5": b"\x20\x03\x00\x00\x00"}


class OddBroker:
    """Takes connections, reads whole packets and answers each by what the test says."""

    def __init__(self, answer: Callable[[int, bytes], bytes | None]) -> None:
        self.answer = answer
        self.packets: list[tuple[int, int, bytes]] = []
        """(connection, packet type, body) in order."""
        self.sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def of(self, kind: int, connection: int | None = None) -> list[bytes]:
        return [
            body
            for number, seen, body in list(self.packets)
            if seen == kind and connection in (None, number)
        ]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(len(self.sockets), sock))
            self._threads.append(thread)
            thread.start()

    def _serve(self, number: int, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), sock:
            while True:
                kind, body = self._packet(sock)
                self.packets.append((number, kind, body))
                reply = self.answer(kind, body)
                if reply is None:
                    return
                sock.sendall(reply)

    def _packet(self, sock: socket.socket) -> tuple[int, bytes]:
        head = self._exactly(sock, 1)[0] >> 4
        length = shift = 0
        while True:
            byte = self._exactly(sock, 1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return head, self._exactly(sock, length)

    @staticmethod
    def _exactly(sock: socket.socket, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = sock.recv(size - len(got))
            if not part:
                raise EOFError
            got += part
        return got


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.002)
    return true()


def publication(topic: bytes, payload: bytes) -> bytes:
    body = struct.pack("!H", len(topic)) + topic + payload
    return bytes([PUBLISH << 4, len(body)]) + body


@pytest.fixture
def odd(ears) -> Iterator[Callable[..., tuple[OddBroker, MqttTransport]]]:
    """Start an OddBroker with an answer, and a transport to it."""
    brokers: list[OddBroker] = []
    transports: list[MqttTransport] = []

    def make(answer, *, listener=ears, will=None, **options):
        broker = OddBroker(answer)
        brokers.append(broker)
        endpoint = Endpoint(host="127.0.0.1", port=broker.port, client_id="odd")
        endpoint = dataclasses.replace(endpoint, **options)
        transport = MqttTransport(endpoint, random.Random(5))
        transports.append(transport)
        transport.start(listener, will)
        return broker, transport

    yield make
    for transport in transports:
        transport.abort()
    for broker in brokers:
        broker.close()


def accepts(kind: int, body: bytes) -> bytes:
    """A broker that takes everyone in and acknowledges nothing."""
    return ACCEPTED["3.1.1"] if kind == CONNECT else b""


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_the_session_is_clean(odd, ears, protocol):
    """CONNECT asks for nothing to be kept, whatever the version."""
    broker, _ = odd(lambda kind, body: ACCEPTED[protocol], protocol=protocol)
    assert until(lambda: ears.events == [Connected(1)])
    flags = broker.of(CONNECT)[0][7]
    assert flags == 0x02
    if protocol == "5":
        properties = broker.of(CONNECT)[0][11:]
        assert b"\x11\x00\x00\x00\x00" in properties, "session expiry 0"


def test_what_was_not_acknowledged_is_forgotten_with_its_connection(odd, ears):
    """An old document must not overwrite a newer one after a reconnect."""

    def answer(kind, body):
        return None if kind == PUBLISH else accepts(kind, body)

    broker, transport = odd(answer)
    assert until(lambda: ears.connects == 1)
    assert transport.publish("a", b"old", retain=True)
    assert until(lambda: ears.connects == 2)
    assert transport.stats().queued == 0
    time.sleep(0.05)
    assert len(broker.of(PUBLISH)) == 1


def test_the_queue_is_bounded_in_messages(odd, ears):
    """`publish` says False once as many are unacknowledged as the endpoint allows."""
    _, transport = odd(accepts, queue_messages=50)
    assert until(lambda: ears.connects == 1)
    assert [transport.publish("a", b"x") for _ in range(60)] == [True] * 50 + [False] * 10
    stats = transport.stats()
    assert (stats.published, stats.publish_refused, stats.queued) == (50, 10, 50)
    assert not transport.flush(0.05)


def test_the_queue_is_bounded_in_bytes(odd, ears):
    """Large messages fill it sooner."""
    _, transport = odd(accepts, queue_bytes=2_500)
    assert until(lambda: ears.connects == 1)
    assert [transport.publish("a", b"x" * 1_000) for _ in range(3)] == [True, True, False]


def test_an_acknowledgement_makes_room(odd, ears):
    """The bound is on what is unacknowledged, not on what was ever sent."""

    def answer(kind, body):
        if kind == PUBLISH:
            return bytes([PUBACK << 4, 2]) + body[3:5]  # topic "a" is one byte long
        return accepts(kind, body)

    _, transport = odd(answer, queue_messages=5)
    assert until(lambda: ears.connects == 1)
    for _ in range(10):
        assert transport.publish("a", b"x")
        assert transport.flush(10)


def test_a_listener_that_fails_is_counted_and_called_again(odd, caplog):
    """The owner's mistake is loud and costs neither the thread nor the connection."""
    heard = []

    def listener(event):
        heard.append(event)
        raise LookupError("a mistake in the owner")

    def answer(kind, body):
        if kind == SUBSCRIBE:
            return publication(b"a", b"1") + publication(b"a", b"2")
        return accepts(kind, body)

    _, transport = odd(answer, listener=listener)
    assert until(lambda: len(heard) == 1)
    transport.subscribe(["a"])
    assert until(lambda: len(heard) == 3)
    assert heard == [Connected(1), Received("a", b"1", False), Received("a", b"2", False)]
    assert until(lambda: transport.stats().listener_errors == 3)
    assert "a mistake in the owner" in caplog.text


def test_a_listener_may_publish_and_subscribe(odd):
    """Calls from the transport's own thread do not wait for that thread."""
    broker = transport = None
    events = []

    def listener(event):
        events.append(event)
        if event == Connected(1):
            ready.wait(10)
            transport.subscribe(["a"])
            transport.publish("b", b"from the listener")

    ready = threading.Event()
    broker, transport = odd(accepts, listener=listener)
    ready.set()
    assert until(lambda: broker.of(SUBSCRIBE) != [] and broker.of(PUBLISH) != [])


def test_a_listener_may_close(odd):
    """`close` from the transport's own thread does not wait for itself."""

    def listener(event):
        ready.wait(10)
        transport.close()
        done.set()

    ready, done = threading.Event(), threading.Event()
    broker, transport = odd(accepts, listener=listener)
    ready.set()
    assert done.wait(10)
    assert until(lambda: broker.of(DISCONNECT) != [])


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(b"\xff\xff\xff\xff\xff\xff", id="endless length"),
        pytest.param(b"\x30\x02\xff\xff", id="topic past the end"),
        pytest.param(b"\x90\x00", id="empty suback"),
        pytest.param(b"\x40\x01\x00", id="short puback"),
        pytest.param(b"\xf0\x00", id="reserved type"),
    ],
)
def test_rubbish_from_a_broker_ends_the_connection_only(odd, ears, rubbish):
    """Whatever bytes come, the thread lives and connects again."""
    answers = iter([rubbish])

    def answer(kind, body):
        return next(answers, b"") if kind == SUBSCRIBE else accepts(kind, body)

    _, transport = odd(answer)
    assert until(lambda: ears.connects == 1)
    transport.subscribe(["a"])
    assert until(lambda: ears.connects == 2)
    assert ears.disconnects == 1


def test_a_topic_that_is_no_text_is_dropped_and_counted(odd, ears):
    """The message after it arrives on the same connection."""

    def answer(kind, body):
        if kind == SUBSCRIBE:
            return publication(b"\xff\xfe", b"1") + publication(b"a", b"2")
        return accepts(kind, body)

    _, transport = odd(answer)
    assert until(lambda: ears.connects == 1)
    transport.subscribe(["a"])
    assert until(lambda: ears.payloads == [b"2"])
    assert transport.stats().malformed == 1


def test_a_server_that_never_answers_is_given_up(odd, ears):
    """TCP without CONNACK is no connection: tried again, and said why."""
    _, transport = odd(lambda kind, body: b"", connect_timeout=0.2)
    assert until(lambda: transport.stats().failed_connects >= 2)
    assert "no answer to CONNECT" in transport.stats().last_error
    assert ears.events == []


def test_a_refusal_is_told_in_words(odd, ears):
    """A wrong password shows in `last_error`, and no event pretends a connection."""
    _, transport = odd(lambda kind, body: b"\x20\x02\x00\x05" if kind == CONNECT else b"")
    assert until(lambda: transport.stats().failed_connects >= 1)
    assert "Not authorized" in transport.stats().last_error
    assert ears.events == []


def test_a_denied_subscription_is_counted(odd, ears, caplog):
    """SUBACK 0x80 is a matter for whoever set the rights, so it is not silent."""

    def answer(kind, body):
        if kind == SUBSCRIBE:
            return b"\x90\x04" + body[:2] + b"\x01\x80"
        return accepts(kind, body)

    _, transport = odd(answer)
    assert until(lambda: ears.connects == 1)
    transport.subscribe(["a", "b"])
    assert until(lambda: transport.stats().denied == 1)
    assert "denied a subscription" in caplog.text


def test_a_long_list_of_filters_goes_out_in_slices(odd, ears):
    """No SUBSCRIBE is larger than a small broker takes, and none is left out."""
    broker, transport = odd(accepts)
    assert until(lambda: ears.connects == 1)
    wanted = [f"m/{'d' * 36}/c/{'c' * 36}/control/proplet/{n}/report" for n in range(1_000)]
    transport.subscribe(wanted)
    assert until(lambda: sum(body.count(b"/report") for body in broker.of(SUBSCRIBE)) == 1_000)
    assert max(len(body) for body in broker.of(SUBSCRIBE)) <= 8_192 + 2


def test_a_broker_that_allows_few_in_flight_is_obeyed(odd, ears):
    """MQTT 5 Receive Maximum: never more unacknowledged than the broker said."""

    def answer(kind, body):
        return b"\x20\x06\x00\x00\x03\x21\x00\x04" if kind == CONNECT else b""

    broker, transport = odd(answer, protocol="5")
    assert until(lambda: ears.connects == 1)
    for _ in range(30):
        assert transport.publish("a", b"x")
    last = len(broker.sockets)
    assert until(lambda: len(broker.of(PUBLISH, last)) == 4)
    time.sleep(0.05)
    assert len(broker.of(PUBLISH)) == 4


def test_small_packets_are_not_held_back(odd, ears, monkeypatch):
    """Nagle's algorithm is off on every socket of ours."""
    seen = []
    original = socket.socket.setsockopt

    def note(self, *args):
        seen.append(args)
        return original(self, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", note)
    odd(accepts)
    assert until(lambda: ears.connects == 1)
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in seen


def test_close_is_bounded_when_the_broker_no_longer_reads(odd, ears):
    """With megabytes stuck in the socket `close` still ends."""
    silent = threading.Event()

    def answer(kind, body):
        if kind == SUBSCRIBE:
            silent.wait(20)
        return accepts(kind, body)

    _, transport = odd(answer)
    assert until(lambda: ears.connects == 1)
    transport.subscribe(["a"])
    for _ in range(20):
        transport.publish("a", b"x" * 1_000_000)
    began = time.monotonic()
    transport.close()
    assert time.monotonic() - began < 10
    silent.set()


def test_close_ends_the_waiting_for_an_absent_broker(ears):
    """A transport in its backoff is closed at once, and says nothing of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = Endpoint(host="127.0.0.1", port=port, client_id="a")
    transport = MqttTransport(endpoint, random.Random(1))
    transport.start(ears, Will("a", b""))
    assert until(lambda: transport.stats().failed_connects >= 1)
    transport.close()
    assert ears.events == []


def test_a_tls_file_that_is_missing_is_told_in_words(ears, tmp_path):
    """A wrong path in the configuration is a reason, not a dead thread."""
    endpoint = Endpoint(
        host="127.0.0.1", port=1, client_id="a", tls=Tls(ca=str(tmp_path / "no-such.pem"))
    )
    transport = MqttTransport(endpoint, random.Random(1))
    transport.start(ears)
    assert until(lambda: transport.stats().failed_connects >= 2)
    assert "No such file" in transport.stats().last_error
    transport.close()


def test_a_lost_connection_is_told_with_its_reason(odd, ears):
    """`Disconnected` names the broker, so that a log line is of use."""
    broker, _ = odd(lambda kind, body: None if kind == SUBSCRIBE else accepts(kind, body))
    assert until(lambda: ears.connects == 1)
    broker.sockets[0].shutdown(socket.SHUT_RDWR)
    assert until(lambda: ears.disconnects == 1)
    (event,) = [event for event in list(ears.events) if isinstance(event, Disconnected)]
    assert f"127.0.0.1:{broker.port}" in event.reason


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"host": ""}, "host"),
        ({"client_id": ""}, "client id"),
        ({"port": 0}, "port"),
        ({"keepalive": 0}, "keepalive"),
        ({"queue_messages": 70_000}, "queue"),
        ({"password": "x"}, "user name"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(wrong, says):
    """Found when it is made, not when the broker hangs up."""
    good = {"host": "h", "port": 1883, "client_id": "a"}
    with pytest.raises(ValueError, match=says):
        Endpoint(**{**good, **wrong})


def test_a_password_is_not_shown():
    """An endpoint ends up in logs and tracebacks."""
    endpoint = Endpoint(host="h", port=1, client_id="a", username="u", password="secret")
    assert "secret" not in repr(endpoint)
    assert str(endpoint) == "mqtt://h:1"
