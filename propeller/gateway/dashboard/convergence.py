"""Commits against convergence: how long each revision took until what it moved was Ready.

Told of objects that are still as that revision wants them; those that a later one moved again are
the later one's. Pure, from a picture of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from propeller.gateway.dashboard.facts import ObjectRow
from propeller.state.records import RevisionRecord

SHOWN: Final = 12
WIDE: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One revision. took: ms until the last of its objects was Ready, None while one is not.

    width: of its bar. missing: objects that are not Ready.
    """

    record: RevisionRecord
    objects: int
    missing: int
    took: int | None
    width: int
    words: str


def convergence(
    revisions: Sequence[RevisionRecord], objects: Iterable[ObjectRow], now: int
) -> list[Row]:
    """The newest revisions that were accepted, newest first. now: Unix ms."""
    of: dict[str, list[ObjectRow]] = {}
    for one in objects:
        of.setdefault(one.applied, []).append(one)
    accepted = [one for one in revisions if one.outcome == "accepted"][:SHOWN]
    found = [(record, *_took(record, of.get(record.name, ()), now)) for record in accepted]
    most = max((lasted for _, lasted, _, _ in found), default=0) or 1
    return [
        Row(
            record=record,
            objects=total,
            missing=missing,
            took=None if missing or not total else lasted,
            width=max(2, round(lasted / most * WIDE)) if total else 0,
            words=_words(total, missing, lasted),
        )
        for record, lasted, missing, total in found
    ]


def _took(record: RevisionRecord, objects: Sequence[ObjectRow], now: int) -> tuple[int, int, int]:
    """ms until Ready, or until now while something is not; what is not; how many there are."""
    missing = sum(one.ready != "True" for one in objects)
    # What was Ready before the commit came did not have to do anything for it.
    ends = [now] if missing else [one.since for one in objects]
    return max(0, max(ends, default=record.at) - record.at), missing, len(objects)


def _words(total: int, missing: int, lasted: int) -> str:
    if not total:
        return "nothing is as it left it: later revisions moved it on"
    if missing:
        return f"{missing} of {total} objects are not ready after {span(lasted)}"
    return f"{total} {'object is' if total == 1 else 'objects are'} ready, after {span(lasted)}"


def span(ms: int) -> str:
    """A length of time for people."""
    if ms < 10_000:
        return f"{ms / 1000:.1f} s"
    for most, unit, name in ((600_000, 1_000, "s"), (36_000_000, 60_000, "min")):
        if ms < most:
            return f"{ms // unit} {name}"
    return f"{ms // 3_600_000} h"
