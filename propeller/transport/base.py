"""The only I/O the protocol needs: connect, subscribe, publish, hear, close.

Implemented by `mqtt` (paho) and `memory` (can lose, repeat, delay and reorder); both pass
tests/transport/test_contract.py. A Transport belongs to one owner; its listener is called on the
transport's own thread (mqtt) or from `MemoryBroker.advance` (memory) and must only hand over.
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
    """The connection is gone; the transport tries again by itself with full-jitter backoff."""

    reason: str


Event = Received | Connected | Disconnected
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish."""

    topic: str
    payload: bytes
    retain: bool = True


class Transport(Protocol):
    """One connection to a broker. Clean session always; QoS 1 unless told otherwise."""

    def start(self, listener: Listener, will: Will | None = None) -> None:
        """Begin to connect; returns at once. Events come to `listener`."""

    def set_will(self, will: Will | None) -> None:
        """The will of the next connection (MQTT fixes it at CONNECT)."""

    def subscribe(self, filters: Sequence[str]) -> None:
        """SUBSCRIBE at QoS 1. A filter already held is not re-sent by brokers: unsubscribe first."""

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """UNSUBSCRIBE."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over for sending, never waits. False when not connected or the queue is full:
        nothing was taken, and asking again is the owner's business."""

    def close(self) -> None:
        """Disconnect in good order (the will is not sent) and forget what is queued. Idempotent."""

    def abort(self) -> None:
        """Drop the connection as a crash would: the broker sends the will; queue forgotten."""
