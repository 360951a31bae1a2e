"""A believable fleet in a real store: what the loop would have written, without the loop."""

from __future__ import annotations

import json
from dataclasses import replace

from propeller.model.canonical import canonical_bytes
from propeller.model.conditions import Condition, ConditionStatus, moment
from propeller.model.ids import Digest, PropletId, RunId, sha256_digest
from propeller.model.inventory import Assignment, Held
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.model.specs import Daemon, Suspend, Task
from propeller.plan.planner import plan
from propeller.plan.types import Assign, Snapshot
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load
from propeller.state.records import (
    Asked,
    Event,
    HistoryRow,
    PropletHold,
    RevisionRecord,
    RunRecord,
    StatusRow,
)
from propeller.state.sqlite import SqliteStore

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

MINUTE = 60_000
REVISION = "main@sha1:450796d1b2c3d4e5f60718293a4b5c6d7e8f9001"

ADD_WAT = '(module (func (export "add") (param i32 i32) (result i32) local.get 0))\n'

FLEET = """\
apiVersion: propeller.dev/v1alpha1
kind: Proplet
metadata: {name: gateway-1, labels: {zone: a}}
spec: {heartbeat: 5s}
---
apiVersion: propeller.dev/v1alpha1
kind: Proplet
metadata: {name: gateway-2, labels: {zone: b}}
spec: {heartbeat: 5s}
"""

ADD = """\
# Adds two numbers.
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata: {name: add}
spec:
  # the module beside this file
  module: {file: add.wat}
  placement: {proplets: [gateway-1]}
  run: {entrypoint: add, args: ["40", "2"]}
"""

FILTER = """\
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {name: filter, namespace: plant-a}
spec:
  module: {file: filter.wat}
  placement: {perProplet: true}
  run:
    entrypoint: run
    env: [{name: API_TOKEN, value: hunter2}, {name: RATE, value: "5"}]
---
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata: {name: add, namespace: plant-a}
spec:
  module: {file: add.wat}
  placement: {selector: {matchLabels: {zone: nowhere}}}
  run: {entrypoint: add, args: ["1", "2"]}
"""

FILES = {
    "fleet.yaml": FLEET,
    "add.yaml": ADD,
    "filter.yaml": FILTER,
    "add.wat": ADD_WAT,
    "filter.wat": '(module (func (export "run")))\n',
}


def write_specs(folder):
    """The spec tree as files."""
    folder.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)


def revision_of(folder):
    """What the loader makes of it."""
    tree = replace(DirectorySource(folder).read(), name=REVISION)
    return load(tree, domain="propeller", keep=sha256_digest, inspect=inspect)


def seen(name, presence, *, since, declared=True, labels=None, **more):
    """A proplet that said hello; `since`: when it was last heard."""
    return Seen(
        id=PropletId(name),
        declared=declared,
        presence=presence,
        last_heard=since,
        offline_since=since if presence is Presence.OFFLINE else None,
        inst="a" * 32,
        boot=1,
        facts=Facts(
            arch="x86_64",
            os="linux",
            runtime="wasmtime",
            runtime_version="50.0.1",
            memory=1 << 30,
            tasks=64,
            max_module=1 << 30,
            max_payload=1 << 20,
        ),
        labels=labels or {},
        observed_fence=7,
        observed_gen=3,
        reported=True,
        memory=1 << 30,
        tasks=64,
        heartbeat=5_000,
        **more,
    )


class Fleet:
    """Fills `store` with the fleet of `folder` as it is `now` (Unix ms)."""

    def __init__(self, store: SqliteStore, folder, now):
        self.store, self.now = store, now
        self.start = now - 10 * MINUTE - 10_000
        self.revision = revision_of(folder)
        self.proplets = {
            one.id: one
            for one in (
                seen("gateway-1", Presence.ONLINE, since=now - 3 * MINUTE, labels={"zone": "a"}),
                seen("gateway-2", Presence.OFFLINE, since=now - 4 * MINUTE, labels={"zone": "b"}),
                seen("probe-9", Presence.ONLINE, since=now - 3 * MINUTE, declared=False,
                     cordoned=True),
            )
        }  # fmt: skip
        self.objects = {}
        for thing in self.revision.objects.values():
            held = Held(
                uid=thing.meta.uid,
                object=thing,
                generation=1,
                revision=REVISION,
                created_at=self.start,
                changed_at=self.start,
            )
            self.objects[held.uid] = held
        self.assignments = {}
        self._place()
        self._run()
        with store.transaction():
            self._write()

    @property
    def snapshot(self):
        """What the planner sees."""
        return Snapshot(
            objects=self.objects,
            proplets=self.proplets,
            assignments=self.assignments,
            modules=dict(self.revision.modules),
        )

    def held(self, kind, namespace, name):
        """An object by its name."""
        for held in self.objects.values():
            key = held.object.meta.key
            if (key.kind, key.namespace, key.name) == (kind, namespace, name):
                return held
        raise KeyError(name)

    def _place(self):
        # Placed while gateway-2 was still there: nothing goes to a proplet that is silent.
        present = {
            name: replace(one, presence=Presence.ONLINE, offline_since=None, last_heard=self.now)
            for name, one in self.proplets.items()
        }
        self.blocked = {}
        for _ in range(5):
            found = plan(replace(self.snapshot, proplets=present), now=self.now)
            self.blocked = found.blocked
            if not found.actions:
                return
            for action in found.actions:
                assert isinstance(action, Assign), action
                self.assignments.setdefault(action.uid, {})[action.proplet] = Assignment(
                    uid=action.uid,
                    proplet=action.proplet,
                    run=action.run,
                    cause=action.cause,
                    assigned_at=self.start + MINUTE,
                )
        raise AssertionError("the planner does not come to rest")

    def _run(self):
        for uid, copies in self.assignments.items():
            daemon = isinstance(self.objects[uid].object, Daemon)
            for name, copy in copies.items():
                run = SeenRun(
                    uid=uid,
                    run=copy.run,
                    digest=Digest("sha256:" + "d" * 64),
                    cause=copy.cause,
                    state=RunState.RUNNING if daemon else RunState.SUCCEEDED,
                    exit=None if daemon else 0,
                    result=None if daemon else "42",
                    ready=True,
                    started=self.start + 2 * MINUTE,
                    ended=0 if daemon else self.start + 2 * MINUTE,
                )
                before = self.proplets[name]
                self.proplets[name] = replace(before, runs={**before.runs, (uid, copy.run): run})

    def _write(self):
        store = self.store
        store.set_meta("revision", REVISION)
        store.set_meta("revision-digest", self.revision.digest)
        store.note_revision(
            RevisionRecord(
                name=REVISION,
                digest=self.revision.digest,
                source="plant",
                at=self.start,
                outcome="accepted",
                author="Ana",
                message="First specs\n\nMore words.",
                time=self.start,
            )
        )
        for held in self.objects.values():
            store.put_held(held)
        for ref, module in self.revision.modules.items():
            store.put_module(ref, module)
        for one in self.proplets.values():
            store.put_seen(one)
            store.put_runs(one.id, one.runs.values(), ())
        store.put_proplet_hold(PropletHold(proplet=PropletId("probe-9"), scheduling="Cordon"))
        for uid, copies in self.assignments.items():
            key = self.objects[uid].object.meta.key
            for name, copy in copies.items():
                store.put_assignment(copy)
                self._past(uid, key, name, copy)
        for name in ("gateway-1", "gateway-2"):
            store.put_asked(
                Asked(
                    proplet=PropletId(name),
                    inst="a" * 32,
                    fence=7,
                    gen=3 if name == "gateway-1" else 4,
                    digest="sha256:" + "e" * 64,
                    asked_at=self.start + MINUTE,
                    due=self.now + 3 * MINUTE,
                    attempts=1 if name == "gateway-1" else 3,
                    body=b"-",
                )
            )
        for held in self.objects.values():
            self.project(held)

    def _past(self, uid, key, name, copy):
        run = self.proplets[name].runs[uid, copy.run]
        self.store.put_run(
            RunRecord(
                uid=uid,
                key=key,
                run=copy.run,
                proplet=name,
                cause=copy.cause,
                attempt=1,
                state=str(run.state),
                exit=run.exit,
                result=run.result,
                assigned_at=copy.assigned_at,
                started=run.started,
                ended=run.ended,
            )
        )
        self.store.add_event(
            Event(
                at=self.start + MINUTE,
                severity="Info",
                reason="Assigned",
                message=f"a copy was missing: on {name}",
                key=key,
                proplet=PropletId(name),
                revision=REVISION,
            )
        )

    def project(self, held):
        """Write the status of an object, as the loop's projection does."""
        meta = held.object.meta
        counts, conditions = self._told(held)
        conditions = [
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=message,
                observed_generation=held.generation,
                transition=self.now - 5 * MINUTE,
            )
            for kind, status, reason, message in conditions
        ]
        status = {
            "observedGeneration": held.generation,
            "lastAppliedRevision": held.revision,
            "lastAttemptedRevision": held.revision,
            "specDigest": meta.spec_digest,
        }
        if isinstance(held.object, Task | Daemon):
            status["devices"] = counts
            status["copies"] = [
                {"proplet": name, "run": copy.run, "state": self._state(held, name, copy)}
                for name, copy in sorted(self.assignments.get(held.uid, {}).items())
            ]
        status["conditions"] = [one.mapping() for one in conditions]
        document = {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": meta.key.kind,
            "metadata": {
                "name": meta.key.name,
                "namespace": meta.key.namespace,
                "uid": held.uid,
                "generation": held.generation,
                "app": meta.app,
                "created": moment(held.created_at),
            },
            "status": status,
        }
        self.store.put_status(
            StatusRow(
                uid=held.uid,
                key=meta.key,
                ready=str(conditions[0].status),
                document=canonical_bytes(document).decode(),
                changed_at=self.now,
            )
        )
        self.store.note_history(
            held.uid,
            HistoryRow(
                uid=held.uid,
                digest=meta.spec_digest,
                generation=held.generation,
                outcome=conditions[0].reason,
                revision=held.revision,
                first=self.now - 5 * MINUTE,
                last=self.now - 5 * MINUTE,
                count=1,
            ),
        )

    def _told(self, held):
        """Counts and conditions as words: what they should be is the planner's business."""
        key = held.object.meta.key
        none = {"desired": 1, "ready": 0, "updating": 0, "failed": 0, "offline": 0, "stale": 0}
        if held.hold is not None:
            words = f"suspended by {held.hold.by}: {held.hold.reason}"
            return none, [("Ready", FALSE, "Suspended", words)]
        match (key.namespace, key.name):
            case (_, "gateway-1"):
                return {}, [("Ready", TRUE, "Online", "is online")]
            case (_, "gateway-2"):
                return {}, [("Ready", FALSE, "Offline", "silent since yesterday")]
            case (_, "filter"):
                silent = "waiting for gateway-2 (silent since yesterday)"
                return {**none, "desired": 2, "ready": 1, "offline": 1}, [
                    ("Ready", UNKNOWN, "Offline", f"1 of 2 ready; {silent}"),
                    ("Reconciling", TRUE, "Offline", silent),
                    ("Scheduled", TRUE, "Placed", "2 copies placed"),
                    ("Delivered", FALSE, "Pending", silent),
                ]
            case ("default", "add"):
                return {**none, "ready": 1}, [
                    ("Ready", TRUE, "Succeeded", "1 of 1 succeeded"),
                    ("Scheduled", TRUE, "Placed", "1 copies placed"),
                    ("Delivered", TRUE, "Acknowledged", "1 of 1 proplets hold it"),
                ]
            case _:
                words = "no proplet matches the selector"
                return none, [
                    ("Ready", FALSE, "NoMatch", words),
                    ("Blocked", TRUE, "NoMatch", words),
                    ("Scheduled", FALSE, "NoMatch", words),
                ]

    def _state(self, held, name, copy):
        return str(self.proplets[name].runs[held.uid, copy.run].state)

    # -- what tests change ----------------------------------------------------------------------

    def change(self, held, **fields):
        """Replace fields of an object and project it again."""
        new = self.objects[held.uid] = replace(held, **fields)
        with self.store.transaction():
            self.store.put_held(new)
            self.project(new)
        return new

    def hold(self, held, *, reason="bearing replaced"):
        """Suspend it at run time."""
        return self.change(held, hold=Suspend(reason=reason, by="ana@plant"))

    def another_run(self, held, *, proplet, result=None, digest=None, state="Succeeded", error=""):
        """A newer run, which takes the place of the assignment there."""
        run = RunId(f"{len(self.store.runs(held.uid)):032x}")
        copy = Assignment(
            uid=held.uid,
            proplet=PropletId(proplet),
            run=run,
            cause="once",
            assigned_at=self.start + 3 * MINUTE,
        )
        with self.store.transaction():
            self.store.put_assignment(copy)
            self.store.put_run(
                RunRecord(
                    uid=held.uid,
                    key=held.object.meta.key,
                    run=run,
                    proplet=PropletId(proplet),
                    cause="once",
                    attempt=1,
                    state=state,
                    exit=0 if state == "Succeeded" else 3,
                    result=result,
                    result_digest=digest,
                    error=error,
                    assigned_at=copy.assigned_at,
                    started=copy.assigned_at,
                    ended=copy.assigned_at,
                )
            )
        return run

    def refuse(self, *faults):
        """A newer revision that was not taken."""
        with self.store.transaction():
            self.store.note_revision(
                RevisionRecord(
                    name="main@sha1:" + "f" * 40,
                    digest="",
                    source="plant",
                    at=self.now - 2 * MINUTE,
                    outcome="rejected",
                    faults=faults,
                )
            )
            row = {"attempted": "main@sha1:" + "f" * 40, "ready": "False"}
            row |= {"reason": "RevisionRefused", "faults": list(faults)}
            row["since"] = moment(self.now - 2 * MINUTE)
            self.store.set_meta("sources", json.dumps({"": row}))
