"""Runs that devices report and the inventory does not know: whose they are.

Called by `cases` when copies are missing, before anything new is placed. After a lost store this
is how what already runs, or already ran, is taken in instead of being run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from propeller.model.ids import PropletId, Uid
from propeller.model.seen import RunState, SeenRun
from propeller.model.specs import Task
from propeller.plan.lifecycle import Aim
from propeller.plan.placement import Stand
from propeller.plan.runs import CRON, Cause, parse_cause
from propeller.plan.types import Snapshot


@dataclass(frozen=True, slots=True)
class Stray:
    """A run on a proplet that may be taken into the inventory, and the cause it names."""

    proplet: PropletId
    run: SeenRun
    cause: Cause


class Strays:
    """Reported runs without an assignment, by object and proplet; searched when first asked."""

    def __init__(self, snapshot: Snapshot, proplets: Iterable[PropletId] | None) -> None:
        """proplets: where to look, None for everywhere."""
        self._snapshot = snapshot
        self._where = proplets
        self._found: dict[Uid, dict[PropletId, list[SeenRun]]] | None = None

    def of(self, uid: Uid) -> Mapping[PropletId, list[SeenRun]]:
        """Every unassigned run of this object."""
        if self._found is None:
            self._found = self._search()
        return self._found.get(uid, {})

    def _search(self) -> dict[Uid, dict[PropletId, list[SeenRun]]]:
        found: dict[Uid, dict[PropletId, list[SeenRun]]] = {}
        proplets, assignments = self._snapshot.proplets, self._snapshot.assignments
        nothing: dict[PropletId, object] = {}
        for proplet in proplets if self._where is None else self._where:
            seen = proplets.get(proplet)
            if seen is None:
                continue
            for (uid, _), run in seen.runs.items():
                if proplet not in assignments.get(uid, nothing):
                    found.setdefault(uid, {}).setdefault(proplet, []).append(run)
        return found


def adoptable(wish: Aim, proplet: PropletId, runs: Iterable[SeenRun], stand: Stand) -> Stray | None:
    """The newest of `runs` that `wish` would name the same; None where it wants none of them.

    While the module is not at hand nothing can be named: then what a device runs for the object is
    taken as it stands, so that nobody stops it meanwhile.
    """
    strays = []
    for run in runs:
        cause = parse_cause(run.cause)
        if cause is None or not _same_kind(wish, cause):
            continue
        if not _welcome(wish, run, stand):
            continue
        if wish.digest is None or wish.name(cause.base, cause.attempt)(proplet) == run.run:
            strays.append(Stray(proplet, run, cause))
    return max(
        strays,
        key=lambda stray: (stray.cause.slot or 0, stray.cause.attempt, stray.run.run),
        default=None,
    )


def _same_kind(wish: Aim, cause: Cause) -> bool:
    if isinstance(wish.obj, Task) and wish.obj.schedule is not None:
        return cause.base.startswith(f"{CRON}:")
    return cause.base == wish.base


def _welcome(wish: Aim, run: SeenRun, stand: Stand) -> bool:
    """Whether a copy in this state would be kept there if it were ours."""
    task = isinstance(wish.obj, Task)
    if task and run.state is RunState.SUCCEEDED:
        return True
    if stand.out:
        return False
    if wish.suspended is not None:
        return task and run.state.ended
    return task or not stand.draining
