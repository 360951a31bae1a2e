"""What measurements add up to: a check of one step, and all of them. Pure numbers.

Called by `checks`, which measures, and by `rollout`, which goes on, fails or waits by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from propeller.model.checks import Check, Tally, Verdict
from propeller.model.rollout import Rollout
from propeller.model.versions import Course


def graded(check: Check, value: Decimal | None) -> Verdict:
    """What one measurement means."""
    if value is None:
        return Verdict.INCONCLUSIVE
    if check.success.holds(value):
        return Verdict.SUCCESSFUL
    if check.failure is None or check.failure.holds(value):
        return Verdict.FAILED
    return Verdict.INCONCLUSIVE


def counted(check: Check, tally: Tally, value: Decimal | None, words: str, now: int) -> Tally:
    """The tally with one more measurement, made at `now` (Unix ms)."""
    found = replace(tally, last=now, said=words)
    match graded(check, value):
        case Verdict.SUCCESSFUL:
            return replace(found, successful=tally.successful + 1)
        case Verdict.FAILED:
            return replace(found, failed=tally.failed + 1)
        case _:
            return replace(found, inconclusive=tally.inconclusive + 1)


def verdict(check: Check, tally: Tally) -> Verdict:
    """What a check says of the step. Failed before Inconclusive: that one is certain."""
    if tally.failed > check.failure_limit:
        return Verdict.FAILED
    if tally.inconclusive > check.inconclusive_limit:
        return Verdict.INCONCLUSIVE
    if tally.taken >= check.count:
        return Verdict.SUCCESSFUL
    return Verdict.RUNNING


def tally_of(course: Course, check: Check) -> Tally:
    """How far that check is in this step."""
    found = next((one for one in course.checks if one.name == check.name), None)
    return found if found is not None else Tally(name=check.name, last=course.since)


def judged(course: Course, rollout: Rollout) -> Iterator[tuple[Tally, Verdict]]:
    """How each check of the step stands."""
    for _, tally, found in _judged(course, rollout):
        yield tally, found


def _judged(course: Course, rollout: Rollout) -> Iterator[tuple[Check, Tally, Verdict]]:
    for check in rollout.checks:
        tally = tally_of(course, check)
        yield check, tally, verdict(check, tally)


def against(course: Course, rollout: Rollout, wanted: Verdict) -> str:
    """Why checks came out as `wanted` (Failed, Inconclusive), "" when none did."""
    return "; ".join(
        _said(check, tally, wanted)
        for check, tally, found in _judged(course, rollout)
        if found is wanted
    )


def passed(course: Course, rollout: Rollout) -> bool:
    """Whether no check stands in the way of the next step."""
    fine = {Verdict.SUCCESSFUL}
    if course.waived:
        fine.add(Verdict.INCONCLUSIVE)
    return all(found in fine for _, _, found in _judged(course, rollout))


def anew(course: Course, rollout: Rollout) -> Course:
    """The course with inconclusive checks measured from the beginning, the others as they are."""
    return replace(
        course,
        checks=tuple(
            Tally(name=tally.name, last=tally.last, said=tally.said)
            if found is Verdict.INCONCLUSIVE
            else tally
            for _, tally, found in _judged(course, rollout)
        ),
    )


def _said(check: Check, tally: Tally, found: Verdict) -> str:
    times = tally.failed if found is Verdict.FAILED else tally.inconclusive
    word = "failed" if found is Verdict.FAILED else "was inconclusive"
    return f"check {check.name} {word} {times} of {tally.taken} times: {tally.said}"
