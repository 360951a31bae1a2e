"""Which desired document each proplet should hold, and asking for it until it does.

There is no outbox: what was asked is a row with a due time; while a device does not report that it
took the document, it is simply asked again, with backoff. A document keeps its fence and its bytes
until its content changes, so a restart republishes nothing (protocol rules b, c, d, j, k).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from propeller.model.ids import PropletId
from propeller.model.seen import Seen
from propeller.model.specs import Backoff
from propeller.plan.delivery import Ask, Held, Wanted, decide
from propeller.reconcile.tracing import Tracing
from propeller.reconcile.world import World
from propeller.state.records import Asked, Event
from propeller.wire.codec import Encoding, encode, encode_tasks, tasks_digest
from propeller.wire.frame import head_size, seal
from propeller.wire.messages import BlobRef, Desired, Entry

if TYPE_CHECKING:
    from propeller.reconcile.fleet import Fleet
    from propeller.reconcile.surroundings import Surroundings

INLINE_LIMIT = 8 * 1024
"""Bytes of a document body that travel inline; longer ones are blobs (rule k)."""

FASTEST, SLOWEST, AGAIN_CAP = 150, 5_000, 300_000
"""ms until a document is first asked for again, at least and at most; then doubling."""

BATCH = 500
"""Documents published in one turn: below what a broker takes in without cutting us."""

SLICE = 10
"""ms of a turn given to documents (one with fifty tasks takes about that); the rest stays due."""


class Delivery:
    """See the module. Owned by the loop."""

    def __init__(
        self, world: World, around: Surroundings, fleet: Fleet, fence: int, tracing: Tracing
    ) -> None:
        self._world = world
        self._around = around
        self._fleet = fleet
        self._fence = fence
        self._tracing = tracing
        self._pending: dict[PropletId, Asked] = {}
        self._dues: dict[PropletId, int] = {}
        self._republish: set[PropletId] = set()
        self._anew: set[PropletId] = set()
        self._undecided: set[PropletId] = set()
        self.cut = False
        """Whether the last `decide` left some for the next turn."""
        for asked in world.asked.values():
            self._dues[asked.proplet] = asked.due

    def __contains__(self, proplet: object) -> bool:
        """Whether `proplet` holds exactly what was asked last, and that is still what is wanted."""
        seen = self._world.proplets.get(cast(PropletId, proplet))
        if seen is None or seen.id in self._undecided:
            return False
        if seen.id in self._world.touched.documents:
            return False
        return delivered(seen, self._world.asked.get(seen.id))

    def welcome(self, proplets: set[PropletId]) -> None:
        """These came online or said hello: look whether they hold the right thing."""
        self._world.touched.deliveries |= proplets
        self._republish |= proplets

    @property
    def unfinished(self) -> bool:
        """Whether one turn's worth of documents left some over."""
        touched = self._world.touched
        return bool(touched.documents) or bool(touched.deliveries)

    def ask_anew(self, proplet: PropletId) -> None:
        """Its document again under another number: it does not hold what it said it took."""
        self._anew.add(proplet)
        self._world.touched.documents.add(proplet)

    def has_work(self, now: int) -> bool:
        """Whether `decide` has anything to look at."""
        due = self.due()
        return self.unfinished or (due is not None and due <= now)

    def decide(self, now: int) -> None:
        """Bring what is asked in line with what is wanted. Inside a durable transaction."""
        touched = self._world.touched
        due = {name for name, at in self._dues.items() if at <= now}
        began = self._around.clock()
        self.cut = False
        for count, proplet in enumerate(sorted(touched.documents | touched.deliveries | due), 1):
            touched.documents.discard(proplet)
            touched.deliveries.discard(proplet)
            self._dues.pop(proplet, None)
            seen = self._world.proplets.get(proplet)
            if seen is not None:
                self._one(seen, now)
            if count == BATCH or self._around.clock() - began >= SLICE:
                self.cut = True
                return

    def _one(self, seen: Seen, now: int) -> None:
        self._undecided.add(seen.id)
        if not seen.inst or seen.facts is None or seen.quarantine:
            return
        entries = self._world.entries.wanted(seen.id)
        if entries is None:
            return  # a module is not resolved yet: looked at again when it is
        self._undecided.discard(seen.id)
        digest = tasks_digest(entries)
        asked = self._world.asked.get(seen.id)
        anew = seen.id in self._anew
        self._anew.discard(seen.id)
        if asked is None and not entries and not seen.runs and not seen.observed_digest:
            return  # nothing wanted, nothing held, nothing ever asked
        decision = decide(
            Wanted(inst=seen.inst, digest=digest),
            None
            if asked is None
            else Held(
                inst=asked.inst,
                fence=asked.fence,
                gen=asked.gen,
                digest="" if anew else asked.digest,
                due=asked.due,
                attempts=asked.attempts,
            ),
            seen,
            fence=self._fence,
            broker_differs=asked is not None
            and self._fleet.retained.differs(seen.id, asked.fence, asked.gen, asked.digest),
            welcomed=seen.id in self._republish,
            now=now,
            backoff=self._patience(seen),
        )
        self._republish.discard(seen.id)
        self._grant(seen, entries, digest)
        if not isinstance(decision, Ask):
            if decision.until is not None:
                self._dues[seen.id] = decision.until
            elif delivered(seen, asked):
                self._tracing.delivered(seen.id)
                self._world.touch_statuses(seen.id)  # until now nobody could say so
                self._world.touch_unlike(seen.id)
            return
        body = b""
        if decision.new or asked is None:
            body = self._compose(seen, entries, digest, decision, now)
        row = Asked(
            proplet=seen.id,
            inst=seen.inst,
            fence=decision.fence,
            gen=decision.gen,
            digest=digest,
            asked_at=now,
            due=decision.due,
            attempts=1 if decision.new or asked is None else asked.attempts + 1,
            body=body,
        )
        self._world.put_asked(row)
        self._dues[seen.id] = decision.due
        self._pending[seen.id] = row

    def _patience(self, seen: Seen) -> Backoff:
        """A device with a long heartbeat is far away, and one of many has to wait its turn."""
        base = max(FASTEST, min(SLOWEST, seen.heartbeat // 60)) + len(self._dues) // 2
        return Backoff(base=base, cap=AGAIN_CAP)

    def _compose(
        self, seen: Seen, entries: tuple[Entry, ...], digest: str, ask: Ask, now: int
    ) -> bytes:
        assert seen.facts is not None
        document = Desired(
            to=seen.id,
            inst=seen.inst,
            fence=ask.fence,
            gen=ask.gen,
            iat=now,
            digest=digest,
            tasks=entries,
            trace=self._tracing.document(seen, entries, fence=ask.fence, gen=ask.gen),
        )
        encoding: Encoding = "cbor" if seen.facts.cbor else "json"
        body = encode(document, encoding=encoding)
        room = seen.facts.max_payload - head_size(self._around.key_for(seen))
        if len(body) <= min(INLINE_LIMIT, room):
            return body
        data = encode_tasks(entries, encoding=encoding)
        stored = self._around.blobs.put(data)
        ref = BlobRef(digest=stored, size=len(data))
        return encode(replace(document, tasks=None, body=ref), encoding=encoding)

    def _grant(self, seen: Seen, entries: tuple[Entry, ...], digest: str) -> None:
        """Which blobs this device may fetch: its modules and models, and its own document, which
        is another blob in CBOR than in the JSON that its digest is of."""
        granted = {entry.module.digest for entry in entries} | {digest}
        if seen.facts is not None and seen.facts.cbor:
            data = encode_tasks(entries, encoding="cbor")
            granted.add(f"sha256:{hashlib.sha256(data).hexdigest()}")
        for entry in entries:
            granted |= {model.blob.digest for model in entry.models}
            if entry.module.aot is not None:
                granted.add(entry.module.aot.digest)
            if entry.fl is not None:
                fl, secure = entry.fl, entry.fl.secure
                refs = (fl.model, fl.layout, fl.control, None if secure is None else secure.blob)
                granted |= {ref.digest for ref in refs if ref}
        self._world.grants[seen.id] = frozenset(granted)

    def publish(self, now: int) -> None:
        """Send what was decided, after it was committed. What is not taken is due again at once."""
        for proplet, asked in self._pending.items():
            body = asked.body or self._world.store.asked_body(proplet)
            key = self._around.key_for(self._world.proplets.get(proplet))
            frame = seal("desired", body, key)
            topic = self._around.channel.desired(proplet)
            if self._around.transport.publish(topic, frame, retain=True):
                self._fleet.retained.published(proplet, asked.fence, asked.gen, asked.digest)
            else:
                self._dues[proplet] = now + 1_000
        self._pending = {}

    def clear_gone(self, proplet: PropletId, now: int) -> None:
        """An undeclared device holds nothing and was told so: free the broker's slot (rule d)."""
        self._around.transport.publish(self._around.channel.desired(proplet), b"", retain=True)
        self._world.store.add_event(
            Event(
                at=now,
                severity="Info",
                reason="SlotCleared",
                message=f"{proplet} holds nothing",
                proplet=proplet,
            )
        )

    def due(self) -> int | None:
        """When `decide` has something to do (Unix ms)."""
        return min(self._dues.values(), default=None)


def delivered(seen: Seen, asked: Asked | None) -> bool:
    """Whether the device accepted and persisted exactly what was asked last."""
    return (
        asked is not None
        and seen.inst == asked.inst
        and (seen.observed_fence, seen.observed_gen, seen.observed_digest)
        == (asked.fence, asked.gen, asked.digest)
    )
