"""What each copy is told: from assignments to wire entries, with what was worked out before.

Owned by `World`, whose tables it reads; says nothing about who should have what. An entry is the
shared template of an object (or of a version of it), filled for one copy; templates and the names
of runs are kept until what they mean has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.seen import SeenRun
from propeller.model.specs import Daemon, FederatedTask, Task
from propeller.plan.aot import choose
from propeller.plan.runs import namer as namer_of
from propeller.plan.runs import run_digest, run_key
from propeller.plan.secrets import given
from propeller.plan.workflow import as_run
from propeller.reconcile.documents import entries_of, fill, in_order, template
from propeller.wire.messages import Entry, WireAot

if TYPE_CHECKING:
    from propeller.reconcile.world import World

_NO_TEMPLATES: Mapping[Digest, Entry] = {}
_NO_BUILDS: Mapping[Digest, Module] = {}

MAX_NAMERS = 50_000
"""Namers of runs kept; cron causes make new ones all the time."""


class Entries:
    """See the module."""

    def __init__(self, world: World, read_blob: Callable[[str], bytes | None]) -> None:
        self._world = world
        self._read_blob = read_blob
        self._namers: dict[tuple[Uid, Digest, str], Callable[[PropletId], RunId]] = {}
        self._templates: dict[Uid, dict[Digest, Entry]] = {}
        self._builds: dict[Uid, dict[Digest, Module]] = {}
        """Of templates whose module has native builds: the module."""
        self._released: frozenset[str] | None = None
        self._told: dict[tuple[Uid, PropletId], tuple[Assignment, Entry | None, str]] = {}
        self._lessons: dict[tuple[Uid, PropletId], tuple[Assignment, Entry, Entry]] = {}
        """Of copies that train: what the entry was made of, and the entry."""

    def release(self, released: frozenset[str] | None) -> None:
        """Which modules may be started at all, None for any: native code has to be among them."""
        if released == self._released:
            return
        self._released = released
        for uid in self._builds:
            copies = self._world.assignments.get(uid, {})
            self._world.touched.documents.update(copies)
            for proplet in copies:
                self.forget_copy(uid, proplet)

    def forget_copy(self, uid: Uid, proplet: PropletId) -> None:
        """The copy is no more."""
        self._told.pop((uid, proplet), None)
        self._lessons.pop((uid, proplet), None)

    def forget_device(self, proplet: PropletId) -> None:
        """What its secrets are sealed to has changed, or what native code it runs."""
        for name in [name for name in self._told if name[1] == proplet]:
            del self._told[name]
        for name in [name for name in self._lessons if name[1] == proplet]:
            del self._lessons[name]

    def wanted(self, proplet: PropletId) -> tuple[Entry, ...] | None:
        """The tasks `proplet` should hold, in order; None while a module is not resolved.

        A run that ended on an earlier instance of the device (wiped, replaced) is not listed, or
        the new instance would run it again.
        """
        past = self._world.runs.past.get(proplet, {})
        entries = []
        for uid in self._world.holders.get(proplet, ()):
            assignment = self._world.assignments[uid][proplet]
            if assignment.releasing or (uid, assignment.run) in past:
                continue
            entry = self.entry(assignment)
            if entry is not None:
                entries.append(entry)
            elif self._is_learning(uid):
                continue  # of a round that nobody remembers: the next plan says what follows
            elif not assignment.version or self._meaning(assignment) is not None:
                return None
        return in_order(entries)

    def entry(self, assignment: Assignment) -> Entry | None:
        """What the copy should run: as the spec says now, or as last asked where the run is older.

        A copy may rightly stay behind its spec (its cron run goes on, the new version fits nobody);
        an old run must never be named together with a new module.
        """
        if self._is_learning(assignment.uid):
            return self._training_entry(assignment)
        shared = self._template(assignment)
        if shared is not None and self.run_of(assignment) == assignment.run:
            sealed = self._sealed(assignment)
            if sealed is not None:
                return fill(shared, assignment, sealed, aot=self._aot(assignment, shared))
        asked = self.asked_entries(assignment.proplet)
        return asked.get((assignment.uid, assignment.run))

    def _is_learning(self, uid: Uid) -> bool:
        return isinstance(self._world.objects[uid].object, FederatedTask)

    def _training_entry(self, assignment: Assignment) -> Entry | None:
        """A part in the newest round as that round says, or in an older one as last asked."""
        held = self._world.objects[assignment.uid]
        thing = held.object
        assert isinstance(thing, FederatedTask)
        module = self._world.modules.get(thing.module)
        training = self._world.learning.training(assignment)
        if training is None or not isinstance(module, Module):
            asked = self.asked_entries(assignment.proplet)
            return asked.get((assignment.uid, assignment.run))
        known = self._templates.setdefault(assignment.uid, {})
        shared = known.get(Digest(""))
        if shared is None:
            shared = known[Digest("")] = template(held, module)
            self._note_builds(assignment, module)
        name = (assignment.uid, assignment.proplet)
        last = self._lessons.get(name)
        if (
            last is not None
            and last[0] is assignment
            and last[1] is shared
            and last[2].fl is training
        ):
            return last[2]  # nothing is told anew between two turns of a round
        entry = fill(shared, assignment, training=training, aot=self._aot(assignment, shared))
        self._lessons[name] = (assignment, shared, entry)
        return entry

    def _sealed(self, assignment: Assignment) -> tuple[tuple[str, str], ...] | None:
        meaning = self._meaning(assignment)
        assert meaning is not None
        thing = meaning[0].object
        assert isinstance(thing, Task | Daemon)
        if not thing.run.secrets:
            return ()
        return self._world.secrets.sealed(
            thing, self._world.proplets[assignment.proplet], assignment
        )

    def run_of(self, assignment: Assignment) -> RunId | None:
        """The run that the spec means there; None while a secret of it cannot be opened."""
        name = (assignment.uid, assignment.version, assignment.cause)
        namer = self._namers.get(name)
        if namer is None:
            meaning = self._meaning(assignment)
            if meaning is None:
                return None
            held, module = meaning
            assert isinstance(held.object, Task | Daemon)
            gift = given(held.object, self._world.secrets.known)
            if gift.reason:
                return None
            digest = run_digest(held.object, module, gift.digests)
            namer = namer_of(assignment.uid, digest, run_key(held.object), assignment.cause)
            if len(self._namers) > MAX_NAMERS:
                self._namers.clear()
            self._namers[name] = namer
        return namer(assignment.proplet)

    def asked_entries(self, proplet: PropletId) -> dict[tuple[Uid, RunId], Entry]:
        """The entries of the document last asked of `proplet`, by run."""
        body = self._world.store.asked_body(proplet)
        entries = entries_of(body, self._read_blob) if body else ()
        return {(Uid(entry.uid), RunId(entry.run)): entry for entry in entries}

    def forget(self, uid: Uid) -> None:
        """What the object means has changed."""
        self._templates.pop(uid, None)
        self._builds.pop(uid, None)
        for name in [name for name in self._namers if name[0] == uid]:
            del self._namers[name]

    def _template(self, assignment: Assignment) -> Entry | None:
        shared = self._templates.get(assignment.uid, {}).get(assignment.version)
        if shared is None:
            meaning = self._meaning(assignment)
            if meaning is None:
                return None
            shared = template(*meaning)
            self._note_builds(assignment, meaning[1])
            self._templates.setdefault(assignment.uid, {})[assignment.version] = shared
        return shared

    def _note_builds(self, assignment: Assignment, module: Module) -> None:
        if module.aot:
            self._builds.setdefault(assignment.uid, {})[assignment.version] = module

    def _aot(self, assignment: Assignment, shared: Entry) -> WireAot | None:
        """The native code that the copy runs instead of the Wasm."""
        module = self._builds.get(assignment.uid, _NO_BUILDS).get(assignment.version)
        if module is None or shared.external is not None:
            return None
        facts = self._world.proplets[assignment.proplet].facts
        found = choose(module, facts, fuel=shared.fuel, released=self._released).aot
        if found is None:
            return None
        return WireAot(digest=found.digest, size=found.size, target=found.target)

    def _meaning(self, assignment: Assignment) -> tuple[Held, Module] | None:
        """The object as that copy has it; None while that cannot be told."""
        held = self._world.objects[assignment.uid]
        waiting = self._world.windows.withheld.get(assignment.uid)
        world = self._world
        found = world.versions.meaning(held, assignment.version, world.modules, waiting)
        if found is None:
            return None
        held, module = found
        thing = held.object
        if isinstance(thing, Task) and thing.step is not None:
            held = as_run(held, world.flows.known.get(thing.step.workflow))
        return held, module

    def is_current(self, assignment: Assignment, run: SeenRun) -> bool:
        """Whether the device began that run from what it is asked for now."""
        known = self._told.get((assignment.uid, assignment.proplet))
        if known is not None and known[0] is assignment:  # the common case, and looked up often
            shared = self._templates.get(assignment.uid, _NO_TEMPLATES).get(assignment.version)
            if shared is not None and known[1] is shared:
                return run.digest == known[2]
        return run.digest == self.digest(assignment)

    def digest(self, assignment: Assignment) -> str:
        """The digest of what the copy is told now, "" where that cannot be said."""
        name = (assignment.uid, assignment.proplet)
        if self._is_learning(assignment.uid):
            entry = self._training_entry(assignment)
            return entry.digest if entry is not None else ""
        shared = self._template(assignment)
        known = self._told.get(name)
        if known is None or known[0] is not assignment or known[1] is not shared:
            entry = self.entry(assignment)
            known = self._told[name] = (assignment, shared, entry.digest if entry else "")
        return known[2]

    def told_version(self, assignment: Assignment) -> Digest:
        """The version that a copy found in a retained document has, "" where none fits."""
        held = self._world.objects[assignment.uid]
        asked = self.asked_entries(assignment.proplet).get((assignment.uid, assignment.run))
        if asked is None:
            return Digest("")
        for one in self._world.versions.candidates(held, self._world.modules):
            stamped = replace(assignment, version=one.digest)
            shared = template(self._world.versions.grafted(held, one), one.module)
            told = fill(shared, stamped, asked.sealed, aot=asked.module.aot)
            if told.digest == asked.digest:
                return one.digest
        return Digest("")
