"""How a Workflow is doing, in conditions: Ready once its run has succeeded.

Called by `conditions`. With a schedule it is Ready while its last run did not fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from propeller.model.conditions import Condition, moment
from propeller.model.flow import Flow, StepState
from propeller.model.inventory import Held
from propeller.model.specs import Workflow
from propeller.plan.board import FALSE, TRUE, UNKNOWN, WAITS, Board, Row, Summary
from propeller.plan.lifecycle import suspension
from propeller.plan.schedule import due_at, next_slot
from propeller.plan.tally import Devices
from propeller.plan.types import Blocked, Snapshot
from propeller.plan.workflow import failures


def flowing(
    held: Held,
    whole: Workflow,
    snapshot: Snapshot,
    *,
    blocked: Blocked | None,
    previous: Iterable[Condition],
    now: int,
) -> Summary:
    """The conditions of a Workflow now. Its counts are of steps."""
    board = Board(held, now)
    flow = snapshot.flows.get(held.uid)
    counts = step_counts(whole, flow)
    if held.deleted_at is not None:
        board.put("Ready", FALSE, "Deleting", "its steps leave the fleet")
        board.put("Reconciling", TRUE, "Deleting", "its steps leave the fleet")
        return board.summary(previous, counts=counts)
    ready = _ready(held, whole, flow, blocked, now)
    board.put("Ready", *ready)
    if ready[1] in ("Failed", "TimedOut"):
        board.put("Stalled", TRUE, ready[1], ready[2])
    elif flow is not None and not flow.ended and ready[1] != "Suspended":
        board.put("Reconciling", TRUE, "Running", _score(whole, flow))
    if blocked is not None:
        board.put("Blocked", TRUE, blocked.reason, blocked.message)
    return board.summary(previous, counts=counts, devices=Devices())


def step_counts(whole: Workflow, flow: Flow | None) -> dict[str, int]:
    """Steps by state, all of them; `total` first."""
    states = Counter(row.state for row in flow.steps) if flow is not None else Counter()
    if flow is None:
        states[StepState.WAITING] = len(whole.steps)
    return {"total": len(whole.steps)} | {state.value.lower(): states[state] for state in StepState}


def _ready(
    held: Held, whole: Workflow, flow: Flow | None, blocked: Blocked | None, now: int
) -> Row:
    suspend = suspension(held, now)
    if suspend is not None:
        until = f" until {moment(suspend.until)}" if suspend.until is not None else ""
        by = f" by {suspend.by}" if suspend.by else ""
        return FALSE, "Suspended", f"suspended{by}{until}: {suspend.reason}"
    mine = flow if flow is not None and (flow.key == whole.key or whole.schedule) else None
    if mine is not None and mine.ended:
        row = _over(whole, mine)
        if row is not None:
            return row
    if blocked is not None and (mine is None or mine.ended):
        return UNKNOWN if blocked.reason in WAITS else FALSE, blocked.reason, blocked.message
    if whole.schedule is not None and (mine is None or mine.ended):
        return _next(held, whole)
    if mine is None:
        return UNKNOWN, "Progressing", "its first step has not begun"
    return UNKNOWN, "Running", _score(whole, mine)


def _over(whole: Workflow, flow: Flow) -> Row | None:
    failed = failures(whole, flow)
    if failed:
        row = flow.step(failed[0])
        assert row is not None
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        reason = "TimedOut" if flow.timed_out else "Failed"
        return FALSE, reason, f"step {row.name} failed: {row.why}{more}"
    if flow.timed_out:
        return FALSE, "TimedOut", "its time was over before every step had run"
    if whole.schedule is not None:
        return None
    return TRUE, "Succeeded", _score(whole, flow)


def _next(held: Held, whole: Workflow) -> Row:
    assert whole.schedule is not None
    upcoming = next_slot(whole.schedule, max(held.last_slot or 0, held.created_at))
    if upcoming is None:
        return FALSE, "NoSlot", f"{whole.schedule.cron!r} never comes"
    words = f"next run {moment(due_at(whole.schedule, held.uid, upcoming))}"
    if held.last_slot is not None:
        words += f", last {moment(held.last_slot)}"
    return TRUE, "Scheduled", words


def _score(whole: Workflow, flow: Flow) -> str:
    counts = step_counts(whole, flow)
    words = f"{counts['succeeded']} of {counts['total']} steps succeeded"
    for name in ("running", "failed", "skipped"):
        if counts[name]:
            words += f", {counts[name]} {name}"
    return words
