"""What of a revision waits for a person, and the yes that lets it through.

Called by `specs` with the change a revision makes, before any of it is written down. An App whose
guard trips stays whole as it was last accepted: nothing of it is deleted, restarted or created
until the digest of its part, or of the whole plan, was confirmed. What waits and what was confirmed
are rows; a confirmation is journalled first and is used up by the plan it was for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.revision import Revision
from propeller.plan.diff import InventoryChange
from propeller.plan.guards import Trip, change_digest, confirmed_by, guard, guards_by_app, without
from propeller.plan.types import Blocked, ChangeOp
from propeller.reconcile.world import World
from propeller.state.records import Approval, Event, GuardRecord, Pause, PlanRecord

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

REASON = "GuardTripped"

KEEP_UNUSED = 30 * 86_400_000
"""ms that a confirmation waits for its plan."""


class Approvals:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._approved = {one.digest: one for one in world.store.approvals()}
        self._uids: dict[str, frozenset[Uid]] = {}
        self.pauses: dict[str, Pause] = {one.app: one for one in world.store.pauses()}
        self.blocked: dict[Uid, Blocked] = {}

    def lines(self) -> tuple[str, ...]:
        """What waits, one line an App, with the command that lets it through."""
        return tuple(
            f"paused   App {one.app}: {told(one)}" for _, one in sorted(self.pauses.items())
        )

    # -- a revision comes -----------------------------------------------------------------------

    def admit(
        self,
        mine: Mapping[Uid, Held],
        change: InventoryChange,
        revision: Revision,
        *,
        source: str,
        about: Callable[[str], bool],
        now: int,
    ) -> InventoryChange:
        """The part of `change` that may be written down now.

        mine: the inventory it was made on. source: whose revision it is. about: Apps that paused in
        an earlier one of the same source, and for which that is over when they do not trip again.
        """
        self._forget_old(now)
        whole = change_digest(mine, change)
        named = confirmed_by(revision.message)
        trips = guard(
            mine,
            change,
            guards_by_app(self._world.objects, revision.objects.values()),
            self._world.assignments.keys(),
        )
        left: list[Trip] = []
        said: list[GuardRecord] = []
        for trip in trips:
            who = self._yes(trip, whole, named, revision)
            said.append(GuardRecord(trip.app, trip.guard, trip.message, trip.digest, who))
            if not who:
                left.append(trip)
                continue
            self._event(
                now,
                "Info",
                "GuardConfirmed",
                f"App {trip.app}: {trip.message}; confirmed by {who} ({trip.digest})",
                revision.name,
            )
        for trip in trips:
            for digest in (trip.digest, whole) if trip not in left else ():
                if self._approved.pop(digest, None) is not None:
                    self._world.store.drop_approval(digest)
        self._note(change, said, revision, source=source, whole=whole, now=now)
        over = [one.app for one in self.pauses.values() if one.source == source and about(one.app)]
        self._pause(left, over, whole=whole, revision=revision, source=source, now=now)
        if not left:
            return change
        return without(change, frozenset().union(*(trip.uids for trip in left)))

    def _note(
        self,
        change: InventoryChange,
        guards: list[GuardRecord],
        revision: Revision,
        *,
        source: str,
        whole: str,
        now: int,
    ) -> None:
        """Write down what the revision means, for who asks why; a no-op is no plan."""
        if not change.changes:
            return
        ops = Counter(line.op for line in change.changes)
        waits = any(not one.by for one in guards)
        self._world.store.put_plan(
            PlanRecord(
                source=source,
                revision=revision.name,
                digest=whole,
                at=now,
                done=0 if waits else now,
                created=ops.pop(ChangeOp.CREATE, 0),
                deleted=ops.pop(ChangeOp.DELETE, 0),
                changed=ops.total(),
                guards=tuple(guards),
            )
        )

    def _yes(self, trip: Trip, whole: str, named: frozenset[str], revision: Revision) -> str:
        """Who confirmed it, "" when nobody did."""
        for digest in (trip.digest, whole):
            if digest in self._approved:
                return self._approved[digest].by
            if digest in named:
                return f"the commit {revision.name}"
        return ""

    def _pause(
        self,
        trips: list[Trip],
        over: list[str],
        *,
        whole: str,
        revision: Revision,
        source: str,
        now: int,
    ) -> None:
        store, tripped = self._world.store, {trip.app for trip in trips}
        for app in over:
            if app in tripped:
                continue
            del self.pauses[app]
            store.drop_pause(app)
            self._unblock(app)
        for trip in trips:
            before = self.pauses.get(trip.app)
            pause = Pause(
                app=trip.app,
                source=source,
                guard=trip.guard,
                message=trip.message,
                digest=trip.digest,
                whole=whole,
                revision=revision.name,
                at=now,
            )
            if before is None or before.digest != pause.digest:
                self._event(now, "Warning", REASON, f"App {trip.app}: {told(pause)}", revision.name)
            self.pauses[trip.app] = pause
            store.put_pause(pause)
            self._block(trip, pause)

    def _block(self, trip: Trip, pause: Pause) -> None:
        self._unblock(trip.app)
        world = self._world
        uids = {uid for uid in trip.uids if uid in world.objects}
        uids.update(world.relations.apps_named(trip.app))
        self._uids[trip.app] = frozenset(uids)
        for uid in uids:
            key = world.objects[uid].object.meta.key
            self.blocked[uid] = Blocked(uid=uid, key=key, reason=REASON, message=told(pause))
        world.touched.statuses.update(uids)

    def _unblock(self, app: str) -> None:
        uids = self._uids.pop(app, frozenset())
        for uid in uids:
            self.blocked.pop(uid, None)
        self._world.touched.statuses.update(uids & self._world.objects.keys())

    # -- a person comes -------------------------------------------------------------------------

    def approve(self, digest: str, by: str, now: int) -> bool:
        """A yes to the plan of this digest. Returns whether one waits for it.

        One that comes before its plan is kept for a while.
        """
        self._around.journal.append("confirm", {"what": digest, "by": by, "at": now})
        self.restore(digest, by, now)
        return any(digest in (pause.digest, pause.whole) for pause in self.pauses.values())

    def restore(self, digest: str, by: str, at: int) -> None:
        """Take in a confirmation, as the journal has it."""
        approval = Approval(digest=digest, by=by, at=at)
        self._approved[digest] = approval
        self._world.store.put_approval(approval)

    def _forget_old(self, now: int) -> None:
        for digest in [one.digest for one in self._approved.values() if one.at + KEEP_UNUSED < now]:
            del self._approved[digest]
            self._world.store.drop_approval(digest)

    def _event(self, now: int, severity: str, reason: str, message: str, revision: str) -> None:
        self._world.store.add_event(
            Event(at=now, severity=severity, reason=reason, message=message, revision=revision)
        )


def told(pause: Pause) -> str:
    """Why it waits and what to do."""
    return f"{pause.message}; to let it happen: propeller confirm {pause.digest}"
