"""How a FederatedTask is doing, in conditions: Ready once its last round is committed.

Called by `conditions`. What it says of a round is counts; who did what is in the round's own file.
"""

from __future__ import annotations

from collections.abc import Iterable

from propeller.model.conditions import Condition, moment
from propeller.model.federated import FederatedTask
from propeller.model.inventory import Held
from propeller.model.rounds import Bucket, Job, Learning, Round, RoundState
from propeller.plan.board import FALSE, NEEDS_A_PERSON, TRUE, UNKNOWN, WAITS, Board, Row, Summary
from propeller.plan.lifecycle import suspension
from propeller.plan.tally import told
from propeller.plan.types import Blocked, Snapshot
from propeller.plan.upstream import UNASKED, asked_for


def learning(
    held: Held,
    obj: FederatedTask,
    snapshot: Snapshot,
    *,
    blocked: Blocked | None,
    previous: Iterable[Condition],
    now: int,
) -> Summary:
    """The conditions of a FederatedTask now."""
    board = Board(held, now)
    known = snapshot.learning.get(held.uid, Learning())
    copies = snapshot.assignments.get(held.uid, {})
    counts = {"rounds": obj.rounds, "committed": known.job.done if known.job else 0}
    if held.deleted_at is not None:
        board.put("Ready", FALSE, "Deleting", f"{len(copies)} copies are not confirmed gone")
        board.put("Reconciling", TRUE, "Deleting", f"{len(copies)} copies are left")
        return board.summary(previous, counts=counts)
    ready = _ready(held, obj, known, blocked, now)
    board.put("Ready", *ready)
    if ready[1] == "Failed" or ready[1] in NEEDS_A_PERSON:
        board.put("Stalled", TRUE, ready[1], ready[2])
    elif ready[1] == "Training":
        board.put("Reconciling", TRUE, ready[1], ready[2])
    elif copies:
        names = told([str(name) for name in sorted(copies)])
        board.put("Reconciling", TRUE, "Releasing", f"not confirmed gone: {names}")
    if blocked is not None:
        board.put("Blocked", TRUE, blocked.reason, blocked.message)
    return board.summary(previous, counts=counts)


def _ready(
    held: Held, obj: FederatedTask, known: Learning, blocked: Blocked | None, now: int
) -> Row:
    suspend = suspension(held, now)
    if suspend is not None:
        until = f" until {moment(suspend.until)}" if suspend.until is not None else ""
        return FALSE, "Suspended", f"suspended by {suspend.by}{until}: {suspend.reason}"
    job, round_ = known.job, known.round
    if job is not None and job.failed:
        return FALSE, "Failed", job.failed
    if job is not None and (job.stopped or job.done >= obj.rounds):
        return TRUE, "Finished", _finished(obj, job)
    under_way = round_ is not None and not round_.state.over
    if blocked is not None and not under_way:
        return UNKNOWN if blocked.reason in WAITS else FALSE, blocked.reason, blocked.message
    if obj.upstream and not under_way and job is not None and asked_for(job) is None:
        held_so_far = f"{job.done} rounds of the fleet above were held" if job.done else "none yet"
        return TRUE, UNASKED, f"waits for the fleet above to ask for a round; {held_so_far}"
    if round_ is None or job is None:
        return UNKNOWN, "Training", "the first round has not begun"
    return UNKNOWN, "Training", round_words(obj, round_)


def _finished(obj: FederatedTask, job: Job) -> str:
    told = ", ".join(f"{name} {value[:8]}" for name, value in job.metrics[:3])
    words = f"{job.done} of {obj.rounds} rounds are committed"
    return words + (f" ({job.stopped})" if job.stopped else "") + (f"; {told}" if told else "")


def round_words(obj: FederatedTask, round_: Round) -> str:
    """Where a round stands, for people."""
    words = f"round {round_.number} of {obj.rounds}"
    if round_.attempt > 1:
        words += f", attempt {round_.attempt}"
    if round_.state is RoundState.ABANDONED:
        return f"{words} was abandoned: {round_.why}"
    words += f": {round_.state.lower()}"
    if round_.state is RoundState.COLLECTING:
        counts = round_.counts()
        words += f", {counts[Bucket.ACCEPTED]} of {round_.terms.target} updates"
        if counts[Bucket.OPEN]:
            words += f", {counts[Bucket.OPEN]} to come"
    return words
