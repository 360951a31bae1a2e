"""A run as its device tells of it: as it is kept in memory, and in words for the events.

Pure; called by `hear` with every inventory.
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import intern

from propeller.model.conditions import moment
from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.seen import RunState, SeenRun
from propeller.state.records import Event
from propeller.wire.messages import RunReport

_WORDS = {
    RunState.RUNNING: "running",
    RunState.BACK_OFF: "waiting to start again",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.INTERRUPTED: "was interrupted",
    RunState.REFUSED: "was refused",
}


def said_of(
    run: SeenRun, before: SeenRun | None, key: Key, proplet: PropletId, now: int
) -> Iterator[Event]:
    """What people are told of a run. before: as it was in the last inventory. key: its object."""
    if (before is None or before.state != run.state) and run.state in _WORDS:
        good = run.state in (RunState.SUCCEEDED, RunState.RUNNING)
        words = f"{_WORDS[run.state]} on {proplet}"
        if run.error:
            words += f": {run.error}"
        elif run.result is not None and run.state is RunState.SUCCEEDED:
            words += f": {run.result.strip()[:120]}"
        yield Event(
            at=now,
            severity="Info" if good else "Warning",
            reason=str(run.state),
            message=words,
            key=key,
            proplet=proplet,
        )
    if run.spent and (before is None or before.spent != run.spent):
        words = (
            f"{proplet} stopped it at {moment(run.spent)} by its own clock: no word of the manager"
            " for placement.autonomy"
        )
        yield Event(
            at=now,
            severity="Warning",
            reason="AutonomySpent",
            message=words,
            key=key,
            proplet=proplet,
        )


def seen_run(run: RunReport) -> SeenRun:
    """As it is kept. Texts that many runs share are kept once."""
    blob = run.result_blob
    return SeenRun(
        uid=Uid(intern(run.uid)),
        run=RunId(run.run),
        digest=Digest(run.digest),
        cause=intern(run.cause),
        state=RunState(run.state),
        exit=run.exit,
        result=run.result,
        result_digest=Digest(blob.digest) if blob else None,
        result_size=blob.size if blob else 0,
        error=run.error,
        restarts=run.restarts,
        ready=run.ready,
        started=run.started,
        ended=run.ended,
        spent=run.spent,
    )
