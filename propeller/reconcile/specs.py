"""What is wanted: revisions and holds. Which modules they mean is with `modulebook`.

Takes a revision whole or not at all. A refused one changes nothing but the record of the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Digest, PropletId, Uid, is_digest
from propeller.model.inventory import Held
from propeller.model.specs import App, Suspend
from propeller.plan.diff import diff
from propeller.plan.guards import change_digest
from propeller.plan.moves import identified
from propeller.plan.types import Blocked
from propeller.reconcile.appsources import Known, Sources
from propeller.reconcile.events import Reply, SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.intake import Intake
from propeller.reconcile.modulebook import ModuleBook
from propeller.reconcile.world import World
from propeller.state.records import Event, HistoryRow, PropletHold, RevisionRecord

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

KNOWN_SIGNERS = 500
"""Attempts to take the source that are looked through at start for who signed what."""


class Specs:
    """The wanted side of the world. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self.modules = ModuleBook(world, around)
        self.looked = False
        self._signers = {
            one.name: one.signed_by
            for one in reversed(world.store.revisions(KNOWN_SIGNERS))
            if one.outcome == "accepted"
        }
        self._holds: dict[Uid, Suspend] = {}
        self._slots: dict[Uid, int] = {}
        self._answers: list[tuple[Reply, Mapping[str, object]]] = []
        self.sources = Sources(world)
        self.intake = Intake(world, around, self._with_journal)
        self.approvals = self.intake.approvals

    def signer(self, revision: str) -> str:
        """Who signed an accepted revision; "" when nobody was asked, or too long ago to know."""
        return self._signers.get(revision, "")

    @property
    def revision_name(self) -> str:
        """The revision of the tree that was accepted last, "" before the first."""
        return self.sources.tree.name

    @property
    def revision_digest(self) -> str:
        """What it wants."""
        return self.sources.tree.digest

    @property
    def attempted_name(self) -> str:
        """What was read of the tree last, good or bad."""
        return self.sources.tree.attempted

    @property
    def trouble(self) -> str:
        """What is wrong with the tree, "" when nothing is. Apps say so themselves."""
        return self.sources.tree.trouble

    @property
    def accepted(self) -> bool:
        """Whether a revision was ever accepted into this store."""
        return bool(self.revision_name)

    # -- revisions ----------------------------------------------------------------------------

    def attempted(self, app: str) -> str:
        """What was read last of the source that objects of `app` come from."""
        return self.sources.of(self.sources.behind(app)).attempted

    def blocked(self, uid: Uid) -> Blocked | None:
        """What a person has to know of an object besides the plan: a pause, a bad source."""
        return self.approvals.blocked.get(uid) or self.sources.blocked.get(uid)

    def taken(self, event: SpecsTaken, now: int, handed: frozenset[Uid] = frozenset()) -> None:
        """A good revision: it becomes what is wanted, unless another source is in its way."""
        self.looked = self.looked or not event.app
        if event.app and event.app not in self.sources.wanted():
            return  # the App went while its source was being read
        if event.app and event.bound != self.sources.binding.name:
            return  # others bind it now than were asked: its reader begins anew
        event = replace(event, revision=identified(self._world.objects, event.revision))
        if self._is_stale(event, now):
            return
        faults = self.intake.faults(event.app, event, handed)
        if faults:
            name = event.revision.name
            self.refused(SpecsRefused(event.source, name, tuple(faults), app=event.app), now)
            return
        known = self.sources.of(event.app)
        same = self._note_taken(known, event, now)
        if same and not self.intake.held_back(event.app):
            return
        for ref, module in event.revision.modules.items():
            self._world.put_module(ref, module)
        freed = self.intake.accept(event.app, event, now, handed)
        if not same:
            self.modules.resolve(every=True)
            self.modules.drop_unused()
        self.sources.follow()
        for other in freed:
            uids = frozenset(thing.meta.uid for thing in other.revision.objects.values())
            self.taken(other, now, handed=uids & self._world.objects.keys())

    def _note_taken(self, known: Known, event: SpecsTaken, now: int) -> bool:
        """Whether the revision wants nothing new; a commit elsewhere in a repository does not."""
        revision = event.revision
        was_in_trouble = bool(known.trouble)
        same_name, same = known.name == revision.name, known.digest == revision.digest
        self.sources.good(known, revision, event.source, now)
        if not event.app:
            self.sources.bind(revision.binding)
        if was_in_trouble:
            self._good_again(event, now)
        if was_in_trouble or not same:
            self._world.touched.statuses.update(self.intake.mine(event.app))
        if not same_name or not same:
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
            while len(self._signers) > KNOWN_SIGNERS:
                del self._signers[next(iter(self._signers))]
            self._signers[revision.name] = revision.signed_by
        return same

    def _good_again(self, event: SpecsTaken, now: int) -> None:
        whose = f"the source of App {event.app}" if event.app else "the source"
        self._world.store.add_event(
            Event(
                at=now,
                severity="Info",
                reason="SourceGood",
                message=f"{whose} is read and good again",
                revision=event.revision.name,
            )
        )

    def _is_stale(self, event: SpecsTaken, now: int) -> bool:
        """Whether the plan that was approved is not the one this revision means now."""
        stale = False
        if event.expect:
            mine = self.intake.mine(event.app, event.revision)
            stale = change_digest(mine, diff(mine, event.revision, now=now)) != event.expect
        if stale:
            message = "what was approved is not what would happen now; nothing was done"
            name = event.revision.name
            self._world.store.add_event(
                Event(
                    at=now, severity="Warning", reason="PlanStale", message=message, revision=name
                )
            )
        if event.reply is not None:
            self._answers.append((event.reply, {"done": True, "stale": stale}))
        return stale

    def answer(self) -> None:
        """Tell who handed a revision over what became of it, now that it is committed."""
        answers, self._answers = self._answers, []
        for reply, words in answers:
            reply(words)

    def confirm(self, digest: str, by: str, now: int) -> bool:
        """A person's yes to the plan of this digest; returns whether one waited for it."""
        waited = self.approvals.approve(digest, by, now)
        if waited:
            self.retake(now)
        return waited

    def retake(self, now: int) -> None:
        """Look again at what was held back of the revisions that were read last."""
        self.intake.resumes = None
        for event in list(self.intake.latest.values()):
            if self.intake.held_back(event.app):
                self.taken(replace(event, expect="", reply=None), now)

    def _with_journal(self, held: Held) -> Held:
        """A hold or a cron slot that the journal remembers from before the store was lost."""
        hold = held.hold or self._holds.get(held.uid)
        slot = held.last_slot if held.last_slot is not None else self._slots.get(held.uid)
        return replace(held, hold=hold, last_slot=slot)

    def refused(self, event: SpecsRefused, now: int) -> None:
        """A bad revision: nothing changes, every fault is told."""
        self.looked = self.looked or not event.app
        faults = tuple(str(fault) for fault in event.faults)
        known = self.sources.of(event.app)
        trouble = "\n".join(faults)
        if not self.sources.bad(known, "RevisionRefused", trouble, now=now, attempted=event.head):
            return
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
        whose = f"App {event.app}: " if event.app else ""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        self._world.store.add_event(
            Event(
                at=now,
                severity="Warning",
                reason="RevisionRefused",
                message=f"{whose}{faults[0]}{more}; the last good revision stands",
                revision=event.head,
            )
        )
        self._world.touched.statuses.update(self.intake.mine(event.app))

    def silent(self, event: SourceSilent, now: int) -> None:
        """The source cannot be read: what was accepted stands."""
        self.looked = self.looked or not event.app
        known = self.sources.of(event.app)
        if not self.sources.bad(known, "SourceUnavailable", event.reason, now=now):
            return
        whose = f"App {event.app}: " if event.app else ""
        self._world.store.add_event(
            Event(
                at=now,
                severity="Warning",
                reason="SourceUnavailable",
                message=f"{whose}{event.reason}",
            )
        )

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
        if isinstance(held.object, App):
            self.retake(self._around.clock())

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
            elif kind == "confirm" and world.store.fresh and is_digest(str(entry["what"])):
                at = entry.get("at")
                if isinstance(at, int):
                    self.approvals.restore(str(entry["what"]), str(entry["by"]), at)
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
        self.modules.tick(now)
        if self.intake.resumes is not None and self.intake.resumes <= now:
            self.retake(now)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        dues = [self.modules.due(), self.intake.resumes]
        return min((due for due in dues if due is not None), default=None)


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
