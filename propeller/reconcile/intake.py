"""What becomes of a good revision: checked against the other sources, admitted, written down.

Called by `specs`. Each source decides about its own objects only; what two sources declare belongs
to the first, and the second is refused as a whole with both places named. What moves from one
source to another is handed over and not deleted: its uid, and so its runs, stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from propeller.errors import Fault
from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.revision import Revision
from propeller.model.specs import App, Object, Suspend
from propeller.plan.apps import apps_of, around, owned, source_of, too_deep
from propeller.plan.depends import circle, needs
from propeller.plan.diff import InventoryChange, diff
from propeller.plan.guards import part_of, without
from propeller.plan.types import ChangeOp
from propeller.reconcile.approvals import Approvals
from propeller.reconcile.deposits import SOURCELESS
from propeller.reconcile.events import SpecsTaken
from propeller.reconcile.world import World
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings


@dataclass(slots=True)
class Waiting:
    """A revision that was refused for objects that another source has."""

    event: SpecsTaken
    uids: frozenset[Uid]


class Intake:
    """See the module. Owned by the loop."""

    def __init__(
        self, world: World, around_us: Surroundings, remembered: Callable[[Held], Held]
    ) -> None:
        self._world = world
        self._remembered = remembered
        self.approvals = Approvals(world, around_us)
        self.latest: dict[str, SpecsTaken] = {}
        self.waiting: dict[str, Waiting] = {}
        self._suspended_in: set[str] = set()
        self.resumes: int | None = None
        """When a suspended App may go on (Unix ms)."""

    # -- whose is what --------------------------------------------------------------------------

    def mine(self, source: str, revision: Revision | None = None) -> dict[Uid, Held]:
        """What revisions of that source decide about, with the Apps as `revision` has them."""
        wanted = revision.objects.values() if revision is not None else ()
        found = owned(self._world.objects, source, wanted)
        return {uid: held for uid, held in found.items() if held.object.meta.app not in SOURCELESS}

    def _tombstones(self, revision: Revision) -> dict[Uid, Held]:
        """What left any source and is wanted by this revision: it rises, whoever had it."""
        objects = self._world.objects
        uids = (thing.meta.uid for thing in revision.objects.values())
        return {
            uid: objects[uid]
            for uid in uids
            if uid in objects and objects[uid].deleted_at is not None
        }

    # -- may it be taken ------------------------------------------------------------------------

    def faults(self, source: str, event: SpecsTaken, handed: frozenset[Uid]) -> list[Fault]:
        """Why the revision cannot be taken beside what other sources want; [] when it can.

        handed: objects of others that this source gets now.
        """
        revision = event.revision
        mine = self.mine(source, revision)
        others = {
            uid: held
            for uid, held in self._world.objects.items()
            if uid not in mine
            and uid not in handed
            and held.deleted_at is None
            and held.object.meta.app not in SOURCELESS
        }
        self.waiting.pop(source, None)
        faults = []
        if others:
            taken = list(self._taken(revision, others.values()))
            if taken:
                uids = frozenset(held.uid for _, held in taken)
                self.waiting[source] = Waiting(event, uids)
            faults += [fault for fault, _ in taken]
        faults += self._nesting(revision)
        if not faults and others and any(needs(thing) for thing in revision.objects.values()):
            faults += self._circle(revision, others.values())
        return faults

    def _taken(self, revision: Revision, others: Iterable[Held]) -> Iterable[tuple[Fault, Held]]:
        keys = {held.object.meta.key: held for held in others}
        uids = {held.uid: held for held in keys.values()}
        apps = {held.object.meta.key.name: held for held in keys.values() if _is_app(held)}
        for thing in revision.objects.values():
            meta = thing.meta
            held = keys.get(meta.key) or uids.get(meta.uid)
            if held is None and isinstance(thing, App):
                held = apps.get(meta.key.name)
            if held is not None:
                theirs = held.object.meta
                where = f"{theirs.origin.file}:{theirs.origin.line}"
                message = (
                    f"{theirs.key} belongs to App {theirs.app} already, which has it in {where}"
                )
                yield Fault(meta.origin.file, meta.origin.line, "metadata.name", message), held

    def _nesting(self, revision: Revision) -> Iterable[Fault]:
        apps = apps_of(self._world.objects.values(), revision.objects.values())
        for thing in revision.objects.values():
            if isinstance(thing, App) and thing.address:
                wrong = too_deep(thing, apps)
                if wrong:
                    origin = thing.meta.origin
                    yield Fault(origin.file, origin.line, "spec.source", wrong)

    def _circle(self, revision: Revision, others: Iterable[Held]) -> Iterable[Fault]:
        way = circle([*revision.objects.values(), *(held.object for held in others)])
        if way:
            link = next((key for key in way if key in revision.objects), min(revision.objects))
            origin = revision.objects[link].meta.origin
            message = f"goes in a circle: {' -> '.join(str(key) for key in way)}"
            yield Fault(origin.file, origin.line, "spec.dependsOn", message)

    # -- taking ---------------------------------------------------------------------------------

    def accept(
        self, source: str, event: SpecsTaken, now: int, handed: frozenset[Uid] = frozenset()
    ) -> list[SpecsTaken]:
        """Write down what may be; returns refused revisions that can be taken now."""
        revision = event.revision
        objects = self._world.objects
        mine = self.mine(source, revision) | self._tombstones(revision)
        mine |= {uid: objects[uid] for uid in handed}
        apps = apps_of(objects.values(), revision.objects.values())
        change = diff(mine, revision, now=now)
        change, freed = self._hand_over(change)
        less = self._less_suspended(mine, change, apps, now)
        self._suspended_in.discard(source)
        if less is not change:
            self._suspended_in.add(source)
        self._write(source, mine, less, revision, now)
        self.latest[source] = event
        return freed

    def _hand_over(self, change: InventoryChange) -> tuple[InventoryChange, list[SpecsTaken]]:
        """What another source waits to have is not deleted; returns who can be taken now."""
        leaving = {one.uid for one in change.changes if one.op is ChangeOp.DELETE}
        freed = []
        for waiting in [one for one in self.waiting.values() if one.uids & leaving]:
            change = without(change, waiting.uids & leaving)
            freed.append(waiting.event)
        return change, freed

    def _write(
        self,
        source: str,
        mine: Mapping[Uid, Held],
        change: InventoryChange,
        revision: Revision,
        now: int,
        *,
        losing: str = "",
    ) -> None:
        """Admit and write down. losing: the App of another source whose objects all go."""
        lost = {app.object.meta.key.name: app for app in _lost(mine, change)}
        apps = apps_of(self._world.objects.values(), revision.objects.values())

        def about(app: str) -> bool:
            if losing:
                return app == losing or source_of(app, apps) == losing
            return app not in lost and source_of(app, apps) not in lost

        change = self.approvals.admit(mine, change, revision, source=source, about=about, now=now)
        for app in _lost(mine, change):
            change = self._lose(source, app, change, revision, now)
        for held in change.moved():
            self._world.put_held(self._remembered(held))
        for line in change.changes:
            self._world.store.add_event(
                Event(
                    at=now,
                    severity="Info",
                    reason=f"{line.op.value.capitalize()}d".replace("dd", "d"),
                    message=line.reason,
                    key=line.key,
                    revision=revision.name,
                )
            )

    def _lose(
        self, source: str, app: Held, change: InventoryChange, revision: Revision, now: int
    ) -> InventoryChange:
        """An App with a source of its own is no more: nor are its objects, if its guards allow.

        While they do not the App stays as well, or its guards would go before its objects.
        """
        name = app.object.meta.key.name
        apps = apps_of(self._world.objects.values())
        rest = {**self.mine(name), app.uid: app}
        only = replace(revision, objects={app.object.meta.key: app.object}, modules={})
        going = diff(rest, only, now=now)
        self._write(source, rest, going, only, now, losing=name)
        paused = self.approvals.pauses.values()
        if any(
            one.source == source and (one.app == name or source_of(one.app, apps) == name)
            for one in paused
        ):
            return without(change, {app.uid})
        self.latest.pop(name, None)
        self.waiting.pop(name, None)
        return change

    def held_back(self, source: str) -> bool:
        """Whether something of the revision taken last was not written down."""
        if source in self._suspended_in:
            return True
        return any(one.source == source for one in self.approvals.pauses.values())

    # -- suspended Apps ---------------------------------------------------------------------------

    def _less_suspended(
        self,
        mine: Mapping[Uid, Held],
        change: InventoryChange,
        apps: Mapping[str, App],
        now: int,
    ) -> InventoryChange:
        """An App that is suspended stays as it was last accepted."""
        owners = {held.object.meta.app for held in change.moved()}
        owners |= {mine[one.uid].object.meta.app for one in change.changes if one.uid in mine}
        for app in sorted(owners):
            suspend = self.suspended(app, apps, now)
            if suspend is None:
                continue
            part = part_of(mine, change, app)
            if not part:
                continue
            change = without(change, part)
            if suspend.until is not None:
                self.resumes = min(suspend.until, self.resumes or suspend.until)
        return change

    def suspended(self, app: str, apps: Mapping[str, App], now: int) -> Suspend | None:
        """What suspends an App, or an App around it, now."""
        for one in around(app, apps):
            held = self._world.objects.get(one.meta.uid)
            for suspend in (held.hold if held is not None else None, one.suspend):
                if suspend is not None and (suspend.until is None or suspend.until > now):
                    return suspend
        return None


def _is_app(held: Held) -> bool:
    return isinstance(held.object, App)


def _sourced(thing: Object) -> bool:
    return isinstance(thing, App) and bool(thing.address)


def _lost(mine: Mapping[Uid, Held], change: InventoryChange) -> list[Held]:
    """Apps with a source of their own that this change deletes."""
    return [mine[held.uid] for held in change.deleted if _sourced(held.object) and not held.orphan]
