"""What became of each generation of an object: who wrote it, who let it through, how it ended.

Called by `history NAME`. One generation is one row, whatever states it went through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from propeller.cli.chainfacts import Facts
from propeller.model.conditions import moment
from propeller.model.versions import Phase

if TYPE_CHECKING:
    from propeller.model.ids import Digest, Key, Uid
    from propeller.model.versions import Course, Rejected, Version
    from propeller.state.records import HistoryRow, PlanRecord

GOOD = frozenset({"Healthy", "Succeeded", "Scheduled", "AllReady", "Online", "Opened", "Active"})
"""Reasons of a Ready condition that is True."""

BAD = frozenset({"Failed", "TimedOut"})


@dataclass(frozen=True, slots=True)
class End:
    """How a generation ended. by, why, at: of who rejected it, "" and 0 where nobody did."""

    outcome: str
    by: str = ""
    why: str = ""
    at: int = 0


def pasts(facts: Facts, uid: Uid, key: Key) -> list[dict[str, Any]]:
    """One row a generation, newest first."""
    held = facts.inventory.get(uid)
    app = held.object.meta.app if held is not None else ""
    course = facts.courses.get(uid)
    versions = facts.store.versions(uid)
    newest = held.generation if held is not None else 0
    by_generation: dict[int, list[HistoryRow]] = {}
    for row in facts.store.history(uid):
        by_generation.setdefault(row.generation, []).append(row)
    rows = []
    for generation, states in sorted(by_generation.items(), reverse=True):
        found = _rejection(course, versions, generation)
        end = end_of(states, found, current=generation >= newest)
        rows.append(_row(facts, key, app, states, end))
    return rows


def end_of(states: Iterable[HistoryRow], rejected: Rejected | None, *, current: bool) -> End:
    """What became of it: `deployed`, `failed`, `rolled back`, `rejected`, `superseded` (replaced
    before it was Ready) or, of the current one, `under way`."""
    reasons = {row.outcome for row in states}
    if rejected is not None:
        outcome = "rejected" if rejected.by else "rolled back"
        return End(outcome, rejected.by or "its rollout", rejected.why, rejected.at)
    if "RolledBack" in reasons and not reasons & GOOD:
        return End("rolled back")
    if reasons & GOOD:
        return End("deployed")
    if reasons & BAD:
        return End("failed")
    return End("under way" if current else "superseded")


def _rejection(
    course: Course | None, versions: Iterable[Version], generation: int
) -> Rejected | None:
    """Of the version that this generation was, if it is rejected now."""
    if course is None:
        return None
    digests: dict[Digest, int] = {one.digest: one.generation for one in versions}
    for version in (course.good, course.target):
        if version is not None:
            digests[version.digest] = version.generation
    good = course.good
    if good is not None and good.generation == generation and course.phase is Phase.ROLLED_BACK:
        return None  # it is what runs now
    for one in reversed(course.rejected):
        if (one.generation or digests.get(one.digest)) == generation:
            return one
    return None


def _row(facts: Facts, key: Key, app: str, states: list[HistoryRow], end: End) -> dict[str, Any]:
    newest = max(states, key=lambda row: row.last)
    record = facts.record(newest.revision)
    plan = facts.plan_of(newest.revision, app)
    row: dict[str, Any] = {
        "object": str(key),
        "generation": newest.generation,
        "outcome": end.outcome,
        "state": newest.outcome,
        "revision": newest.revision,
        "author": record.author if record is not None else "",
        "signer": record.signed_by if record is not None else "",
        "message": record.message.partition("\n")[0] if record is not None else "",
        "specDigest": newest.digest,
        "plan": plan.digest if plan is not None else "",
        "planned": moment(plan.at) if plan is not None else None,
        "approvedBy": approver(plan, app),
        "first": moment(min(one.first for one in states)),
        "last": moment(newest.last),
        "lastMs": newest.last,
        "states": [_state(one) for one in sorted(states, key=lambda one: one.first)],
    }
    if end.by:
        row |= {"endedBy": end.by, "why": end.why, "ended": moment(end.at)}
    return row


def approver(plan: PlanRecord | None, app: str) -> str:
    """Who let it through: a person, or the guards; "" where that is not known any more."""
    if plan is None:
        return ""
    who = sorted({guard.by for guard in plan.guards if guard.app == app and guard.by})
    if who:
        return ", ".join(who)
    waits = any(guard.app == app and not guard.by for guard in plan.guards)
    return "nobody yet" if waits else "no guard tripped"


def _state(row: HistoryRow) -> Mapping[str, Any]:
    return {
        "state": row.outcome,
        "first": moment(row.first),
        "last": moment(row.last),
        "count": row.count,
    }
