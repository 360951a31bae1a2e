"""One paho client for one connection: from CONNECT until the connection ends, then thrown away.

Made by `mqtt`, one after another. A fresh client each time because paho would otherwise resend
what a lost connection left unacknowledged, after the owner had already published something newer;
a fresh client also takes a new will. The only module that imports paho; none of its exceptions
get past this file.

paho's own loop uses select(), which fails above descriptor 1023, and dies with the first callback
that raises; so its documented interface for foreign event loops is used, on `mqtt`'s thread.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from propeller.transport.filters import slices

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from propeller.transport.base import Will
    from propeller.transport.endpoint import Endpoint

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_CLOSE_S = 2.0
_SUBSCRIBE_COUNT = 200
_SUBSCRIBE_BYTES = 8 * 1024
_PACKET_ROOM = 70_000
"""Topic and properties that come on top of a payload in a packet."""


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets about it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Ears(Protocol):
    """What a Link tells its transport, on the thread that runs it."""

    def on_open(self) -> None:
        """The broker accepted us."""

    def on_message(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message came."""

    def on_malformed(self) -> None:
        """A message came whose topic is not text."""

    def on_acknowledged(self) -> None:
        """The broker has one of our messages, or it was written if its QoS is 0."""

    def on_denied(self, what: str) -> None:
        """The broker answered a request with a refusal."""


class Link:
    """One connection. `run` belongs to one thread, everything else may be called from any."""

    def __init__(self, endpoint: Endpoint, will: Will | None, window: int, ears: Ears) -> None:
        self._endpoint = endpoint
        self._ears = ears
        self._window = window
        self._client = self._build(will)
        self._lock = threading.Lock()
        self._sent: deque[tuple[paho.MQTTMessageInfo, int]] = deque()
        self._sent_bytes = 0
        self._open = False
        self._ending: str | None = None
        self._refusal = ""
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self.receive_maximum: int | None = None
        """How many unacknowledged messages the broker allows; None before it said so."""

    def is_open(self) -> bool:
        """Between the broker's acceptance and the end of the connection."""
        return self._open

    def queued(self) -> int:
        """Messages taken and not yet acknowledged."""
        with self._lock:
            self._forget_acknowledged()
            return len(self._sent)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> bool:
        """False when not open or the queue is full."""
        with self._lock:
            if not self._open or self._ending is not None:
                return False
            self._forget_acknowledged()
            full = (
                len(self._sent) >= self._endpoint.queue_messages
                or self._sent_bytes + len(payload) > self._endpoint.queue_bytes
            )
            if full:
                return False
            try:
                info = self._client.publish(topic, payload, qos=qos, retain=retain)
            except (ValueError, RuntimeError) as error:
                self._ears.on_denied(f"publish to {topic}: {error}")
                return False
            if info.rc != paho.MQTT_ERR_SUCCESS:
                return False
            self._sent.append((info, len(payload)))
            self._sent_bytes += len(payload)
        self._wake()
        return True

    def subscribe(self, filters: Sequence[str]) -> None:
        """In slices, each its own SUBSCRIBE."""
        for part in slices(filters, count=_SUBSCRIBE_COUNT, size=_SUBSCRIBE_BYTES):
            if not self._open:
                return
            with contextlib.suppress(ValueError):  # checked before; paho's own rules agree
                self._client.subscribe([(text, 1) for text in part])
        self._wake()

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """In slices, each its own UNSUBSCRIBE."""
        for part in slices(filters, count=_SUBSCRIBE_COUNT, size=_SUBSCRIBE_BYTES):
            if not self._open:
                return
            with contextlib.suppress(ValueError):
                self._client.unsubscribe(part)
        self._wake()

    def end(self, *, gracefully: bool) -> None:
        """Ask `run` to finish: with a DISCONNECT, or as a crash would."""
        self._ending = "close" if gracefully else "abort"
        self._wake()

    def run(self) -> str:
        """Connect and serve until the connection ends; the reason in words. Never raises."""
        try:
            reason = self._serve()
        except (OSError, ssl.SSLError) as error:
            reason = f"{self._endpoint}: {error}"
        except Exception as error:
            # A packet that paho cannot parse ends the connection, never the thread.
            _log.exception("MQTT connection to %s broke", self._endpoint)
            reason = f"{self._endpoint}: {type(error).__name__}: {error}"
        finally:
            self._open = False
            self._drop()
            self._selector.close()
            with self._lock:  # a late `_wake` must not meet a closed descriptor number
                self._wake_in.close()
                self._wake_out.close()
        return self._refusal or reason

    def _serve(self) -> str:
        end = self._endpoint
        began = time.monotonic()
        self._client.connect_timeout = end.connect_timeout
        if end.protocol == "5":
            self._client.connect(
                end.host,
                end.port,
                keepalive=end.keepalive,
                clean_start=True,
                properties=self._v5_properties(),
            )
        else:
            self._client.connect(end.host, end.port, keepalive=end.keepalive)
        interest = 0
        next_tick = time.monotonic() + _TICK_S
        while (sock := self._client.socket()) is not None:
            if self._ending is not None:
                return self._finish()
            if not self._open and time.monotonic() - began > end.connect_timeout:
                return f"{end}: no answer to CONNECT within {end.connect_timeout:g} s"
            wanted = selectors.EVENT_READ
            if self._client.want_write():
                wanted |= selectors.EVENT_WRITE
            if wanted != interest:
                self._selector.modify(sock, wanted)
                interest = wanted
            self._pass(sock, min(_TICK_S, end.connect_timeout))
            if time.monotonic() >= next_tick:
                self._client.loop_misc()
                next_tick = time.monotonic() + _TICK_S
        return f"{end}: connection lost"

    def _pass(self, sock: paho.SocketLike, timeout: float) -> None:
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._wake_in:
                with contextlib.suppress(BlockingIOError):
                    self._wake_in.recv(4096)
                continue
            if mask & selectors.EVENT_WRITE:
                self._client.loop_write()
            if mask & selectors.EVENT_READ:
                self._client.loop_read()
                # TLS may hold whole packets that select() cannot see.
                while isinstance(sock, ssl.SSLSocket) and self._alive(sock) and sock.pending():
                    self._client.loop_read()

    def _alive(self, sock: paho.SocketLike) -> bool:
        return self._client.socket() is sock

    def _finish(self) -> str:
        if self._ending == "close":
            deadline = time.monotonic() + _CLOSE_S
            self._client.disconnect()
            while (sock := self._client.socket()) is not None and time.monotonic() < deadline:
                if self._ending == "abort":
                    break
                self._selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
                self._pass(sock, 0.05)
        return "closed by its owner"

    def _drop(self) -> None:
        sock = self._client.socket()
        if sock is None:
            return
        self._on_socket_close(self._client, None, sock)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    def _forget_acknowledged(self) -> None:
        while self._sent and self._sent[0][0].is_published():
            self._sent_bytes -= self._sent.popleft()[1]

    def _build(self, will: Will | None) -> paho.Client:
        end = self._endpoint
        v5 = end.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=end.client_id,
            clean_session=None if v5 else True,
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages = self._window
        client.max_queued_messages = 0  # bounded by `publish` above, in messages and in bytes
        if end.username is not None:
            client.username_pw_set(end.username, end.password)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        if end.tls is not None:
            context = ssl.create_default_context(cafile=end.tls.ca)
            context.sslsocket_class = _TlsSocket
            if end.tls.cert is not None:
                context.load_cert_chain(end.tls.cert, end.tls.key)
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        # Without this one, paho writes to the socket from the publishing thread, past our loop.
        client.on_socket_register_write = lambda *_: None
        return client

    def _v5_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = self._endpoint.max_payload + _PACKET_ROOM
        return properties

    def _on_socket_open(self, _client: paho.Client, _data: object, sock: paho.SocketLike) -> None:
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ)

    def _on_socket_close(self, _client: paho.Client, _data: object, sock: paho.SocketLike) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = f"{self._endpoint}: the broker refused: {reason}"
            return
        maximum = getattr(properties, "ReceiveMaximum", None)
        self.receive_maximum = 65_535 if maximum is None else int(maximum)
        if self._endpoint.protocol == "5" and self.receive_maximum < self._window:
            # paho would exceed it and be thrown out in mid-burst: come back with less.
            self._refusal = f"{self._endpoint}: allows {self.receive_maximum} unacknowledged"
            self._ending = "close"
            return
        self._open = True
        self._ears.on_open()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._ears.on_malformed()
            return
        self._ears.on_message(topic, bytes(message.payload), retained=bool(message.retain))

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        _mid: int,
        reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        if reason.is_failure:
            self._ears.on_denied(f"a publication: {reason}")
        self._ears.on_acknowledged()

    def _on_subscribe(
        self,
        _client: paho.Client,
        _data: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._ears.on_denied(f"a subscription: {reason}")

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and not self._refusal:
            self._refusal = f"{self._endpoint}: the broker disconnected us: {reason}"
