"""Courses and versions as rows, and back. A version is one text: it is kept and read whole.

Imported by `courses` when the first such row is read or written.
"""

from __future__ import annotations

from propeller.model.canonical import canonical_bytes
from propeller.model.checks import Reading, Tally, number
from propeller.model.ids import Digest, Uid
from propeller.model.module import Module
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import Daemon, Task
from propeller.model.versions import Course, Phase, Rejected, Version
from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Row
from propeller.state.inventory_rows import resolved_of, resolved_text


def version_text(version: Version) -> str:
    """The whole version as canonical JSON; the journal keeps the same text."""
    return canonical_bytes(
        {
            "digest": version.digest,
            "generation": version.generation,
            "revision": version.revision,
            "object": stored_form(version.object),
            "module": resolved_text(version.module),
        }
    ).decode()


def version_of(text: str) -> Version:
    """The inverse of `version_text`."""
    found = from_json(text)
    thing = parse_object(**found["object"])
    module = resolved_of(found["module"])
    assert isinstance(thing, Task | Daemon)
    assert isinstance(module, Module)
    return Version(
        digest=Digest(shared(found["digest"])),
        generation=found["generation"],
        revision=shared(found["revision"]),
        object=thing,
        module=module,
    )


def course_row(course: Course) -> Row:
    rejected = [[one.digest, one.at, one.by, one.why, one.generation] for one in course.rejected]
    return (
        course.uid,
        None if course.good is None else version_text(course.good),
        None if course.target is None else version_text(course.target),
        str(course.phase),
        course.step,
        course.since,
        course.forgiven,
        course.why,
        course.by,
        to_json(rejected),
        course.paused,
        _checks_text(course),
    )


def _checks_text(course: Course) -> str:
    tallies = [
        [one.name, one.last, one.successful, one.failed, one.inconclusive, one.said]
        for one in course.checks
    ]
    return to_json([tallies, int(course.unclear), int(course.waived)])


def course_of(row: Row) -> Course:
    uid, good, target, phase, step, since, forgiven, why, by, rejected, paused, checks = row
    tallies, unclear, waived = from_json(checks)
    return Course(
        uid=Uid(shared(uid)),
        good=None if good is None else version_of(good),
        target=None if target is None else version_of(target),
        phase=Phase(phase),
        step=step,
        since=since,
        forgiven=forgiven,
        why=why,
        by=by,
        rejected=tuple(
            Rejected(
                digest=Digest(digest),
                at=at,
                by=said,
                why=words,
                generation=generation[0] if generation else 0,
            )
            for digest, at, said, words, *generation in from_json(rejected)
        ),
        paused=Digest(paused),
        checks=tuple(
            Tally(
                name=name,
                last=last,
                successful=successful,
                failed=failed,
                inconclusive=inconclusive,
                said=said,
            )
            for name, last, successful, failed, inconclusive, said in tallies
        ),
        unclear=unclear == 1,
        waived=waived == 1,
    )


def reading_of(row: Row) -> tuple[Uid, str, Reading]:
    uid, name, slot, value, words = row
    found = None if value is None else number(value)
    return Uid(shared(uid)), name, Reading(slot=slot, value=found, words=words)
