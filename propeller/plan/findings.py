"""Where a device differs from the document that it says it took: the one place that tells.

Called by `drift` to correct it, by `conditions` to say so, and by the command line to show it, so
that what is ignored is ignored by all of them. A proplet can only have drifted when it is there,
holds exactly what was asked last, and has reported since. A run that failed, waits to be restarted
or is being replaced is no drift: the device is at work on it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field

from propeller.model.drift import Drift, DriftReason
from propeller.model.ids import PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.model.specs import Daemon
from propeller.plan.types import FieldDiff, Snapshot

GRACE = 60_000
"""ms after a copy was asked for before its absence is a drift; a stray has as long to end."""

REPLACING = 3_600_000
"""ms a device may go on with what it ran before: it first fetches what it is to run instead."""

NO_COPIES: Mapping[PropletId, Assignment] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference. asked, reported: digests of entries, "" where there is none or none is known.

    run: the one that is missing, differs, or should not be there.
    """

    proplet: PropletId
    reason: DriftReason
    run: RunId
    asked: str = ""
    reported: str = ""

    @property
    def fields(self) -> tuple[FieldDiff, ...]:
        """What was asked for and what is reported instead."""
        match self.reason:
            case DriftReason.MISSING:
                return (FieldDiff("run", self.run, None),)
            case DriftReason.DIFFERS:
                return (FieldDiff("entry", self.asked, self.reported),)
            case DriftReason.STRAY:
                return (FieldDiff("run", None, self.run),)

    @property
    def words(self) -> str:
        """For a person, without the proplet."""
        match self.reason:
            case DriftReason.MISSING:
                return "took the document and does not report the run"
            case DriftReason.DIFFERS:
                return "runs another entry than the one it took"
            case DriftReason.STRAY:
                return "reports a run that nobody asked for"


@dataclass(slots=True)
class Findings:
    """All of one object, sorted by proplet. due: when there may be another one, by proplet."""

    found: list[Finding] = field(default_factory=list)
    due: dict[PropletId, int] = field(default_factory=dict)

    def wait(self, proplet: PropletId, until: int) -> None:
        """Not yet: look again then."""
        self.due[proplet] = min(until, self.due.get(proplet, until))


def find_drift(
    held: Held,
    snapshot: Snapshot,
    now: int,
    *,
    only: Iterable[PropletId] | None = None,
    delivered: Container[PropletId] | None = None,
) -> Findings:
    """How the devices differ from what is asked of them for `held`, what is ignored left out.

    only: the proplets to look at, None for all. delivered stands in for the snapshot's.
    """
    out = Findings()
    if held.deleted_at is not None or ignored(held):
        return out
    look = _Look(held, snapshot, snapshot.delivered if delivered is None else delivered, now, out)
    uid, daemon = held.uid, isinstance(held.object, Daemon)
    proplets, current = snapshot.proplets, snapshot.current
    copies = snapshot.assignments.get(uid, NO_COPIES)
    for copy in copies.values() if only is None else _those(copies, only):
        if copy.releasing:
            continue
        seen = proplets.get(copy.proplet)
        run = seen.runs.get((uid, copy.run)) if seen is not None else None
        # The common case first and with no call too many: it is there, as it was asked for.
        if run is not None and (
            not daemon or run.state is not RunState.RUNNING or run.error or current(copy, run)
        ):
            continue
        if seen is not None:
            look.at_copy(copy, seen, run)
    strays = snapshot.strays.get(held.uid, ())
    if strays:
        chosen = strays if only is None else frozenset(strays) & frozenset(only)
        for proplet in chosen:
            seen = snapshot.proplets.get(proplet)
            if seen is not None:
                look.at_strays(copies.get(proplet), seen)
    if len(out.found) > 1:
        out.found.sort(key=lambda one: (one.proplet, one.reason, one.run))
    return out


def _those(
    copies: Mapping[PropletId, Assignment], only: Iterable[PropletId]
) -> Iterable[Assignment]:
    return [copies[proplet] for proplet in only if proplet in copies]


def ignored(held: Held) -> bool:
    """Whether nobody wants to hear of any drift of it."""
    return isinstance(held.object, Daemon) and held.object.drift is Drift.IGNORE


@dataclass(slots=True)
class _Look:
    """At the devices of one object. took: those that say they hold what was asked last."""

    held: Held
    snapshot: Snapshot
    took: Container[PropletId]
    now: int
    out: Findings

    def at_copy(self, copy: Assignment, seen: Seen, run: SeenRun | None) -> None:
        """Its run is not there, or up by another entry. One with trouble says why it is so."""
        if run is None:
            reason, since = DriftReason.MISSING, copy.assigned_at + GRACE
        else:
            asked_at = max(copy.assigned_at, self.snapshot.asked_at(copy.proplet))
            reason, since = DriftReason.DIFFERS, asked_at + REPLACING
        if self._due(reason, seen, since):
            self.out.found.append(
                Finding(
                    proplet=copy.proplet,
                    reason=reason,
                    run=copy.run,
                    asked=self.snapshot.entry(copy),
                    reported=run.digest if run is not None else "",
                )
            )

    def at_strays(self, copy: Assignment | None, seen: Seen) -> None:
        """Runs that are up there beside `copy`, or where none should be."""
        if copy is not None:
            own = seen.runs.get((copy.uid, copy.run))
            if own is None or not own.ready:
                return  # it is its successor's turn, and until then the old one may serve
        since = self.snapshot.asked_at(seen.id) + (GRACE if copy is None else REPLACING)
        if not self._due(DriftReason.STRAY, seen, since):
            return
        for (uid, name), run in seen.runs.items():
            if uid == self.held.uid and is_stray(copy, run):
                self.out.found.append(
                    Finding(
                        proplet=seen.id, reason=DriftReason.STRAY, run=name, reported=run.digest
                    )
                )

    def _due(self, reason: DriftReason, seen: Seen, since: int) -> bool:
        """Whether that is drift there by now; else notes when it will be, if it may."""
        if not seen.reported or seen.presence is not Presence.ONLINE or seen.id not in self.took:
            return False
        obj = self.held.object
        rules = obj.ignore_drift if isinstance(obj, Daemon) else ()
        if any(rule.covers(reason, seen.id, seen.labels) for rule in rules):
            return False
        if self.now < since:
            self.out.wait(seen.id, since)
        return self.now >= since


def is_stray(copy: Assignment | None, run: SeenRun) -> bool:
    """Whether a reported run of an object is up where its `copy` there, if any, is another one."""
    return (copy is None or copy.run != run.run) and not run.state.ended


def strays_among(
    proplets: Mapping[PropletId, Seen],
    assignments: Mapping[Uid, Mapping[PropletId, Assignment]],
) -> dict[Uid, set[PropletId]]:
    """`Snapshot.strays`, by looking at every run of the fleet."""
    found: dict[Uid, set[PropletId]] = {}
    for proplet, seen in proplets.items():
        for uid in strays_on(seen, assignments):
            found.setdefault(uid, set()).add(proplet)
    return found


def strays_on(
    seen: Seen,
    assignments: Mapping[Uid, Mapping[PropletId, Assignment]],
    uids: Collection[Uid] | None = None,
) -> set[Uid]:
    """The objects (out of `uids`, if given) that have a stray on that proplet."""
    return {
        uid
        for (uid, _), run in seen.runs.items()
        if (uids is None or uid in uids)
        and is_stray(assignments.get(uid, NO_COPIES).get(seen.id), run)
    }
