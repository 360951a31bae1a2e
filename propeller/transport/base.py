"""The only I/O the protocol needs: connect, subscribe, publish, hear, close.

Implemented by `mqtt` (paho) and `memory` (can lose, repeat, delay and reorder); both pass
tests/transport/test_contract.py. A Transport belongs to one owner; its listener is called on the
transport's own thread (mqtt) or from `MemoryBroker.advance` (memory) and must only hand over.

Sessions are always clean: what was neither acknowledged nor sent when a connection ends is
forgotten, so that an old retained document can never overwrite a newer one after a reconnect. The
owner compares wanted with retained on every `Connected` and publishes what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Received(NamedTuple):
    """A message as it came. `retained`: it was stored at the broker before we subscribed."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us in. Every subscription must be made again by the owner.

    connects counts from 1 within this Transport.
    """

    connects: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone; the transport tries again by itself with full-jitter backoff.

    Told once for each `Connected` that ended by itself; attempts that never got as far as a
    connection only show in `Stats.failed_connects` and `Stats.last_error`.
    """

    reason: str


Event = Received | Connected | Disconnected
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What happened since `start`, in counts. Bytes are payload bytes."""

    connects: int = 0
    failed_connects: int = 0
    disconnects: int = 0
    published: int = 0
    acknowledged: int = 0
    publish_refused: int = 0
    """`publish` said False: not connected, queue full, or larger than this endpoint allows."""
    received: int = 0
    received_bytes: int = 0
    oversize: int = 0
    """Dropped on the way in, or refused on the way out, for being above `max_payload`."""
    malformed: int = 0
    """Dropped on the way in: a topic that is not UTF-8."""
    denied: int = 0
    """Subscriptions and publications that the broker answered with a refusal."""
    listener_errors: int = 0
    queued: int = 0
    """Taken by `publish` and not yet acknowledged."""
    last_error: str = ""


class Transport(Protocol):
    """One connection to a broker. Clean session always; QoS 1 unless told otherwise.

    After `close` or `abort` the listener hears nothing more and a Transport is not started again.
    """

    def start(self, listener: Listener, will: Will | None = None) -> None:
        """Begin to connect; returns at once. Events come to `listener`."""

    def set_will(self, will: Will | None) -> None:
        """The will of the next connection (MQTT fixes it at CONNECT)."""

    def subscribe(self, filters: Sequence[str]) -> None:
        """SUBSCRIBE at QoS 1. A filter already held is not re-sent by brokers: unsubscribe first.

        Does nothing while not connected: subscriptions are made again on `Connected`.
        ValueError for a filter that MQTT forbids.
        """

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """UNSUBSCRIBE."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over for sending, never waits. False when not connected, the queue is full or the
        payload is above the endpoint's bound: nothing was taken, and asking again is the owner's
        business. ValueError for a topic that MQTT forbids."""

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until all that `publish` took was acknowledged.

        For an agent that says goodbye. False when time or the connection ran out first. Not to be
        called from the listener.
        """

    def close(self) -> None:
        """Disconnect in good order (the will is not sent) and forget what is queued. Idempotent."""

    def abort(self) -> None:
        """Drop the connection as a crash would: the broker sends the will; queue forgotten."""

    def stats(self) -> Stats:
        """The counts so far. Any thread may ask."""
