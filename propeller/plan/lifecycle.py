"""What an object wants now (`Aim`), and what becomes of a copy that is there (`judge`).

Called by `planner` for every object and every copy of it. Knows suspension, cron slots, retries,
silence and which runs may be cut short; knows nothing of other objects, of room, or of how many
copies there are. docs/explanation/planning.md gives the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from propeller.model.ids import Digest, PropletId, RunId
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module, Resolved
from propeller.model.secrets import Secrets
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.model.specs import (
    Daemon,
    Missed,
    Modular,
    OnOffline,
    Overlap,
    Schedule,
    Suspend,
    Task,
)
from propeller.plan.fit import NOT_HEARD
from propeller.plan.placement import Stand
from propeller.plan.runs import (
    DAEMON,
    ONCE,
    Cause,
    cron_base,
    namer,
    parse_cause,
    run_digest,
    run_key,
)
from propeller.plan.schedule import due_at, newest_due, next_slot
from propeller.plan.secrets import NOTHING, given
from propeller.plan.types import Policy

if TYPE_CHECKING:
    from propeller.plan.workflow import Gate


class Fate(Enum):
    """What becomes of a copy."""

    KEEP = "keep"  # it counts, nothing to do
    UPDATE = "update"  # it has not ended, and another run takes its place
    RERUN = "rerun"  # it has ended, and another run follows on the same proplet, if there is room
    LAME = "lame"  # stays as it is until another proplet takes its place
    SILENT = "silent"  # unheard for too long: it may still run, but does not count
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate and its reason. attempt: that of the run that follows. due: when to look again.

    refused: why the copy cannot be what it should be, "" when it can.
    """

    fate: Fate
    reason: str = ""
    attempt: int = 1
    due: int | None = None
    refused: str = ""


KEPT = Verdict(Fate.KEEP)


@dataclass(frozen=True, slots=True)
class Fired:
    """A cron slot that this plan uses up."""

    slot: int
    reason: str


@dataclass(slots=True)
class Aim:
    """What one object wants now.

    base: the cause every copy should have, None while no cron slot has come. starts: whether
    runs may begin (not suspended, module at hand, slot not too old). digest: None while the module
    or a secret is not at hand, when every copy counts as up to date. before, changed: the digest
    with the secrets as they were, and which have changed since. again: it is a step that
    runs anew in a run of its Workflow that was resumed. version: that of its copies (`plan.helm`),
    "" where they follow the spec.
    """

    held: Held
    obj: Task | Daemon
    base: str | None
    starts: bool
    suspended: Suspend | None
    digest: Digest | None
    blocked: str = ""
    why_blocked: str = ""
    fired: Fired | None = None
    version: Digest = Digest("")
    before: Digest | None = None
    changed: tuple[str, ...] = ()
    again: bool = False
    due: list[int] = field(default_factory=list)
    _names: dict[tuple[str, int], Callable[[PropletId], RunId]] = field(default_factory=dict)

    def name(self, base: str, attempt: int = 1) -> Callable[[PropletId], RunId]:
        """Names the run of that cause on a proplet."""
        name = self._names.get((base, attempt))
        if name is None:
            assert self.digest is not None, "a run of a module that is not at hand has no name"
            cause = str(Cause(base, attempt))
            name = namer(self.held.uid, self.digest, run_key(self.obj), cause)
            self._names[base, attempt] = name
        return name

    def meant(self, copy: Assignment) -> bool:
        """Whether the copy's run is the one that the spec means now.

        An edited cron Task is run as edited from its next slot on, so there the slot alone counts.
        """
        if self.base is None or self.digest is None:
            return True
        if self.base in (ONCE, DAEMON) or self.again:
            return copy.run == self.name(self.base, copy.attempt)(copy.proplet)
        return copy.cause.partition("#")[0] == self.base

    def why_not(self, copy: Assignment) -> str:
        """Why a copy of a Task or Daemon without a schedule is not the run that is meant."""
        if self.again:
            return "its workflow was resumed"
        if self.before is not None and self.base is not None:
            cause = str(Cause(self.base, copy.attempt))
            name = namer(self.held.uid, self.before, run_key(self.obj), cause)
            if copy.run == name(copy.proplet):
                plural = "s" if len(self.changed) > 1 else ""
                return f"secret{plural} {', '.join(self.changed)} changed"
        return "spec changed"


def suspension(held: Held, now: int) -> Suspend | None:
    """What suspends the object now, the operator's hold before the spec's; None when nothing."""
    for suspend in (held.hold, held.object.suspend):
        if suspend is not None and (suspend.until is None or suspend.until > now):
            return suspend
    return None


NO_SECRETS: Secrets = {}


def aim(
    held: Held,
    resolved: Resolved | None,
    copies: Mapping[PropletId, Assignment],
    now: int,
    secrets: Secrets = NO_SECRETS,
    *,
    gate: Gate | None = None,
) -> Aim:
    """What `held`, a Task or Daemon that was not deleted, wants now.

    gate: of a step of a Workflow, what its run lets it do.
    """
    obj = held.object if gate is None else gate.task
    assert isinstance(obj, Task | Daemon)
    module = resolved if isinstance(resolved, Module) else None
    suspended = suspension(held, now)
    gift = given(obj, secrets) if obj.run.secrets else NOTHING
    wish = Aim(
        held=held,
        obj=obj,
        base=DAEMON if isinstance(obj, Daemon) else ONCE,
        starts=suspended is None and module is not None and not gift.reason,
        suspended=suspended,
        digest=run_digest(obj, module, gift.digests)
        if module is not None and not gift.reason
        else None,
    )
    if module is not None and gift.changed:
        wish.before, wish.changed = run_digest(obj, module, gift.before), gift.changed
    if suspended is not None:
        wish.blocked, wish.why_blocked = "Suspended", _suspended_text(suspended)
        wish.due += [
            one.until
            for one in (held.hold, obj.suspend)
            if one is not None and one.until is not None and one.until > now
        ]
    elif module is None:
        wish.blocked, wish.why_blocked = module_trouble(obj, resolved)
    elif gift.reason:
        wish.blocked, wish.why_blocked = gift.reason, gift.words
    if isinstance(obj, Task) and obj.schedule is not None:
        _take_slot(wish, obj.schedule, copies, now)
    if gate is not None:
        _pass(wish, gate)
    return wish


def _pass(wish: Aim, gate: Gate) -> None:
    """A step of a Workflow does what the run of that lets it do."""
    wish.base, wish.again = gate.base, gate.again
    if gate.open and gate.base is not None:
        return
    wish.starts = False
    if wish.suspended is None:
        # What is under way and not meant to be is taken off; what has ended stays, as a record.
        wish.suspended = Suspend(reason=gate.why, by="")
        if gate.reason:
            wish.blocked, wish.why_blocked = gate.reason, gate.why


def _suspended_text(suspend: Suspend) -> str:
    by = f" by {suspend.by}" if suspend.by else ""
    return f"suspended{by}: {suspend.reason}" if suspend.reason else f"suspended{by}"


REFUSED = frozenset({"ModuleUnsigned", "NotEncrypted", "NotReleased"})
"""Why a module that is at hand may not be used (`admission`)."""


def module_trouble(obj: Modular, resolved: Resolved | None) -> tuple[str, str]:
    """Why a module is not at hand: the reason of its condition, and words."""
    if resolved is None:
        return "ModuleUnresolved", f"module {obj.module} is being resolved"
    assert not isinstance(resolved, Module)
    if resolved.reason in REFUSED:
        return resolved.reason, resolved.message
    word = "ModuleUnresolved" if resolved.retry else "ModuleInvalid"
    return word, f"module {obj.module}: {resolved.message}"


def _take_slot(
    wish: Aim, schedule: Schedule, copies: Mapping[PropletId, Assignment], now: int
) -> None:
    """Which slot the copies should have run, and whether one is used up now."""
    slot = wish.held.last_slot
    if slot is None:
        slots = (_slot(copy) for copy in copies.values())
        slot = max((known for known in slots if known is not None), default=None)
    uid = wish.held.uid
    upcoming = next_slot(schedule, max(slot or 0, wish.held.created_at))
    if upcoming is not None and due_at(schedule, uid, upcoming) <= now and wish.starts:
        slot = max(upcoming, newest_due(schedule, uid, now) or 0)
        by = now - due_at(schedule, uid, slot)
        late = by > schedule.starting_deadline
        reason = "its time has come"
        if late and schedule.missed is Missed.SKIP:
            reason = f"skipped: missed by {by // 1000} s"
        elif late:
            reason = f"missed by {by // 1000} s, run now"
        wish.fired = Fired(slot, reason)
        upcoming = next_slot(schedule, slot)
    if upcoming is not None and due_at(schedule, uid, upcoming) > now:
        wish.due.append(due_at(schedule, uid, upcoming))
    if slot is None:
        wish.base, wish.starts = None, False
        return
    wish.base = cron_base(slot)
    by = now - due_at(schedule, uid, slot)
    if schedule.missed is Missed.SKIP and by > schedule.starting_deadline:
        wish.starts = False


def _slot(copy: Assignment) -> int | None:
    cause = parse_cause(copy.cause)
    return cause.slot if cause is not None else None


def retry_due(obj: Task, copy: Assignment, run: SeenRun, now: int) -> int:
    """When the next attempt may start (Unix ms).

    Backoff counts from the end the device told, if its clock can be believed: neither before the
    run was assigned nor after now.
    """
    since = run.ended if copy.assigned_at <= run.ended <= now else copy.assigned_at
    backoff = obj.retries.backoff
    doubled: int = backoff.base << min(copy.attempt - 1, 40)
    return since + min(backoff.cap, doubled)


def judge(
    wish: Aim, copy: Assignment, seen: Seen, stand: Stand, *, silent: bool, now: int
) -> Verdict:
    """What becomes of a copy that is not being released, on a proplet that is known.

    silent: it is to be replaced for its silence. Asks nothing about room or numbers.
    """
    obj = wish.obj
    task = obj if isinstance(obj, Task) else None
    run = seen.runs.get((copy.uid, copy.run))
    ended = run is not None and run.state.ended
    meant = wish.meant(copy)
    if task is not None and meant and run is not None and run.state is RunState.SUCCEEDED:
        return KEPT  # what was done stays done, wherever that was
    if wish.suspended is not None:
        if task is not None and ended:
            return KEPT
        return Verdict(Fate.RELEASE, wish.why_blocked)
    again = (
        task is not None
        and meant
        and run is not None
        and run.state in (RunState.FAILED, RunState.INTERRUPTED)
        and copy.attempt <= task.retries.limit
    )
    done = task is not None and meant and ended and not again
    out = stand.out or ("is draining" if stand.draining else "")
    if out:
        stays = task is not None and not _may_leave(
            task, seen, stand, meant=meant, ended=ended, done=done
        )
        return KEPT if stays else Verdict(Fate.RELEASE, out)
    if done:
        return KEPT
    if stand.unfit is not None and stand.unfit != NOT_HEARD:
        if task is not None and meant and not ended and not _may_be_cut(task):
            return KEPT
        return Verdict(Fate.LAME, stand.unfit, refused=stand.unfit)
    if silent:
        return Verdict(Fate.SILENT)
    if again:
        assert task is not None and run is not None
        return KEPT if wish.digest is None else _retry(task, copy, run, stand, now=now)
    if meant or not wish.starts:
        return KEPT
    return _follow(wish, task, copy, stand, ended=ended)


def _retry(task: Task, copy: Assignment, run: SeenRun, stand: Stand, *, now: int) -> Verdict:
    """The next attempt of a run that failed, on the same proplet, once its backoff is over."""
    if stand.cordoned:
        return Verdict(Fate.KEEP, refused="is cordoned")
    due = retry_due(task, copy, run, now)
    if due > now:
        return Verdict(Fate.KEEP, due=due)
    word = "failed" if run.state is RunState.FAILED else "was interrupted"
    reason = f"attempt {copy.attempt} of {task.retries.limit + 1} {word}"
    return Verdict(Fate.RERUN, reason, attempt=copy.attempt + 1)


def _follow(
    wish: Aim, task: Task | None, copy: Assignment, stand: Stand, *, ended: bool
) -> Verdict:
    """The run that the spec means now takes the place of the one that is there."""
    if task is None:
        return Verdict(Fate.RERUN if ended else Fate.UPDATE, wish.why_not(copy))
    if ended and stand.cordoned:
        return Verdict(Fate.LAME, "is cordoned", refused="is cordoned")
    if task.schedule is None:
        return Verdict(Fate.RERUN if ended else Fate.UPDATE, wish.why_not(copy))
    if ended:
        return Verdict(Fate.RERUN, "scheduled")
    if task.schedule.overlap is Overlap.FORBID:
        return KEPT
    return Verdict(Fate.UPDATE, "scheduled, in place of the run before")


def _may_leave(
    task: Task, seen: Seen, stand: Stand, *, meant: bool, ended: bool, done: bool
) -> bool:
    """Whether a Task's copy is taken off a proplet that is no place for it any more.

    A run that may be under way is cut short only where a rerun is safe, was asked for, or never
    began; what has ended stays as a record on a proplet that is merely draining.
    """
    if ended:
        return bool(stand.out) or not done
    if _may_be_cut(task) or not seen.inst:
        return True
    return not meant and task.schedule is None


def _may_be_cut(task: Task) -> bool:
    """Whether the spec says that a run may be cut short and begun again elsewhere."""
    return task.placement.on_offline is OnOffline.RESCHEDULE


def silent_since(seen: Seen, policy: Policy) -> int | None:
    """From when on a proplet's silence counts (Unix ms, rule h); None while it is there."""
    if seen.presence is not Presence.OFFLINE or seen.offline_since is None:
        return None
    return max(seen.offline_since, policy.echo_since)
