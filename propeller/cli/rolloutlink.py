"""The link about versions: what is rolled out, paused, rolled back or rejected, by whom and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from propeller.cli.clock import ago, span
from propeller.cli.links import BROKEN, OK, WAITS, Link
from propeller.cli.names import short_digest
from propeller.model.versions import Phase

if TYPE_CHECKING:
    from propeller.cli.links import Ready
    from propeller.model.inventory import Held
    from propeller.model.versions import Course, Rejected, Version

NAME = "rollout"


def rollout_link(course: Course | None, held: Held, ready: Ready, now: int) -> Iterator[Link]:
    """Of an object with a course; nothing for those that simply follow their spec."""
    if course is None or held.deleted_at is not None:
        return
    key = held.object.meta.key
    match course.phase:
        case Phase.WAVE | Phase.SOAK:
            words = f"{_told(course.target)} for {span(now - course.since)}: {ready.message}"
            yield Link(NAME, WAITS, words, at=course.since, rule=str(course.phase))
        case Phase.PAUSED:
            why = f": {course.why}" if course.why else ""
            words = f"{_told(course.target)} was paused{_by(course.by)} {ago(course.since, now)}"
            do = f"`propeller rollout resume {key}` goes on, `propeller rollback {key}` goes back"
            yield Link(NAME, BROKEN, words + why, at=course.since, do=do, rule="RolloutPaused")
        case Phase.ROLLED_BACK:
            yield _rolled_back(course, held, now)
        case Phase.SETTLED:
            yield from _settled(course, ready, now)
        case _:
            assert_never(course.phase)


def _rolled_back(course: Course, held: Held, now: int) -> Link:
    rejected = course.rejection(course.target_digest)
    by = rejected.by if rejected is not None else course.by
    why = rejected.why if rejected is not None else course.why
    at = rejected.at if rejected is not None else course.since
    who = by or "its rollout"
    words = f"{_told(course.target)} was rejected by {who} {ago(at, now)}: {why}"
    words += f"; {_told(course.good)} is what runs" if course.good else "; nothing runs instead"
    key = held.object.meta.key
    do = f"commit another version, or `propeller rollout resume {key}` to try this one once more"
    return Link(NAME, BROKEN, words, at=at, do=do, rule="RolledBack")


def _settled(course: Course, ready: Ready, now: int) -> Iterator[Link]:
    words = _told(course.good) if course.good is not None else "no version was accepted yet"
    at = course.since
    if course.since:
        words += f" for {span(now - course.since)}"
    if course.rejected:
        words += f"; {_before(course.rejected[-1], now)}"
    moving = ready.reason in ("RollingOut", "RollingBack")
    if moving:
        words += f"; {ready.message}"
    yield Link(NAME, WAITS if moving else OK, words, at=at, rule=str(course.phase))


def _before(one: Rejected, now: int) -> str:
    who = one.by or "its rollout"
    of = f" of generation {one.generation}" if one.generation else ""
    return f"{short_digest(one.digest)}{of} was rejected by {who} {ago(one.at, now)}: {one.why}"


def _told(version: Version | None) -> str:
    if version is None:
        return "a version"
    return f"version {short_digest(version.digest)} of generation {version.generation}"


def _by(who: str) -> str:
    return f" by {who}" if who else ""
