"""The copies of one object as a rollout sees them: what each has, how it does, whether it counts.

Called by `helm` to decide and by `progress` to tell. Decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from propeller.model.ids import Digest, PropletId
from propeller.model.inventory import Assignment
from propeller.model.rollout import OfflinePolicy, Rollout
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.model.specs import Daemon, Task, Workload
from propeller.plan.fit import NOT_HEARD
from propeller.plan.placement import Stand, Standing, rendezvous
from propeller.plan.rollout import Fitness, Member
from propeller.plan.tally import how_it_ended
from propeller.plan.types import Snapshot

BAD_DAEMON = frozenset({RunState.FAILED, RunState.REFUSED, RunState.INTERRUPTED, RunState.BACK_OFF})


@dataclass(slots=True)
class Roll:
    """Calls the members of one object. waits: when the same facts count differently (Unix ms)."""

    obj: Workload
    copies: Mapping[PropletId, Assignment]
    snapshot: Snapshot
    standing: Standing
    now: int
    waits: list[int] = field(default_factory=list)

    def call(
        self, target: Digest, rollout: Rollout | None, missing: Iterable[PropletId] = ()
    ) -> list[Member]:
        """Those that have or can have `target`, and the places of `missing` copies.

        rollout: None counts everybody, wherever it is.
        """
        members = []
        for proplet, copy in self.copies.items():
            seen = self.snapshot.proplets.get(proplet)
            if copy.releasing or seen is None:
                continue
            has = copy.version == target
            if not self._takes_part(copy, seen, has=has):
                continue
            fitness, why = self._fitness(copy, seen)
            members.append(
                Member(
                    proplet=proplet,
                    version=copy.version,
                    fitness=fitness,
                    why=why,
                    silent=seen.presence is not Presence.ONLINE,
                    counted=self._counts(seen, rollout, has=has),
                    order=rendezvous(copy.uid, proplet),
                )
            )
        for proplet in missing:
            seen = self.snapshot.proplets[proplet]
            members.append(
                Member(
                    proplet=proplet,
                    silent=seen.presence is not Presence.ONLINE,
                    counted=self._counts(seen, rollout, has=False),
                    missing=True,
                    order=rendezvous(self.obj.meta.uid, proplet),
                )
            )
        return members

    def missing(self, everywhere: Iterable[tuple[PropletId, Seen, int]]) -> list[PropletId]:
        """Proplets that should have a copy and have none (of an object that says where)."""
        names = self.obj.placement.proplets
        found = []
        for proplet, _, look in everywhere:
            if names and proplet not in names:
                continue
            copy = self.copies.get(proplet)
            if (copy is None or copy.releasing) and self.standing.to(look).open:
                found.append(proplet)
        return found

    def _takes_part(self, copy: Assignment, seen: Seen, *, has: bool) -> bool:
        """A copy that leaves anyway, or cannot have the target, is no part of a rollout."""
        names = self.obj.placement.proplets
        stand: Stand = self.standing.of(copy.proplet, seen)
        if stand.out or stand.draining or (names and copy.proplet not in names):
            return False
        if has:
            return True
        if stand.unfit is not None and stand.unfit != NOT_HEARD:
            return False
        run = seen.runs.get((copy.uid, copy.run))
        ended = run is not None and run.state.ended
        return not (isinstance(self.obj, Task) and ended and stand.cordoned)

    def _fitness(self, copy: Assignment, seen: Seen) -> tuple[Fitness, str]:
        run = seen.runs.get((copy.uid, copy.run))
        if run is None:
            return Fitness.PENDING, ""
        match self.obj:
            case Task():
                return _of_task(self.obj, copy, run)
            case Daemon():
                if not self.snapshot.current(copy, run):
                    return Fitness.PENDING, ""
                return _of_daemon(run, online=seen.presence is Presence.ONLINE)

    def _counts(self, seen: Seen, rollout: Rollout | None, *, has: bool) -> bool:
        if rollout is None or seen.presence is Presence.ONLINE:
            return True
        match rollout.offline:
            case OfflinePolicy.COUNT:
                return True
            case OfflinePolicy.EXCLUDE:
                return has  # it may be the version that took it off the network
            case OfflinePolicy.EXCLUDE_AFTER:
                if seen.offline_since is None:
                    return False
                until = seen.offline_since + rollout.offline_after
                if until > self.now:
                    self.waits.append(until)
                return until > self.now


def _of_task(task: Task, copy: Assignment, run: SeenRun) -> tuple[Fitness, str]:
    if run.state is RunState.SUCCEEDED:
        return Fitness.READY, ""
    again = run.state is not RunState.REFUSED and copy.attempt <= task.retries.limit
    if not run.state.ended or again:
        return Fitness.PENDING, ""
    return Fitness.BAD, how_it_ended(run)


def _of_daemon(run: SeenRun, *, online: bool) -> tuple[Fitness, str]:
    if run.state in BAD_DAEMON:
        backing_off = run.state is RunState.BACK_OFF
        return Fitness.BAD, (run.error or "ended") if backing_off else how_it_ended(run)
    if run.state is RunState.SUCCEEDED:
        return Fitness.BAD, "ended"  # a Daemon is to stay
    good = run.state is RunState.RUNNING and run.ready and online
    return (Fitness.READY if good else Fitness.PENDING), ""
