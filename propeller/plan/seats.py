"""The copies of a FederatedTask: invitations become assignments, what no round wants is taken back.

Called by `federated` with what the round wants. A copy that has ended stays until something follows
it, which is one document fewer for its device; an open one that is not wanted is stopped at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from propeller.model.ids import PropletId
from propeller.model.inventory import Assignment, Held
from propeller.model.rounds import Bucket, Part
from propeller.plan.cases import NO_COPIES
from propeller.plan.survey import confirmed
from propeller.plan.types import Action, Assign, Gone, Release, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """wanted: who has a part in what goes on now. open: a round goes on. patient: what has ended
    may stay, for something follows soon."""

    wanted: Mapping[PropletId, Part] = field(default_factory=dict)
    open: bool = False
    patient: bool = False


def tidy(held: Held, snapshot: Snapshot, actions: list[Action]) -> set[PropletId]:
    """What was taken back and is known to be gone leaves the inventory. Whose that is."""
    gone = set()
    for proplet, copy in sorted(snapshot.assignments.get(held.uid, NO_COPIES).items()):
        why = confirmed(copy, snapshot) if copy.releasing else ""
        if not why and proplet not in snapshot.proplets:
            why = "its proplet was forgotten"
        if why:
            gone.add(proplet)
            actions.append(
                Gone(uid=held.uid, key=held.object.meta.key, proplet=proplet, reason=why)
            )
    return gone


def place(
    held: Held,
    snapshot: Snapshot,
    seats: Seats,
    gone: set[PropletId],
    actions: list[Action],
) -> None:
    """Assign who is wanted and has not ended; release who is not."""
    uid, key = held.uid, held.object.meta.key
    copies = snapshot.assignments.get(uid, NO_COPIES)
    for proplet, part in sorted(seats.wanted.items()):
        copy = copies.get(proplet) if proplet not in gone else None
        settled = copy is not None and copy.run == part.run and not copy.releasing
        if settled or part.bucket is not Bucket.OPEN:
            continue
        actions.append(
            Assign(
                uid=uid,
                key=key,
                proplet=proplet,
                run=part.run,
                cause=part.cause,
                attempt=part.tries,
                reason="invited" if part.tries == 1 else f"try {part.tries}",
            )
        )
    reason = "the round goes on without it" if seats.open else "no round wants it"
    for proplet, copy in sorted(copies.items()):
        if proplet in seats.wanted or proplet in gone or copy.releasing:
            continue
        if seats.patient and _has_ended(copy, snapshot):
            continue
        actions.append(Release(uid=uid, key=key, proplet=proplet, reason=reason))


def _has_ended(copy: Assignment, snapshot: Snapshot) -> bool:
    seen = snapshot.proplets.get(copy.proplet)
    run = seen.runs.get((copy.uid, copy.run)) if seen is not None else None
    return run is not None and run.state.ended
