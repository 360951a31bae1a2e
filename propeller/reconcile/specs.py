"""What is wanted: revisions, module references, holds.

Takes a revision whole or not at all. A refused one changes nothing but the record of the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Digest, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.module import ModuleProblem
from propeller.model.revision import Revision
from propeller.model.specs import Daemon, ModuleRef, Suspend, Task
from propeller.plan.diff import diff
from propeller.reconcile.events import ModuleResolved, SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.world import World
from propeller.state.base import Event, HistoryRow, PropletHold, RevisionRecord

if TYPE_CHECKING:
    from propeller.reconcile.reconciler import Surroundings

RUN_APP = "run"
"""The App of objects made by `propeller run`: no source holds them, so none prunes them."""

RETRY_BASE, RETRY_CAP = 5_000, 300_000
"""ms between attempts to resolve a module whose registry did not answer: doubling, capped."""


KNOWN_SIGNERS = 500
"""Attempts to take the source that are looked through at start for who signed what."""


class Specs:
    """The wanted side of the world. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._attempts: dict[ModuleRef, int] = {}
        self._retry_at: dict[ModuleRef, int] = {}
        self._resolving: set[ModuleRef] = set()
        self.revision_name = world.store.meta("revision") or ""
        self.revision_digest = world.store.meta("revision-digest") or ""
        self.attempted_name = self.revision_name
        self.trouble = ""
        self.looked = False
        self._signers = {
            one.name: one.signed_by
            for one in reversed(world.store.revisions(KNOWN_SIGNERS))
            if one.outcome == "accepted"
        }
        self._holds: dict[Uid, Suspend] = {}
        self._slots: dict[Uid, int] = {}

    def signer(self, revision: str) -> str:
        """Who signed an accepted revision; "" when nobody was asked, or too long ago to know."""
        return self._signers.get(revision, "")

    @property
    def accepted(self) -> bool:
        """Whether a revision was ever accepted into this store."""
        return bool(self.revision_name)

    # -- revisions ----------------------------------------------------------------------------

    def taken(self, event: SpecsTaken, now: int) -> None:
        """A good revision: it becomes what is wanted."""
        revision = event.revision
        self.looked = True
        self.attempted_name = revision.name
        was_in_trouble, self.trouble = bool(self.trouble), ""
        if was_in_trouble or self.revision_name != revision.name:
            self._world.touched.statuses.update(self._world.objects)
        if self.revision_digest == revision.digest and self.revision_name == revision.name:
            return
        self._world.store.note_revision(
            RevisionRecord(
                name=revision.name,
                digest=revision.digest,
                source=event.source,
                at=now,
                outcome="accepted",
                author=revision.author,
                message=revision.message,
                time=revision.time,
                signed_by=revision.signed_by,
            )
        )
        for ref, module in revision.modules.items():
            self._world.put_module(ref, module)
        self._accept(revision, now)
        self.revision_name, self.revision_digest = revision.name, revision.digest
        self._world.store.set_meta("revision", revision.name)
        self._world.store.set_meta("revision-digest", revision.digest)
        self._world.store.set_meta("revision-source", event.source)
        while len(self._signers) > KNOWN_SIGNERS:
            del self._signers[next(iter(self._signers))]
        self._signers[revision.name] = revision.signed_by
        self._resolve_images(every=True)
        self._drop_unused_modules()

    def _accept(self, revision: Revision, now: int) -> None:
        world = self._world
        mine = {uid: held for uid, held in world.objects.items() if held.object.meta.app != RUN_APP}
        change = diff(mine, revision, now=now)
        for held in change.moved():
            world.put_held(self._with_journal(held))
        for line in change.changes:
            world.store.add_event(
                Event(
                    at=now,
                    severity="Info",
                    reason=f"{line.op.value.capitalize()}d".replace("dd", "d"),
                    message=line.reason,
                    key=line.key,
                    revision=revision.name,
                )
            )

    def _with_journal(self, held: Held) -> Held:
        """A hold or a cron slot that the journal remembers from before the store was lost."""
        hold = held.hold or self._holds.get(held.uid)
        slot = held.last_slot if held.last_slot is not None else self._slots.get(held.uid)
        return replace(held, hold=hold, last_slot=slot)

    def refused(self, event: SpecsRefused, now: int) -> None:
        """A bad revision: nothing changes, every fault is told."""
        self.looked = True
        faults = tuple(str(fault) for fault in event.faults)
        trouble = "\n".join(faults)
        self.attempted_name = event.head
        if trouble == self.trouble:
            return
        self.trouble = trouble
        self._world.store.note_revision(
            RevisionRecord(
                name=event.head,
                digest="",
                source=event.source,
                at=now,
                outcome="rejected",
                faults=faults[:200],
            )
        )
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        self._world.store.add_event(
            Event(
                at=now,
                severity="Warning",
                reason="RevisionRefused",
                message=f"{faults[0]}{more}; the last good revision stands",
                revision=event.head,
            )
        )
        self._world.touched.statuses.update(self._world.objects)

    def silent(self, event: SourceSilent, now: int) -> None:
        """The source cannot be read: what was accepted stands."""
        self.looked = True
        if event.reason == self.trouble:
            return
        self.trouble = event.reason
        self._world.store.add_event(
            Event(at=now, severity="Warning", reason="SourceUnavailable", message=event.reason)
        )

    # -- modules ------------------------------------------------------------------------------

    def _wanted_refs(self) -> set[ModuleRef]:
        return {
            held.object.module
            for held in self._world.objects.values()
            if isinstance(held.object, Task | Daemon) and held.deleted_at is None
        }

    def _resolve_images(self, *, every: bool) -> None:
        """Hand references to the worker: all unpinned ones once a revision, else the missing."""
        for ref in sorted(self._wanted_refs(), key=str):
            known = self._world.modules.get(ref)
            stale = every and ref.file is None and ref.digest is None
            if ref in self._resolving or (known is not None and not stale):
                continue
            self._resolving.add(ref)
            self._around.resolve(ref)

    def resolved(self, event: ModuleResolved, now: int) -> None:
        """A worker is done with a reference."""
        ref, resolved = event.ref, event.resolved
        self._resolving.discard(ref)
        if isinstance(resolved, ModuleProblem) and resolved.retry:
            attempt = self._attempts[ref] = self._attempts.get(ref, 0) + 1
            delay = min(RETRY_CAP, RETRY_BASE * 2 ** min(attempt - 1, 10))
            self._retry_at[ref] = now + delay
            known = self._world.modules.get(ref)
            if known is not None and not isinstance(known, ModuleProblem):
                return  # a registry that is down does not take away what was resolved before
        else:
            self._attempts.pop(ref, None)
            self._retry_at.pop(ref, None)
        if isinstance(resolved, ModuleProblem) and self._world.modules.get(ref) != resolved:
            self._world.store.add_event(
                Event(
                    at=now,
                    severity="Warning",
                    reason=resolved.reason,
                    message=f"{ref}: {resolved.message}",
                )
            )
        self._world.put_module(ref, resolved)

    def _drop_unused_modules(self) -> None:
        used = {
            held.object.module
            for held in self._world.objects.values()
            if isinstance(held.object, Task | Daemon)
        }
        for ref in [ref for ref in self._world.modules if ref not in used]:
            self._world.store.drop_module(ref)
            del self._world.modules[ref]

    def want_module(self) -> None:
        """An object came from elsewhere than a revision: see that its module is resolved."""
        self._resolve_images(every=False)

    # -- holds --------------------------------------------------------------------------------

    def hold(self, held: Held, suspend: Suspend | None) -> None:
        """Suspend at run time, or lift that; journalled before it takes effect."""
        self._around.journal.append(
            "hold",
            {
                "uid": held.uid,
                "suspend": None
                if suspend is None
                else {"reason": suspend.reason, "by": suspend.by, "until": suspend.until},
            },
        )
        self._world.put_held(replace(held, hold=suspend))

    def replay_journal(self, entries: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """What the journal knows and a lost store does not."""
        world = self._world
        for kind, entry in entries:
            if kind == "hold":
                uid = Uid(str(entry["uid"]))
                suspend = entry["suspend"]
                self._holds.pop(uid, None)
                if isinstance(suspend, Mapping):
                    until = suspend.get("until")
                    self._holds[uid] = Suspend(
                        reason=str(suspend["reason"]),
                        by=str(suspend["by"]),
                        until=until if isinstance(until, int) else None,
                    )
            elif kind == "slot":
                slot = entry["slot"]
                assert isinstance(slot, int)
                self._slots[Uid(str(entry["uid"]))] = slot
            elif kind == "propletHold":
                hold = _proplet_hold(entry)
                if world.holds.get(hold.proplet) != hold:
                    world.store.put_proplet_hold(hold)
                    world.holds[hold.proplet] = hold
        if not world.store.fresh:
            self._holds, self._slots = {}, {}

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Try again what a registry did not answer; end suspensions whose time is over."""
        due = [ref for ref, at in self._retry_at.items() if at <= now]
        for ref in due:
            del self._retry_at[ref]
            if ref in self._wanted_refs() and ref not in self._resolving:
                self._resolving.add(ref)
                self._around.resolve(ref)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return min(self._retry_at.values(), default=None)


def _proplet_hold(entry: Mapping[str, object]) -> PropletHold:
    labels = entry.get("labels")
    pairs = labels.items() if isinstance(labels, Mapping) else ()
    scheduling = entry.get("scheduling")
    return PropletHold(
        proplet=PropletId(str(entry["proplet"])),
        scheduling=scheduling if isinstance(scheduling, str) else None,
        labels=tuple(
            (str(name), None if value is None else str(value)) for name, value in sorted(pairs)
        ),
        by=str(entry.get("by", "")),
        reason=str(entry.get("reason", "")),
    )


def history_row(held: Held, outcome: str, now: int) -> HistoryRow:
    """One line of an object's history."""
    return HistoryRow(
        uid=held.uid,
        digest=Digest(held.object.meta.spec_digest),
        generation=held.generation,
        outcome=outcome,
        revision=held.revision,
        first=now,
        last=now,
        count=1,
    )
