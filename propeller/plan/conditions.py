"""Conditions and counts of every kind of object, from what the fleet reports.

Called by the projection that writes status rows and files. Ready means: a Task succeeded (cron: is
scheduled), a Daemon is healthy on its quorum, an App has all its objects ready, a Proplet is there.
Ready, Healthy, Scheduled, Delivered and Fresh are always there for a workload; Reconciling,
Stalled, Blocked and DriftDetected only while they are true. Unknown is never dressed as anything
else, and a message says what a person would ask next.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Final

from propeller.model.conditions import Condition, ConditionStatus, moment
from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.seen import Presence
from propeller.model.specs import (
    Alert,
    App,
    Daemon,
    FederatedTask,
    Proplet,
    Schedule,
    Secret,
    Task,
    Workflow,
)
from propeller.plan.board import (
    FALSE,
    NEEDS_A_PERSON,
    TRUE,
    UNKNOWN,
    WAITS,
    Board,
    Row,
    Summary,
)
from propeller.plan.depends import is_step
from propeller.plan.drift import flapping_words
from propeller.plan.flowing import flowing
from propeller.plan.learning import learning
from propeller.plan.lifecycle import REFUSED, suspension
from propeller.plan.progress import Progress, progress
from propeller.plan.scaling import as_scaled
from propeller.plan.schedule import due_at, next_slot
from propeller.plan.tally import Tally, tally, told
from propeller.plan.types import Blocked, Snapshot


def _nobody(_: Uid) -> str:
    return ""


def summarize(
    held: Held,
    snapshot: Snapshot,
    *,
    now: int,
    blocked: Blocked | None = None,
    previous: Iterable[Condition] = (),
    delivered: Container[PropletId] | None = None,
    apps_ready: Callable[[Uid], str] = _nobody,
) -> Summary:
    """The status of `held` now.

    blocked: what the planner says of it. previous: its conditions so far, for transition times.
    delivered: see `Snapshot.delivered`, which it stands in for when given. apps_ready: the Ready
    status of other objects (True, False, Unknown or ""), for Apps.
    """
    match held.object:
        case Task() | Daemon():
            held = as_scaled(held, snapshot)
            counts = tally(
                held,
                snapshot,
                delivered=snapshot.delivered if delivered is None else delivered,
                blocked=blocked,
                now=now,
            )
            staged = progress(held, snapshot, now=now)
            row = snapshot.corrections.get(held.uid)
            flapping = row is not None and row.flapping and row.generation == held.generation
            return _workload(held, counts, blocked, previous, staged, flapping=flapping, now=now)
        case FederatedTask():
            return learning(
                held, held.object, snapshot, blocked=blocked, previous=previous, now=now
            )
        case Workflow():
            return flowing(held, held.object, snapshot, blocked=blocked, previous=previous, now=now)
        case Proplet():
            return _proplet(held, snapshot, previous, now)
        case Alert():
            return _alert(held, held.object, previous, now)
        case Secret():
            return _secret(held, held.object, snapshot, previous, now)
        case App():
            return _app(held, snapshot, previous, apps_ready, blocked, now=now)


# -- workloads ------------------------------------------------------------------------------------


def _workload(
    held: Held,
    counts: Tally,
    blocked: Blocked | None,
    previous: Iterable[Condition],
    staged: Progress | None,
    *,
    flapping: bool,
    now: int,
) -> Summary:
    board = Board(held, now)
    obj = held.object
    assert isinstance(obj, Task | Daemon)
    if held.deleted_at is not None:
        if blocked is not None:
            board.put("Blocked", TRUE, blocked.reason, blocked.message)
        _leaving(board, held, counts)
        devices = counts.devices
        return board.summary(previous, counts=devices.mapping(), devices=devices, due=counts.due)
    if blocked is None and _is_idle(obj, counts) and suspension(held, now) is None:
        for one in ("Ready", "Healthy", "Scheduled", "Delivered", "Fresh"):
            board.put(one, TRUE, "Idle", "no copy while nobody calls: the next call brings one")
        if counts.releasing:
            board.put("Reconciling", TRUE, *_progress(counts))
        devices = counts.devices
        return board.summary(previous, counts=devices.mapping(), devices=devices, due=counts.due)
    schedule = obj.schedule if isinstance(obj, Task) else None
    need = _need(obj, counts.desired)
    late_at = _late_at(held)
    ready = _ready(held, counts, blocked, need=need, now=now)
    if ready[0] is not TRUE and late_at is not None and late_at > now:
        counts.again_at(late_at)
    version = staged.row() if staged is not None and ready[1] != "Suspended" else None
    if blocked is not None and blocked.reason == "WindowClosed" and ready[1] != "Suspended":
        version = (UNKNOWN, blocked.reason, blocked.message)
    if flapping and counts.drifted and version is None:
        version = (FALSE, "DriftFlapping", flapping_words())
    ready = version or ready
    board.put("Ready", *ready)
    stalled = ready[1] in ("Failed", "TimedOut") or ready[1] in NEEDS_A_PERSON
    if stalled and schedule is None:
        board.put("Stalled", TRUE, ready[1], ready[2])
    elif version is not None:
        board.put("Reconciling", TRUE, ready[1], ready[2])
    elif _is_moving(obj, counts, ready[0], suspended=ready[1] == "Suspended"):
        reason, message = _progress(counts)
        board.put("Reconciling", TRUE, reason, message)
    if blocked is not None and blocked.reason != "NotHeard":
        board.put("Blocked", TRUE, blocked.reason, blocked.message)
    board.put("Healthy", *_healthy(obj, counts))
    board.put("Scheduled", *_scheduled(counts, blocked, cron=schedule is not None))
    board.put("Delivered", *_delivered(counts, need))
    board.put("Fresh", *_fresh(counts))
    if counts.drifted:
        message = told([f"{one.proplet} {one.words}" for one in counts.drifted])
        reason = "DriftFlapping" if flapping else str(counts.drifted[0].reason)
        if flapping:
            message += f"; {flapping_words()}"
        board.put("DriftDetected", TRUE, reason, message)
    devices = counts.devices
    return board.summary(
        previous,
        counts=devices.mapping(),
        devices=devices,
        rollout=staged.mapping() if staged is not None else None,
        drift=counts.drifted,
        due=counts.due,
    )


def _is_idle(obj: Task | Daemon, counts: Tally) -> bool:
    """Whether it was scaled to no copy at all."""
    return isinstance(obj, Daemon) and obj.autoscale is not None and not counts.desired


def _leaving(board: Board, held: Held, counts: Tally) -> None:
    if held.orphan:
        message = f"left the source and is not pruned; {counts.placed} copies are left alone"
        board.put("Ready", FALSE, "Orphaned", message)
        return
    left = counts.placed + counts.releasing
    message = f"{left} copies are not confirmed gone"
    if counts.leaving:
        message += f": {told(counts.leaving)}"
    board.put("Ready", FALSE, "Deleting", message)
    board.put("Reconciling", TRUE, "Deleting", message)


def _need(obj: Task | Daemon, desired: int) -> int:
    """How many copies make it ready: all of a Task, the quorum of a Daemon."""
    if isinstance(obj, Task):
        return desired
    return -(-desired * obj.ready_when.min_percent // 100)


_NOTHING_TO_COMPARE: Final = frozenset(
    {"DependencyNotReady", "ModuleUnresolved", "ModuleInvalid", *REFUSED}
)
"""While these hold, what should run is not known or not allowed: copies that run are of a version
before it, and that they are well says nothing of this one."""


def _late_at(held: Held) -> int | None:
    obj = held.object
    if not isinstance(obj, Daemon) or obj.ready_when.within is None:
        return None
    return held.changed_at + obj.ready_when.within


def _ready(held: Held, counts: Tally, blocked: Blocked | None, *, need: int, now: int) -> Row:
    obj = held.object
    suspend = suspension(held, now)
    if suspend is not None:
        until = f" until {moment(suspend.until)}" if suspend.until is not None else ""
        by = f" by {suspend.by}" if suspend.by else ""
        why = f": {suspend.reason}" if suspend.reason else ""
        return FALSE, "Suspended", f"suspended{by}{until}{why}"
    if isinstance(obj, Task) and obj.schedule is not None:
        return _cron_ready(held, obj.schedule, counts, blocked)
    if blocked is not None and blocked.reason in _NOTHING_TO_COMPARE:
        status = UNKNOWN if blocked.reason in WAITS else FALSE
        return status, blocked.reason, blocked.message
    word = "succeeded" if isinstance(obj, Task) else "ready"
    score = f"{counts.ready} of {counts.desired} {word}"
    if counts.desired and counts.ready >= need:
        return TRUE, "Succeeded" if isinstance(obj, Task) else "Healthy", score
    if counts.failed > counts.desired - need and counts.failures:
        return FALSE, "Failed", f"{score}; {told(counts.failures)}"
    if blocked is not None and (counts.placed < counts.desired or not counts.placed):
        status = UNKNOWN if blocked.reason in WAITS else FALSE
        return status, blocked.reason, blocked.message
    late_at = _late_at(held)
    if late_at is not None and late_at <= now:
        return FALSE, "TimedOut", f"{score} by {moment(late_at)}; {told(_pending(counts))}"
    if counts.silences and not counts.updating:
        return UNKNOWN, "Offline", f"{score}; waiting for {told(counts.silences)}"
    pending = _pending(counts)
    return UNKNOWN, "Progressing", f"{score}; {told(pending)}" if pending else score


def _pending(counts: Tally) -> list[str]:
    return counts.failures or counts.troubles or counts.waiting or counts.silences


def _cron_ready(held: Held, schedule: Schedule, counts: Tally, blocked: Blocked | None) -> Row:
    if blocked is not None and not (counts.placed and blocked.reason in WAITS):
        status = UNKNOWN if blocked.reason in WAITS else FALSE
        return status, blocked.reason, blocked.message
    upcoming = next_slot(schedule, max(held.last_slot or 0, held.created_at))
    if upcoming is None:
        return FALSE, "NoSlot", f"{schedule.cron!r} never comes"
    message = f"next run {moment(due_at(schedule, held.uid, upcoming))}"
    if held.last_slot is not None:
        message += f", last {moment(held.last_slot)}"
    return TRUE, "Scheduled", message


def _is_moving(
    obj: Task | Daemon, counts: Tally, ready: ConditionStatus, *, suspended: bool
) -> bool:
    if suspended:
        return counts.releasing > 0
    if isinstance(obj, Task) and obj.schedule is not None:
        return False
    return ready is not TRUE or counts.updating > 0 or counts.releasing > 0


def _progress(counts: Tally) -> tuple[str, str]:
    if counts.waiting:
        return "Progressing", told(counts.waiting)
    if counts.silences and counts.ready + counts.failed < counts.placed:
        return "Offline", f"waiting for {told(counts.silences)}"
    if counts.leaving:
        return "Releasing", f"not confirmed gone: {told(counts.leaving)}"
    return "Progressing", f"{counts.placed} of {counts.desired} copies placed"


def _healthy(obj: Task | Daemon, counts: Tally) -> Row:
    if counts.failures:
        return FALSE, "Failed", told(counts.failures)
    if counts.troubles:
        return FALSE, "BackOff", told(counts.troubles)
    if counts.placed and counts.ready >= counts.placed:
        return TRUE, "Succeeded" if isinstance(obj, Task) else "Running", f"{counts.ready} copies"
    if not counts.placed:
        return UNKNOWN, "NotStarted", "no copy was placed yet"
    if counts.silences and not counts.updating:
        return UNKNOWN, "Offline", f"not heard: {told(counts.silences)}"
    return UNKNOWN, "Progressing", told(counts.waiting)


def _scheduled(counts: Tally, blocked: Blocked | None, *, cron: bool) -> Row:
    if counts.placed >= counts.desired and counts.placed:
        return TRUE, "Placed", f"{counts.placed} copies placed"
    if blocked is not None:
        status = UNKNOWN if blocked.reason in ("ModuleUnresolved", "Suspended") else FALSE
        return status, blocked.reason, blocked.message
    if cron:
        return UNKNOWN, "NotDue", "placed when its first slot comes"
    return UNKNOWN, "Progressing", f"{counts.placed} of {counts.desired} copies placed"


def _delivered(counts: Tally, need: int) -> Row:
    score = f"{counts.delivered} of {counts.placed} proplets hold what was asked"
    if not counts.placed:
        return UNKNOWN, "NotStarted", "nothing was asked of any proplet yet"
    if counts.delivered >= min(max(need, 1), counts.placed):
        return TRUE, "Acknowledged", score
    return FALSE, "Pending", f"{score}; waiting for {told(counts.undelivered)}"


def _fresh(counts: Tally) -> Row:
    if not counts.placed:
        return UNKNOWN, "NotStarted", "no copy was placed yet"
    if counts.stale:
        return FALSE, "Silent", f"{counts.stale} not heard: {told(counts.silences)}"
    if counts.offline:
        return TRUE, "Tolerated", f"{counts.offline} silent, not for long: {told(counts.silences)}"
    return TRUE, "Heard", f"{counts.placed} heard"


# -- the others -----------------------------------------------------------------------------------


def _proplet(held: Held, snapshot: Snapshot, previous: Iterable[Condition], now: int) -> Summary:
    board = Board(held, now)
    proplet = PropletId(held.object.meta.key.name)
    seen = snapshot.proplets.get(proplet)
    if seen is None or seen.presence is Presence.UNKNOWN:
        board.put("Ready", UNKNOWN, "NeverHeard", "has not been heard yet")
        board.put("Fresh", UNKNOWN, "NeverHeard", "has not been heard yet")
        return board.summary(previous, counts={})
    work = " and takes no new work" if seen.cordoned else ""
    silent = f"silent since {moment(seen.offline_since or seen.last_heard)}"
    if seen.quarantine:
        board.put("Ready", FALSE, seen.quarantine, "is quarantined and gets no work")
        board.put("Stalled", TRUE, seen.quarantine, "is quarantined and gets no work")
    elif seen.presence is Presence.OFFLINE:
        board.put("Ready", FALSE, "Offline", silent)
    elif seen.facts is None:
        board.put("Ready", UNKNOWN, "NoHello", "is online and has not said what it is")
    else:
        board.put("Ready", TRUE, "Online", f"is online{work}")
    if seen.presence is Presence.OFFLINE:
        board.put("Fresh", FALSE, "Silent", silent)
    else:
        board.put("Fresh", TRUE, "Heard", "is heard")
    return board.summary(previous, counts={})


def _alert(held: Held, alert: Alert, previous: Iterable[Condition], now: int) -> Summary:
    board = Board(held, now)
    suspend = suspension(held, now)
    if suspend is not None:
        board.put("Ready", FALSE, "Suspended", f"suspended: {suspend.reason}")
    else:
        names = ", ".join(sink.name for sink in alert.sinks)
        board.put("Ready", TRUE, "Active", f"tells {names}")
    return board.summary(previous, counts={})


def _secret(
    held: Held, secret: Secret, snapshot: Snapshot, previous: Iterable[Condition], now: int
) -> Summary:
    board = Board(held, now)
    known = snapshot.secrets.get((secret.meta.key.namespace, secret.meta.key.name))
    if held.deleted_at is not None or known is None:
        board.put("Ready", FALSE, "Deleting", "removed from the source")
    elif known.trouble:
        board.put("Ready", FALSE, "SecretLocked", known.trouble)
        board.put("Stalled", TRUE, "SecretLocked", known.trouble)
    else:
        count = len(secret.keys)
        board.put("Ready", TRUE, "Opened", f"{count} value{'' if count == 1 else 's'}")
    return board.summary(previous, counts={})


def _app(
    held: Held,
    snapshot: Snapshot,
    previous: Iterable[Condition],
    apps_ready: Callable[[Uid], str],
    blocked: Blocked | None,
    *,
    now: int,
) -> Summary:
    board = Board(held, now)
    name = held.object.meta.key.name
    verdicts: dict[str, list[str]] = {"True": [], "False": [], "Unknown": []}
    rest = 0
    for uid, other in snapshot.objects.items():
        if other.object.meta.app == name and uid != held.uid and not other.orphan:
            if is_step(other.object):
                continue  # it counts as its Workflow does
            if other.deleted_at is None and suspension(other, now) is not None:
                rest += 1  # somebody wants it to stay as it is
                continue
            verdict = apps_ready(uid) or "Unknown"
            verdicts[verdict].append(str(other.object.meta.key))
    total = sum(len(keys) for keys in verdicts.values())
    counts = {
        "total": total,
        "ready": len(verdicts["True"]),
        "notReady": len(verdicts["False"]),
        "unknown": len(verdicts["Unknown"]),
    }
    score = f"{counts['ready']} of {total} objects are ready"
    if rest:
        counts["suspended"] = rest
        score += f", {rest} suspended"
    suspend = suspension(held, now)
    if suspend is not None:
        board.put("Ready", FALSE, "Suspended", f"suspended: {suspend.reason}")
    elif blocked is not None and blocked.reason == "SourceUnavailable":
        board.put("Ready", UNKNOWN, blocked.reason, blocked.message)
        board.put("Reconciling", TRUE, blocked.reason, blocked.message)
    elif blocked is not None:
        board.put("Ready", FALSE, blocked.reason, blocked.message)
        board.put("Stalled", TRUE, blocked.reason, blocked.message)
        board.put("Blocked", TRUE, blocked.reason, blocked.message)
    elif verdicts["False"]:
        message = f"{score}; not {told(sorted(verdicts['False']))}"
        board.put("Ready", FALSE, "NotReady", message)
    elif verdicts["Unknown"]:
        message = f"{score}; waiting for {told(sorted(verdicts['Unknown']))}"
        board.put("Ready", UNKNOWN, "Progressing", message)
        board.put("Reconciling", TRUE, "Progressing", message)
    else:
        board.put("Ready", TRUE, "AllReady", score)
    return board.summary(previous, counts=counts)
