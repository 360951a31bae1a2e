"""How far the versions of one object are: numbers and words for its status.

Called by `conditions` and by the projection. Decides nothing; `helm` has decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.checks import Tally, Verdict
from propeller.model.conditions import ConditionStatus, moment
from propeller.model.inventory import Held
from propeller.model.specs import Daemon, Task
from propeller.model.versions import Course, Phase, Version
from propeller.plan.lifecycle import suspension
from propeller.plan.members import Roll
from propeller.plan.placement import Looks, Standing
from propeller.plan.rollout import due, score, step_words
from propeller.plan.types import Snapshot
from propeller.plan.verdicts import judged
from propeller.plan.versions import graft, short, usable

UNKNOWN, FALSE = ConditionStatus.UNKNOWN, ConditionStatus.FALSE

SHOWN = 5
"""Rejected versions shown in a status, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of the copies that count. moved: have the version it is about; ready, failed: of those.

    away: copies that have another version than the accepted one, where one version is meant.
    step: `step 2 of 4: 10 of 100 copies`. due: when the phase ends by itself (Unix ms). checks: how
    those of this step stand.
    """

    course: Course
    version: Version | None
    of: int = 0
    total: int = 0
    moved: int = 0
    ready: int = 0
    failed: tuple[str, ...] = ()
    away: int = 0
    step: str = ""
    due: int | None = None
    checks: tuple[tuple[Tally, Verdict], ...] = ()

    def row(self) -> tuple[ConditionStatus, str, str] | None:
        """What Ready is because of it, None when it has no say."""
        course = self.course
        match course.phase:
            case Phase.WAVE | Phase.SOAK:
                return UNKNOWN, "RollingOut", self._going()
            case Phase.PAUSED:
                by = f" by {course.by}" if course.by else ""
                why = f": {course.why}" if course.why else ""
                return FALSE, "RolloutPaused", f"paused{by} at {self.step}{why}"
            case Phase.ROLLED_BACK:
                by = f" by {course.by}" if course.by else ""
                rejected = f"version {short(course.target_digest)} was rejected{by}: {course.why}"
                if self.away:
                    return UNKNOWN, "RollingBack", f"{self.away} copies are to go back; {rejected}"
                return FALSE, "RolledBack", f"{rejected}; {self._runs()}"
            case Phase.SETTLED:
                if not self.away:
                    return None
                return UNKNOWN, "RollingOut", f"{self.away} copies are to follow; {self._runs()}"

    def _going(self) -> str:
        words = f"{self.step}; {self.ready} of {self.moved} are ready"
        if self.failed:
            words += f", {len(self.failed)} failed"
        if self.course.phase is Phase.SOAK and self.due is not None:
            words += f"; soaking until {moment(self.due)}"
        return words

    def _runs(self) -> str:
        good = self.course.good
        if good is None:
            return "there is no accepted version"
        return f"version {short(good.digest)} of generation {good.generation} is what runs"

    def mapping(self) -> dict[str, object]:
        """As it stands in a status document."""
        course = self.course
        found: dict[str, object] = {
            "phase": str(course.phase),
            "paused": course.phase is Phase.PAUSED,
        }
        if course.phase.under_way:
            found |= {"step": course.step + 1, "of": self.of}
        if self.version is not None:
            found |= {"version": self.version.digest, "generation": self.version.generation}
        found |= {
            "total": self.total,
            "moved": self.moved,
            "ready": self.ready,
            "failed": len(self.failed),
        }
        if self.checks:
            found["checks"] = [
                {
                    "name": tally.name,
                    "verdict": str(verdict),
                    "successful": tally.successful,
                    "failed": tally.failed,
                    "inconclusive": tally.inconclusive,
                    **({"said": tally.said} if tally.said else {}),
                }
                for tally, verdict in self.checks
            ]
        if course.since:
            found["since"] = moment(course.since)
        if self.due is not None:
            found["until"] = moment(self.due)
        for name, words in (("why", course.why), ("by", course.by)):
            if words:
                found[name] = words
        if course.good is not None and course.good is not self.version:
            found["good"] = {
                "version": course.good.digest,
                "generation": course.good.generation,
                "revision": course.good.revision,
            }
        if course.rejected:
            found["rejected"] = [
                {"version": one.digest, "at": moment(one.at), "by": one.by, "why": one.why}
                for one in reversed(course.rejected[-SHOWN:])
            ]
        return found


def progress(held: Held, snapshot: Snapshot, *, now: int) -> Progress | None:
    """Of a live Task or Daemon; None where it has no course, or follows its spec after all."""
    obj = held.object
    course = snapshot.courses.get(held.uid)
    if not isinstance(obj, Task | Daemon) or course is None or held.deleted_at is not None:
        return None
    if obj.rollout is None and course.phase is not Phase.ROLLED_BACK:
        return None
    under_way = course.phase.under_way
    version = course.target if under_way else course.good
    if version is None or not usable(version, obj):
        return Progress(course=course, version=None)
    shown = graft(obj, version)
    looks = Looks()
    standing = Standing(shown, version.module, looks, snapshot.policy.discovery_apps)
    copies = snapshot.assignments.get(held.uid, {})
    roll = Roll(shown, copies, snapshot, standing, now)
    rollout = obj.rollout if under_way else None
    placement = obj.placement
    widely = placement.per_proplet or bool(placement.proplets)
    missing = []
    if under_way and course.good is None and widely:
        proplets = snapshot.proplets.items()
        missing = roll.missing((name, seen, looks.of(name, seen)) for name, seen in proplets)
    found = score(roll.call(version.digest, rollout, missing), version.digest)
    away = 0
    if not under_way and suspension(held, now) is None:
        away = found.total - found.moved
    if rollout is None:
        return Progress(
            course=course,
            version=version,
            total=found.total,
            moved=found.moved,
            ready=found.ready,
            failed=tuple(found.bad),
            away=away,
        )
    if course.good is None and not widely:
        found.total = max(found.total, placement.replicas)
    return Progress(
        course=course,
        version=version,
        of=len(rollout.waves),
        total=found.total,
        moved=found.moved,
        ready=found.ready,
        failed=tuple(found.bad),
        step=step_words(course, rollout, found),
        due=due(course, rollout),
        checks=tuple(judged(course, rollout)),
    )
