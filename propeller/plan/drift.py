"""Drift: a device took the document that lists a copy, and does not report the copy's run.

Called by `planner` after phase 1, for Daemons. A proplet has drifted when it is there, says that it
holds exactly what was asked last, has reported since, and lists no such run. A run that failed,
waits to be restarted or was begun from an older entry is no drift: the device is at work on it. A
Task is never corrected: its run may have been, and is not to be run twice.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from propeller.model.drift import Corrections, Drift
from propeller.model.ids import PropletId
from propeller.model.inventory import Assignment
from propeller.model.seen import Presence, Seen
from propeller.model.specs import Daemon
from propeller.plan.cases import Case
from propeller.plan.notes import Note
from propeller.plan.types import Correct, Snapshot

GRACE = 60_000
"""ms after a copy was asked for before its absence is a drift."""

APART = 60_000
"""ms between two corrections of one object at least."""

MOST, WITHIN = 10, 3_600_000
"""Corrections of one object within so many ms; then it is flapping."""


def drifted(copy: Assignment, seen: Seen, delivered: Container[PropletId]) -> bool:
    """Whether the proplet should have that run by its own word, and has not."""
    return (
        seen.reported
        and seen.presence is Presence.ONLINE
        and (copy.uid, copy.run) not in seen.runs
        and copy.proplet in delivered
    )


def correct(case: Case, snapshot: Snapshot, now: int) -> None:
    """Ask drifted proplets anew, unless that was done too often."""
    obj = case.held.object
    if not isinstance(obj, Daemon) or obj.drift is not Drift.CORRECT or case.wish.suspended:
        return
    found = _drifted(case, snapshot, now)
    if not found:
        return
    fresh = Corrections(uid=case.uid, generation=case.held.generation)
    row = snapshot.corrections.get(case.uid, fresh)
    row = row if row.generation == fresh.generation else fresh
    if row.flapping:
        return
    times = tuple(at for at in row.times if at > now - WITHIN)
    if len(times) >= MOST:
        note = Note("DriftFlapping", flapping_words(), warning=True)
        row = replace(row, times=times, flapping=True)
        case.actions.append(_action(case, (), row, note))
    elif times and now < times[-1] + APART:
        for proplet in found:
            case.wake(times[-1] + APART, proplet)
    else:
        note = Note("DriftCorrected", f"asked anew: {', '.join(found[:3])}", warning=True)
        row = replace(row, times=(*times, now))
        case.actions.append(_action(case, tuple(found), row, note))


def _action(case: Case, proplets: tuple[PropletId, ...], row: Corrections, note: Note) -> Correct:
    return Correct(uid=case.uid, key=case.key, proplets=proplets, corrections=row, notes=(note,))


def _drifted(case: Case, snapshot: Snapshot, now: int) -> list[PropletId]:
    names = case.copies if case.scope is None else case.scope
    moving = {getattr(action, "proplet", "") for action in case.actions}
    found = []
    for proplet in names:
        copy, seen = case.copies.get(proplet), snapshot.proplets.get(proplet)
        if copy is None or seen is None or copy.releasing or proplet in moving:
            continue
        if not drifted(copy, seen, snapshot.delivered):
            continue
        if now < copy.assigned_at + GRACE:
            case.wake(copy.assigned_at + GRACE, proplet)
        else:
            found.append(proplet)
    return sorted(found)


def flapping_words() -> str:
    """Why it is not corrected any more."""
    return (
        f"corrected {MOST} times within an hour; not any more until the spec changes "
        "or `propeller resume` says so"
    )
