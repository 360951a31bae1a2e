"""Making room for what matters more: which copies of less important objects have to go.

Called by `filling` for an object whose `placement.preemption` allows it, once no proplet has room
for a copy that is missing. Pure, and stable: room that is being made already is waited for before
any more is made, and it is kept for whom it was made (`Loads.keep`), so nothing goes back there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from propeller.model.ids import Key, PropletId, Uid
from propeller.model.specs import Daemon, Task
from propeller.plan.cases import Case, Grounds
from propeller.plan.placement import Loads, rendezvous
from propeller.plan.types import Release, Snapshot

NEVER = -(1 << 31)
"""Below every priority."""


@dataclass(frozen=True, slots=True, order=True)
class _Choice:
    """A proplet and who has to leave it. worst: the highest priority among those; NEVER: nobody."""

    worst: int
    count: int
    tie: bytes
    proplet: PropletId
    victims: tuple[Uid, ...]


def make_room(
    case: Case, count: int, full: Iterable[PropletId], loads: Loads, grounds: Grounds
) -> list[PropletId]:
    """Where room is being made for up to `count` copies, releasing what has to go. full: proplets
    that could run one and lack nothing but room."""
    if grounds.snapshot.policy.no_moves:
        return []
    choices = sorted(
        choice
        for proplet in full
        if (choice := _choice(case, proplet, loads, grounds.snapshot)) is not None
    )
    chosen = choices[:count]
    for one in chosen:
        loads.keep(case.uid, one.proplet, f"{case.key} (priority {_of(case)})")
        for uid in one.victims:
            loads.leave(uid, one.proplet)
            victim = grounds.snapshot.objects[uid].object.meta.key
            case.actions.append(_release(case, uid, victim, one.proplet))
    return [one.proplet for one in chosen]


def _release(case: Case, uid: Uid, victim: Key, proplet: PropletId) -> Release:
    reason = f"makes room for {case.key}, whose priority is {_of(case)}"
    return Release(uid=uid, key=victim, proplet=proplet, reason=reason, preempted=True)


def _of(case: Case) -> int:
    return case.wish.obj.placement.priority


def _choice(case: Case, proplet: PropletId, loads: Loads, snapshot: Snapshot) -> _Choice | None:
    seen, mine = snapshot.proplets[proplet], _of(case)
    tie = rendezvous(case.uid, proplet)
    if not loads.room_without(case.uid, seen, ()):
        return _Choice(NEVER, 0, tie, proplet, ())
    lower = sorted(_lower(proplet, mine, loads, snapshot))
    going: list[tuple[int, Key, Uid]] = []
    for one in lower:
        going.append(one)
        if not loads.room_without(case.uid, seen, _uids(going)):
            break
    else:
        return None
    for one in reversed(going[:-1]):  # whoever turns out not to be in the way stays
        fewer = [other for other in going if other is not one]
        if not loads.room_without(case.uid, seen, _uids(fewer)):
            going = fewer
    return _Choice(going[-1][0], len(going), tie, proplet, tuple(one[2] for one in going))


def _uids(rows: Iterable[tuple[int, Key, Uid]]) -> Collection[Uid]:
    return {uid for _, _, uid in rows}


def _lower(
    proplet: PropletId, priority: int, loads: Loads, snapshot: Snapshot
) -> Iterable[tuple[int, Key, Uid]]:
    """Copies there that count for less and may be taken off: rounds of learning may not."""
    for uid in loads.staying(proplet):
        held = snapshot.objects.get(uid)
        if held is None or held.deleted_at is not None:
            continue
        thing = held.object
        if isinstance(thing, Task | Daemon) and thing.placement.priority < priority:
            yield thing.placement.priority, thing.meta.key, uid
