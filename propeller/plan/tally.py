"""How the copies of one object are doing, counted and told in words.

Called by `conditions`. A copy whose proplet is silent is never counted as running: its silence has
an age and is shown as one.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from propeller.model.conditions import moment
from propeller.model.ids import PropletId
from propeller.model.inventory import Assignment, Held
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.model.specs import Daemon, Task
from propeller.plan.findings import Finding, find_drift
from propeller.plan.lifecycle import retry_due
from propeller.plan.types import Blocked, Snapshot

SHOWN = 3
"""Copies named in a message; the counts cover all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Copies of an object. desired: how many should be there; the others are among those that are.

    ready: succeeded (Task) or running and healthy (Daemon). failed: will not get there by itself.
    updating: on their way. offline: on a proplet that is not heard. stale: not heard for longer
    than `placement.tolerations.offline`.
    """

    desired: int = 0
    ready: int = 0
    updating: int = 0
    failed: int = 0
    offline: int = 0
    stale: int = 0

    def mapping(self) -> dict[str, int]:
        """As it stands in a status document."""
        return {
            "desired": self.desired,
            "ready": self.ready,
            "updating": self.updating,
            "failed": self.failed,
            "offline": self.offline,
            "stale": self.stale,
        }


@dataclass(slots=True)
class Tally:
    """Counts, and for each kind of trouble what there is to say about the first few copies.

    placed: copies asked for. delivered: those whose proplet holds the document that asks for them.
    due: when the same facts will count differently (Unix ms).
    """

    desired: int = 0
    placed: int = 0
    ready: int = 0
    updating: int = 0
    failed: int = 0
    offline: int = 0
    stale: int = 0
    delivered: int = 0
    releasing: int = 0
    due: int | None = None
    failures: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    silences: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)
    drifted: list[Finding] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)

    @property
    def devices(self) -> Devices:
        return Devices(
            desired=self.desired,
            ready=self.ready,
            updating=self.updating,
            failed=self.failed,
            offline=self.offline,
            stale=self.stale,
        )

    def again_at(self, due: int) -> None:
        """Count again at `due` at the latest."""
        self.due = due if self.due is None else min(self.due, due)


def tally(
    held: Held,
    snapshot: Snapshot,
    *,
    delivered: Container[PropletId],
    blocked: Blocked | None,
    now: int,
) -> Tally:
    """Count the copies of a Task or Daemon."""
    counts = Tally()
    obj = held.object
    assert isinstance(obj, Task | Daemon)
    copies = snapshot.assignments.get(held.uid, {})
    for proplet, copy in sorted(copies.items()):
        seen = snapshot.proplets.get(proplet)
        if copy.releasing:
            counts.releasing += 1
            _tell(counts.leaving, f"{proplet}{_since(seen)}")
            continue
        counts.placed += 1
        if proplet in delivered:
            counts.delivered += 1
        else:
            _tell(counts.undelivered, f"{proplet}{_since(seen)}")
        _presence(counts, obj, proplet, seen, now)
        run = seen.runs.get((held.uid, copy.run)) if seen is not None else None
        if isinstance(obj, Task):
            _count_task(counts, obj, copy, run, now)
        else:
            older = run is not None and not snapshot.current(copy, run)
            _count_daemon(counts, copy, run, seen, older=older)
    drift = find_drift(held, snapshot, now, delivered=delivered)
    counts.drifted = drift.found
    for due in drift.due.values():
        counts.again_at(due)
    counts.desired = _desired(obj, counts.placed, copies.keys(), blocked)
    return counts


def _desired(
    obj: Task | Daemon, placed: int, copies: Container[PropletId], blocked: Blocked | None
) -> int:
    placement = obj.placement
    if placement.proplets:
        return max(placed, len(placement.proplets))
    if not placement.per_proplet:
        return max(placed, placement.replicas)
    without = (name for name in blocked.refused if name not in copies) if blocked else ()
    return placed + sum(1 for _ in without)


def _presence(
    counts: Tally, obj: Task | Daemon, proplet: PropletId, seen: Seen | None, now: int
) -> None:
    if seen is not None and seen.presence is Presence.ONLINE:
        return
    counts.offline += 1
    _tell(counts.silences, f"{proplet}{_since(seen)}")
    since = seen.offline_since if seen is not None else None
    limit = (since or 0) + obj.placement.offline_tolerance
    if since is None or limit <= now:
        counts.stale += 1
    else:
        counts.again_at(limit)


def _count_task(counts: Tally, task: Task, copy: Assignment, run: SeenRun | None, now: int) -> None:
    if run is None or not run.state.ended:
        counts.updating += 1
        state = "not begun" if run is None else str(run.state).lower()
        _tell(counts.waiting, f"{copy.proplet}: {state}")
    elif run.state is RunState.SUCCEEDED:
        counts.ready += 1
    elif run.state is not RunState.REFUSED and copy.attempt <= task.retries.limit:
        counts.updating += 1
        due = retry_due(task, copy, run, now)
        text = f"{copy.proplet}: attempt {copy.attempt} {how_it_ended(run)}, next {moment(due)}"
        _tell(counts.waiting, text)
    else:
        counts.failed += 1
        _tell(counts.failures, f"{copy.proplet}: {how_it_ended(run)}")


def _count_daemon(
    counts: Tally, copy: Assignment, run: SeenRun | None, seen: Seen | None, *, older: bool
) -> None:
    """older: the run is up from what its device was asked for before (other limits, for one), so
    that it is ready says nothing of what is wanted now."""
    online = seen is not None and seen.presence is Presence.ONLINE
    if run is not None and run.state.ended:
        counts.failed += 1
        _tell(counts.failures, f"{copy.proplet}: {how_it_ended(run)}")
    elif run is not None and run.state is RunState.RUNNING and run.ready and online and not older:
        counts.ready += 1
    elif online or run is None:
        counts.updating += 1
        progress = "still runs what was asked before" if older else _progress(run)
        _tell(counts.waiting, f"{copy.proplet}: {progress}")
    if run is not None and run.state is RunState.BACK_OFF:
        again = f", restarted {run.restarts} times" if run.restarts else ""
        _tell(counts.troubles, f"{copy.proplet}: {run.error or 'ended'}{again}")


def _progress(run: SeenRun | None) -> str:
    if run is None:
        return "not begun"
    if run.state is RunState.RUNNING:
        return "running, not ready yet"
    return "waiting to restart" if run.state is RunState.BACK_OFF else str(run.state).lower()


def how_it_ended(run: SeenRun) -> str:
    """What a person is told about a run that ended without success."""
    if run.state is RunState.REFUSED:
        return f"refused: {run.error}" if run.error else "refused"
    if run.state is RunState.INTERRUPTED:
        return f"was interrupted: {run.error}" if run.error else "was interrupted"
    why = run.error or (f"exit status {run.exit}" if run.exit else "")
    return f"failed: {why}" if why else "failed"


def _since(seen: Seen | None) -> str:
    """The age of a silence, as a moment: a duration would change the text all the time."""
    if seen is None or seen.presence is Presence.UNKNOWN:
        return " (never heard)"
    if seen.presence is Presence.ONLINE:
        return ""
    when = seen.offline_since if seen.offline_since is not None else seen.last_heard
    return f" (silent since {moment(when)})"


def _tell(lines: list[str], line: str) -> None:
    """Keep the first few, and how many more there were as the length."""
    lines.append(line if len(lines) < SHOWN else "")


def told(lines: list[str]) -> str:
    """The first few, and how many more."""
    more = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
