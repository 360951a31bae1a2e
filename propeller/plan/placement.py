"""Which proplets a copy may go to, and which of those it goes to.

Called by `planner`. Three questions, each answered once a plan for all proplets that look alike:
may this object be there at all (`Stand`), is there room (`Loads`), which of several is best
(`choose`). Never moves anything by itself and never looks at what a run is doing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from propeller.model.ids import PropletId, Uid
from propeller.model.module import Module
from propeller.model.seen import Seen
from propeller.model.specs import Modular, Workload
from propeller.model.versions import Phase
from propeller.model.withheld import Withheld
from propeller.plan.fit import NOT_HEARD, fit, lacks_box, memory_need, size_text
from propeller.plan.types import Snapshot

NO_ROOM = "no room: "
"""How every reason begins that another object's end can lift."""

OUT = ("does not match", "is quarantined", "is not declared")
"""How every reason begins for which a proplet is not a matter of fitting at all."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What one object is to proplets of one look.

    out: why it may not be there at all, "" when it may. unfit: why they cannot run it, None when
    they can. settled: a copy there has no reason to leave. open: a new copy may come.
    """

    out: str
    cordoned: bool
    draining: bool
    unfit: str | None

    @property
    def settled(self) -> bool:
        return not self.out and not self.draining and self.unfit in (None, NOT_HEARD)

    @property
    def open(self) -> bool:
        return not self.out and not self.cordoned and not self.draining and self.unfit is None


class Looks:
    """Proplets by what placement reads of them, so that equal ones are judged once.

    A pure cache: it may be kept from plan to plan, and a new one gives the same plans.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], int] = {}
        self._of: dict[PropletId, tuple[Seen, int]] = {}
        self.examples: list[Seen] = []

    def of(self, proplet: PropletId, seen: Seen) -> int:
        """The number of this proplet's look."""
        known = self._of.get(proplet)
        if known is not None:
            before, number = known
            if before is seen:
                return number
            if (
                before.labels is seen.labels
                and before.facts is seen.facts
                and before.declared == seen.declared
                and before.quarantine == seen.quarantine
                and before.cordoned == seen.cordoned
                and before.draining == seen.draining
                and before.memory == seen.memory
                and before.box == seen.box
            ):
                self._of[proplet] = (seen, number)
                return number
        number = self._number(seen)
        self._of[proplet] = (seen, number)
        return number

    def _number(self, seen: Seen) -> int:
        facts = seen.facts
        look = (
            frozenset(seen.labels.items()),
            seen.declared,
            seen.quarantine,
            seen.cordoned,
            seen.draining,
            memory_of(seen),
            bool(seen.box.believed) or seen.box.trouble,
            facts is not None
            and (facts.components, facts.max_module, facts.imports, facts.mounts, facts.points),
        )
        number = self._numbers.get(look)
        if number is None:
            number = self._numbers[look] = len(self.examples)
            self.examples.append(seen)
        return number


class Standing:
    """How one object stands to every look, worked out when first asked."""

    def __init__(
        self, obj: Workload, module: Module | None, looks: Looks, discovery: Collection[str]
    ) -> None:
        self._obj = obj
        self._module = module
        self._looks = looks
        self._discovers = obj.meta.app in discovery
        self._known: dict[int, Stand] = {}

    def of(self, proplet: PropletId, seen: Seen) -> Stand:
        """See `Stand`. Names pinned in the placement are not its business."""
        return self.to(self._looks.of(proplet, seen))

    def to(self, look: int) -> Stand:
        """The same by the number of the look."""
        stand = self._known.get(look)
        if stand is None:
            stand = self._known[look] = self._judge(self._looks.examples[look])
        return stand

    def _judge(self, seen: Seen) -> Stand:
        return Stand(
            out=self._out(seen),
            cordoned=seen.cordoned,
            draining=seen.draining,
            unfit=None
            if self._module is None
            else fit(self._obj, self._module, seen.facts, memory_of(seen))
            or lacks_box(self._obj, seen.box),
        )

    def _out(self, seen: Seen) -> str:
        if not self._obj.placement.selector.matches(seen.labels):
            return "does not match the selector"
        if seen.quarantine:
            return f"is quarantined ({seen.quarantine})"
        if not seen.declared and not self._discovers:
            return f"is not declared, and App {self._obj.meta.app} does not use discovered ones"
        return ""


def memory_of(seen: Seen) -> int | None:
    """Bytes for guests: as resolved from spec and holds, else what hello said; None unknown."""
    if seen.memory is not None:
        return seen.memory
    return seen.facts.memory or None if seen.facts is not None else None


def slots_of(seen: Seen) -> int | None:
    """How many tasks it takes at once; None unknown."""
    if seen.tasks is not None:
        return seen.tasks
    return seen.facts.tasks or None if seen.facts is not None else None


class Loads:
    """What every proplet is busy with: copies that have not ended, those being released included.

    Counted when first asked, from the snapshot less what this plan has found gone; `take` adds
    what this plan puts there.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        gone: Collection[tuple[Uid, PropletId]],
        waiting: Callable[[Uid], Withheld | None],
    ) -> None:
        """waiting: what an object is instead of what it says, while an edit waits for a window."""
        self._snapshot = snapshot
        self._gone = gone
        self._waiting = waiting
        self._holders = snapshot.holders
        self._of: dict[PropletId, dict[Uid, int]] = {}
        self._needs: dict[Uid, int] = {}
        self._kept: dict[PropletId, str] = {}
        self._leaving: dict[PropletId, set[Uid]] = {}

    def need(self, uid: Uid) -> int:
        """Bytes one copy of this object takes."""
        need = self._needs.get(uid)
        if need is None:
            need = self._needs[uid] = self._need(uid)
        return need

    def _need(self, uid: Uid) -> int:
        waiting = self._waiting(uid)
        held = self._snapshot.objects.get(uid) if waiting is None else waiting.held
        if held is None or not isinstance(held.object, Modular):
            return 0
        course = self._snapshot.courses.get(uid)
        if course is not None and course.good is not None:
            good = memory_need(course.good.object, course.good.module)
            if course.phase is Phase.ROLLED_BACK:
                return good
        else:
            good = 0
        module = self._snapshot.modules.get(held.object.module)
        if waiting is not None and waiting.module is not None:
            module = waiting.module
        return max(good, memory_need(held.object, module if isinstance(module, Module) else None))

    def tasks(self, proplet: PropletId) -> int:
        """How many copies keep it busy."""
        return len(self._load(proplet))

    def room(self, uid: Uid, seen: Seen) -> str:
        """Why a copy of `uid` has no room there, "" when it has (the one it has is no obstacle)."""
        load = self._load(seen.id)
        kept = self._kept.get(seen.id)
        if uid in load:
            if kept is None or not self._lacks(uid, seen, load):
                return ""
            return f"{NO_ROOM}it is kept for {kept}"
        lacks = self._lacks(uid, seen, load)
        return f"{lacks}; some is kept for {kept}" if lacks and kept is not None else lacks

    def room_without(self, uid: Uid, seen: Seen, others: Collection[Uid]) -> str:
        """Why a copy of `uid` would have no room there once these and all that are leaving are
        gone, "" when it would."""
        leaving = self._leaving_from(seen.id)
        load = {
            one: need
            for one, need in self._load(seen.id).items()
            if one not in leaving and one not in others
        }
        return self._lacks(uid, seen, load)

    def _lacks(self, uid: Uid, seen: Seen, load: Mapping[Uid, int]) -> str:
        """Why a copy has no room beside the others of `load`, "" when it has."""
        slots = slots_of(seen)
        if slots is not None and len(load) - (uid in load) >= slots:
            return f"{NO_ROOM}all {slots} task slots are taken"
        memory, need = memory_of(seen), self.need(uid)
        if memory is not None:
            free = memory - sum(load.values()) + load.get(uid, 0)
            if need > free:
                return (
                    f"{NO_ROOM}needs {size_text(need)}, "
                    f"{size_text(max(free, 0))} of {size_text(memory)} is free"
                )
        return ""

    def keep(self, uid: Uid, proplet: PropletId, whose: str) -> None:
        """Room is being made there for a copy of `uid`: nobody after it gets that."""
        self.take(uid, proplet)
        self._kept[proplet] = whose

    def leave(self, uid: Uid, proplet: PropletId) -> None:
        """This plan takes a copy off."""
        self._leaving_from(proplet).add(uid)

    def staying(self, proplet: PropletId) -> list[Uid]:
        """Whose copies are there, those left out that are leaving or that this plan puts there."""
        leaving = self._leaving_from(proplet)
        return [
            uid
            for uid in self._load(proplet)
            if uid not in leaving and proplet in self._snapshot.assignments.get(uid, {})
        ]

    def _leaving_from(self, proplet: PropletId) -> set[Uid]:
        found = self._leaving.get(proplet)
        if found is None:
            found = self._leaving[proplet] = {
                uid
                for uid in self._load(proplet)
                if (copy := self._snapshot.assignments.get(uid, {}).get(proplet)) is not None
                and copy.releasing
            }
        return found

    def take(self, uid: Uid, proplet: PropletId) -> None:
        """This plan puts a copy there."""
        self._load(proplet)[uid] = self.need(uid)

    def _load(self, proplet: PropletId) -> dict[Uid, int]:
        load = self._of.get(proplet)
        if load is None:
            load = self._of[proplet] = {
                uid: self.need(uid) for uid in self._uids(proplet) if self._busy(uid, proplet)
            }
        return load

    def _uids(self, proplet: PropletId) -> Collection[Uid]:
        if self._holders is None:
            self._holders = holders_of(self._snapshot)
        return self._holders.get(proplet, ())

    def is_busy(self, uid: Uid, proplet: PropletId) -> bool:
        """Whether the copy that is assigned there has not ended."""
        return self._busy(uid, proplet)

    def _busy(self, uid: Uid, proplet: PropletId) -> bool:
        if (uid, proplet) in self._gone:
            return False
        assignment = self._snapshot.assignments[uid][proplet]
        seen = self._snapshot.proplets.get(proplet)
        run = seen.runs.get((uid, assignment.run)) if seen is not None else None
        return run is None or not run.state.ended


def holders_of(snapshot: Snapshot) -> dict[PropletId, list[Uid]]:
    """The assignments by proplet."""
    holders: dict[PropletId, list[Uid]] = {}
    for uid, copies in snapshot.assignments.items():
        for proplet in copies:
            holders.setdefault(proplet, []).append(uid)
    return holders


def rendezvous(uid: Uid, proplet: PropletId) -> bytes:
    """Breaks ties: always the same way for one object, evenly over all of them."""
    return hashlib.blake2b(f"{uid}/{proplet}".encode(), digest_size=8).digest()


def choose(
    count: int,
    candidates: Iterable[Seen],
    *,
    uid: Uid,
    zone_of: Callable[[Seen], str],
    crowd: Mapping[str, int],
    rank: Callable[[Seen], tuple[int, ...]],
) -> list[PropletId]:
    """The best `count` of `candidates` (fewer when there are fewer), best first.

    The zone with the fewest copies comes first (`crowd` says how many it has), then the lowest
    `rank`, then the rendezvous hash.
    """
    zones: dict[str, list[tuple[tuple[int, ...], bytes, PropletId]]] = {}
    for seen in candidates:
        row = (rank(seen), rendezvous(uid, seen.id), seen.id)
        zones.setdefault(zone_of(seen), []).append(row)
    for rows in zones.values():
        rows.sort(reverse=True)
    heads = [(crowd.get(zone, 0), rows[-1], zone) for zone, rows in zones.items()]
    heapq.heapify(heads)
    chosen: list[PropletId] = []
    while heads and len(chosen) < count:
        copies, row, zone = heapq.heappop(heads)
        chosen.append(row[2])
        rows = zones[zone]
        rows.pop()
        if rows:
            heapq.heappush(heads, (copies + 1, rows[-1], zone))
    return chosen
