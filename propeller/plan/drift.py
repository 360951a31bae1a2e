"""Putting right what `findings` tells: asking drifted proplets anew, unless that helps nothing.

Called by `planner` after phase 1, for Daemons. A Task is never corrected: its run may have been,
and is not to be run twice.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.drift import Corrections, Drift
from propeller.model.ids import PropletId
from propeller.model.specs import Daemon
from propeller.plan.cases import Case
from propeller.plan.findings import Finding, find_drift
from propeller.plan.notes import Note
from propeller.plan.types import Correct, Snapshot

APART = 60_000
"""ms between two corrections of one object at least."""

MOST, WITHIN = 10, 3_600_000
"""Corrections of one object within so many ms; then it is flapping."""

SHOWN = 3
"""Proplets named in an event."""


def correct(case: Case, snapshot: Snapshot, now: int) -> None:
    """Ask drifted proplets anew, unless that was done too often."""
    obj = case.held.object
    if not isinstance(obj, Daemon) or obj.drift is Drift.IGNORE or case.wish.suspended:
        return
    found = _drifted(case, snapshot, now)
    if not found or obj.drift is not Drift.CORRECT:
        return
    fresh = Corrections(uid=case.uid, generation=case.held.generation)
    row = snapshot.corrections.get(case.uid, fresh)
    row = row if row.generation == fresh.generation else fresh
    if row.flapping:
        return
    proplets = tuple(dict.fromkeys(one.proplet for one in found))
    times = tuple(at for at in row.times if at > now - WITHIN)
    if len(times) >= MOST:
        note = Note("DriftFlapping", flapping_words(), warning=True)
        row = replace(row, times=times, flapping=True)
        case.actions.append(_action(case, (), row, note))
    elif times and now < times[-1] + APART:
        for proplet in proplets:
            case.wake(times[-1] + APART, proplet)
    else:
        note = Note("DriftCorrected", f"asked anew: {_told(found)}", warning=True)
        row = replace(row, times=(*times, now))
        case.actions.append(_action(case, proplets, row, note))


def _action(case: Case, proplets: tuple[PropletId, ...], row: Corrections, note: Note) -> Correct:
    return Correct(uid=case.uid, key=case.key, proplets=proplets, corrections=row, notes=(note,))


def _drifted(case: Case, snapshot: Snapshot, now: int) -> list[Finding]:
    """All but what this plan moves anyway."""
    findings = find_drift(case.held, snapshot, now, only=case.scope)
    for proplet, due in findings.due.items():
        case.wake(due, proplet)
    if not findings.found:
        return []
    moving = {getattr(action, "proplet", "") for action in case.actions}
    return [one for one in findings.found if one.proplet not in moving]


def _told(found: list[Finding]) -> str:
    more = len(found) - SHOWN
    text = "; ".join(f"{one.proplet} {one.words}" for one in found[:SHOWN])
    return text + (f"; and {more} more" if more > 0 else "")


def flapping_words() -> str:
    """Why it is not corrected any more."""
    return (
        f"corrected {MOST} times within an hour; not any more until the spec changes "
        "or `propeller resume` says so"
    )
