"""What devices tell of the schedules they keep: each run once in the history and among the events.

Called by `hear` with a new inventory. A device lists its last runs again and again; the history has
them by a name that device and manager both derive, so a lost database or message costs none that
the device still holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from propeller.model.conditions import moment
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import RunState
from propeller.model.specs import Timed
from propeller.plan.runs import cron_base
from propeller.state.records import Event, RunRecord
from propeller.wire.timed_messages import slot_run

if TYPE_CHECKING:
    from propeller.model.ids import Key
    from propeller.reconcile.world import World
    from propeller.wire.messages import PastRun, RunReport


class PastRuns:
    """See the module. Remembers what it has told since it was started."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: dict[tuple[PropletId, str], frozenset[str]] = {}
        self._lost: dict[tuple[PropletId, str], int] = {}

    def take(self, proplet: PropletId, report: RunReport, now: int) -> Iterator[Event]:
        """The events of what is new in the report of one schedule."""
        held = self._world.objects.get(Uid(report.uid))
        if held is None or not (report.past or report.lost):
            return
        if not isinstance(held.object, Timed) or proplet not in self._world.assignments.get(
            held.uid, {}
        ):
            return  # nobody asked it to keep a schedule
        key, mark = held.object.meta.key, (proplet, report.run)
        before, names = self._told.get(mark), set()
        for past in report.past:
            name = slot_run(report.run, past.slot, past.attempt)
            state = RunState(past.state)
            if not state.ended:
                continue
            names.add(name)
            if before is not None and name in before:
                continue
            if self._world.store.has_run(Uid(report.uid), RunId(name)):
                continue
            self._world.store.put_run(_record(key, proplet, report, past))
            yield _event(key, proplet, past, state, now)
        self._told[mark] = frozenset(names)
        lost = self._lost.get(mark, 0)
        if report.lost > lost:
            words = (
                f"{report.lost - lost} results on {proplet} made way for newer ones while there was"
                " no manager to tell; schedule.history says how many it holds"
            )
            yield Event(
                at=now,
                severity="Warning",
                reason="ResultsLost",
                message=words,
                key=key,
                proplet=proplet,
            )
        self._lost[mark] = report.lost


def _record(key: Key, proplet: PropletId, report: RunReport, past: PastRun) -> RunRecord:
    blob = past.result_blob
    return RunRecord(
        uid=Uid(report.uid),
        key=key,
        run=RunId(slot_run(report.run, past.slot, past.attempt)),
        proplet=proplet,
        cause=cron_base(past.slot) + (f"#{past.attempt}" if past.attempt > 1 else ""),
        attempt=past.attempt,
        state=past.state,
        exit=past.exit,
        result=past.result,
        result_digest=Digest(blob.digest) if blob else None,
        error=past.error,
        assigned_at=past.slot,
        started=past.started,
        ended=past.ended,
    )


def _event(key: Key, proplet: PropletId, past: PastRun, state: RunState, now: int) -> Event:
    good = state is RunState.SUCCEEDED
    words = f"{moment(past.slot)} on {proplet}"
    if past.error:
        words += f": {past.error}"
    elif past.result is not None:
        words += f": {past.result.strip()[:120]}"
    return Event(
        at=now,
        severity="Info" if good else "Warning",
        reason=str(state),
        message=words,
        key=key,
        proplet=proplet,
    )
