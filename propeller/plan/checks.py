"""How measurements judge a step of a rollout: what is due, what it means, what to ask outside.

Called by `helm` and `rollout` while a step soaks, or waits because a check was inconclusive. Pure:
a measurement of the fleet is taken from the snapshot, one from outside is asked for as a `Probe`
and comes back as a `Reading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext

from propeller.model.checks import (
    Check,
    Http,
    Metric,
    Over,
    Probe,
    Prometheus,
    Reading,
    RunFact,
    Source,
    Verdict,
    number,
)
from propeller.model.ids import Digest, PropletId, Uid
from propeller.model.inventory import Assignment
from propeller.model.rollout import Rollout
from propeller.model.seen import Seen, SeenRun
from propeller.model.specs import Daemon, Workload
from propeller.model.versions import Course, Phase
from propeller.plan.rollout import Fitness, Member
from propeller.plan.types import Snapshot
from propeller.plan.verdicts import counted, tally_of, verdict

ALONE = "no copy is left to compare with"


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads the facts of the fleet for one object. members: those that steps are a share of."""

    obj: Workload
    copies: Mapping[PropletId, Assignment]
    snapshot: Snapshot
    members: Iterable[Member]
    target: Digest
    since: int

    @property
    def uid(self) -> Uid:
        return self.obj.meta.uid

    def read(self, check: Check) -> tuple[Decimal | None, str]:
        """The value now, or why there is none (`ALONE`: there is nothing to compare with)."""
        mine: list[Decimal] = []
        others: list[Decimal] = []
        silent = 0
        for one in self.members:
            if not one.counted or one.missing or not one.proplet:
                continue
            new = one.version == self.target
            value = self._of(check.source, one.proplet)
            if value is not None and (new or one.fitness is Fitness.READY):
                (mine if new else others).append(value)
            elif new:
                silent += 1
        if not mine:
            return None, f"none of {silent} copies has told it"
        value = _over(check.over, mine)
        if not check.others:
            return value, f"{_shown(value)} ({check.over.value.lower()} of {len(mine)} copies)"
        if not any(not one.missing and one.version != self.target for one in self.members):
            return None, ALONE
        if not others:
            return None, "none of the copies to compare with has told it"
        base = _over(check.over, others)
        if base == 0:
            return (
                (Decimal(100), "0, like the others")
                if value == 0
                else (
                    None,
                    f"{_shown(value)}, and the others have 0: that is no percentage",
                )
            )
        with localcontext() as context:
            context.prec = 30
            percent = value * 100 / base
        words = f"{_shown(percent)}% of the others ({_shown(value)}, they have {_shown(base)})"
        return percent, words

    def _of(self, source: Source, proplet: PropletId) -> Decimal | None:
        seen = self.snapshot.proplets.get(proplet)
        copy = self.copies.get(proplet)
        if seen is None or copy is None:
            return None
        match source:
            case Metric(name):
                return _metric(seen, name, self.since)
            case RunFact():
                run = seen.runs.get((copy.uid, copy.run))
                return None if run is None else self._fact(source, copy, run)
            case _:
                return None

    def _fact(self, fact: RunFact, copy: Assignment, run: SeenRun) -> Decimal | None:
        match fact:
            case RunFact.RESTARTS:
                return Decimal(run.restarts)
            case RunFact.RESULT:
                return None if run.result is None else number(run.result)
            case RunFact.TIME_TO_READY:
                if not run.ready:
                    return None
                ready = run.ended
                if isinstance(self.obj, Daemon):
                    ready = run.started + self.obj.ready_after
                return Decimal(max(0, ready - copy.assigned_at))


def _metric(seen: Seen, name: str, since: int) -> Decimal | None:
    if seen.metrics_at < since or name not in seen.metrics:
        return None
    return Decimal(seen.metrics[name])


def _over(over: Over, values: list[Decimal]) -> Decimal:
    match over:
        case Over.MEAN:
            return sum(values, Decimal(0)) / len(values)
        case Over.MAX:
            return max(values)
        case Over.MIN:
            return min(values)


def _shown(value: Decimal) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text if text not in ("", "-0") else "0"


@dataclass(slots=True)
class Examined:
    """A course with what was due measured, and what is to be measured outside."""

    course: Course
    probes: list[Probe] = field(default_factory=list)


def examine(
    course: Course, rollout: Rollout, meter: Meter, readings: Mapping[str, Reading], now: int
) -> Examined:
    """Measure what is due of every check that has not come to an end."""
    found = Examined(course)
    if not rollout.checks or not (course.phase is Phase.SOAK or course.unclear):
        return found
    tallies = []
    for check in rollout.checks:
        tally = tally_of(course, check)
        slot = tally.last + check.interval
        if verdict(check, tally) is Verdict.RUNNING and now >= slot:
            got = _measured(check, slot, meter, readings)
            if isinstance(got, Probe):
                found.probes.append(got)
            elif got == (None, ALONE):
                tally = replace(tally, last=now, successful=check.count, said=ALONE)
            else:
                tally = counted(check, tally, *got, now)
        tallies.append(tally)
    if any(one.taken for one in tallies) and tuple(tallies) != course.checks:
        found.course = replace(course, checks=tuple(tallies))
    return found


def _measured(
    check: Check, slot: int, meter: Meter, readings: Mapping[str, Reading]
) -> tuple[Decimal | None, str] | Probe:
    """The value and its words, or what has to be asked outside first."""
    match check.source:
        case Prometheus() | Http():
            reading = readings.get(check.name)
            if reading is None or reading.slot != slot:
                return Probe(meter.uid, check.name, slot, check.source)
            return reading.value, reading.words
        case _:
            return meter.read(check)


def upcoming(course: Course, rollout: Rollout) -> list[int]:
    """When the next measurements are due (Unix ms)."""
    if not (course.phase is Phase.SOAK or course.unclear):
        return []
    tallies = [(check, tally_of(course, check)) for check in rollout.checks]
    return [
        tally.last + check.interval
        for check, tally in tallies
        if verdict(check, tally) is Verdict.RUNNING
    ]
