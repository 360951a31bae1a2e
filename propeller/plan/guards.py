"""How much one revision may take away or restart before a person must say yes.

Called where a revision is taken (`reconcile.approvals`) and by `preview`'s callers, on the change
`diff` found. Guards are an App's: one that trips holds back everything of that App, so that half a
rename never stands. The digest a person confirms covers what is wanted of which object, before and
after; not how many devices happen to be there, nor what the revision is called, so that a check on
a pull request computes the one that counts after the merge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from propeller.model.canonical import canonical_digest
from propeller.model.ids import Digest, Key, Uid
from propeller.model.inventory import Held
from propeller.model.parse import stored_form
from propeller.model.rollout import Amount
from propeller.model.specs import App, Daemon, FederatedTask, Guards, Modular, Object, Task
from propeller.plan.diff import InventoryChange
from propeller.plan.exposure import exposes
from propeller.plan.types import Change, ChangeOp

SHOWN = 3
"""Objects named in a message."""

_TRAILER = re.compile(r"^Propeller-Confirm:[ \t]*(sha256:[0-9a-f]{64})[ \t]*$", re.MULTILINE)
_RUN = ("spec.module", "spec.run")
_DAEMON = (
    *_RUN,
    "spec.limits",
    "spec.restart",
    "spec.health",
    "spec.interface",
    "spec.calls",
    "spec.instances",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A guard that one App's part of a change went through.

    guard: the field of `spec.guards`, or `privacy`, which is always on. message: what was allowed
    and what would happen. digest: of that part; confirming it lets the part through. uids:
    everything that is held back with it.
    """

    app: str
    guard: str
    message: str
    digest: Digest
    uids: frozenset[Uid]


def confirmed_by(message: str) -> frozenset[Digest]:
    """The digests that the trailers `Propeller-Confirm: sha256:...` of a commit message name."""
    return frozenset(Digest(found) for found in _TRAILER.findall(message))


def change_digest(
    held: Mapping[Uid, Held], change: InventoryChange, uids: Collection[Uid] | None = None
) -> Digest:
    """The name of a change, or of the part of it that is about `uids`.

    Equal changes of equal inventories have equal digests, whoever computes them and whenever.
    """
    rows = []
    for after in change.moved():
        if uids is not None and after.uid not in uids:
            continue
        before = held.get(after.uid)
        was = _want(before) if before is not None else ""
        will = _want(after)
        if was != will:
            rows.append([str(after.object.meta.key), after.uid, was, will])
    return Digest(canonical_digest(sorted(rows)))


def guard(
    held: Mapping[Uid, Held],
    change: InventoryChange,
    apps: Mapping[str, Guards],
    placed: Collection[Uid],
) -> tuple[Trip, ...]:
    """Every App whose guards the change goes through, sorted by name, the first guard of each.

    held: the inventory before. apps: guards by App; one that is not there has the usual ones.
    placed: objects that have a copy somewhere, which alone can be restarted.
    """
    parts: dict[str, list[Change]] = {}
    for line in change.changes:
        before = held.get(line.uid)
        if before is not None:
            parts.setdefault(before.object.meta.app, []).append(line)
    before_sizes = Counter(one.object.meta.app for one in held.values() if _counts(one))
    workloads = Counter(one.object.meta.app for one in held.values() if _is_workload(one))
    after_sizes = Counter(
        one.object.meta.app for one in (*change.moved(), *change.unchanged) if _counts(one)
    )
    will = {one.uid: one.object for one in change.moved()}
    trips = []
    for app, lines in sorted(parts.items()):
        bare = _exposed(lines, held, will)
        sizes = _Sizes(
            before=before_sizes[app],
            after=after_sizes[app],
            workloads=workloads[app],
        )
        found = bare or _first(held, lines, apps.get(app, Guards()), sizes, placed)
        if found is not None:
            uids = part_of(held, change, app)
            digest = change_digest(held, change, uids)
            trips.append(Trip(app=app, guard=found[0], message=found[1], digest=digest, uids=uids))
    return tuple(trips)


def without(change: InventoryChange, uids: Collection[Uid]) -> InventoryChange:
    """The change less everything about `uids`."""

    def rest(helds: Iterable[Held]) -> tuple[Held, ...]:
        return tuple(one for one in helds if one.uid not in uids)

    return replace(
        change,
        created=rest(change.created),
        updated=rest(change.updated),
        deleted=rest(change.deleted),
        revived=rest(change.revived),
        changes=tuple(line for line in change.changes if line.uid not in uids),
    )


def guards_by_app(held: Mapping[Uid, Held], wanted: Iterable[Object]) -> dict[str, Guards]:
    """The guards of every App: as a revision wants them, else as they were last known."""
    found = {
        one.object.meta.key.name: one.object.guards
        for one in held.values()
        if isinstance(one.object, App)
    }
    found.update({one.meta.key.name: one.guards for one in wanted if isinstance(one, App)})
    return found


def restarts(line: Change, thing: Object) -> bool:
    """Whether the edit makes devices run `thing` anew."""
    match thing:
        case Task():
            return any(one.path.startswith(_RUN) for one in line.fields)
        case Daemon():
            return any(one.path.startswith(_DAEMON) for one in line.fields)
        case _:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """How many objects an App has before and after, and how many Tasks and Daemons before."""

    before: int
    after: int
    workloads: int


def _counts(held: Held) -> bool:
    return held.deleted_at is None


def _is_workload(held: Held) -> bool:
    return _counts(held) and isinstance(held.object, Modular)


def _first(
    held: Mapping[Uid, Held],
    lines: Iterable[Change],
    guards: Guards,
    sizes: _Sizes,
    placed: Collection[Uid],
) -> tuple[str, str] | None:
    """The guard that trips, as (field, what would happen). What is only left alone is not gone."""
    gone = [line for line in lines if line.op is ChangeOp.DELETE and not line.kept]
    if guards.never_empty and gone and not sizes.after:
        return "neverEmpty", f"all {_objects(sizes.before)} would be gone ({_named(gone)})"
    if _beyond(guards.max_delete, len(gone), sizes.before):
        return "maxDelete", (
            f"maxDelete is {guards.max_delete}, and {len(gone)} of {_objects(sizes.before)} would"
            f" be deleted ({_named(gone)})"
        )
    again = [
        line
        for line in lines
        if line.op is ChangeOp.UPDATE
        and line.uid in placed
        and restarts(line, held[line.uid].object)
    ]
    if _beyond(guards.max_restart, len(again), sizes.workloads):
        return "maxRestart", (
            f"maxRestart is {guards.max_restart}, and {len(again)} of {sizes.workloads} Tasks and"
            f" Daemons would be restarted ({_named(again)})"
        )
    return None


def _exposed(
    lines: Iterable[Change], held: Mapping[Uid, Held], will: Mapping[Uid, Object]
) -> tuple[str, str] | None:
    """Less privacy than devices gave their data under. No guard of an App can allow that."""
    for line in lines:
        before, after = held[line.uid].object, will.get(line.uid)
        if line.op is not ChangeOp.UPDATE or not isinstance(before, FederatedTask):
            continue
        told = exposes(before, after) if isinstance(after, FederatedTask) else ()
        if told:
            return "privacy", f"{line.key} would have less privacy: {'; '.join(told)}"
    return None


def _beyond(most: Amount | None, number: int, total: int) -> bool:
    return most is not None and number > most.down(total)


def part_of(held: Mapping[Uid, Held], change: InventoryChange, app: str) -> frozenset[Uid]:
    """Every changed object that is or was the App's, and the App itself where it is to go."""
    uids = set()
    for after in change.moved():
        before = held.get(after.uid)
        owners = {after.object.meta.app} | ({before.object.meta.app} if before else set())
        thing = after.object
        leaves = isinstance(thing, App) and thing.meta.key.name == app
        if app in owners or (leaves and after.deleted_at is not None):
            uids.add(after.uid)
    return frozenset(uids)


def _want(held: Held) -> str:
    """Equal for what differs in nothing but the place it is written in."""
    if held.deleted_at is not None:
        return "kept" if held.orphan else "gone"
    form = stored_form(held.object)
    meta = {name: value for name, value in form["meta"].items() if name not in ("file", "line")}
    return canonical_digest(meta)


def _objects(number: int) -> str:
    return f"{number} object" + ("" if number == 1 else "s")


def _named(lines: list[Change]) -> str:
    names: list[Key] = sorted(line.key for line in lines)
    more = len(names) - SHOWN
    shown = ", ".join(str(name) for name in names[:SHOWN])
    return shown + (f" and {more} more" if more > 0 else "")
