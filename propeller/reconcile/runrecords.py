"""A run as its device reports it and as the history keeps it: one from the other.

Pure. The history outlives the assignment; used by `world`, which keeps the two in line.
"""

from __future__ import annotations

from propeller.model.ids import Digest, Key
from propeller.model.inventory import Assignment
from propeller.model.seen import RunState, SeenRun
from propeller.state.records import RunRecord


def record_of(key: Key, assignment: Assignment, run: SeenRun) -> RunRecord:
    """What the history says of a copy whose run was reported."""
    return RunRecord(
        uid=assignment.uid,
        key=key,
        run=run.run,
        proplet=assignment.proplet,
        cause=run.cause,
        attempt=assignment.attempt,
        state=str(run.state),
        exit=run.exit,
        result=run.result,
        result_digest=run.result_digest,
        error=run.error,
        restarts=run.restarts,
        assigned_at=assignment.assigned_at,
        started=run.started,
        ended=run.ended,
    )


def as_seen(record: RunRecord) -> SeenRun:
    """The report that led to a record, as far as the history tells."""
    return SeenRun(
        uid=record.uid,
        run=record.run,
        digest=Digest(""),
        cause=record.cause,
        state=RunState(record.state),
        exit=record.exit,
        result=record.result,
        result_digest=Digest(record.result_digest) if record.result_digest else None,
        error=record.error,
        restarts=record.restarts,
        ready=record.state == RunState.SUCCEEDED,
        started=record.started,
        ended=record.ended,
    )
