"""The status of every object: computed from the world, kept in the store, written as files.

SQLite is the truth for `get` and friends; the files are its projection. Objects with few copies
are projected in the turn that touched them; those that cover thousands of proplets at most every
ten seconds, so that one report never costs the fleet's size. A revision touches everything: rows
and files are brought in line a slice a turn, so that the loop hears the fleet in between.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from propeller.errors import Unavailable
from propeller.model.canonical import canonical_bytes
from propeller.model.conditions import Condition, moment
from propeller.model.ids import Key, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.rounds import Learning
from propeller.model.seen import Presence, Seen, SeenRun
from propeller.model.specs import Alert, App, Daemon, FederatedTask, Proplet, Secret, Task, Workflow
from propeller.plan.board import Summary
from propeller.plan.conditions import summarize
from propeller.plan.findings import Finding
from propeller.reconcile.flowdetail import workflow_detail
from propeller.reconcile.roundfiles import learning_detail
from propeller.reconcile.specs import history_row
from propeller.reconcile.world import World
from propeller.state.records import StatusRow

if TYPE_CHECKING:
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.surroundings import Surroundings

LARGE = 20
"""Copies from which on an object's status is projected lazily."""

LAZY_PER_COPY, LAZY_MOST = 1, 10_000
"""ms a large object's status may be late: for each copy, and at most. A projection costs about 4 us
a copy, so keeping a status current takes half a percent of the loop's time, whatever its size."""

SETTLE = 5_000
"""ms after a start in which statuses are left as they were while documents are still compared: a
restart must not say of a whole fleet that nothing was delivered."""

ROUNDS_EVERY = 250
"""ms between two projections of a job whose round is under way: each of its updates would be one,
and its round files say at once what matters."""

COPIES_A_TURN = 2_000
"""Copies of lazy objects looked at in one turn, so that the loop goes on; the rest stays due."""

SHOWN_DRIFT = 20
"""Differences listed in a status document; the condition says how many there are."""

SLICE = 5
"""ms of one turn given to rows, and again to files; what is left comes first in the next turn."""

SHOWN_COPIES = 100
"""Copies listed in a status document; the counts cover all."""


class Projection:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._rows: dict[Uid, str] = {}
        self._conditions: dict[Uid, tuple[Condition, ...]] = {}
        self._ready: dict[Uid, str] = {}
        self._ready_at: dict[Uid, int] = {}
        self._keys: dict[Uid, Key] = {}
        self._lazy_at: dict[Uid, int] = {}
        self._rounds_at: dict[Uid, int] = {}
        self._files_due: int | None = None
        self._queue: OrderedDict[Uid, None] = OrderedDict()
        self._unwritten: OrderedDict[Key, Mapping[str, object]] = OrderedDict()
        self._gone: list[Key] = []
        self.moved: set[Uid] = set()
        """Objects whose conditions moved, for whoever tells people; that one empties it."""
        self._swept = False
        self._settle_by: int | None = around.clock() + SETTLE
        for row in world.store.statuses():
            if around.status.has(row.key, since=row.changed_at):
                self._rows[row.uid] = row.document  # else it is projected, and written, once more
            self._ready[row.uid] = row.ready
            self._keys[row.uid] = row.key
            document = json.loads(row.document)
            self._conditions[row.uid] = tuple(
                Condition.from_mapping(item) for item in document["status"]["conditions"]
            )
            if row.ready == "True":
                self._ready_at[row.uid] = document["status"]["observedGeneration"]

    def ready(self, uid: Uid) -> str:
        """The Ready condition last projected: True, False, Unknown; "" before the first."""
        return self._ready.get(uid, "")

    def ready_generation(self, uid: Uid) -> int:
        """The generation at which the object was last found Ready, 0 when it was not."""
        return self._ready_at.get(uid, 0)

    def conditions(self, uid: Uid) -> tuple[Condition, ...]:
        """The conditions last projected."""
        return self._conditions.get(uid, ())

    def forget(self, held: Held) -> None:
        """The object left the inventory. Inside a transaction."""
        self._world.store.drop_status(held.uid)
        self._keys.pop(held.uid, None)
        for table in (self._rows, self._conditions, self._ready, self._ready_at):
            table.pop(held.uid, None)
        self._lazy_at.pop(held.uid, None)
        self._rounds_at.pop(held.uid, None)
        self._gone.append(held.object.meta.key)
        self._wake_apps(held)
        self.moved.add(held.uid)

    def project(self, reconciler: Reconciler, now: int) -> None:
        """Bring rows and files in line with the world."""
        if self._settle_by is not None:
            if self._world.touched.documents and now < self._settle_by:
                return  # just started: what was told before still holds until it was looked at
            self._settle_by = None
        for uid in sorted(self._take_due(now)):
            self._queue.setdefault(uid)
        if self._queue:
            with self._world.store.transaction():
                self._rows_for_a_while(reconciler, now)
        self._files(reconciler, now)

    @property
    def waiting(self) -> bool:
        """Whether objects are still to be looked at, for which this turn had no time."""
        return bool(self._queue)

    def behind(self, held: Held) -> bool:
        """Whether what was projected last is about an older spec, or not looked at again yet."""
        if held.uid in self._queue:
            return True
        ready = next((one for one in self.conditions(held.uid) if one.type == "Ready"), None)
        return ready is not None and ready.observed_generation < held.generation

    def _rows_for_a_while(self, reconciler: Reconciler, now: int) -> None:
        began = self._around.clock()
        while self._queue:
            uid, _ = self._queue.popitem(last=False)
            held = self._world.objects.get(uid)
            if held is not None:
                self._one(held, reconciler, now)
            if self._around.clock() - began >= SLICE:
                return

    def _take_due(self, now: int) -> list[Uid]:
        touched = self._world.touched.statuses
        due = []
        for uid in touched:
            wait = self._wait(uid, now)
            if not wait:
                due.append(uid)
            else:
                self._lazy_at[uid] = min(self._lazy_at.get(uid, now + wait), now + wait)
        touched.clear()
        late = self._late(now)
        for uid in late:
            del self._lazy_at[uid]
        return [*due, *late]

    def _wait(self, uid: Uid, now: int) -> int:
        """ms until a status that was touched is projected."""
        copies = len(self._world.assignments.get(uid, ()))
        if copies >= LARGE:
            return min(LAZY_MOST, copies * LAZY_PER_COPY)
        round_ = self._world.learning.known.get(uid, Learning()).round
        if round_ is None or round_.state.over:
            self._rounds_at.pop(uid, None)
            return 0
        wait = max(0, self._rounds_at.get(uid, 0) + ROUNDS_EVERY - now)
        if not wait:
            self._rounds_at[uid] = now
        return wait

    def _late(self, now: int) -> list[Uid]:
        """What has waited long enough; of the very large, which take long, one a turn."""
        waited = {uid: at for uid, at in self._lazy_at.items() if at <= now}
        chosen: list[Uid] = []
        copies = 0
        for uid in sorted(waited, key=lambda uid: (waited[uid], uid)):
            its = len(self._world.assignments.get(uid, ()))
            if chosen and copies + its > COPIES_A_TURN:
                continue
            chosen.append(uid)
            copies += its
            if uid in self._rounds_at:
                self._rounds_at[uid] = now
        return chosen

    def _one(self, held: Held, reconciler: Reconciler, now: int) -> None:
        self._note_runs(held)
        specs = reconciler.specs
        summary = summarize(
            held,
            reconciler.snapshot(),
            blocked=reconciler.blocked.get(held.uid) or specs.blocked(held.uid),
            previous=self._conditions.get(held.uid, ()),
            apps_ready=self.ready,
            now=now,
        )
        if summary.due is not None:
            self._lazy_at[held.uid] = min(summary.due, self._lazy_at.get(held.uid, summary.due))
        ready = summary.ready
        fine = ready == "True" or not summary.conditions
        reconciler.tracing.looked(held, ready=fine, now=now)
        if not summary.conditions:
            return
        if self._conditions.get(held.uid) != summary.conditions:
            self._conditions[held.uid] = summary.conditions
            self.moved.add(held.uid)
        self._note_ready(held, held.generation if ready == "True" else 0)
        if ready == "True":
            reconciler.rollouts.accepted(held, now)
        document = self._document(held, summary, reconciler)
        text = canonical_bytes(document).decode()
        if text == self._rows.get(held.uid):
            return
        self._rows[held.uid] = text
        key = held.object.meta.key
        if self._keys.get(held.uid, key) != key:
            self._gone.append(self._keys[held.uid])
        self._keys[held.uid] = key
        self._world.store.put_status(
            StatusRow(uid=held.uid, key=key, ready=ready, document=text, changed_at=now)
        )
        if self._ready.get(held.uid) != ready:
            self._ready[held.uid] = ready
            self._world.store.note_history(held.uid, history_row(held, summary.outcome, now))
            self._wake_apps(held)
        self._unwritten[key] = document

    def _note_ready(self, held: Held, generation: int) -> None:
        """What depends on it is looked at again: nobody polls."""
        if self._ready_at.get(held.uid, 0) != generation:
            self._ready_at[held.uid] = generation
            self._world.touched.objects.update(self._world.relations.links().dependents(held.uid))

    def _wake_apps(self, held: Held) -> None:
        """An App's readiness is that of its objects."""
        self._world.touched.statuses.update(self._world.relations.apps_named(held.object.meta.app))

    def _note_runs(self, held: Held) -> None:
        """Keep the history of runs in line with what devices report."""
        for proplet, assignment in self._world.assignments.get(held.uid, {}).items():
            seen = self._world.proplets.get(proplet)
            run = seen.runs.get((held.uid, assignment.run)) if seen else None
            if run is not None:
                self._world.runs.note(held.object.meta.key, assignment, run)

    def _document(self, held: Held, summary: Summary, reconciler: Reconciler) -> dict[str, object]:
        meta = held.object.meta
        specs = reconciler.specs
        metadata: dict[str, object] = {
            "name": meta.key.name,
            "namespace": meta.key.namespace,
            "uid": held.uid,
            "generation": held.generation,
            "created": moment(held.created_at),
            "app": meta.app,
        }
        if meta.labels:
            metadata["labels"] = dict(sorted(meta.labels.items()))
        if isinstance(held.object, Task) and held.object.step is not None:
            metadata["partOf"] = str(held.object.step.of)
        if held.deleted_at is not None:
            metadata["deleted"] = moment(held.deleted_at)
        status: dict[str, object] = {
            "observedGeneration": summary.observed_generation,
            "lastAppliedRevision": held.revision,
            "lastAttemptedRevision": specs.attempted(meta.app),
            "specDigest": meta.spec_digest,
        }
        signer = specs.signer(held.revision)
        if signer:
            status["signedBy"] = signer
        status |= self._detail(held, summary)
        status["conditions"] = [condition.mapping() for condition in summary.conditions]
        return {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": meta.key.kind,
            "metadata": metadata,
            "status": status,
        }

    def _detail(self, held: Held, summary: Summary) -> dict[str, object]:
        thing = held.object
        if isinstance(thing, Proplet):
            seen = self._world.proplets.get(PropletId(thing.meta.key.name))
            return _proplet_detail(seen) if seen is not None else {}
        if isinstance(thing, App):
            return {"objects": dict(summary.counts)}
        if isinstance(thing, Alert):
            return {"sinks": [sink.name for sink in thing.sinks]}
        if isinstance(thing, FederatedTask):
            return learning_detail(thing, self._world.learning.known.get(held.uid, Learning()))
        if isinstance(thing, Secret):
            return {"keys": list(thing.keys)}
        if isinstance(thing, Workflow):
            return workflow_detail(thing, self._world.flows.known.get(held.uid), summary.counts)
        detail: dict[str, object] = {"devices": dict(summary.counts)}
        copies = self._copies(held)
        if copies:
            detail["copies"] = copies
        if summary.drift:
            detail["drift"] = [_drift_detail(one) for one in summary.drift[:SHOWN_DRIFT]]
        if summary.rollout is not None:
            detail["rollout"] = dict(summary.rollout)
        if isinstance(thing, Task) and thing.schedule is not None and held.last_slot is not None:
            detail["lastScheduled"] = moment(held.last_slot)
        return detail

    def _copies(self, held: Held) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for proplet, assignment in sorted(self._world.assignments.get(held.uid, {}).items()):
            seen = self._world.proplets.get(proplet)
            run = seen.runs.get((held.uid, assignment.run)) if seen else None
            row: dict[str, object] = {"proplet": str(proplet), "run": assignment.run}
            if assignment.attempt > 1:
                row["attempt"] = assignment.attempt
            row["state"] = str(run.state) if run else "Asked"
            if assignment.releasing:
                row["state"] = "Releasing"
            if seen is not None and seen.presence is Presence.OFFLINE:
                row["silentSince"] = moment(seen.offline_since or seen.last_heard)
            if run is not None:
                row |= _run_detail(run, daemon=isinstance(held.object, Daemon))
            rows.append(row)
            if len(rows) == SHOWN_COPIES:
                break
        return rows

    def _files(self, reconciler: Reconciler, now: int) -> None:
        if not self._swept:
            self._around.status.sweep(held.object.meta.key for held in self._world.objects.values())
            self._swept = True
        gone, self._gone = self._gone, []
        for key in gone:
            if self._world.find(key) is None:
                self._unwritten.pop(key, None)
                self._around.status.remove(key)
        if self._files_due is not None and now < self._files_due:
            return
        self._files_due = None
        story = reconciler.specs.sources.story
        if story.moved:
            try:
                self._around.status.write_sources(story.document())
            except Unavailable:
                self._files_due = now + 5_000
                return
            story.moved = False
        began = self._around.clock()
        while self._unwritten:
            key = next(iter(self._unwritten))
            try:
                self._around.status.write(key, self._unwritten[key])
            except Unavailable:
                self._files_due = now + 5_000
                return
            del self._unwritten[key]
            if self._around.clock() - began >= SLICE:
                return

    def due(self) -> int | None:
        """When `project` has something to do (Unix ms)."""
        if self._settle_by is not None and self._world.touched.documents:
            return self._settle_by
        dues = list(self._lazy_at.values())
        if self._world.touched.statuses:
            dues.append(0)  # an App whose objects moved in this very turn
        if self._queue:
            dues.append(0)
        if self._unwritten:
            dues.append(self._files_due or 0)
        return min(dues, default=None)


def _drift_detail(one: Finding) -> dict[str, object]:
    row: dict[str, object] = {"proplet": str(one.proplet), "reason": str(one.reason)}
    row["fields"] = [
        {"path": field.path, "asked": field.before, "reported": field.after} for field in one.fields
    ]
    return row


def _run_detail(run: SeenRun, *, daemon: bool) -> dict[str, object]:
    row: dict[str, object] = {}
    if run.exit is not None:
        row["exit"] = run.exit
    if run.result is not None:
        row["result"] = run.result
    if run.result_digest is not None:
        row["resultDigest"] = run.result_digest
        row["resultSize"] = run.result_size
    if run.error:
        row["error"] = run.error
    if run.restarts:
        row["restarts"] = run.restarts
    if daemon:
        row["ready"] = run.ready
    if run.started:
        row["started"] = moment(run.started)
    if run.ended:
        row["ended"] = moment(run.ended)
    return row


def _proplet_detail(seen: Seen) -> dict[str, object]:
    detail: dict[str, object] = {"presence": str(seen.presence)}
    if seen.quarantine:
        detail["quarantine"] = seen.quarantine
    if seen.labels:
        detail["labels"] = dict(sorted(seen.labels.items()))
    if seen.facts is not None:
        facts = seen.facts
        detail["facts"] = {
            "arch": facts.arch,
            "os": facts.os,
            "runtime": f"{facts.runtime} {facts.runtime_version}".strip(),
            "memory": facts.memory,
            "tasks": facts.tasks,
        }
    if seen.box.announced:
        detail["encryptionKey"] = seen.box.announced
    if seen.box.trouble:
        detail["noSecrets"] = seen.box.trouble
    detail["runs"] = len(seen.runs)
    return detail
