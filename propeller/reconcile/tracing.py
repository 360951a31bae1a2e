"""What becomes of a commit, as one trace: taken, planned, published, delivered, Ready.

Owned by the loop, and told by it what happened; decides nothing, and costs nothing where nobody
listens. A trace begins with a revision that wants something new and ends when the objects it moved
are Ready or gone, or when the next revision comes. Documents composed in between carry its context
to the devices. Ids come from the revision and the time it was accepted, so a manager that starts
again goes on with the trace it left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.seen import Seen
from propeller.plan.types import Action
from propeller.reconcile.appsources import Known
from propeller.reconcile.world import World
from propeller.telemetry.spans import Span, SpanKind
from propeller.wire.messages import Entry
from propeller.wire.trace import Context, root

if TYPE_CHECKING:
    from propeller.reconcile.project import Projection
    from propeller.reconcile.surroundings import Surroundings

RECENT = 50
"""Attempts to take a source among which the one that was accepted is looked for."""


@dataclass(slots=True)
class _Open:
    """A revision that is not what the fleet does yet. waiting: what it moved, by generation.

    began: ms. plans: so that each has an id of its own.
    """

    source: str
    revision: str
    at: Context
    began: int
    waiting: dict[Uid, int]
    objects: int
    plans: int = 0
    named: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A document that its device has not taken yet."""

    of: _Open
    at: Context
    began: int
    fence: int
    gen: int
    tasks: int


class Tracing:
    """See the module."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._send = around.trace
        self._clock = around.clock
        self._domain = around.domain
        self._seen: dict[str, tuple[str, str]] = {}
        self._took: dict[str, int] = {}
        self._open: dict[str, _Open] = {}
        self._sent: dict[PropletId, _Sent] = {}

    @property
    def on(self) -> bool:
        """Whether anybody listens."""
        return self._send is not None

    def read(self, source: str, took: int) -> None:
        """A source was read in `took` ms, and is about to be taken."""
        if self.on:
            self._took[source] = took

    def look(self, sources: Iterable[Known], projection: Projection, now: int) -> None:
        """Begin a trace for every revision that was accepted since the last look."""
        if not self.on:
            return
        for known in sources:
            which = (known.name, known.digest)
            if not known.name or self._seen.get(known.app) == which:
                continue
            self._seen[known.app] = which
            took = self._took.pop(known.app, 0)
            before = self._open.pop(known.app, None)
            if before is not None:
                self._end(before, "Superseded", now)
            waiting = {
                uid: held.generation
                for uid, held in self._world.objects.items()
                if held.revision == known.name and not _settled(held, projection)
            }
            if waiting:
                self._begin(known, waiting, took, now)

    def _begin(self, known: Known, waiting: dict[Uid, int], took: int, now: int) -> None:
        records = self._world.store.revisions(RECENT)
        record = next(
            (one for one in records if one.name == known.name and one.outcome == "accepted"), None
        )
        accepted = record.at if record is not None else now
        one = _Open(
            source=known.app,
            revision=known.name,
            at=root(self._domain, known.app, known.name, accepted),
            began=accepted - took,
            waiting=waiting,
            objects=len(waiting),
            named={"propeller.revision": known.name},
        )
        if known.app:
            one.named["propeller.app"] = known.app
        if record is not None and record.author:
            one.named["propeller.author"] = record.author
        self._open[known.app] = one
        if accepted == now:  # else it was told before this process began
            words = {"propeller.objects": len(waiting)}
            at = one.at.child("take")
            self._tell(one, "take revision", at, words, began=one.began, ended=accepted)

    def planned(self, actions: Iterable[Action], began: int) -> None:
        """A plan was made, from `began` until now."""
        if not self._open:
            return
        uids = [action.uid for action in actions]
        for one in self._open.values():
            count = sum(uid in one.waiting for uid in uids)
            if count:
                one.plans += 1
                at = one.at.child("plan", began, one.plans)
                words = {"propeller.actions": count}
                self._tell(one, "plan", at, words, began=began, ended=self._clock())

    def document(self, seen: Seen, entries: tuple[Entry, ...], *, fence: int, gen: int) -> str:
        """A document is made for a device: what it carries, "" where no trace is about it."""
        before = self._sent.pop(seen.id, None)
        if before is not None:
            self._publication(before, seen.id, "Replaced")
        if not self._open:
            return ""
        about = {entry.uid for entry in entries} | {uid for uid, _ in seen.runs}
        mine = [one for one in self._open.values() if not about.isdisjoint(one.waiting)]
        if not mine:
            return ""
        one = max(mine, key=lambda one: (one.began, one.source))
        at = one.at.child("publish", seen.id, fence, gen)
        self._sent[seen.id] = _Sent(one, at, self._clock(), fence, gen, len(entries))
        return at.header

    def delivered(self, proplet: PropletId) -> None:
        """A device says that it holds what was asked."""
        sent = self._sent.pop(proplet, None)
        if sent is not None:
            self._publication(sent, proplet, "Accepted")

    def looked(self, held: Held, *, ready: bool, now: int) -> None:
        """The status of an object was worked out."""
        if not ready or not self._open:
            return
        for one in list(self._open.values()):
            if held.generation >= one.waiting.get(held.uid, held.generation + 1):
                self._over(one, held, "Ready", now)

    def gone(self, held: Held, now: int) -> None:
        """An object left the inventory."""
        for one in list(self._open.values()):
            if held.uid in one.waiting:
                self._over(one, held, "Gone", now)

    def _over(self, one: _Open, held: Held, outcome: str, now: int) -> None:
        del one.waiting[held.uid]
        key = held.object.meta.key
        words: dict[str, str | int] = {
            "propeller.object": str(key),
            "propeller.generation": held.generation,
            "propeller.outcome": outcome,
        }
        at = one.at.child(outcome, held.uid)
        self._tell(one, f"{outcome} {key.kind}", at, words, began=one.began, ended=now)
        if not one.waiting:
            del self._open[one.source]
            self._end(one, "Converged", now)

    def _publication(self, sent: _Sent, proplet: PropletId, outcome: str) -> None:
        words: dict[str, str | int] = {
            "propeller.proplet": proplet,
            "propeller.document": f"{sent.fence}/{sent.gen}",
            "propeller.tasks": sent.tasks,
            "propeller.outcome": outcome,
        }
        self._tell(
            sent.of,
            "publish document",
            sent.at,
            words,
            began=sent.began,
            ended=self._clock(),
            kind=SpanKind.PRODUCER,
        )

    def _end(self, one: _Open, outcome: str, now: int) -> None:
        words: dict[str, str | int] = {
            "propeller.objects": one.objects,
            "propeller.waiting": len(one.waiting),
            "propeller.outcome": outcome,
        }
        self._tell(one, "revision", one.at, words, began=one.began, ended=now)

    def _tell(
        self,
        one: _Open,
        name: str,
        at: Context,
        words: Mapping[str, str | int],
        *,
        began: int,
        ended: int,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        assert self._send is not None
        self._send(
            Span(
                name=name,
                at=at,
                parent="" if at == one.at else one.at.span,
                start=began * 1_000,
                end=ended * 1_000,
                kind=kind,
                attributes={**one.named, **words},
            )
        )


def _settled(held: Held, projection: Projection) -> bool:
    """Whether nothing is to be waited for: it is Ready as it is wanted now."""
    ready = projection.ready_generation(held.uid) >= held.generation
    return ready and held.deleted_at is None
