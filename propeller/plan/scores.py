"""What plugins think of proplets as places for an object, as far as it is known by now.

Called by `filling` for proplets that could take a copy. While an answer is missing nothing new is
placed, so that the same answers give the same places whenever they come; copies that are placed
already are never asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from propeller.model.ids import Digest, PropletId, sha256_digest
from propeller.model.inventory import Held
from propeller.model.plugins import Hook, question, scoring
from propeller.model.scoring import Asking, Failing
from propeller.model.seen import Seen
from propeller.plan.placement import memory_of
from propeller.plan.types import Snapshot


@dataclass(slots=True)
class Weighed:
    """points: of each proplet, higher is better. unfit: those that a plugin that has to answer did
    not answer for, with its words. missing: what is still to be answered. again: Unix ms at which a
    failure is forgotten, the first of them."""

    points: dict[PropletId, int] = field(default_factory=dict)
    unfit: dict[PropletId, str] = field(default_factory=dict)
    missing: list[Asking] = field(default_factory=list)
    again: int | None = None


def weigh(
    held: Held,
    candidates: Iterable[Seen],
    snapshot: Snapshot,
    now: int,
    look: Callable[[Seen], int],
) -> Weighed:
    """The scores of these proplets for this object. look: a number that equal proplets share."""
    found = Weighed()
    known: dict[int, tuple[int, str]] = {}
    for seen in candidates:
        number = look(seen)
        if number not in known:
            known[number] = _judge(held, seen, snapshot, now, found)
        points, failed = known[number]
        if failed:
            found.unfit[seen.id] = failed
        else:
            found.points[seen.id] = points
    return found


def _judge(held: Held, seen: Seen, snapshot: Snapshot, now: int, found: Weighed) -> tuple[int, str]:
    points, failed = 0, ""
    for scorer in held.object.meta.scorers:
        asked = question(scoring(scorer), Hook.PLACE, held.object, _facts(seen))
        name = Digest(sha256_digest(f"{scorer.digest} ".encode() + asked))
        score = snapshot.scores.get(name)
        if score is None or (score.again is not None and score.again <= now):
            found.missing.append(Asking(name=name, uid=held.uid, scorer=scorer, question=asked))
            continue
        if score.again is not None:
            found.again = min(score.again, found.again or score.again)
        if not score.failed:
            points += score.points
        elif scorer.failing is Failing.CLOSED:
            failed = failed or f"the plugin {scorer.version} {score.failed}"
    return points, failed


def _facts(seen: Seen) -> dict[str, Any]:
    """What is told of a proplet: nothing that two of the same look (`Looks`) differ in."""
    facts = seen.facts
    return {
        "labels": dict(seen.labels),
        "memory": memory_of(seen) or 0,
        "imports": sorted(facts.imports) if facts is not None else [],
        "mounts": sorted(facts.mounts) if facts is not None else [],
        "points": sorted(facts.points) if facts is not None else [],
        "maxModule": facts.max_module if facts is not None else 0,
    }
