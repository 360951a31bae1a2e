"""What the reconciler knows, in memory, written through to the store.

Loaded from the store at start; every `put_*` changes memory and store together and must be called
inside a store transaction. Keeps track of what was touched since the last plan, so that one report
costs one proplet's work and not the fleet's. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from propeller.model.drift import Corrections
from propeller.model.federated import FederatedTask
from propeller.model.flow import Flow
from propeller.model.ids import Key, PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module, Resolved
from propeller.model.rounds import Learning
from propeller.model.scaling import Called, Scale
from propeller.model.seen import Seen, SeenRun
from propeller.model.specs import App, Modular, ModuleRef, Proplet, Secret, Workflow
from propeller.model.versions import Course
from propeller.plan.findings import strays_among, strays_on
from propeller.reconcile.entries import Entries
from propeller.reconcile.flowbook import FlowBook
from propeller.reconcile.handings import Handings
from propeller.reconcile.learningbook import LearningBook
from propeller.reconcile.relations import Relations
from propeller.reconcile.runbook import RunBook
from propeller.reconcile.samples import History
from propeller.reconcile.secretbook import SecretBook
from propeller.reconcile.secretusers import SecretUsers, given_to, name_of
from propeller.reconcile.sighting import (
    entries_differ,
    what_delivery_reads,
    what_planning_reads,
)
from propeller.reconcile.touched import Touched
from propeller.reconcile.versionbook import VersionBook
from propeller.reconcile.windowbook import WindowBook
from propeller.secrets.vault import Vault
from propeller.state.base import Journal, Store
from propeller.state.records import Asked, PropletHold


class World:
    """The inventory, the fleet and what was asked of it."""

    def __init__(
        self,
        store: Store,
        read_blob: Callable[[str], bytes | None],
        vault: Vault | None = None,
    ) -> None:
        self.store = store
        self.entries = Entries(self, read_blob)
        self.touched = Touched()
        self.objects: dict[Uid, Held] = {held.uid: held for held in store.inventory()}
        self.secrets = SecretBook(store, vault or Vault.closed(), self.objects.values())
        self.proplets: dict[PropletId, Seen] = {seen.id: seen for seen in store.fleet()}
        self.assignments: dict[Uid, dict[PropletId, Assignment]] = {}
        self.holders: dict[PropletId, set[Uid]] = {}
        self.asked: dict[PropletId, Asked] = {asked.proplet: asked for asked in store.load_asked()}
        self.modules: dict[ModuleRef, Resolved] = store.modules()
        self.holds: dict[PropletId, PropletHold] = {
            hold.proplet: hold for hold in store.proplet_holds()
        }
        self.runs = RunBook(self)
        self.grants: dict[PropletId, frozenset[str]] = {}
        self.declared_now: Mapping[PropletId, Proplet] = {}
        self._secret_users = SecretUsers()
        self.versions = VersionBook(store)
        self.handings = Handings(store)
        self.learning = LearningBook(store, self._models_at)
        self.windows = WindowBook(store)
        self.flows = FlowBook(store)
        self.scales: dict[Uid, Scale] = {scale.uid: scale for scale in store.scales()}
        self.history = History(store)
        self.wanted: dict[Uid, Called] = {}
        self.corrections: dict[Uid, Corrections] = {row.uid: row for row in store.corrections()}
        self.strays: dict[Uid, set[PropletId]] = {}
        self.relations = Relations(self.objects, self.touched)
        for assignment in store.assignments():
            self._index(assignment)
        for held in self.objects.values():
            self._secret_users.note(None, held)
        self.runs.remember()
        self.strays = strays_among(self.proplets, self.assignments)
        # What was asked is most likely still wanted: nobody says otherwise until it was looked at,
        # except of what is to be taken back, which is gone only when a later document was taken.
        self.touched.deliveries = set(self.proplets)
        self.touched.documents = {
            proplet
            for copies in self.assignments.values()
            for proplet, copy in copies.items()
            if copy.releasing
        }
        self.touched.statuses = set(self.objects)

    # -- reading ------------------------------------------------------------------------------

    def _models_at(self, uid: Uid) -> str | None:
        """The repository that a FederatedTask's models are in."""
        held = self.objects.get(uid)
        thing = held.object if held is not None else None
        spec = thing.model if isinstance(thing, FederatedTask) else None
        return None if spec is None else spec.image

    def find(self, key: Key) -> Held | None:
        """The object of that name, tombstones included."""
        return next((held for held in self.objects.values() if held.object.meta.key == key), None)

    def put_learning(self, uid: Uid, learning: Learning) -> None:
        """How far a federated job is. Its copies are told with their assignments."""
        self.learning.put(uid, learning)
        self.touched.objects.add(uid)
        self.touched.statuses.add(uid)

    def put_flow(self, flow: Flow, journal: Journal) -> None:
        """How far a Workflow is: its steps are looked at again."""
        self.flows.put(flow, journal)
        for uid in (flow.uid, *self.flows.steps_of(flow.uid, self.objects)):
            self.entries.forget(uid)
            self.touched.objects.add(uid)
            self.touched.statuses.add(uid)

    def put_scale(self, scale: Scale) -> None:
        """How many copies an object is to have."""
        before = self.scales.get(scale.uid)
        self.scales[scale.uid] = scale
        self.store.put_scale(scale)
        if before is None or before.copies != scale.copies:
            self.touched.objects.add(scale.uid)
            self.touched.statuses.add(scale.uid)

    def want(self, uid: Uid, calls: int, now: int) -> None:
        """Calls wait for a first copy."""
        scale = self.scales.get(uid)
        if uid not in self.objects or scale is None:
            return
        self.wanted[uid] = Called(now, calls)
        if scale.copies == 0:
            self.touched.objects.add(uid)

    def look_at_flows(self) -> None:
        """A result came that a Workflow may have waited for."""
        self.touched.objects.update(
            uid for uid, flow in self.flows.known.items() if not flow.ended and uid in self.objects
        )

    def retry_secrets(self, now: int) -> None:
        """See whether what was locked can be opened now. Inside a store transaction."""
        for name in self.secrets.retry(now):
            self._secret_moved(name)

    def _secret_moved(self, name: tuple[str, str]) -> None:
        """What is known of a Secret changed: it and whoever uses it have to be looked at."""
        older = {
            uid
            for uid, course in self.versions.courses.items()
            if uid in self.objects
            for version in (course.good, course.target)
            if version is not None and name in given_to(version.object)
        }
        for uid in older.union(self._secret_users.of(name)):
            self.entries.forget(uid)
            self.touched.objects.add(uid)
            self.touched.statuses.add(uid)
            self.touched.documents.update(self.assignments.get(uid, ()))

    def asked_at(self, proplet: PropletId) -> int:
        """When it was last asked for anything (Unix ms), 0 never."""
        asked = self.asked.get(proplet)
        return asked.asked_at if asked is not None else 0

    # -- writing ------------------------------------------------------------------------------

    def put_held(self, held: Held) -> None:
        """Take an object in, or its new state."""
        self.store.put_held(held)
        before = self.objects.get(held.uid)
        self.objects[held.uid] = held
        self.touched.objects.add(held.uid)
        self.touched.statuses.add(held.uid)
        if before is None or before.generation != held.generation:
            self.entries.forget(held.uid)
            self.touched.documents.update(self.assignments.get(held.uid, ()))
        if before is None or before.deleted_at != held.deleted_at or before.object != held.object:
            self.relations.relink(held if before is None else before, held)
        if isinstance(held.object, App):
            self.windows.apps_changed()
        if isinstance(held.object, Workflow):
            self.flows.remember(held.uid)
        self.windows.edited(before, held, self.objects.values(), self.modules)
        waits = held.uid in self.windows.withheld
        if before is not None and before.generation != held.generation and not waits:
            self._begin_course(before, held)
        self._secret_users.note(before, held)
        if isinstance(held.object, Secret) and self.secrets.put(held):
            self._secret_moved(name_of(held.object))
        if isinstance(held.object, Proplet | App):
            self.relations.forget_names()
            self.touched.everything = True

    def let_in(self, uid: Uid) -> None:
        """The edit that waited for a window is what the object means now."""
        waited = self.windows.withheld[uid].held
        self.windows.drop(uid)
        self.entries.forget(uid)
        self.touched.objects.add(uid)
        self.touched.statuses.add(uid)
        self.touched.documents.update(self.assignments.get(uid, ()))
        if waited is not None:
            self._begin_course(waited, self.objects[uid])

    def _begin_course(self, before: Held, after: Held) -> None:
        """An object may have been given a rollout: its copies have the version it had before."""
        copies = self.assignments.get(after.uid, {})
        course = self.versions.begun(before, after, self.modules) if copies else None
        if course is None or course.good is None:
            return
        self.put_course(course)
        for copy in list(copies.values()):
            stamped = replace(copy, version=course.good.digest)
            if not copy.version and self.entries.run_of(stamped) == copy.run:
                self.put_assignment(stamped)

    def put_course(self, course: Course) -> None:
        """Which version its copies go to has been decided."""
        self.versions.put(course)
        self.entries.forget(course.uid)
        self.touched.objects.add(course.uid)
        self.touched.statuses.add(course.uid)

    def put_corrections(self, row: Corrections) -> None:
        """Drifted proplets of an object were asked anew, or are not any more."""
        self.store.put_corrections(row)
        self.corrections[row.uid] = row
        self.touched.statuses.add(row.uid)

    def forget_corrections(self, uid: Uid) -> None:
        """Count from nothing."""
        if self.corrections.pop(uid, None) is not None:
            self.store.drop_corrections(uid)
            self.touched.objects.add(uid)

    def drop_held(self, uid: Uid) -> None:
        """The object leaves the inventory."""
        self.store.drop_held(uid)
        held = self.objects.pop(uid)
        self._secret_users.note(held, None)
        self.relations.relink(held, held)
        self.entries.forget(uid)
        self.versions.drop(uid)
        self.windows.forget(uid)
        self.wanted.pop(uid, None)
        self.scales.pop(uid, None)  # its row goes with that of the object
        self.forget_corrections(uid)
        self.touched.objects.discard(uid)
        self.touched.statuses.discard(uid)
        if isinstance(held.object, Proplet | App):
            self.relations.forget_names()
            self.windows.apps_changed()
            self.touched.everything = True

    def put_assignment(self, assignment: Assignment) -> None:
        """A copy is asked for, or is being taken back."""
        self.store.put_assignment(assignment)
        before = self.assignments.get(assignment.uid, {}).get(assignment.proplet)
        if before is not None and (before.run != assignment.run or assignment.releasing):
            self.runs.forget_past(assignment.proplet, (assignment.uid, before.run))
        self._index(assignment)
        self._note_strays(assignment.proplet, {assignment.uid})
        self._changed(assignment.uid, assignment.proplet)

    def drop_assignment(self, uid: Uid, proplet: PropletId) -> None:
        """The device confirmed that the copy is gone."""
        self.store.drop_assignment(uid, proplet)
        dropped = self.assignments[uid].pop(proplet)
        if not self.assignments[uid]:
            del self.assignments[uid]
        self.holders[proplet].discard(uid)
        self.runs.forget_past(proplet, (uid, dropped.run))
        self._note_strays(proplet, {uid})
        self.runs.forget_noted(uid, proplet)
        self.entries.forget_copy(uid, proplet)
        self._changed(uid, proplet)

    def put_module(self, ref: ModuleRef, resolved: Resolved) -> None:
        """A module was resolved, or could not be."""
        if self.modules.get(ref) == resolved:
            return
        self.store.put_module(ref, resolved)
        old, self.modules[ref] = self.modules.get(ref), resolved
        for uid, held in self.objects.items():
            if isinstance(held.object, Modular) and held.object.module == ref:
                if isinstance(old, Module) and isinstance(resolved, Module):
                    self.windows.resolved_anew(held, old, self.objects.values())
                self.entries.forget(uid)
                self.touched.objects.add(uid)
                self.touched.statuses.add(uid)
                self.touched.documents.update(self.assignments.get(uid, ()))

    def put_seen(self, seen: Seen) -> None:
        """Anything about a proplet but its runs."""
        before = self.proplets.get(seen.id)
        if before == seen:
            return
        self.store.put_seen(seen)
        self.proplets[seen.id] = seen
        if before is None or what_planning_reads(before) != what_planning_reads(seen):
            self.touched.proplets.add(seen.id)
            self.touched.facts_moved = True
            self.touch_statuses(seen.id)
        if before is None or what_delivery_reads(before) != what_delivery_reads(seen):
            self.touched.deliveries.add(seen.id)
            self.touched.proplets.add(seen.id)
            self.touch_statuses(seen.id)
        if before is not None and entries_differ(before, seen):
            self.touched.documents.add(seen.id)
            self.entries.forget_device(seen.id)

    def put_runs(self, proplet: PropletId, runs: Mapping[tuple[Uid, RunId], SeenRun]) -> set[Uid]:
        """Take a whole inventory; writes only what moved. Returns the uids that moved."""
        seen = self.proplets[proplet]
        before = seen.runs
        merged = {**self.runs.past.get(proplet, {}), **runs}
        changed = []
        for name, run in merged.items():
            known = before.get(name)
            if known is not None and known == run:
                merged[name] = known  # the one object is shared, and noted in the history
            else:
                changed.append(run)
        gone = [name for name in before if name not in merged]
        if not changed and not gone and seen.reported:
            return set()
        self.store.put_runs(proplet, changed, gone)
        moved = {run.uid for run in changed} | {uid for uid, _ in gone}
        self.proplets[proplet] = replace(seen, runs=merged, reported=True)
        self._note_strays(proplet, moved)
        if not seen.reported:
            self.store.put_seen(self.proplets[proplet])
        self.touched.proplets.add(proplet)
        # A run nobody assigned here may be one to adopt: that is for the whole object to say.
        held_here = self.holders.get(proplet, ())
        self.touched.objects.update(
            uid for uid in moved if uid in self.objects and uid not in held_here
        )
        self.touch_statuses(proplet)
        return moved

    def drop_seen(self, proplet: PropletId) -> None:
        """Forget a proplet that is neither declared nor holds anything."""
        self.store.drop_seen(proplet)
        self.store.drop_asked(proplet)
        self.handings.forget(proplet)
        self.history.forget(proplet)
        self.proplets.pop(proplet, None)
        self.asked.pop(proplet, None)
        for places in self.strays.values():
            places.discard(proplet)
        self.touched.everything = True

    def put_asked(self, asked: Asked) -> None:
        """What was asked of a proplet; the body stays on disk."""
        self.store.put_asked(asked)
        self.asked[asked.proplet] = replace(asked, body=b"")

    # -- inside -------------------------------------------------------------------------------

    def touch_statuses(self, proplet: PropletId) -> None:
        """What is said of this proplet and of what it holds may have changed."""
        self.touched.statuses.update(self.holders.get(proplet, ()))
        declared = self.relations.declared_proplet(proplet)
        if declared is not None:
            self.touched.statuses.add(declared.meta.uid)

    def touch_unlike(self, proplet: PropletId) -> None:
        """It is known now that it took its document: does it hold what is listed there?"""
        runs = self.proplets[proplet].runs
        for uid in self.holders.get(proplet, ()):
            copy = self.assignments[uid][proplet]
            run = runs.get((uid, copy.run))
            if not copy.releasing and (run is None or not self.entries.is_current(copy, run)):
                self.touched.objects.add(uid)
        self.touched.objects.update(
            uid for uid, places in self.strays.items() if proplet in places and uid in self.objects
        )

    def _note_strays(self, proplet: PropletId, uids: set[Uid]) -> None:
        """Which of these objects have a run there that nobody asked for."""
        seen = self.proplets.get(proplet)
        found = strays_on(seen, self.assignments, uids) if seen is not None else set()
        for uid in uids - found:
            places = self.strays.get(uid)
            if places is not None:
                places.discard(proplet)
                if not places:
                    del self.strays[uid]
        for uid in found:
            self.strays.setdefault(uid, set()).add(proplet)
        self.touched.statuses.update(uid for uid in found if uid in self.objects)

    def _index(self, assignment: Assignment) -> None:
        self.assignments.setdefault(assignment.uid, {})[assignment.proplet] = assignment
        self.holders.setdefault(assignment.proplet, set()).add(assignment.uid)

    def _changed(self, uid: Uid, proplet: PropletId) -> None:
        self.touched.documents.add(proplet)
        held = self.objects.get(uid)
        if held is not None:
            self.touched.statuses.add(uid)
            if held.deleted_at is not None:
                self.touched.objects.add(uid)  # its last copy may just have gone
