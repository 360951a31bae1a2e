"""Which version each copy of one object is to have now, and who is moved next.

Called by `cases` for objects that have a rollout, or that were rolled back; all others follow their
spec and never come here. Has the members called, asks `rollout` for the arithmetic, and answers a
`Helm` that both phases steer by. The course itself is a row: what becomes of it is an action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from propeller.model.checks import Probe
from propeller.model.ids import Digest, PropletId
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module, Resolved
from propeller.model.rollout import Rollout, Update
from propeller.model.seen import Seen
from propeller.model.specs import Daemon, Task, Workload
from propeller.model.versions import Course, Phase, Version
from propeller.plan.checks import Meter, examine, upcoming
from propeller.plan.fit import lacks_room_for_two
from propeller.plan.lifecycle import Aim, aim
from propeller.plan.members import Roll
from propeller.plan.notes import Note
from propeller.plan.placement import Looks, Standing
from propeller.plan.rollout import (
    Fitness,
    Member,
    accept,
    advance,
    begin,
    due,
    next_moves,
    returning,
    told,
)
from propeller.plan.types import Snapshot
from propeller.plan.versions import graft, usable, version_of
from propeller.plan.windows import Local, local_windows

Everywhere = Callable[[], Iterable[tuple[PropletId, Seen, int]]]


@dataclass(slots=True)
class Helm:
    """How one object is steered in this plan.

    course: as it stands after this plan. wish: what is wanted of copies that have the destination
    or go there. base: of copies that stay with the good version meanwhile, and of new ones; None
    when one version is meant. allowed: proplets whose copy goes to the destination now, or which
    get a new one. fresh: the first version of all is under way, so new copies come in steps too;
    `places` is then how many may be placed anywhere. moving: one report may concern all copies.
    held_back: somebody would be moved if the window were open. local: whose window in device time
    is closed, in words. probes: to be measured outside.
    """

    course: Course
    wish: Aim
    standing: Standing
    base: Aim | None = None
    base_standing: Standing | None = None
    allowed: frozenset[PropletId] = frozenset()
    fresh: bool = False
    places: int = 0
    moving: bool = False
    held_back: bool = False
    local: str = ""
    notes: list[Note] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    _leave: Aim | None = None

    def of(self, copy: Assignment) -> Aim:
        """What is wanted of that copy."""
        if copy.version == self.wish.version or copy.proplet in self.allowed:
            return self.wish
        if self.base is not None and copy.version == self.base.version:
            return self.base
        if self._leave is None:
            self._leave = _left_alone(self.wish)
        return self._leave

    def stands(self, copy: Assignment | None) -> Standing:
        """How what that copy has (a new one gets) stands to proplets."""
        if self.base is None or self.base_standing is None:
            return self.standing
        if copy is None or self.of(copy) is self.base:
            return self.base_standing
        return self.standing

    @property
    def joining(self) -> Aim:
        """What is wanted of a new copy: the newest version that was accepted, if there is one."""
        return self.base if self.base is not None else self.wish


def is_steered(held: Held, snapshot: Snapshot) -> bool:
    """Whether a version is chosen for the copies of this object."""
    obj = held.object
    if not isinstance(obj, Task | Daemon):
        return False
    if obj.rollout is not None:
        return True
    course = snapshot.courses.get(held.uid)
    return course is not None and bool(course.rejected)


def steer(
    held: Held,
    resolved: Resolved | None,
    snapshot: Snapshot,
    *,
    looks: Looks,
    everywhere: Everywhere,
    now: int,
    closed: bool = False,
) -> Helm | None:
    """The helm of an object that `is_steered`; None where it follows its spec after all.

    closed: its window is; nobody is given a version then, except to get away from a rejected one.
    While its module is not at hand the course stands still and every copy stays as it is.
    """
    local = local_windows(held, snapshot, now)
    chart = _Chart(held, snapshot, looks, now, closed=closed, local=local)
    helm = _steered(chart, held, resolved, everywhere)
    if helm is not None and local is not None:
        helm.local = local.words()
        if local.opens is not None:
            helm.due.append(local.opens)
    return helm


def _steered(
    chart: _Chart, held: Held, resolved: Resolved | None, everywhere: Everywhere
) -> Helm | None:
    snapshot, looks, now = chart.snapshot, chart.looks, chart.now
    head = chart.head
    course = _kept(snapshot.courses.get(held.uid, Course(uid=held.uid)), head)
    if not isinstance(resolved, Module):
        wish = aim(held, resolved, chart.copies, now, snapshot.secrets)
        return Helm(course, wish, Standing(head, None, looks, snapshot.policy.discovery_apps))
    wanted = version_of(held, resolved)
    rejection, good = course.rejection(wanted.digest), course.good
    if rejection is not None and good is not None:
        if course.phase is not Phase.ROLLED_BACK or course.target_digest != wanted.digest:
            course = replace(
                course,
                target=wanted,
                phase=Phase.ROLLED_BACK,
                step=0,
                since=now,
                why=rejection.why,
                by=rejection.by,
            )
        return chart.settled(course, good)
    if head.rollout is None:
        return None
    if good is not None and good.digest == wanted.digest:
        return chart.settled(ended(course, now), good)
    return chart.under_way(course, wanted, head.rollout, everywhere)


def ended(course: Course, now: int) -> Course:
    """The course of an object that follows its spec again: what was rejected stays remembered."""
    if course.phase is Phase.SETTLED:
        return course
    return replace(course, target=None, phase=Phase.SETTLED, step=0, since=now, why="", by="")


def _kept(course: Course, head: Workload) -> Course:
    """Without versions of another kind of object."""
    good = course.good if usable(course.good, head) else None
    target = course.target if usable(course.target, head) else None
    if good is course.good and target is course.target:
        return course
    return replace(course, good=good, target=target)


def _left_alone(wish: Aim) -> Aim:
    """Of a copy whose version nobody wants any more, until it is its turn."""
    return Aim(
        held=wish.held,
        obj=wish.obj,
        base=wish.base,
        starts=False,
        suspended=wish.suspended,
        digest=None,
        blocked=wish.blocked,
        why_blocked=wish.why_blocked,
    )


class _Chart:
    """What the course of one object is worked out from."""

    def __init__(
        self,
        held: Held,
        snapshot: Snapshot,
        looks: Looks,
        now: int,
        *,
        closed: bool,
        local: Local | None,
    ) -> None:
        head = held.object
        assert isinstance(head, Task | Daemon)
        self.head: Workload = head
        self.held, self.snapshot, self.looks, self.now = held, snapshot, looks, now
        self.closed = closed
        self.local = local
        self.copies: Mapping[PropletId, Assignment] = snapshot.assignments.get(held.uid, {})
        placement = head.placement
        self.widely = placement.per_proplet or bool(placement.proplets)

    def settled(self, course: Course, good: Version) -> Helm:
        """One version is meant, and copies that have another go to it."""
        wish, standing = self._aim(good)
        helm = Helm(course, wish, standing)
        helm.moving = any(
            copy.version != good.digest and not copy.releasing for copy in self.copies.values()
        )
        if helm.moving and wish.suspended is None:
            members = self._roll(standing).call(good.digest, None)
            moves = returning(self.head.rollout, members, good.digest)
            if course.phase is not Phase.ROLLED_BACK:
                if self.closed:
                    helm.held_back, moves = bool(moves), []
                elif self.local is not None:
                    self._hold(one.proplet for one in moves)
                    moves = [one for one in moves if not self.local.shut(one.proplet)]
            helm.allowed = frozenset(one.proplet for one in moves)
        return helm

    def under_way(
        self, course: Course, target: Version, rollout: Rollout, everywhere: Everywhere
    ) -> Helm:
        """Two versions are meant at once, or the first one of all comes in steps."""
        wish, standing = self._aim(target)
        if wish.suspended is not None:
            return Helm(course, wish, standing)
        roll = self._roll(standing)
        fresh = course.good is None
        missing = roll.missing(everywhere()) if fresh and self.widely else []
        members = roll.call(target.digest, rollout, missing)
        if fresh and not self.widely:
            members += self._unplaced()
        notes: list[Note] = []
        if course.target_digest != target.digest or not course.phase.under_way:
            idle = not self.widely and self.head.placement.replicas == 0
            if (members or idle) and _is_there_already(members, target.digest):
                return self.settled(accept(replace(course, target=target), self.now), target)
            course, note = begin(course, target, rollout, members, self.now)
            notes.append(note)
            if course.good is not None and rollout.update is Update.HAND_OVER:
                notes += self._cramped(course.good, target, members)
        moves: list[Member] = []
        held_back = False
        meter = Meter(
            wish.obj, self.copies, self.snapshot, members, target.digest, since=course.since
        )
        readings = self.snapshot.readings.get(course.uid, {})
        checked = examine(course, rollout, meter, readings, self.now)
        course = checked.course
        while True:
            course, more = advance(course, rollout, members, now=self.now, can_return=not fresh)
            notes += more
            if not course.phase.under_way:
                assert course.good is not None
                helm = self.settled(course, course.good)
                helm.notes = notes
                return helm
            # What is moved now counts from now on: with `success` below 100 % the step may be good
            # with these still on their way.
            more_moves = self._moves(course, rollout, members)
            if self.closed:
                held_back, more_moves = bool(more_moves), []
            if not more_moves:
                break
            moves += more_moves
            if rollout.deadline is not None:
                course = replace(course, since=self.now)
            members = _after(members, more_moves, target.digest)
        helm = Helm(course, wish, standing, fresh=fresh, moving=True, notes=notes)
        helm.held_back = held_back
        helm.allowed = frozenset(one.proplet for one in moves if one.proplet)
        helm.places = sum(1 for one in moves if not one.proplet)
        helm.probes = checked.probes
        later = (due(course, rollout), *roll.waits, *upcoming(course, rollout))
        helm.due = [at for at in later if at is not None and at > self.now]
        if course.good is not None:
            helm.base, helm.base_standing = self._aim(course.good)
        return helm

    def _moves(self, course: Course, rollout: Rollout, members: list[Member]) -> list[Member]:
        moves = next_moves(course, rollout, members)
        if self.local is None or self.closed:
            return moves
        open_ones = next_moves(course, rollout, members, self.local.shut)
        if not open_ones:
            self._hold(one.proplet for one in moves)
        return open_ones

    def _hold(self, proplets: Iterable[PropletId]) -> None:
        """Note whose window, in its own time, keeps it from a version now."""
        assert self.local is not None
        for proplet in proplets:
            if proplet and self.local.shut(proplet):
                self.local.hold(proplet)

    def _roll(self, standing: Standing) -> Roll:
        return Roll(self.head, self.copies, self.snapshot, standing, self.now)

    def _aim(self, version: Version) -> tuple[Aim, Standing]:
        obj = graft(self.head, version)
        held = replace(self.held, object=obj)
        wish = aim(held, version.module, self.copies, self.now, self.snapshot.secrets)
        wish.version = version.digest
        apps = self.snapshot.policy.discovery_apps
        return wish, Standing(obj, version.module, self.looks, apps)

    def _cramped(self, good: Version, target: Version, members: list[Member]) -> list[Note]:
        """What is told of devices that cannot hold two copies at once; they stop the old one."""
        old, new = (good.object, good.module), (target.object, target.module)
        lacking = []
        for one in members:
            seen = self.snapshot.proplets.get(one.proplet)
            if seen is None or one.missing:
                continue
            why = lacks_room_for_two(old, new, seen.memory, seen.tasks or 0)
            if why is not None:
                lacking.append(f"{one.proplet}: {why}")
        if not lacking:
            return []
        words = (
            f"{len(lacking)} of {len(members)} copies cannot be handed over, their old one is "
            f"stopped first: {told(lacking)}"
        )
        return [Note("NoRoomForTwo", words, warning=True)]

    def _unplaced(self) -> list[Member]:
        """The places of a number of copies that are nowhere yet."""
        placed = sum(1 for copy in self.copies.values() if not copy.releasing)
        count = self.head.placement.replicas - placed
        return [Member(missing=True, order=b"\xff")] * max(0, count)


def _after(members: list[Member], moves: list[Member], target: Digest) -> list[Member]:
    """The members once these were given the target."""
    moved = {id(one) for one in moves}
    places = sum(1 for one in moves if not one.proplet)
    after = []
    for one in members:
        if not one.proplet:
            takes, places = places > 0, places - 1
        else:
            takes = id(one) in moved
        if takes:
            one = replace(  # noqa: PLW2901 - the same member a moment later
                one, version=target, fitness=Fitness.PENDING, missing=False
            )
        after.append(one)
    return after


def _is_there_already(members: list[Member], target: Digest) -> bool:
    """Nothing to stage: every copy has that version and none is on its way, or none is wanted."""
    return all(one.version == target and one.fitness is Fitness.READY for one in members)
