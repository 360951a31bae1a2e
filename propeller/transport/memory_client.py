"""The client's side of the broker in memory: connects, comes back after a loss, hears.

Made by `MemoryBroker.client`; what the network does to it stands in `memory`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from propeller.transport.backoff import BASE_S, CAP_S, Backoff
from propeller.transport.base import (
    Connected,
    Disconnected,
    Event,
    Listener,
    Received,
    Stats,
    Will,
)
from propeller.transport.filters import check_filter, check_topic

if TYPE_CHECKING:
    from propeller.transport.memory import MemoryBroker, Session


class MemoryTransport:
    """A Transport. Its events come from `MemoryBroker.advance`."""

    def __init__(self, broker: MemoryBroker, client_id: str, *, max_payload: int) -> None:
        if not client_id:
            raise ValueError("a client has an id")
        self.client_id = client_id
        self._broker = broker
        self._max_payload = max_payload
        self._backoff = Backoff(broker.rng, base=BASE_S * 1_000, cap=CAP_S * 1_000)
        self._listener: Listener | None = None
        self._will: Will | None = None
        self._session: Session | None = None
        self._up_at = 0
        self._phase: Literal["new", "running", "ended"] = "new"
        self._counts: Counter[str] = Counter()
        self._last_error = ""

    def start(self, listener: Listener, will: Will | None = None) -> None:
        """Begin to connect."""
        if self._phase != "new":
            raise AssertionError("a transport is started once")
        self.set_will(will)
        self._listener = listener
        self._phase = "running"
        self._broker.after(self._broker.link_delay(), self._connect)

    def set_will(self, will: Will | None) -> None:
        """The will of the next connection."""
        if will is not None:
            check_topic(will.topic)
        self._will = will

    def subscribe(self, filters: Sequence[str]) -> None:
        """SUBSCRIBE; on its way after what was sent before it."""
        for text in filters:
            check_filter(text)
        if (session := self._session) is not None:
            self._broker.at(self._arrival(), self._broker.hold_filters, session, tuple(filters))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """UNSUBSCRIBE; on its way after what was sent before it."""
        for text in filters:
            check_filter(text)
        if (session := self._session) is not None:
            self._broker.at(self._arrival(), self._broker.drop_filters, session, tuple(filters))

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over for sending. True says nothing about arrival."""
        check_topic(topic)
        if qos not in (0, 1):
            raise ValueError(f"QoS is 0 or 1 here, not {qos}")
        if len(payload) > self._max_payload:
            self._counts["oversize"] += 1
            self._counts["publish_refused"] += 1
            return False
        session = self._session
        if session is None:
            self._counts["publish_refused"] += 1
            return False
        self._counts["published"] += 1
        if not self._broker.is_lost():
            self._broker.at(
                self._arrival(), self._broker.take, session, topic, payload, qos, retain
            )
        return True

    def flush(self, timeout: float) -> bool:
        """Nothing ever waits here: whether there is a connection."""
        del timeout
        return self._session is not None

    def close(self) -> None:
        """DISCONNECT, after what was sent before it."""
        if self._phase == "ended":
            return
        self._phase = "ended"
        session, self._session = self._session, None
        if session is None:
            return
        if self._broker.is_cut(self.client_id):
            self._broker.expire(session)
        else:
            self._broker.at(self._arrival(), self._broker.leave, session)

    def abort(self) -> None:
        """Crash: what is already on its way may still arrive, then the reset does."""
        if self._phase == "ended":
            return
        self._phase = "ended"
        session, self._session = self._session, None
        if session is None:
            return
        self._broker.note("abort", self.client_id)
        if self._broker.is_cut(self.client_id):
            self._broker.expire(session)
        else:
            self._broker.at(self._arrival(), self._broker.reset, session)

    def stats(self) -> Stats:
        """The counts so far. Every publication counts as acknowledged, unless the link is cut."""
        cut = self._session is not None and self._broker.is_cut(self.client_id)
        return Stats(
            queued=int(cut),
            acknowledged=self._counts["published"],
            last_error=self._last_error,
            **self._counts,
        )

    # What the broker calls.

    def holds(self, session: Session) -> bool:
        """Whether this end of that connection is still there."""
        return self._session is session

    def hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """A delivery reached us."""
        if len(payload) > self._max_payload:
            self._counts["oversize"] += 1
            return
        self._counts["received"] += 1
        self._counts["received_bytes"] += len(payload)
        self._tell(Received(topic, payload, retained))

    def drop(self, session: Session, reason: str) -> None:
        """The connection was reset under us."""
        if self._session is session:
            self._lose(reason)

    def miss(self, session: Session) -> None:
        """A keepalive after a cut began: a ping stayed without an answer, if it still lasts."""
        long = self._broker.is_cut(self.client_id, for_ms=self._broker.keepalive)
        if long and self._session is session:
            self._lose("no answer within the keepalive")

    def _connect(self) -> None:
        if self._phase != "running" or self._session is not None:
            return
        if not self._broker.up or self._broker.is_cut(self.client_id):
            self._counts["failed_connects"] += 1
            self._last_error = "the broker cannot be reached"
            self._retry()
            return
        self._session = self._broker.accept(self, self._will)
        self._up_at = self._broker.now
        self._backoff.reset()
        self._counts["connects"] += 1
        self._tell(Connected(self._counts["connects"]))

    def _retry(self) -> None:
        self._broker.after(1 + int(self._backoff.next()), self._connect)

    def _lose(self, reason: str) -> None:
        self._session = None
        self._last_error = reason
        self._counts["disconnects"] += 1
        self._broker.note("lost", self.client_id, reason)
        self._tell(Disconnected(reason))
        if self._phase == "running":
            self._retry()

    def _arrival(self) -> int:
        """When what is sent now reaches the broker: never before what was sent earlier."""
        self._up_at = max(self._up_at, self._broker.now + self._broker.link_delay())
        return self._up_at

    def _tell(self, event: Event) -> None:
        # No guard around the listener here: in a test its mistake must be the test's failure.
        if self._phase == "running" and self._listener is not None:
            self._listener(event)
