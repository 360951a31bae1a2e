"""A broker and its clients in memory, as bad as a network can be and the same every time.

Everything random is drawn from the generator given to `MemoryBroker`, and nothing happens except in
`advance`: the same seed and the same calls give the same trace. One thread only. Used by scenario
and conversation tests, and by any test that needs a Transport.

What a real network does, and how it is modelled:

- A message crosses two links, publisher to broker and broker to subscriber; each link keeps order.
- `loss` is the chance that a message does not get from a publisher to one subscriber, split evenly
  over the two links, so that a retained document can also be lost before the broker has it. It
  strikes QoS 1 too: a lost QoS 1 message stands for a connection that broke with the message in
  flight, or for a queue that a broker cut. SUBSCRIBE and UNSUBSCRIBE are not lost: TCP repeats
  them.
- `duplicate` delivers a QoS 1 message twice; `reorder` holds a delivery back past later ones.
- A partition (`cut`) swallows what is sent across it, both ways, while neither side knows; the
  client notices after a keepalive, the broker after one and a half and then publishes the will.
- A crash (`abort`) resets the connection and the will goes out at once; under a partition the
  broker only learns of it after the keepalive.
- The same client id twice: the newer connection wins, the older's will goes out.
- A broker restart drops every connection; it may forget or remember retained messages, or
  remember old ones, and say the wills of all before it goes, as mosquitto does on SIGTERM.

Where brokers differ the harsher one is modelled: a SUBSCRIBE for a filter that is still held
resends nothing retained, and `retained_cap` cuts a wildcard's retained messages short. A client
with overlapping filters gets one copy, as from mosquitto under 3.1.1; `duplicate` covers the rest.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from propeller.transport.base import Will
from propeller.transport.endpoint import MAX_PAYLOAD
from propeller.transport.filters import is_wildcard, matches
from propeller.transport.memory_client import MemoryTransport
from propeller.transport.tree import FilterTree

__all__ = ["MemoryBroker", "MemoryTransport", "Trace"]

Trace = list[tuple[object, ...]]
"""`(now, what, client id, ...)`; deliveries end with topic, payload and the retained flag."""

_CAUGHT_IN_A_LOOP = 300_000
"""Events at one instant."""


class Session:
    """The broker's side of one connection."""

    __slots__ = ("alive", "client", "down_at", "filters", "will")

    def __init__(self, client: MemoryTransport, will: Will | None) -> None:
        self.client = client
        self.will = will
        self.filters: set[str] = set()
        self.alive = True
        self.down_at = 0
        """When the last message sent down this connection arrives: the next is not earlier."""


class MemoryBroker:
    """See the module. Times are integer milliseconds on the caller's clock.

    loss, duplicate and reorder are chances in [0, 1]; delay is (least, most) for one link;
    hold is the most a reordered delivery is held back.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay: tuple[int, int] = (1, 5),
        reorder: float = 0.0,
        hold: int = 1_000,
        retained_cap: int | None = None,
        keepalive: int = 30_000,
        now: int = 0,
        trace: Trace | None = None,
    ) -> None:
        self.rng = rng
        self.now = now
        self.trace = trace
        self.loss = loss
        self.duplicate = duplicate
        self.delay = delay
        self.reorder = reorder
        self.hold = hold
        self.retained_cap = retained_cap
        self.keepalive = keepalive
        self.retained: dict[str, bytes] = {}
        """What the broker keeps. Tests may read it, copy it and put things into it."""
        self.sessions: dict[str, Session] = {}
        """Who is connected, by client id, as far as the broker knows."""
        self.connects: dict[str, int] = {}
        """How many sessions each client id has had."""
        self.delivered = 0
        self.lost = 0
        self.up = True
        self._cut: dict[str, int] = {}
        """Who is partitioned away, and since when."""
        self._orphans: dict[str, list[Session]] = {}
        """Connections that ended here while their client could not hear of it."""
        self._tree: FilterTree[Session] = FilterTree()
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = count()

    # What a test does.

    def client(self, client_id: str, *, max_payload: int = MAX_PAYLOAD) -> MemoryTransport:
        """A new Transport. The same id again is a device that came back, or an impostor."""
        return MemoryTransport(self, client_id, max_payload=max_payload)

    def advance(self, now_ms: int) -> int:
        """Let time pass up to and including `now_ms`; every event on the way happens in order.

        The number of events. Time never goes back: an earlier `now_ms` only runs what is due.
        """
        done = began = 0
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            at, _, act, args = heapq.heappop(heap)
            if at > self.now:
                self.now = at
                began = done
            act(*args)
            done += 1
            if done - began > _CAUGHT_IN_A_LOOP:
                raise AssertionError("the clients answer each other without end and without delay")
        self.now = max(self.now, now_ms)
        return done

    def next_at(self) -> int | None:
        """When the next event is due; None when nothing is on its way."""
        return self._heap[0][0] if self._heap else None

    def cut(self, client_id: str) -> None:
        """Partition one client away; nobody is told."""
        if client_id in self._cut:
            return
        self._cut[client_id] = self.now
        self.note("cut", client_id)
        session = self.sessions.get(client_id)
        if session is not None:
            self.after(self.keepalive * 3 // 2, self._give_up_on_cut, session)
            self.after(self.keepalive, session.client.miss, session)

    def heal(self, client_id: str) -> None:
        """End the partition."""
        if client_id not in self._cut:
            return
        del self._cut[client_id]
        self.note("heal", client_id)
        for session in self._orphans.pop(client_id, ()):
            self.after(self.link_delay(), session.client.drop, session, "reset by the broker")

    def is_cut(self, client_id: str, *, for_ms: int = 0) -> bool:
        """Whether the client is partitioned away, and has been for that long."""
        since = self._cut.get(client_id)
        return since is not None and self.now - since >= for_ms

    def stop(self, *, wills: bool = False) -> None:
        """The broker goes away: connections are reset, retained stay; `wills`: all are said."""
        self.note("stop", "")
        self.up = False
        for session in list(self.sessions.values()):
            self._end(session)
            if wills:
                self._say_will(session)
            if session.client.client_id not in self._cut:
                session.client.drop(session, "the broker went away")

    def begin(self) -> None:
        """The broker is back."""
        self.note("begin", "")
        self.up = True

    def restart(
        self,
        *,
        keep_retained: bool = True,
        retained: Mapping[str, bytes] | None = None,
        away: int = 0,
        wills: bool = False,
    ) -> None:
        """Stop and come back after `away` ms.

        keep_retained False: nothing is remembered. `retained`: remember this instead, for a broker
        that comes back with old documents after a crash.
        """
        self.stop(wills=wills)
        if retained is not None:
            self.retained = dict(retained)
        elif not keep_retained:
            self.retained = {}
        if away:
            self.after(away, self.begin)
        else:
            self.begin()

    # What the clients call.

    def after(self, wait: int, act: Callable[..., None], *args: object) -> None:
        """Do something `wait` ms from now."""
        self.at(self.now + wait, act, *args)

    def at(self, when: int, act: Callable[..., None], *args: object) -> None:
        """Do something at a time."""
        heapq.heappush(self._heap, (when, next(self._order), act, args))

    def link_delay(self) -> int:
        """How long one message takes over one link."""
        least, most = self.delay
        return least if least == most else self.rng.randint(least, most)

    def is_lost(self) -> bool:
        """Whether a message is lost on the link it is about to cross."""
        if self.loss <= 0.0 or self.rng.random() >= 1.0 - math.sqrt(1.0 - self.loss):
            return False
        self.lost += 1
        return True

    def accept(self, client: MemoryTransport, will: Will | None) -> Session:
        """CONNECT arrived: a session, after whoever held the id was thrown out."""
        old = self.sessions.get(client.client_id)
        if old is not None:
            self._end(old)
            self._say_will(old)
            old.client.drop(old, "another connection took this client id")
        session = Session(client, will)
        self.sessions[client.client_id] = session
        self.connects[client.client_id] = self.connects.get(client.client_id, 0) + 1
        self.note("connect", client.client_id)
        return session

    def take(self, session: Session, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """PUBLISH arrived over `session`."""
        if session.alive and session.client.client_id not in self._cut:
            self._route(topic, payload, qos, retain)

    def hold_filters(self, session: Session, filters: Sequence[str]) -> None:
        """SUBSCRIBE arrived."""
        if not session.alive or session.client.client_id in self._cut:
            return
        for text in filters:
            if text in session.filters:
                continue
            session.filters.add(text)
            self._tree.add(text, session)
            for topic in self._retained_for(text):
                self._send(session, topic, self.retained[topic], 1, True)

    def drop_filters(self, session: Session, filters: Sequence[str]) -> None:
        """UNSUBSCRIBE arrived."""
        if not session.alive or session.client.client_id in self._cut:
            return
        for text in filters:
            if text in session.filters:
                session.filters.discard(text)
                self._tree.remove(text, session)

    def leave(self, session: Session) -> None:
        """DISCONNECT arrived: no will."""
        if session.alive and session.client.client_id not in self._cut:
            self._end(session)
            self.note("leave", session.client.client_id)

    def reset(self, session: Session) -> None:
        """The connection was reset by a client that crashed; unheard of while it is cut."""
        if session.alive and session.client.client_id not in self._cut:
            self._give_up_on(session)

    def expire(self, session: Session) -> None:
        """The client fell silent: a keepalive and a half later the broker gives it up."""
        if session.alive:
            self.after(self.keepalive * 3 // 2, self._give_up_on, session)

    def note(self, what: str, client_id: str, *more: object) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append((self.now, what, client_id, *more))

    # Inside the broker.

    def _give_up_on_cut(self, session: Session) -> None:
        silent = self.is_cut(session.client.client_id, for_ms=self.keepalive * 3 // 2)
        if silent or not session.client.holds(session):
            self._give_up_on(session)  # else it healed in time and neither side ever knew

    def _give_up_on(self, session: Session) -> None:
        if not session.alive:
            return
        self._end(session)
        self.note("gone", session.client.client_id)
        self._say_will(session)

    def _end(self, session: Session) -> None:
        session.alive = False
        for text in session.filters:
            self._tree.remove(text, session)
        if self.sessions.get(session.client.client_id) is session:
            del self.sessions[session.client.client_id]
        if session.client.client_id in self._cut and session.client.holds(session):
            self._orphans.setdefault(session.client.client_id, []).append(session)

    def _say_will(self, session: Session) -> None:
        if session.will is not None:
            will, session.will = session.will, None
            self._route(will.topic, will.payload, 1, will.retain)

    def _route(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        if retain:
            if payload:
                self.retained[topic] = payload
            else:
                self.retained.pop(topic, None)
        for session in self._tree.find(topic):
            self._send(session, topic, payload, qos, False)

    def _send(self, session: Session, topic: str, payload: bytes, qos: int, kept: bool) -> None:
        again = qos == 1 and self.duplicate > 0.0 and self.rng.random() < self.duplicate
        for _ in range(2 if again else 1):
            if self.is_lost():
                continue
            at = self.now + self.link_delay()
            if self.reorder > 0.0 and self.rng.random() < self.reorder:
                at += self.rng.randint(0, self.hold)
            else:
                at = session.down_at = max(session.down_at, at)
            self.at(at, self._deliver, session, topic, payload, kept)

    def _deliver(self, session: Session, topic: str, payload: bytes, kept: bool) -> None:
        client = session.client
        if not client.holds(session) or client.client_id in self._cut:
            return
        self.delivered += 1
        if self.trace is not None:
            self.trace.append((self.now, "deliver", client.client_id, topic, payload, kept))
        client.hear(topic, payload, kept)

    def _retained_for(self, text: str) -> list[str]:
        if not is_wildcard(text):
            return [text] if text in self.retained else []
        found = [topic for topic in self.retained if matches(text, topic)]
        if self.retained_cap is not None and len(found) > self.retained_cap:
            kept = set(self.rng.sample(found, self.retained_cap))
            found = [topic for topic in found if topic in kept]
        return found
