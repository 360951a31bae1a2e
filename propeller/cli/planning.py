"""What `diff` and `plan` compare: the specs at PATH with the inventory, by the loop's own planner.

Reads the store and writes nothing. With no state yet, everything is created. The plan's digest
names the change of the inventory, whatever the commit is called and whoever is online: it is what
a check posts on a pull request, and what `confirm` takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import now_ms
from propeller.cli.context import Client, open_store, state_dir
from propeller.cli.driftview import CORRECTED, Drifted, drift_under
from propeller.cli.masking import Mask
from propeller.cli.names import short_revision
from propeller.cli.quotas import quotas_of
from propeller.cli.secretview import secrets_under, vault_of
from propeller.cli.settings import fleet_of
from propeller.cli.specread import read_specs
from propeller.model.ids import PropletId, Uid
from propeller.model.plugins import notes_of
from propeller.model.seen import Presence, Seen
from propeller.model.specs import App, Daemon, Object, Proplet, Secret, Task
from propeller.plan.apps import TREE, owned
from propeller.plan.diff import diff, fields
from propeller.plan.guards import Trip, change_digest, confirmed_by, guard, guards_by_app
from propeller.plan.moves import identified
from propeller.plan.preview import changes, foresee
from propeller.plan.rehearsal import Misfit, Traffic, misfits, traffic
from propeller.plan.types import Change, ChangeOp, FieldDiff, Policy, Snapshot
from propeller.reconcile.deposits import SOURCELESS
from propeller.reconcile.secretbook import read_noted

if TYPE_CHECKING:
    from propeller.model.inventory import Assignment, Held
    from propeller.model.module import Module
    from propeller.model.revision import Revision
    from propeller.state.base import Store
    from propeller.state.records import PropletHold

IMPLICIT_APP = "default"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One change. mark: `+ ~ -` create, update, delete; `>` moved, `!` blocked, `?` open."""

    mark: str
    change: Change
    fields: tuple[FieldDiff, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan.

    specs: the digest of what the revision wants. digest: of the change of the inventory
    (`plan.guards.change_digest`): what is approved. trips: guards that wait for a confirmation of
    it. base: revision and serial of the state it was made on; None where there is none. drift:
    where devices differ from what they took, whatever the specs say. misfits, traffic: which
    devices cannot run what changes, and what would be sent; neither is part of the digest, because
    who is there is not what is approved.
    """

    revision: str
    specs: str
    digest: str
    lines: tuple[Line, ...]
    trips: tuple[Trip, ...]
    base: Mapping[str, Any] | None
    drift: tuple[Drifted, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    said: tuple[tuple[str, str], ...] = ()
    """(object, words) of what plugins say of what changes."""

    @property
    def changes(self) -> int:
        """What is done: lines that are blocked or wait are not, nor is drift that is left."""
        lines = sum(1 for line in self.lines if line.change.op is not ChangeOp.BLOCKED)
        return lines + sum(1 for one in self.drift if one.does == CORRECTED)

    def counts(self) -> dict[str, int]:
        """How many of each, in the order they are told."""
        found = dict.fromkeys(("update", "delete", "move", "create", "blocked"), 0)
        for line in self.lines:
            found["move" if line.mark == ">" else line.change.op.value] += 1
        return found

    def data(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "kind": "Plan",
            "formatVersion": FORMAT_VERSION,
            "revision": self.revision,
            "specsDigest": self.specs,
            "changes": [_line_data(line) for line in self.lines],
            "counts": self.counts(),
            "drift": [one.data() for one in self.drift],
            "misfits": [_misfit_data(one) for one in self.misfits],
            "traffic": [_traffic_data(one) for one in self.traffic],
            "guards": [
                {
                    "app": trip.app,
                    "guard": trip.guard,
                    "message": trip.message,
                    "digest": trip.digest,
                }
                for trip in self.trips
            ],
            "digest": self.digest,
            "base": self.base,
            "plugins": [{"object": key, "message": words} for key, words in self.said],
        }


def _misfit_data(one: Misfit) -> dict[str, Any]:
    return {
        "object": str(one.key),
        "considered": one.considered,
        "cannot": one.cannot,
        "reasons": [
            {"words": why.words, "count": why.count, "examples": list(why.examples)}
            for why in one.reasons
        ],
    }


def _traffic_data(one: Traffic) -> dict[str, Any]:
    return {
        "class": one.sort,
        "fetch": one.fetch,
        "proplets": one.proplets,
        "moduleBytes": one.modules,
        "documentBytes": one.documents,
        "mostBytes": one.most,
    }


def _line_data(line: Line) -> dict[str, Any]:
    change = line.change
    return {
        "mark": line.mark,
        "op": change.op.value,
        "object": str(change.key),
        "uid": change.uid,
        "how": change.how,
        "reason": change.reason,
        "devices": change.devices,
        "offline": change.offline,
        "fields": [
            {"path": one.path, "before": one.before, "after": one.after} for one in line.fields
        ],
    }


def compare(args: argparse.Namespace) -> Planned:
    """The plan for PATH. Raises SpecError, UsageError, Unavailable; never writes."""
    fleet = fleet_of(args, tree=Path(args.path))
    revision = read_specs(args, domain=fleet.domain)
    state = fleet.keyed(state_dir(args))
    now = now_ms()
    vault = vault_of(fleet, state.keys)
    if not state.database.exists():
        empty = Snapshot(objects={}, proplets={}, assignments={}, modules={})
        known = secrets_under(revision, {}, vault)
        fresh = _planned(replace(empty, secrets=known), (), revision, now)
        return replace(fresh, said=_said(fresh, revision))
    listening = Client(state).running()
    store = open_store(state)
    try:
        with store.transaction():
            snapshot = snapshot_of(store, revision, now=now, listening=listening)
            policy = replace(snapshot.policy, quotas=quotas_of(fleet))
            snapshot = replace(snapshot, policy=policy)
            known = secrets_under(revision, read_noted(store), vault)
            snapshot = replace(snapshot, secrets=known)
            holds = store.proplet_holds()
            approved = frozenset(one.digest for one in store.approvals())
            base = {"revision": store.meta("revision"), "serial": store.serial()}
            drift = drift_under(store, snapshot, revision, _reader(state.blobs), now=now)
    finally:
        store.close()
    planned = _planned(snapshot, holds, revision, now, base=base, approved=approved)
    return replace(planned, drift=drift, said=_said(planned, revision))


def _said(planned: Planned, revision: Revision) -> tuple[tuple[str, str], ...]:
    """What plugins say of objects that have a line."""
    keys = sorted({line.change.key for line in planned.lines} & set(revision.objects))
    return tuple((str(key), words) for key in keys for words in notes_of(revision.objects[key]))


def _reader(folder: Path) -> Callable[[str], bytes | None]:
    """Reads blobs; None for those that are not there."""
    from propeller.registry.blobs import BlobStore

    blobs = BlobStore(folder)
    return lambda digest: blobs.read(digest) if blobs.has(digest) else None


def snapshot_of(store: Store, revision: Revision, *, now: int, listening: bool) -> Snapshot:
    """The planner's view of the store, as it would be with the Apps of `revision`.

    listening: whether a reconciler runs. Where none does nobody's silence says anything.
    """
    objects = {
        held.uid: held for held in store.inventory() if held.object.meta.app not in SOURCELESS
    }
    assignments: dict[Uid, dict[PropletId, Assignment]] = {}
    for one in store.assignments():
        if one.uid in objects:
            assignments.setdefault(one.uid, {})[one.proplet] = one
    allowed = {
        thing.meta.key.name
        for thing in revision.objects.values()
        if isinstance(thing, App) and thing.discovery == "Allow"
    }
    windows = {
        thing.meta.key.name: thing.windows
        for thing in revision.objects.values()
        if isinstance(thing, App) and thing.windows
    }
    policy = Policy(discovery_apps=frozenset({IMPLICIT_APP, *allowed}), windows=windows)
    if not listening:
        policy = replace(policy, no_moves="no reconciler is running", echo_since=now)
    return Snapshot(
        objects=objects,
        proplets={seen.id: seen for seen in store.fleet()},
        assignments=assignments,
        modules=store.modules(),
        courses={course.uid: course for course in store.courses()},
        withheld={one.uid: one for one in store.withheld()},
        overrides={one.uid: one.mark for one in store.overrides()},
        policy=policy,
    )


def _fleet_under(
    snapshot: Snapshot, holds: tuple[PropletHold, ...] | list[PropletHold], revision: Revision
) -> dict[PropletId, Seen]:
    """The proplets as they would be seen under the revision."""
    from propeller.reconcile.sighting import resolved_proplet

    declared = {
        PropletId(thing.meta.key.name): thing
        for thing in revision.objects.values()
        if isinstance(thing, Proplet)
    }
    held = {hold.proplet: hold for hold in holds}
    seen = dict(snapshot.proplets)
    for name in declared:
        seen.setdefault(name, Seen(id=name, declared=True, presence=Presence.UNKNOWN))
    return {
        name: resolved_proplet(one, declared=declared.get(name), hold=held.get(name))
        for name, one in seen.items()
    }


def _planned(
    snapshot: Snapshot,
    holds: tuple[PropletHold, ...] | list[PropletHold],
    revision: Revision,
    now: int,
    *,
    base: Mapping[str, Any] | None = None,
    approved: frozenset[str] = frozenset(),
) -> Planned:
    revision = identified(snapshot.objects, revision)
    mask = Mask(_same_values(snapshot, revision))
    wanted = {thing.meta.uid: thing for thing in revision.objects.values()}
    known = {*snapshot.modules, *revision.modules}
    name, short = revision.name, short_revision(revision.name)
    lines = []
    mine = owned(snapshot.objects, TREE, wanted.values())
    fleet = _fleet_under(snapshot, holds, revision)
    ahead = foresee(snapshot, revision, now=now, fleet=fleet, mine=mine)
    moved = {line.uid for line in ahead.change.changes}
    for change in changes(ahead):
        if base is None and change.op is ChangeOp.BLOCKED:
            continue  # nobody has been heard yet: that nothing fits says nothing
        before, after = snapshot.objects.get(change.uid), wanted.get(change.uid)
        change = replace(change, reason=change.reason.replace(name, short))  # noqa: PLW2901
        shown = tuple(
            mask.field(one, kind=change.key.kind) for one in _spelled_fields(before, after)
        )
        lines.append(_line(change, shown, after, unresolved=_module(after) not in known))
    digest, trips = _guarded(snapshot, revision, now, approved)
    return Planned(
        revision=revision.name,
        specs=revision.digest,
        digest=digest,
        lines=tuple(lines),
        trips=trips,
        base=base,
        misfits=misfits(ahead.after, moved) if base is not None else (),
        traffic=traffic(
            snapshot,
            ahead.after,
            ahead.outcome,
            moved,
            sort_of=_sort_of(ahead.after),
            entry_bytes=_entry_bytes(),
        )
        if base is not None
        else (),
    )


def _sort_of(after: Snapshot) -> Callable[[PropletId], str]:
    """The class a Proplet is declared with; what nobody declared is `undeclared`."""
    declared = {
        PropletId(held.object.meta.key.name): held.object.proplet_class
        for held in after.objects.values()
        if isinstance(held.object, Proplet) and held.deleted_at is None
    }
    return lambda proplet: declared.get(proplet, "undeclared")


def _entry_bytes() -> Callable[[Held, Module], int]:
    """Bytes a copy of an object adds to a document, worked out once an object. Sealed values are
    longer than this says."""
    from propeller.reconcile.documents import template
    from propeller.wire.codec import encode_tasks

    known: dict[Uid, int] = {}

    def size(held: Held, module: Module) -> int:
        if held.uid not in known:
            blank = template(held, module)
            whole = replace(blank, run="0" * 32, cause="daemon", digest="sha256:" + "0" * 64)
            known[held.uid] = len(encode_tasks([whole]))
        return known[held.uid]

    return size


def _same_values(snapshot: Snapshot, revision: Revision) -> dict[str, str]:
    """Of sealed values, as far as they could be compared, what is equal where the values are."""
    same: dict[str, str] = {}
    for thing in revision.objects.values():
        if not isinstance(thing, Secret):
            continue
        known = snapshot.secrets.get((thing.meta.key.namespace, thing.meta.key.name))
        if known is None:
            continue
        held = snapshot.objects.get(thing.meta.uid)
        moved = held is not None and held.object.meta.spec_digest != thing.meta.spec_digest
        before = known.previous if moved else {}
        for spec, digests in (
            (thing.meta.spec, known.digests),
            (held.object.meta.spec if moved and held is not None else {}, before),
        ):
            data = spec.get("data", {})
            assert isinstance(data, Mapping)
            same.update(
                {str(text): digests[name] for name, text in data.items() if name in digests}
            )
    return same


def _guarded(
    snapshot: Snapshot, revision: Revision, now: int, approved: frozenset[str]
) -> tuple[str, tuple[Trip, ...]]:
    """The digest of the change, and the guards that would wait for a confirmation of it."""
    held = owned(snapshot.objects, TREE, revision.objects.values())
    change = diff(held, revision, now=now)
    digest = change_digest(held, change)
    yes = approved | confirmed_by(revision.message)
    trips = guard(
        held, change, guards_by_app(held, revision.objects.values()), snapshot.assignments.keys()
    )
    return digest, tuple(trip for trip in trips if not yes & {digest, trip.digest})


def _line(
    change: Change, shown: tuple[FieldDiff, ...], after: Object | None, *, unresolved: bool
) -> Line:
    marks = {
        ChangeOp.CREATE: "+",
        ChangeOp.UPDATE: "~",
        ChangeOp.DELETE: "-",
        ChangeOp.BLOCKED: "!",
    }
    mark = marks[change.op]
    if change.op is ChangeOp.UPDATE and change.reason.startswith("moved from"):
        mark = ">"
    if isinstance(after, Task | Daemon) and unresolved and mark in "+~" and change.how == "none":
        mark = "?"
        change = replace(change, reason=f"{change.reason}; placed once {after.module} is resolved")
    return Line(mark=mark, change=change, fields=shown if change.op is ChangeOp.UPDATE else ())


def _module(thing: Object | None) -> object:
    return thing.module if isinstance(thing, Task | Daemon) else None


def _spelled_fields(before: Held | None, after: Object | None) -> tuple[FieldDiff, ...]:
    """What differs, in the words people write: `30s` and not 30000."""
    if before is None or after is None:
        return ()
    return fields(_spelled(before.object), _spelled(after))


def _spelled(thing: Object) -> Object:
    from propeller.sources.fill import spelled

    spec = spelled(thing.meta.key.kind, thing.meta.spec)
    return replace(thing, meta=replace(thing.meta, spec=spec))
