"""The arithmetic of a rollout: who counts, whether a step is good or failed, who is next.

Called by `helm` with the members of one object. Pure numbers: nothing here looks at placement, at
runs or at other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

from propeller.model.checks import Verdict
from propeller.model.conditions import moment
from propeller.model.ids import Digest, PropletId
from propeller.model.quantities import duration_text
from propeller.model.rollout import OnFailure, Rollout
from propeller.model.versions import MOST_REJECTED, Course, Phase, Rejected, Version
from propeller.plan.notes import Note
from propeller.plan.verdicts import against, anew, passed
from propeller.plan.versions import short

SHOWN = 3
"""Failed copies named in a message."""


class Fitness(Enum):
    """How a copy is doing with the version it has."""

    READY = "ready"
    BAD = "bad"  # failed, and will not become ready by itself
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Member:
    """One copy, or the place of one that is missing (on no proplet yet where it may go anywhere).

    why: what is to be said of a bad one. silent: its proplet is not heard. counted: one of those
    that steps are a share of. order: breaks ties between members.
    """

    proplet: PropletId = PropletId("")
    version: Digest = Digest("")
    fitness: Fitness = Fitness.PENDING
    why: str = ""
    silent: bool = False
    counted: bool = True
    missing: bool = False
    order: bytes = b""


@dataclass(slots=True)
class Score:
    """How far a target is among the members that count."""

    total: int = 0
    moved: int = 0
    ready: int = 0
    unavailable: int = 0
    pending: list[PropletId] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


def score(members: Iterable[Member], target: Digest) -> Score:
    """Count them."""
    found = Score()
    for one in members:
        if not one.counted:
            continue
        found.total += 1
        if one.fitness is not Fitness.READY:
            found.unavailable += 1
        if one.version != target:
            continue
        found.moved += 1
        match one.fitness:
            case Fitness.READY:
                found.ready += 1
            case Fitness.PENDING:
                found.pending.append(one.proplet)
            case Fitness.BAD:
                found.bad.append(f"{one.proplet}: {one.why}")
    return found


def needed(rollout: Rollout, step: int, total: int) -> int:
    """How many of `total` have the version after that step, at least one and never fewer than
    after the step before."""
    waves = rollout.waves
    most = max(wave.up(total) for wave in waves[: step + 1])
    return max(1, total if step >= len(waves) - 1 else most)


def budget(rollout: Rollout, found: Score) -> int:
    """How many copies that work may be taken down now."""
    most = max(1, rollout.max_unavailable.down(found.total))
    return max(0, most - found.unavailable)


def advance(
    course: Course, rollout: Rollout, members: list[Member], *, now: int, can_return: bool
) -> tuple[Course, list[Note]]:
    """Where a course that is under way stands now (Unix ms), and what to tell of it.

    can_return: there is a good version to go back to. Answers `course` itself when nothing moved.
    """
    assert course.target is not None
    notes: list[Note] = []
    found = score(members, course.target.digest)
    if course.forgiven < 0:
        course = replace(course, forgiven=len(found.bad))
    if course.unclear:
        course, more = _clearing(course, rollout, now, can_return=can_return)
        notes += more
    while course.phase in (Phase.WAVE, Phase.SOAK):
        late = _late(course, rollout, now)
        why = failure(course, rollout, found, members, late=late)
        if course.phase is Phase.SOAK:
            why = why or against(course, rollout, Verdict.FAILED)
        if why:
            course, note = _fail(course, rollout, why, now, can_return=can_return)
            notes.append(note)
            break
        good = _is_good(course, rollout, found)
        if course.phase is Phase.WAVE:
            if not good:
                break
            course = replace(course, phase=Phase.SOAK, since=now, checks=())
            if rollout.soak:
                notes.append(_soaking(course, rollout, found))
        elif (unclear := against(course, rollout, Verdict.INCONCLUSIVE)) and not course.waived:
            course = _unclear(course, rollout, unclear, now)
            notes.append(Note("RolloutInconclusive", f"paused: {unclear}", warning=True))
        elif now < course.since + rollout.soak:
            break
        elif not good:
            course = replace(course, phase=Phase.WAVE, since=now)
            break
        elif not passed(course, rollout):
            break
        else:
            course, note = _next(course, rollout, found, now)
            notes.append(note)
    return course, notes


def begin(
    course: Course, target: Version, rollout: Rollout, members: list[Member], now: int
) -> tuple[Course, Note]:
    """The rollout of a version that was not seen before, or was allowed again."""
    paused = course.paused == target.digest
    course = replace(
        course,
        target=target,
        phase=Phase.PAUSED if paused else Phase.WAVE,
        step=0,
        since=now,
        forgiven=0,
        checks=(),
        unclear=False,
        waived=False,
        why=course.why if paused else "",
        by=course.by if paused else "",
        paused=course.paused if paused else Digest(""),
    )
    found = score(members, target.digest)
    words = f"version {short(target.digest)} of generation {target.generation}"
    return course, Note("RolloutStarted", f"{words}: {step_words(course, rollout, found)}")


def due(course: Course, rollout: Rollout) -> int | None:
    """When the same facts mean something else (Unix ms)."""
    match course.phase:
        case Phase.SOAK:
            return course.since + rollout.soak
        case Phase.WAVE if rollout.deadline is not None:
            return course.since + rollout.deadline
        case _:
            return None


def _anybody(_proplet: PropletId) -> bool:
    return False


def next_moves(
    course: Course,
    rollout: Rollout,
    members: list[Member],
    shut: Callable[[PropletId], bool] = _anybody,
) -> list[Member]:
    """Who is given the target now: working copies within the budget, others freely.

    shut: proplets that take nothing new now; others go in their place.
    """
    if course.phase is not Phase.WAVE or course.target is None:
        return []
    found = score(members, course.target.digest)
    want = needed(rollout, course.step, found.total) - found.moved
    digest = course.target.digest
    waiting = [
        one
        for one in members
        if one.counted and one.version != digest and not (one.proplet and shut(one.proplet))
    ]
    return _within(budget(rollout, found), want, waiting)


def returning(rollout: Rollout | None, members: list[Member], good: Digest) -> list[Member]:
    """Who goes to the accepted version now: all that do not work, the others within the budget."""
    away = [one for one in members if one.version != good]
    if rollout is None:
        return away
    found = score(members, good)
    return _within(budget(rollout, found), len(away), away)


def _within(left: int, want: int, waiting: list[Member]) -> list[Member]:
    chosen: list[Member] = []
    for one in sorted(waiting, key=_rank):
        if len(chosen) >= want:
            break
        if one.fitness is Fitness.READY and not one.missing:
            if left <= 0:
                continue
            left -= 1
        chosen.append(one)
    return chosen


def _rank(one: Member) -> tuple[bool, bool, bytes, PropletId]:
    """Copies that work come first, so that what fails next is the version's doing."""
    broken = not one.missing and one.fitness is not Fitness.READY
    return (one.silent, broken, one.order, one.proplet)


def failure(
    course: Course, rollout: Rollout, found: Score, members: list[Member], *, late: bool
) -> str:
    """Why the version counts as failed, "" while it does not."""
    bad = list(found.bad)
    pending = len(found.pending)
    if late:
        words = f"not ready within {duration_text(rollout.deadline or 0)}"
        bad += [f"{proplet}: {words}" for proplet in found.pending]
        pending = 0
    need = needed(rollout, course.step, found.total)
    complete = pending == 0 and found.moved >= need
    allowed = rollout.errors.max.down(found.moved) + max(0, course.forgiven)
    if (complete or found.ready + len(bad) >= rollout.errors.min) and len(bad) > allowed:
        return f"{len(bad)} of {found.moved} copies failed: {told(bad)}"
    if bad and pending == 0 and found.moved < need and not next_moves(course, rollout, members):
        waiting = [one for one in members if one.counted and one.version != course.target_digest]
        if waiting and course.phase is Phase.WAVE:
            return (
                f"{len(bad)} failed copies use up maxUnavailable "
                f"({rollout.max_unavailable}): {told(bad)}"
            )
    return ""


def told(bad: list[str]) -> str:
    """The first few of them."""
    more = len(bad) - SHOWN
    return "; ".join(bad[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _late(course: Course, rollout: Rollout, now: int) -> bool:
    if rollout.deadline is None or course.phase is not Phase.WAVE:
        return False
    return now >= course.since + rollout.deadline


def _is_good(course: Course, rollout: Rollout, found: Score) -> bool:
    if found.moved < needed(rollout, course.step, found.total):
        return False
    alive = found.moved - len(found.bad)
    return found.ready >= -(-alive * rollout.success // 100)


def _unclear(course: Course, rollout: Rollout, why: str, now: int) -> Course:
    """Paused until an inconclusive check is successful, or somebody says so."""
    return replace(
        anew(course, rollout), phase=Phase.PAUSED, since=now, why=why, by="", unclear=True
    )


def _clearing(
    course: Course, rollout: Rollout, now: int, *, can_return: bool
) -> tuple[Course, list[Note]]:
    """What became of the checks that a pause waits for."""
    why = against(course, rollout, Verdict.FAILED)
    if why:
        course, note = _fail(course, rollout, why, now, can_return=can_return)
        return course, [note]
    why = against(course, rollout, Verdict.INCONCLUSIVE)
    if why:
        return replace(anew(course, rollout), why=why), []
    if not passed(course, rollout):
        return course, []
    course = replace(course, phase=Phase.SOAK, since=now, why="", unclear=False)
    return course, [Note("RolloutResumed", "the checks are successful now; the step soaks again")]


def _fail(
    course: Course, rollout: Rollout, why: str, now: int, *, can_return: bool
) -> tuple[Course, Note]:
    assert course.target is not None
    if rollout.on_failure is OnFailure.ROLLBACK and can_return:
        return reject(course, course.target.digest, now=now, by="", why=why), Note(
            "RolledBack",
            f"version {short(course.target.digest)} is rejected: {why}",
            warning=True,
        )
    if rollout.on_failure is OnFailure.ROLLBACK:
        why = f"{why}; there is no earlier good version to go back to"
    return replace(course, phase=Phase.PAUSED, since=now, why=why, by="", unclear=False), Note(
        "RolloutPaused", why, warning=True
    )


def reject(course: Course, digest: Digest, *, now: int, by: str, why: str) -> Course:
    """The course when that version, the one that is wanted, must not be run."""
    others = tuple(one for one in course.rejected if one.digest != digest)
    target = course.target
    generation = target.generation if target is not None and target.digest == digest else 0
    one = Rejected(digest=digest, at=now, by=by, why=why, generation=generation)
    rejected = (*others, one)[-MOST_REJECTED:]
    return replace(
        course,
        phase=Phase.ROLLED_BACK,
        since=now,
        why=why,
        by=by,
        rejected=rejected,
        step=0,
        checks=(),
        unclear=False,
        waived=False,
    )


def _next(course: Course, rollout: Rollout, found: Score, now: int) -> tuple[Course, Note]:
    assert course.target is not None
    if course.step + 1 < len(rollout.waves):
        step = course.step + 1
        course = replace(
            course, phase=Phase.WAVE, step=step, since=now, checks=(), unclear=False, waived=False
        )
        return course, Note("RolloutStep", step_words(course, rollout, found))
    digest = course.target_digest
    return accept(course, now), Note(
        "RolloutComplete",
        f"version {short(digest)} is accepted: {found.ready} of {found.moved} ready",
    )


def accept(course: Course, now: int) -> Course:
    """The target is the accepted version from now on."""
    return replace(
        course,
        good=course.target,
        target=None,
        phase=Phase.SETTLED,
        step=0,
        since=now,
        forgiven=0,
        checks=(),
        unclear=False,
        waived=False,
        why="",
        by="",
    )


def step_words(course: Course, rollout: Rollout, found: Score) -> str:
    """`step 2 of 4: 10 of 100 copies`."""
    need = needed(rollout, course.step, found.total)
    of = len(rollout.waves)
    return f"step {min(course.step + 1, of)} of {of}: {need} of {found.total} copies"


def _soaking(course: Course, rollout: Rollout, found: Score) -> Note:
    of = len(rollout.waves)
    until = moment(course.since + rollout.soak)
    failed = f", {len(found.bad)} failed" if found.bad else ""
    return Note(
        "RolloutSoaking",
        f"step {course.step + 1} of {of} is good: {found.ready} of {found.moved} ready{failed}; "
        f"soaking until {until}",
    )
