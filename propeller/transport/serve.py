"""The embedded broker: who is connected, who wants what, what is retained. asyncio, one thread.

Runs in a process of its own (`embedded_child`). MQTT 3.1.1 and 5 on one port, QoS 0 and 1 to
subscribers (2 is taken from publishers), retained messages, wills, users. Sessions are always
clean; shared subscriptions, topic aliases, delayed wills and access rights are left out: Propeller
uses none, and an MQTT 5 client is told so where the standard has a word for it.

One client's fault ends that client's connection and nothing else. What a client can make us hold is
bounded: a slow reader is thrown out, never cut silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, cast

from propeller.transport import packets as mqtt
from propeller.transport.base import Will
from propeller.transport.filters import is_wildcard, matches
from propeller.transport.packets import Malformed, Publish, Wish
from propeller.transport.tree import FilterTree

_log = logging.getLogger(__name__)

_PACKET_ROOM = 70_000
_WINDOW = 1_000
_WAITING_BYTES = 256 * 1024 * 1024
_RETAINED = 200_000
_RETAINED_BYTES = 1024 * 1024 * 1024
_GREETING_S = 10.0
_TICK_S = 1.0


class Subscription(NamedTuple):
    """One session's hold on one filter."""

    session: Session
    wish: Wish


class Hub:
    """What all sessions share."""

    def __init__(self, *, users: Mapping[str, str], max_message: int) -> None:
        self.users = users
        self.max_packet = max_message + _PACKET_ROOM
        self.max_message = max_message
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Publish] = {}
        self.connections: set[Session] = set()
        self._retained_bytes = 0
        self._told_full = False
        self._tree: FilterTree[Subscription] = FilterTree()

    def route(self, message: Publish, sender: Session | None) -> None:
        """Keep it if it is to be kept, and give it to whoever wants it, once each."""
        if message.retain:
            self._keep(message)
        found = self._tree.find(message.topic)
        if len(found) > 1:
            best: dict[Session, Subscription] = {}
            for one in found:
                known = best.get(one.session)
                if known is None or one.wish.qos > known.wish.qos:
                    best[one.session] = one
            found = list(best.values())
        for session, wish in found:
            if wish.no_local and session is sender:
                continue
            retain = message.retain and wish.as_published
            session.give(message, min(message.qos, wish.qos), retain=retain)

    def hold(self, session: Session, wish: Wish) -> None:
        """A session subscribes to one filter."""
        old = session.wishes.get(wish.text)
        if old is not None:
            self._tree.remove(wish.text, Subscription(session, old))
        session.wishes[wish.text] = wish
        self._tree.add(wish.text, Subscription(session, wish))
        if wish.retained == 0 or (wish.retained == 1 and old is None):
            for message in self._kept_for(wish.text):
                session.give(message, min(message.qos, wish.qos), retain=True)

    def drop(self, session: Session, text: str) -> bool:
        """A session gives one filter up; False if it did not hold it."""
        wish = session.wishes.pop(text, None)
        if wish is None:
            return False
        self._tree.remove(text, Subscription(session, wish))
        return True

    def allows(self, username: str | None, password: bytes | None) -> bool:
        """Whether this user may come in: anyone when no users are named."""
        if not self.users:
            return True
        wanted = self.users.get(username or "")
        given = password or b""
        return wanted is not None and hmac.compare_digest(wanted.encode(), given)

    async def tick(self) -> None:
        """Throw out who fell silent. Runs until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for session in list(self.connections):
                session.check(now)

    def _keep(self, message: Publish) -> None:
        old = self.retained.pop(message.topic, None)
        if old is not None:
            self._retained_bytes -= len(old.payload)
        if not message.payload:
            return
        full = self._retained_bytes + len(message.payload) > _RETAINED_BYTES
        if full or len(self.retained) >= _RETAINED:
            if not self._told_full:  # once: a client could fill the log with it
                self._told_full = True
                _log.error("too much is retained: %s and others are not kept", message.topic)
            return
        self.retained[message.topic] = message
        self._retained_bytes += len(message.payload)

    def _kept_for(self, text: str) -> list[Publish]:
        if not is_wildcard(text):
            return [self.retained[text]] if text in self.retained else []
        return [kept for topic, kept in self.retained.items() if matches(text, topic)]


class Session(asyncio.Protocol):
    """One connection, from the first byte to the last."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._flushing = False
        self._ended = False
        self._version = 0
        self._client_id = ""
        self._will: Will | None = None
        self._keepalive = 0
        self._seen = time.monotonic()
        self._window = _WINDOW
        self._largest = 0
        self._next_id = 0
        self._unacknowledged: set[int] = set()
        self._waiting: deque[tuple[Publish, bool]] = deque()
        self._waiting_bytes = 0
        self._half_taken: set[int] = set()
        self.wishes: dict[str, Wish] = {}

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up; CONNECT has to follow."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WAITING_BYTES)
        self._hub.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """TCP is gone; without a DISCONNECT before, the will is said."""
        self._hub.connections.discard(self)
        self._end()

    def data_received(self, data: bytes) -> None:
        """Take as many whole packets as there are."""
        self._seen = time.monotonic()
        self._buffer += data
        try:
            self._take_packets()
        except Malformed as error:
            self.close(error.reason)
        except Exception:
            # Ours, not the client's; but it must not cost the other clients theirs.
            _log.exception("a connection broke")
            self.close(0x80)

    # The hub's side.

    def give(self, message: Publish, qos: int, *, retain: bool) -> None:
        """Send a message, or let it wait for acknowledgements."""
        if self._ended:
            return
        if self._largest and len(message.payload) + len(message.topic) + 12 > self._largest:
            return
        if qos and (self._waiting or len(self._unacknowledged) >= self._window):
            self._waiting.append((message, retain))
            self._waiting_bytes += len(message.payload)
            if self._waiting_bytes > _WAITING_BYTES:
                self.close(0x97)
            return
        self._send_message(message, qos, retain)

    def check(self, now: float) -> None:
        """Throw this client out if it is silent for too long."""
        silent = now - self._seen
        if not self._version:
            if silent > _GREETING_S:
                self.close()
        elif self._keepalive and silent > 1.5 * self._keepalive:
            self.close(0x8D)

    def close(self, reason: int | None = None) -> None:
        """End the connection. The will is said unless the client took its leave."""
        if reason is not None and self._version == 5 and not self._ended:
            self._send(mqtt.packet(mqtt.DISCONNECT, bytes((reason, 0))))
        self._end()
        self._flush()
        self._transport.close()

    # Packets.

    def _take_packets(self) -> None:
        buffer = self._buffer
        start = 0
        while not self._ended:
            size = shift = 0
            at = start + 1
            while True:
                if at >= len(buffer):
                    del buffer[:start]
                    return
                byte = buffer[at]
                size |= (byte & 127) << shift
                shift += 7
                at += 1
                if byte < 128:
                    break
                if shift > 21:
                    raise Malformed("a length of more than four bytes")
            if size > self._hub.max_packet:
                raise Malformed(f"a packet of {size} bytes", 0x95)
            if len(buffer) < at + size:
                del buffer[:start]
                return
            self._take(buffer[start] >> 4, buffer[start] & 15, bytes(buffer[at : at + size]))
            start = at + size
        buffer.clear()

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if (kind == mqtt.CONNECT) == bool(self._version):
            raise Malformed("CONNECT comes first, and once", 0x82)
        match kind:
            case mqtt.PUBLISH:
                self._on_publish(mqtt.read_publish(flags, body, self._version))
            case mqtt.PUBACK:
                self._on_puback(mqtt.packet_id_of(body))
            case mqtt.SUBSCRIBE:
                self._on_subscribe(*mqtt.read_subscribe(body, self._version))
            case mqtt.UNSUBSCRIBE:
                self._on_unsubscribe(*mqtt.read_unsubscribe(body, self._version))
            case mqtt.PINGREQ:
                self._send(mqtt.packet(mqtt.PINGRESP))
            case mqtt.CONNECT:
                self._on_connect(mqtt.read_connect(body))
            case mqtt.DISCONNECT:
                if not body or body[0] != 0x04:  # 4: disconnect, and say the will
                    self._will = None
                self.close()
            case mqtt.PUBREL:
                packet_id = mqtt.packet_id_of(body)
                self._half_taken.discard(packet_id)
                self._send(mqtt.acknowledge(mqtt.PUBCOMP, packet_id))
            case _:
                raise Malformed(f"a packet of type {kind} from a client", 0x82)

    def _on_connect(self, connect: mqtt.Connect) -> None:
        hub = self._hub
        v5 = connect.version == 5
        if not hub.allows(connect.username, connect.password):
            refusal = b"\0\x86\0" if v5 else b"\0\x05"
            self._send(mqtt.packet(mqtt.CONNACK, refusal))
            self.close()
            return
        self._version = connect.version
        self._client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
        self._keepalive = connect.keepalive
        self._will = connect.will
        self._window = min(_WINDOW, connect.numbers.get(mqtt.RECEIVE_MAXIMUM, _WINDOW))
        self._largest = connect.numbers.get(mqtt.MAXIMUM_PACKET, 0)
        older = hub.sessions.get(self._client_id)
        if older is not None:
            older.close(0x8E)
        hub.sessions[self._client_id] = self
        self._send(mqtt.packet(mqtt.CONNACK, b"\0\0" + (self._v5_terms(connect) if v5 else b"")))

    def _v5_terms(self, connect: mqtt.Connect) -> bytes:
        terms = b"".join(
            (
                b"\x11\0\0\0\0",  # sessions end with their connection
                b"\x27" + self._hub.max_packet.to_bytes(4, "big"),
                b"\x29\0\x2a\0",  # neither subscription identifiers nor shared subscriptions
            )
        )
        if not connect.client_id:
            name = self._client_id.encode()
            terms += b"\x12" + len(name).to_bytes(2, "big") + name
        return mqtt.varint(len(terms)) + terms

    def _on_publish(self, message: Publish) -> None:
        if len(message.payload) > self._hub.max_message:
            raise Malformed(f"a payload of {len(message.payload)} bytes", 0x95)
        if message.qos == 2:
            if message.packet_id not in self._half_taken:
                if len(self._half_taken) >= _WINDOW:
                    raise Malformed("too many unreleased messages", 0x93)
                self._half_taken.add(message.packet_id)
                self._hub.route(message, self)
            self._send(mqtt.acknowledge(mqtt.PUBREC, message.packet_id))
            return
        self._hub.route(message, self)
        if message.qos == 1:
            self._send(mqtt.acknowledge(mqtt.PUBACK, message.packet_id))

    def _on_puback(self, packet_id: int) -> None:
        self._unacknowledged.discard(packet_id)
        while self._waiting and len(self._unacknowledged) < self._window:
            message, retain = self._waiting.popleft()
            self._waiting_bytes -= len(message.payload)
            self._send_message(message, 1, retain)

    def _on_subscribe(self, packet_id: int, wishes: list[Wish]) -> None:
        shared = 0x9E if self._version == 5 else 0x80
        answers = bytes(
            shared if wish.text.startswith("$share/") else min(wish.qos, 1) for wish in wishes
        )
        terms = b"\0" if self._version == 5 else b""
        self._send(mqtt.packet(mqtt.SUBACK, packet_id.to_bytes(2, "big") + terms + answers))
        for wish, answer in zip(wishes, answers, strict=True):
            if answer <= 1:
                self._hub.hold(self, wish._replace(qos=answer))

    def _on_unsubscribe(self, packet_id: int, filters: list[str]) -> None:
        held = [self._hub.drop(self, text) for text in filters]
        body = packet_id.to_bytes(2, "big")
        if self._version == 5:
            body += b"\0" + bytes(0 if one else 0x11 for one in held)
        self._send(mqtt.packet(mqtt.UNSUBACK, body))

    # Sending.

    def _send_message(self, message: Publish, qos: int, retain: bool) -> None:
        packet_id = 0
        if qos:
            packet_id = self._next_id = self._next_id % 65_535 + 1
            self._unacknowledged.add(packet_id)
        self._send(
            mqtt.publish(
                message.topic,
                message.payload,
                qos=qos,
                retain=retain,
                packet_id=packet_id,
                properties=message.properties,
                version=self._version,
            )
        )

    def _send(self, data: bytes) -> None:
        # Gathered until the end of this turn of the loop: a burst is one write.
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        out, self._out = self._out, []
        if not out or self._transport.is_closing():
            return
        self._transport.write(b"".join(out))
        if self._transport.get_write_buffer_size() > _WAITING_BYTES:
            self._end()
            self._transport.abort()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        for text in list(self.wishes):
            self._hub.drop(self, text)
        if self._hub.sessions.get(self._client_id) is self:
            del self._hub.sessions[self._client_id]
        will, self._will = self._will, None
        if will is not None:
            self._hub.route(Publish(will.topic, will.payload, 1, will.retain, 0, b""), None)


async def serve(host: str, port: int, hub: Hub, stop: asyncio.Event) -> None:
    """Serve until `stop`. OSError when the port is taken. No wills are said at the end."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(hub), host, port, backlog=1_024)
    ticking = asyncio.ensure_future(hub.tick())
    try:
        await stop.wait()
    finally:
        server.close()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
