"""What taking a revision would do, line by line: the model behind `diff`, `plan` and dry runs.

Runs the same `diff` and the same planner as the loop, on a copy of the inventory. Answers nothing
when there is nothing to do; waiting (for a silent proplet, a slot, a retry) is nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.revision import Revision
from propeller.model.seen import Presence, Seen
from propeller.model.specs import Daemon, Modular, Task
from propeller.model.versions import Course, Phase
from propeller.model.withheld import Withheld
from propeller.plan.diff import InventoryChange, diff
from propeller.plan.planner import plan
from propeller.plan.types import (
    Advance,
    Assign,
    Blocked,
    Change,
    ChangeOp,
    Gone,
    Plan,
    Release,
    Snapshot,
)
from propeller.plan.versions import short
from propeller.plan.windows import windows_of

_STANDS_IN_THE_WAY = frozenset(
    {
        "ModuleInvalid",
        "ModuleUnsigned",
        "NotEncrypted",
        "NotReleased",
        "SecretMissing",
        "SecretLocked",
        "SecretKeyUnknown",
        "NoMatch",
        "Unfit",
        "NoCapacity",
        "QuotaExceeded",
        "AllOffline",
        "Held",
        "WindowClosed",
    }
)
_REACHES_DEVICES = ("spec.limits", "spec.restart", "spec.health", "spec.module", "spec.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """The world once a revision is taken. after: before the planner's actions, which are `outcome`.
    change: of the inventory."""

    after: Snapshot
    change: InventoryChange
    outcome: Plan


def preview(
    snapshot: Snapshot,
    revision: Revision,
    *,
    now: int,
    fleet: Mapping[PropletId, Seen] | None = None,
    mine: Mapping[Uid, Held] | None = None,
) -> tuple[Change, ...]:
    """`changes(foresee(...))`."""
    return changes(foresee(snapshot, revision, now=now, fleet=fleet, mine=mine))


def foresee(
    snapshot: Snapshot,
    revision: Revision,
    *,
    now: int,
    fleet: Mapping[PropletId, Seen] | None = None,
    mine: Mapping[Uid, Held] | None = None,
) -> Foresight:
    """What taking `revision` would lead to.

    fleet: the proplets as they would be seen under the revision (new labels, new declarations),
    where that differs from the snapshot's. mine: the objects that the revision decides about, all
    if None.
    """
    change = diff(snapshot.objects if mine is None else mine, revision, now=now)
    objects = {**snapshot.objects, **{held.uid: held for held in change.moved()}}
    after = replace(
        snapshot,
        objects=objects,
        modules={**snapshot.modules, **revision.modules},
        proplets=snapshot.proplets if fleet is None else fleet,
        delivered=frozenset(),
        withheld=_withheld(snapshot, change, revision),
    )
    return Foresight(after=after, change=change, outcome=plan(after, now=now))


def changes(ahead: Foresight) -> tuple[Change, ...]:
    """Every object that the revision or the planner would change, sorted by key.

    `how` is `start`, `restart`, `rerun`, `stop`, `move` or `none`. An object of the revision that
    cannot have all it wants has a BLOCKED line as well.
    """
    after, change, outcome = ahead.after, ahead.change, ahead.outcome
    objects = after.objects
    work = _by_object(outcome)
    advances = {one.uid: one.course for one in outcome.actions if isinstance(one, Advance)}
    courses = {**after.courses, **advances}
    lines: list[Change] = []
    told = {line.uid: line for line in change.changes}
    for uid in told.keys() | work.keys():
        held = objects[uid]
        line = told.get(uid)
        course = courses.get(uid)
        block = outcome.blocked.get(uid)
        waits = block is not None and block.reason == "WindowClosed"
        lines.append(_line(held, line, work.get(uid, ()), after, course, waits=waits))
        if line is not None and course is not None and course.phase is Phase.ROLLED_BACK:
            lines.append(_rejected_line(line, course))
        if line is not None and block is not None and block.reason in _STANDS_IN_THE_WAY:
            lines.append(_blocked_line(block))
    moved = {(line.key.namespace, line.key.name) for line in told.values() if _is_secret(line)}
    for uid, block in outcome.blocked.items():
        if uid not in told and block.reason.startswith("Secret") and _uses(objects[uid], moved):
            lines.append(_blocked_line(block))
    return tuple(sorted(lines, key=lambda one: (one.key, one.uid, one.op is ChangeOp.BLOCKED)))


_Work = tuple[Assign | Release | Gone, ...]


def _by_object(outcome: Plan) -> dict[Uid, _Work]:
    """What touches devices for a reason other than the clock: no slots, no retries, no adoption."""
    work: dict[Uid, list[Assign | Release | Gone]] = {}
    for action in outcome.actions:
        match action:
            case Assign() if action.attempt == 1 and not action.cause.startswith("cron:"):
                work.setdefault(action.uid, []).append(action)
            case Release():
                work.setdefault(action.uid, []).append(action)
            case _:
                pass
    return {uid: tuple(actions) for uid, actions in work.items()}


def _line(
    held: Held,
    line: Change | None,
    work: _Work,
    after: Snapshot,
    course: Course | None,
    *,
    waits: bool,
) -> Change:
    key = held.object.meta.key
    copies = after.assignments.get(held.uid, {})
    places = {action.proplet for action in work}
    if line is None:
        first = work[0]
        line = Change(op=ChangeOp.UPDATE, key=key, uid=held.uid, how="none", reason=first.reason)
        how = _how(held, work, set(copies))
    elif line.op is ChangeOp.DELETE:
        if not held.orphan and not waits:
            places |= {name for name, copy in copies.items() if not copy.releasing}
        how = "stop" if places else "none"
    else:
        how = _how(held, work, set(copies))
        steered = course is not None and (course.phase is not Phase.SETTLED or _staged(held))
        steered = steered or waits
        if how == "none" and _reaches_devices(line) and not steered:
            places = {name for name, copy in copies.items() if not copy.releasing}
            how = "restart" if places and isinstance(held.object, Daemon) else "none"
    if work and course is not None and course.phase is Phase.WAVE and course.target is not None:
        rollout = course.target.object.rollout
        waves = len(rollout.waves) if rollout is not None else 1
        line = replace(line, reason=f"{line.reason}; step {course.step + 1} of {waves}")
    silent = [name for name in places if _is_silent(after.proplets.get(name))]
    return replace(line, how=how, devices=len(places), offline=len(silent))


def _withheld(
    snapshot: Snapshot, change: InventoryChange, revision: Revision
) -> Mapping[Uid, Withheld]:
    """What would wait for a window, besides what does already."""
    withheld = dict(snapshot.withheld)
    if not snapshot.objects:
        return withheld
    modules = {**snapshot.modules, **revision.modules}
    for held in change.moved():
        before = snapshot.objects.get(held.uid)
        if held.uid in withheld or not windows_of(held.object, snapshot.policy.windows):
            continue
        if before is not None and before.deleted_at is None:
            old = before.object
            module = modules.get(old.module) if isinstance(old, Modular) else None
            known = module if isinstance(module, Module) else None
            if before.generation != held.generation or held.deleted_at is not None:
                withheld[held.uid] = Withheld(uid=held.uid, held=before, module=known)
        else:
            withheld[held.uid] = Withheld(uid=held.uid, held=None)
    return withheld


def _staged(held: Held) -> bool:
    return isinstance(held.object, Task | Daemon) and held.object.rollout is not None


def _rejected_line(line: Change, course: Course) -> Change:
    return replace(
        line,
        op=ChangeOp.BLOCKED,
        how="none",
        reason=f"RolledBack: version {short(course.target_digest)} was rejected: {course.why}",
        fields=(),
        devices=0,
        offline=0,
    )


def _how(held: Held, work: _Work, copies: set[PropletId]) -> str:
    started = {action.proplet for action in work if isinstance(action, Assign)}
    stopped = {action.proplet for action in work if isinstance(action, Release)}
    if started & copies:
        return "rerun" if isinstance(held.object, Task) else "restart"
    if started and stopped:
        return "move"
    if started:
        return "start"
    return "stop" if stopped else "none"


def _is_secret(line: Change) -> bool:
    return line.key.kind == "Secret"


def _uses(held: Held, secrets: Collection[tuple[str, str]]) -> bool:
    """Whether the object is given one of these Secrets."""
    thing = held.object
    if not isinstance(thing, Task | Daemon):
        return False
    return any((thing.meta.key.namespace, one.secret) in secrets for one in thing.run.secrets)


def _reaches_devices(line: Change) -> bool:
    return any(one.path.startswith(_REACHES_DEVICES) for one in line.fields)


def _is_silent(seen: Seen | None) -> bool:
    return seen is None or seen.presence is not Presence.ONLINE


def _blocked_line(block: Blocked) -> Change:
    return Change(
        op=ChangeOp.BLOCKED,
        key=block.key,
        uid=block.uid,
        how="none",
        reason=f"{block.reason}: {block.message}",
    )
