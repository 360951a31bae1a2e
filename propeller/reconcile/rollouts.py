"""Rollouts in the loop: what the planner decided about versions, and what operators say of them.

Every step is a row, an event and, where neither source nor fleet could tell it again, an entry of
the journal: the last good version, what was rejected, what was paused. After a lost store a bad
version is therefore not tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from propeller.model.checks import Probe, Reading
from propeller.model.ids import Digest, Key, Uid
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.quantities import duration_text
from propeller.model.specs import Daemon, Task
from propeller.model.versions import MOST_REJECTED, Course, Phase, Rejected, Version
from propeller.plan.rollout import reject
from propeller.plan.types import Advance
from propeller.plan.versions import short, version_of
from propeller.reconcile.deposits import RUN_APP
from propeller.reconcile.events import Measured, Steer, SteerVerb
from propeller.reconcile.world import World
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

PATIENCE = 60_000
"""Ms until a measurement nobody answered has no value."""
MOST_JOURNALLED = 60 * 1024
"""Bytes of a version that the journal takes; a longer one is lost with the store, and a rollout
that fails then pauses."""


class Rollouts:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._ready: dict[Uid, tuple[Task | Daemon, Module]] = {}
        self._asked: dict[Probe, int] = {}

    # -- what the planner decided -------------------------------------------------------------

    def advance(self, action: Advance, now: int) -> None:
        """Write down where a course stands. Inside the plan's transaction."""
        self._put(action.course, now)
        for note in action.notes:
            severity = "Warning" if note.warning else "Info"
            self._event(action.uid, severity, note.reason, note.message, now)

    def accepted(self, held: Held, now: int) -> None:
        """An object without a rollout is Ready: what it runs is a version to go back to."""
        thing = held.object
        if not isinstance(thing, Task | Daemon) or thing.meta.app == RUN_APP:
            return
        module = self._world.modules.get(thing.module)
        known = self._ready.get(held.uid)
        if known is not None and known[0] is thing and known[1] is module:
            return
        if thing.rollout is None and isinstance(module, Module):
            self._ready[held.uid] = (thing, module)
            course = self._world.versions.courses.get(held.uid)
            if course is None or course.phase is not Phase.ROLLED_BACK:
                self._world.versions.accept(held.uid, version_of(held, module), now)

    def _put(self, course: Course, now: int) -> None:
        before = self._world.versions.courses.get(course.uid, Course(uid=course.uid))
        known = {one.digest for one in before.rejected}
        for one in course.rejected:
            if one.digest not in known:
                self._journal_rejection(course.uid, one, lifted=False)
        good = course.good
        if good is not None and (before.good is None or before.good.digest != good.digest):
            self._journal_good(course.uid, good)
            self._world.versions.accept(course.uid, good, now)
        self._world.put_course(course)

    def _event(self, uid: Uid, severity: str, reason: str, message: str, now: int) -> None:
        held = self._world.objects[uid]
        self._world.store.add_event(
            Event(
                at=now,
                severity=severity,
                reason=reason,
                message=message,
                key=held.object.meta.key,
                revision=held.revision,
            )
        )

    # -- measurements -------------------------------------------------------------------------

    def ask(self, probes: Iterable[Probe], now: int) -> None:
        """Have measured what a plan asks for, once each."""
        for probe in probes:
            if probe not in self._asked:
                self._asked[probe] = now + PATIENCE
                self._around.measure(probe)

    def measured(self, event: Measured) -> None:
        """A worker answered: a row, so that nothing is lost, and another look at the object."""
        probe = event.probe
        if self._asked.pop(probe, None) is not None and probe.uid in self._world.objects:
            self._world.versions.read(Uid(probe.uid), probe.name, event.reading)
            self._world.touched.objects.add(Uid(probe.uid))

    def tick(self, now: int) -> None:
        """Whoever did not answer in time has no value to give."""
        for probe in [probe for probe, due in self._asked.items() if now >= due]:
            words = f"no answer within {duration_text(PATIENCE)}"
            self.measured(Measured(probe, Reading(slot=probe.slot, words=words)))

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return min(self._asked.values(), default=None)

    # -- what operators say -------------------------------------------------------------------

    def steer(self, request: Steer, now: int) -> Mapping[str, object]:
        """Do it, or say why not. Answers `done` and `words`, or `error` and `exit`."""
        held = self._world.find(request.key)
        if held is None or not isinstance(held.object, Task | Daemon):
            return _no(f"{request.key} is not in the inventory, or has no versions")
        course = self._world.versions.courses.get(held.uid, Course(uid=held.uid))
        match request.verb:
            case SteerVerb.PAUSE:
                return self._pause(course, request, now)
            case SteerVerb.RESUME:
                return self._resume(course, request, now)
            case SteerVerb.ABORT:
                if not course.phase.under_way:
                    return _no(f"no rollout of {request.key} is under way")
                return self._go_back(held, course, course.target, request, now)
            case SteerVerb.REJECT:
                return self._reject(held, course, request, now)
            case SteerVerb.ROLLBACK:
                return self._go_back(held, course, self._wanted(held), request, now)
            case _:
                assert_never(request.verb)

    def _pause(self, course: Course, request: Steer, now: int) -> Mapping[str, object]:
        if course.phase not in (Phase.WAVE, Phase.SOAK):
            return _no(f"no rollout of {request.key} is going on")
        self._journal_pause(course.uid, course.target_digest, request)
        self._put(
            replace(
                course,
                phase=Phase.PAUSED,
                since=now,
                by=request.by,
                why=request.reason,
                paused=course.target_digest,
            ),
            now,
        )
        words = f"paused by {request.by}" + (f": {request.reason}" if request.reason else "")
        self._event(course.uid, "Info", "RolloutPaused", words, now)
        return _yes(f"the rollout of {request.key} is paused")

    def _resume(self, course: Course, request: Steer, now: int) -> Mapping[str, object]:
        """Go on; after a rollback: try the rejected version once more, from the first step."""
        key = request.key
        if course.phase is Phase.PAUSED:
            self._journal_pause(course.uid, Digest(""), request)
            course = replace(
                course,
                phase=Phase.WAVE,
                since=now,
                forgiven=-1,
                waived=course.unclear,
                unclear=False,
                why="",
                by="",
                paused=Digest(""),
            )
            words = f"the rollout of {key} goes on"
        elif course.phase is Phase.ROLLED_BACK and course.target is not None:
            lifted = course.rejection(course.target.digest)
            assert lifted is not None
            self._journal_rejection(course.uid, lifted, lifted=True)
            rest = tuple(one for one in course.rejected if one is not lifted)
            version = short(course.target.digest)
            course = replace(
                course, target=None, phase=Phase.SETTLED, rejected=rest, why="", by="", since=now
            )
            words = f"version {version} of {key} is tried once more"
        else:
            return _no(f"nothing of {key} is paused or rolled back")
        self._put(course, now)
        self._event(course.uid, "Info", "RolloutResumed", f"by {request.by}: {words}", now)
        return _yes(words)

    def _reject(self, held: Held, course: Course, request: Steer, now: int) -> Mapping[str, object]:
        wanted = self._wanted(held)
        if not request.digest or (wanted and wanted.digest.startswith(request.digest)):
            return self._go_back(held, course, wanted, request, now)
        found = [
            one
            for one in self._world.versions.accepted(held.uid)
            if one.digest.startswith(request.digest)
        ]
        if len(found) != 1:
            return _no(f"{request.key} has no version {request.digest}")
        one = Rejected(
            digest=found[0].digest,
            at=now,
            by=request.by,
            why=request.reason,
            generation=found[0].generation,
        )
        if course.good is not None and course.good.digest == one.digest:
            return _no(f"{request.key} has gone back to that version: roll back further first")
        rest = tuple(other for other in course.rejected if other.digest != one.digest)
        self._put(replace(course, rejected=(*rest, one)[-MOST_REJECTED:]), now)
        words = f"version {short(one.digest)} of {request.key} is rejected"
        self._event(
            held.uid, "Warning", "Rejected", f"by {request.by}: {request.reason}; {words}", now
        )
        return _yes(f"{words}; no copy moves, for none is to run it; {_after(request.key)}")

    def _go_back(
        self,
        held: Held,
        course: Course,
        bad: Version | None,
        request: Steer,
        now: int,
    ) -> Mapping[str, object]:
        """Reject the version that is wanted, and go back to an accepted one."""
        key = request.key
        if bad is None:
            return _no(f"the module of {key} is not resolved yet, so it has no version")
        good = self._before(held, course, bad, request.generation)
        if isinstance(good, str):
            return _no(f"{key}: {good}")
        why = request.reason or "no reason was given"
        course = replace(course, good=good, target=bad, forgiven=0, paused=Digest(""))
        course = reject(course, bad.digest, now=now, by=request.by, why=why)
        course = replace(
            course, rejected=tuple(one for one in course.rejected if one.digest != good.digest)
        )
        self._put(course, now)
        words = (
            f"{key} goes back to version {short(good.digest)} of generation {good.generation}; "
            f"{short(bad.digest)} is rejected"
        )
        self._event(held.uid, "Warning", "RolledBack", f"by {request.by}: {why}; {words}", now)
        copies = self._world.assignments.get(held.uid, {}).values()
        back = sum(1 for copy in copies if copy.version in ("", bad.digest))
        again = f", and `propeller rollout resume {key}` tries it once more"
        return _yes(f"{words}; {back} copies go back; {_after(key, again)}")

    def _before(
        self, held: Held, course: Course, bad: Version, generation: int | None
    ) -> Version | str:
        """The version to go back to, or why there is none."""
        accepted = [
            one for one in self._world.versions.accepted(held.uid) if one.digest != bad.digest
        ]
        if generation is not None:
            older = [one for one in accepted if one.generation <= generation]
            if not older:
                return f"no accepted version of generation {generation} or before it is known"
            return max(older, key=lambda one: one.generation)
        if course.good is not None and course.good.digest != bad.digest:
            return course.good
        for one in accepted:
            if course.rejection(one.digest) is None:
                return one
        return "there is no earlier good version to go back to; `propeller suspend` stops it"

    def _wanted(self, held: Held) -> Version | None:
        thing = held.object
        assert isinstance(thing, Task | Daemon)
        module = self._world.modules.get(thing.module)
        return version_of(held, module) if isinstance(module, Module) else None

    # -- the journal --------------------------------------------------------------------------

    def _journal_rejection(self, uid: Uid, one: Rejected, *, lifted: bool) -> None:
        self._around.journal.append(
            "reject",
            {
                "what": f"{uid}/{one.digest}",
                "uid": uid,
                "digest": one.digest,
                "at": one.at,
                "by": one.by,
                "why": one.why[:1024],
                "generation": one.generation,
                "lifted": lifted,
            },
        )

    def _journal_good(self, uid: Uid, version: Version) -> None:
        from propeller.state.course_rows import version_text

        text = version_text(version)
        if len(text.encode()) <= MOST_JOURNALLED:
            self._around.journal.append("good", {"uid": uid, "version": text})

    def _journal_pause(self, uid: Uid, digest: Digest, request: Steer) -> None:
        self._around.journal.append(
            "steer",
            {"uid": uid, "paused": digest, "by": request.by, "reason": request.reason[:1024]},
        )

    def replay_journal(self, entries: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """What the journal knows and a lost store does not."""
        if not self._world.store.fresh:
            return
        from propeller.state.course_rows import version_of as version_from

        courses: dict[Uid, Course] = {}
        for kind, entry in entries:
            if kind not in ("reject", "good", "steer"):
                continue
            uid = Uid(str(entry["uid"]))
            course = courses.get(uid, Course(uid=uid))
            if kind == "good":
                with suppress(KeyError, ValueError):  # of an older schema: nothing to go back to
                    course = replace(course, good=version_from(str(entry["version"])))
            elif kind == "steer":
                course = replace(
                    course,
                    paused=Digest(str(entry["paused"])),
                    by=str(entry["by"]),
                    why=str(entry["reason"]),
                )
            else:
                course = _with_rejection(course, entry)
            courses[uid] = course
        for course in courses.values():
            self._world.versions.put(course)


def _with_rejection(course: Course, entry: Mapping[str, object]) -> Course:
    digest, at = Digest(str(entry["digest"])), entry["at"]
    assert isinstance(at, int)
    rest = tuple(one for one in course.rejected if one.digest != digest)
    if not entry["lifted"]:
        generation = entry.get("generation", 0)
        one = Rejected(
            digest=digest,
            at=at,
            by=str(entry["by"]),
            why=str(entry["why"]),
            generation=generation if isinstance(generation, int) else 0,
        )
        rest = (*rest, one)[-MOST_REJECTED:]
    return replace(course, rejected=rest)


def _after(key: Key, again: str = "") -> str:
    """What a rejection means for the next sync, and where it is told."""
    return f"no sync brings it back, another version in the source is taken{again}; " + (
        f"`propeller why {key}` tells"
    )


def _yes(words: str) -> Mapping[str, object]:
    return {"done": True, "words": words}


def _no(words: str) -> Mapping[str, object]:
    return {"done": True, "error": words, "exit": 2}
