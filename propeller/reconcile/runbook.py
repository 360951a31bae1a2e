"""What is known of runs beyond what their device reports now: buried ones, and the history.

A device with a new instance knows nothing of what its old one ended: that is remembered here until
the copy is given another run. Owned by `world`; `put` and `note` within a store transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.inventory import Assignment
from propeller.model.seen import RunState, SeenRun
from propeller.reconcile.runrecords import as_seen, record_of
from propeller.state.records import RunRecord

if TYPE_CHECKING:
    from propeller.reconcile.world import World


class RunBook:
    """See the module. past: runs that ended on an earlier instance, or that are listed no more."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._noted: dict[PropletId, dict[Uid, SeenRun]] = {}
        self.past: dict[PropletId, dict[tuple[Uid, RunId], SeenRun]] = {}

    def put(self, record: RunRecord) -> None:
        """The history of a run begins."""
        self._world.store.put_run(record)
        self._noted.get(record.proplet, {}).pop(record.uid, None)

    def note(self, key: Key, assignment: Assignment, run: SeenRun) -> None:
        """Keep the history of a run in line with what its device reports."""
        noted = self._noted.setdefault(assignment.proplet, {})
        if noted.get(assignment.uid) is not run:
            self._world.store.put_run(record_of(key, assignment, run))
            noted[assignment.uid] = run

    def bury(self, proplet: PropletId, *, at: int) -> list[SeenRun]:
        """The device has a new instance: what its old one ended stays ended, open runs are Lost.

        Daemons are simply started again by the new instance. Returns the runs that were lost.
        """
        lost = []
        past: dict[tuple[Uid, RunId], SeenRun] = {}
        for name, run in self._world.proplets[proplet].runs.items():
            if run.cause.startswith("daemon"):
                continue
            if not run.state.ended:
                run = replace(  # noqa: PLW2901 - the buried form of the same run
                    run,
                    state=RunState.INTERRUPTED,
                    error="Lost: the device came back with empty storage",
                    ended=at,
                )
                lost.append(run)
            # No digest: the mark, in the store too, of what this instance never had.
            past[name] = replace(run, digest=Digest(""))
        self.past[proplet] = past
        self._world.put_runs(proplet, {})
        return lost

    def forget_past(self, proplet: PropletId, name: tuple[Uid, RunId]) -> None:
        """What ended on an earlier instance of the device counts no longer."""
        past = self.past.get(proplet, {})
        if past.pop(name, None) is None:
            return
        seen = self._world.proplets[proplet]
        if name in seen.runs:
            self._world.store.put_runs(proplet, (), (name,))
            rest = {other: run for other, run in seen.runs.items() if other != name}
            self._world.proplets[proplet] = replace(seen, runs=rest)

    def remember(self) -> None:
        """After a restart: runs that were buried, and ended ones the device no longer lists."""
        for record in self._world.store.current_runs():
            uid, proplet = record.uid, record.proplet
            assignment = self._world.assignments.get(uid, {}).get(proplet)
            if assignment is None or assignment.run != record.run:
                continue
            seen = self._world.proplets.get(proplet)
            known = seen.runs.get((uid, assignment.run)) if seen is not None else None
            if known is not None and record_of(record.key, assignment, known) == record:
                self._noted.setdefault(proplet, {})[uid] = known
            if known is not None and not known.digest:
                self.past.setdefault(proplet, {})[(uid, assignment.run)] = known
            elif (
                seen is not None
                and not assignment.releasing
                and not record.cause.startswith("daemon")
                and RunState(record.state).ended
                and (uid, assignment.run) not in seen.runs
            ):
                self.past.setdefault(proplet, {})[(uid, assignment.run)] = as_seen(record)

    def forget_noted(self, uid: Uid, proplet: PropletId) -> None:
        """The copy is gone: what comes next is another run."""
        self._noted.get(proplet, {}).pop(uid, None)
