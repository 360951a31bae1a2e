"""Messages between guests and the topics of the channel: what is sent, kept, heard, dropped. Pure.

Owned by the shell beside the agent, as `calls` is; the simulation has one too. A guest knows topics
by the names of its entry. What it publishes is sent in order, again until the broker acknowledged
it, and kept on disk while there is no link; what it hears waits until it asks. Both are bounded:
the oldest message goes, and is counted. No I/O and no clock: every method returns what is to be
done, in order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from propeller.transport.filters import check_filter, check_topic, matches
from propeller.wire.messages import Entry
from propeller.wire.topic_messages import PROPLET, WireTopic
from proplet.records import Key

WINDOW = 64
"""Messages handed to the transport before the first of them is acknowledged."""
MOST, MOST_BYTES = 4096, 8 << 20
"""Messages that wait to be sent, of all guests together, and their bytes; as many bytes may wait to
be heard."""
AGAIN = 1000
"""Ms until a message is tried again that the transport did not take."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent. owner: the object and its name for the topic; topic: below the
    channel."""

    seq: int
    owner: str
    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Subscribe to these filters, below the channel."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unhear:
    """Subscribe to them no more."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Publish it. Answered by `delivered`, or by `untaken`."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class Keep:
    """It must survive a reboot."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class Discard:
    """These need not be kept any more."""

    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """A guest asked for it. Answered by `returned` where there is no such guest."""

    key: Key
    name: str
    topic: str
    data: bytes


Act = Hear | Unhear | Send | Keep | Discard | Deliver


@dataclass(slots=True)
class _Granted:
    """One name of one run. tokens: messages it may publish now; at: monotonic ms of that."""

    grant: WireTopic
    topic: str
    pace: int
    tokens: float
    at: int = 0
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    asked: bool = False


def wrong_grant(entry: Entry) -> str:
    """What is wrong with the topics of an entry, or "": a manager cannot grant what is no guest's.

    In words, and the same rules that a spec is held to.
    """
    names: set[str] = set()
    for grant in entry.topics:
        topic = grant.publish if grant.publish is not None else grant.subscribe or ""
        levels = topic.split("/")
        if levels[0] in ("control", "+", "#", "", PROPLET) or "" in levels:
            return f"the topic {topic[:80]!r} is not below the channel, or may be control/"
        try:
            if grant.publish is not None:
                check_topic(topic)
            else:
                check_filter(topic)
        except ValueError as error:
            return str(error)[:160]
        if grant.name in names:
            return f"the topic {grant.name!r} is granted twice"
        names.add(grant.name)
    return ""


class Switchboard:
    """See the module. proplet: what stands for `{proplet}`. stored: kept before the last reboot.

    most: bytes of a message that the transport takes. counts: what was dropped, by why.
    """

    def __init__(self, proplet: str, *, most: int, stored: Iterable[Outgoing] = ()) -> None:
        self._proplet = proplet
        self._most = most
        self._waiting: deque[Outgoing] = deque(sorted(stored, key=lambda one: one.seq))
        self._flying: deque[Outgoing] = deque()
        self._kept = {one.seq for one in self._waiting}
        self._held = Counter(one.owner for one in self._waiting)
        self._bytes = sum(len(one.data) for one in self._waiting)
        self._next = max(self._kept, default=0) + 1
        self._connected = False
        self._again: int | None = None
        self._granted: dict[Key, dict[str, _Granted]] = {}
        self._unheard = 0
        self._filters: dict[str, list[tuple[Key, _Granted]]] = {}
        self.counts: Counter[str] = Counter()

    @property
    def flying(self) -> int:
        """Messages handed over and not acknowledged."""
        return len(self._flying)

    @property
    def waiting(self) -> int:
        """Messages not acknowledged."""
        return len(self._waiting) + len(self._flying)

    # -- who may what ----------------------------------------------------------------------------

    def grant(self, entries: Iterable[Entry]) -> list[Act]:
        """The entries whose guests may run now, all of them."""
        wanted = {(entry.uid, entry.run): entry for entry in entries if entry.topics}
        for key in [key for key in self._granted if key not in wanted]:
            self._revoke(key)
        for key, entry in wanted.items():
            known = self._granted.get(key, {})
            if {name: one.grant for name, one in known.items()} != {
                grant.name: grant for grant in entry.topics
            }:
                self._revoke(key)
                self._granted[key] = {one.name: self._made(entry, one) for one in entry.topics}
        before = set(self._filters)
        self._filters = {}
        for key, names in self._granted.items():
            for one in names.values():
                if one.grant.subscribe is not None:
                    self._filters.setdefault(one.topic, []).append((key, one))
        if not self._connected:
            return []
        out: list[Act] = []
        if gone := tuple(sorted(before - set(self._filters))):
            out.append(Unhear(gone))
        if new := tuple(sorted(set(self._filters) - before)):
            out.append(Hear(new))
        return out

    def _revoke(self, key: Key) -> None:
        for one in self._granted.pop(key, {}).values():
            self._unheard -= sum(len(data) for _, data in one.queue)

    def _made(self, entry: Entry, grant: WireTopic) -> _Granted:
        topic = grant.publish if grant.publish is not None else grant.subscribe or ""
        levels = [self._proplet if level == PROPLET else level for level in topic.split("/")]
        # The guest's process keeps the pace; this bounds what a process gone wild could do.
        pace = 2 * grant.rate * (entry.serve.concurrency if entry.serve is not None else 1)
        return _Granted(grant, "/".join(levels), pace, float(pace))

    # -- the link --------------------------------------------------------------------------------

    def connected(self) -> list[Act]:
        """A link is there: hear what is to be heard, send what waits."""
        self._connected = True
        self._again = None
        hear: list[Act] = [Hear(tuple(sorted(self._filters)))] if self._filters else []
        return hear + self._push()

    def disconnected(self) -> list[Act]:
        """It is gone: what was not acknowledged waits again, and is kept."""
        self._connected = False
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()
        return [self._keep(one) for one in self._waiting if one.seq not in self._kept]

    def delivered(self) -> list[Act]:
        """Everything that was handed over is acknowledged."""
        done = tuple(one.seq for one in self._flying if one.seq in self._kept)
        for one in self._flying:
            self._forget(one)
        self._flying.clear()
        return [*([Discard(done)] if done else []), *self._push()]

    def untaken(self, seq: int, now: int) -> None:
        """It was not taken for sending (a full queue): it and all behind it are tried again."""
        while self._flying and self._flying[-1].seq >= seq:
            self._waiting.appendleft(self._flying.pop())
        self._again = now + AGAIN

    def expects(self, seq: int) -> bool:
        """Whether it is still to be sent: none before it was refused meanwhile."""
        return bool(self._flying) and self._flying[-1].seq >= seq

    def tick(self, now: int) -> list[Act]:
        """Time has passed (monotonic ms)."""
        if self._again is None or now < self._again:
            return []
        self._again = None
        return self._push()

    def due(self) -> int | None:
        """When `tick` has something to do."""
        return self._again

    def _push(self) -> list[Act]:
        out: list[Act] = []
        while (
            self._connected and self._again is None and self._waiting and len(self._flying) < WINDOW
        ):
            one = self._waiting.popleft()
            self._flying.append(one)
            out.append(Send(one))
        return out

    # -- guests ----------------------------------------------------------------------------------

    def published(self, key: Key, name: str, data: bytes, now: int) -> list[Act]:
        """A guest publishes. What it may not is dropped: its own process told it so."""
        one = self._granted.get(key, {}).get(name)
        if one is None or one.grant.publish is None or len(data) > min(one.grant.size, self._most):
            self.counts["topicDenied"] += 1
            return []
        one.tokens = min(one.pace, one.tokens + (now - one.at) * one.pace / 1000)
        one.at = now
        if one.tokens < 1:
            self.counts["topicFast"] += 1
            return []
        one.tokens -= 1
        message = Outgoing(self._next, f"{key[0]}/{name}", one.topic, data)
        self._next += 1
        self._waiting.append(message)
        self._held[message.owner] += 1
        self._bytes += len(data)
        out = self._trim(message.owner, one.grant.keep)
        if self._connected:
            return out + self._push()
        if self._waiting and self._waiting[-1] is message:
            out.append(self._keep(message))
        return out

    def _trim(self, owner: str, keep: int) -> list[Act]:
        gone = []
        extra = self._held[owner] - keep
        if extra > 0:
            for oldest in [one for one in self._waiting if one.owner == owner][:extra]:
                self._waiting.remove(oldest)
                gone.append(oldest)
        while self._waiting and (len(self._waiting) > MOST or self._bytes > MOST_BYTES):
            gone.append(self._waiting.popleft())
        kept = tuple(one.seq for one in gone if one.seq in self._kept)
        for one in gone:
            self._forget(one)
            self.counts["topicOut"] += 1
        return [Discard(kept)] if kept else []

    def _keep(self, message: Outgoing) -> Keep:
        self._kept.add(message.seq)
        return Keep(message)

    def _forget(self, message: Outgoing) -> None:
        self._kept.discard(message.seq)
        self._bytes -= len(message.data)
        self._held[message.owner] -= 1
        if not self._held[message.owner]:
            del self._held[message.owner]

    def heard(self, topic: str, data: bytes) -> list[Act]:
        """A message came, on a topic below the channel."""
        out: list[Act] = []
        for pattern, those in self._filters.items():
            if not matches(pattern, topic):
                continue
            for key, one in those:
                if len(data) > one.grant.size:
                    self.counts["topicIn"] += 1
                    continue
                one.queue.append((topic, data))
                self._unheard += len(data)
                out += self._give(key, one)
                while one.queue and (len(one.queue) > one.grant.keep or self._unheard > MOST_BYTES):
                    self._unheard -= len(one.queue.popleft()[1])
                    self.counts["topicIn"] += 1
        return out

    def asked(self, key: Key, name: str) -> list[Act]:
        """A guest asks for its next message: it gets one, now or when one comes."""
        one = self._granted.get(key, {}).get(name)
        if one is None or one.grant.subscribe is None:
            return []
        one.asked = True
        return self._give(key, one)

    def began(self, key: Key) -> None:
        """A guest of the run was started: what one before it asked for is asked no more."""
        for one in self._granted.get(key, {}).values():
            one.asked = False

    def returned(self, act: Deliver) -> None:
        """Its guest was gone already."""
        one = self._granted.get(act.key, {}).get(act.name)
        if one is not None:
            one.queue.appendleft((act.topic, act.data))
            self._unheard += len(act.data)

    def _give(self, key: Key, one: _Granted) -> list[Act]:
        if not one.asked or not one.queue:
            return []
        one.asked = False
        topic, data = one.queue.popleft()
        self._unheard -= len(data)
        return [Deliver(key, one.grant.name, topic, data)]

    # -- what is told ----------------------------------------------------------------------------

    def gauges(self) -> tuple[tuple[str, int], ...]:
        """Named integers for a report: what waits, and what was dropped since the boot."""
        told: Mapping[str, int] = self.counts
        held = (("topicWaiting", self.waiting),) if self.waiting else ()
        return (*held, *((f"dropped.{name}", told[name]) for name in sorted(told)))
