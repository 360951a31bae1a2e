"""How many copies a Daemon with `autoscale` is to have.

Called by `planner` for every such Daemon that is looked at. The rule is that of Kubernetes'
HorizontalPodAutoscaler (its documentation, "Algorithm details"): wanted = ceil(copies * mean /
target), nothing within a tenth of the target; a copy nobody has measured yet counts as idle where
that would add copies and as on target where it would take some away. More copies come at once,
twice as many at most; fewer only when fewer were enough for as long as `patience`.

A Function may go to no copy at all: once every copy says that nobody called it for as long as
`patience`. It comes back when a gateway says that calls wait (`Called`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from propeller.model.ids import PropletId
from propeller.model.inventory import Held
from propeller.model.quantities import duration_text
from propeller.model.scaling import Autoscale, Gauge, Scale
from propeller.model.seen import Presence, RunState
from propeller.model.specs import Daemon
from propeller.plan.notes import Note
from propeller.plan.types import Action, Rescale, Snapshot, Wakeup

PERIOD = 5_000
"""ms between two looks at one object; without a new measurement a look changes nothing."""
FRESH = 90_000
"""ms for which a report counts; heartbeats are 30 s by default."""
OLDEST = 300_000
"""ms for which one guest's numbers count where reports have no room for all guests at once."""
TOLERANCE = 100
"""Thousandths of the target within which nothing is done."""
CALLED = 5_000
"""ms for which the word that calls wait holds; whoever said it repeats it every second."""
MOST_VOTES = 128
"""About so many votes are kept of one object."""
_NAMES = {
    Gauge.CPU: "cpu",
    Gauge.MEMORY: "rss",
    Gauge.CALLS: "calls",
    Gauge.QUEUE: "queue",
    Gauge.GUEST: "g",
}
"""How the names of a report's metrics begin."""
NAMED = 8
"""Digits of a uid in the names of a report's metrics (`proplet.gauges`)."""


def as_scaled(held: Held, snapshot: Snapshot) -> Held:
    """The object with the number of copies it is to have now."""
    obj = held.object
    if not isinstance(obj, Daemon) or obj.autoscale is None:
        return held
    copies = wanted(held, obj.autoscale, snapshot)
    placement = replace(obj.placement, replicas=copies)
    return replace(held, object=replace(obj, placement=placement))


def wanted(held: Held, spec: Autoscale, snapshot: Snapshot) -> int:
    """The copies there are to be; where nobody has decided yet, those that are there."""
    scale = snapshot.scales.get(held.uid)
    if scale is not None:
        return _within(scale.copies, spec)
    obj = held.object
    assert isinstance(obj, Daemon)
    placed = sum(not copy.releasing for copy in snapshot.assignments.get(held.uid, {}).values())
    return _within(max(placed, obj.placement.replicas), spec)


@dataclass(slots=True)
class Scaled:
    """What one object gives to a plan."""

    actions: list[Action] = field(default_factory=list)
    wakeups: list[Wakeup] = field(default_factory=list)


def rescale(held: Held, snapshot: Snapshot, now: int) -> Scaled:
    """See the module; for a live Daemon."""
    out = Scaled()
    obj = held.object
    if not isinstance(obj, Daemon) or obj.autoscale is None or snapshot.policy.hold:
        return out
    spec = obj.autoscale
    before = snapshot.scales.get(held.uid)
    copies = wanted(held, spec, snapshot)
    first = _first_copies(held, spec, snapshot, copies, now)
    if before is not None and before.copies == copies and not first:
        if copies == 0:
            return out  # whoever calls is the first to know more
        due = before.looked_at + PERIOD
        if now < due or not _measured_since(held, snapshot, before.looked_at):
            out.wakeups.append(Wakeup(due=max(due, now + PERIOD), uid=held.uid))
            return out
    votes = before.votes if before is not None else ()
    if first:
        then, vote = first
        calls = snapshot.wanted[held.uid].calls
        said = f"{calls} call{' waits' if calls == 1 else 's wait'} for a copy"
    else:
        found = tuple(measured(held, obj, spec, snapshot, now))
        vote, said = _vote(found, copies, spec)
        then = _then(votes, vote, copies, now - spec.patience)
        if copies and _idle(held, spec, snapshot, now):
            then = vote = 0
            said = f"nobody has called it for {duration_text(spec.patience)}"
    after = Scale(
        uid=held.uid,
        copies=then,
        votes=_noted(votes, now, vote, spec.patience),
        looked_at=now,
        said=said,
    )
    notes: tuple[Note, ...] = ()
    if then != copies:
        notes = (Note("Rescaled", f"from {copies} to {then} copies: {said}"),)
    out.actions.append(Rescale(uid=held.uid, key=obj.meta.key, scale=after, notes=notes))
    if then:
        out.wakeups.append(Wakeup(due=now + PERIOD, uid=held.uid))
    return out


def _first_copies(
    held: Held, spec: Autoscale, snapshot: Snapshot, copies: int, now: int
) -> tuple[int, int] | None:
    """How many copies to begin with, twice, where there is none and calls wait; else None."""
    called = snapshot.wanted.get(held.uid)
    if copies or called is None or now - called.at > CALLED:
        return None
    enough = -(-called.calls * 1000 // spec.target) if spec.gauge is Gauge.CALLS else 1
    count = min(max(1, enough), spec.most)
    return count, count


def _measured_since(held: Held, snapshot: Snapshot, at: int) -> bool:
    """Whether a proplet with a copy has reported since then."""
    for proplet in snapshot.assignments.get(held.uid, {}):
        seen = snapshot.proplets.get(proplet)
        if seen is not None and seen.metrics_at > at:
            return True
    return False


def _noted(
    votes: tuple[tuple[int, int], ...], now: int, vote: int, patience: int
) -> tuple[tuple[int, int], ...]:
    """With one more: those that are too old go, but for the newest of them."""
    since, step = now - patience, max(PERIOD, patience // MOST_VOTES)
    old = [one for one in votes if one[0] <= since][-1:]
    kept = [one for one in votes if one[0] > since]
    if kept and kept[-1][0] // step == now // step:
        kept[-1] = (kept[-1][0], max(kept[-1][1], vote))
    else:
        kept.append((now, vote))
    return (*old, *kept)


def _then(votes: tuple[tuple[int, int], ...], vote: int, copies: int, since: int) -> int:
    """More at once; fewer only when every vote of the whole time was for fewer."""
    if vote >= copies:
        return vote
    watched = bool(votes) and votes[0][0] <= since
    begin = max((at for at, _ in votes if at <= since), default=since)
    return max(vote, *(one for at, one in votes if at >= begin)) if watched else copies


def _vote(
    found: tuple[tuple[PropletId, int | None], ...], copies: int, spec: Autoscale
) -> tuple[int, str]:
    """How many copies would be enough, and the measurement in words."""
    known = [value for _, value in found if value is not None]
    if not known:
        return copies, "nothing is measured"
    unknown = max(len(found), copies) - len(known)
    mean = sum(known) // len(known)
    what = f"{spec.gauge} {spec.named}" if spec.named else str(spec.gauge)
    said = f"{what} {_share(mean)} a copy, target {_share(spec.target)}"
    total = sum(known) + (unknown * spec.target if mean < spec.target else 0)
    count = len(known) + unknown
    if abs(total - count * spec.target) * 1000 <= TOLERANCE * count * spec.target:
        return copies, said
    enough = -(-total // spec.target)
    enough = min(max(enough, copies), 2 * copies) if mean > spec.target else min(enough, copies)
    return _within(max(1, enough), spec), said


def _idle(held: Held, spec: Autoscale, snapshot: Snapshot, now: int) -> bool:
    """Whether there may be no copy at all: every one says that nobody called it for long."""
    if spec.least:
        return False
    course = snapshot.courses.get(held.uid)
    if course is not None and course.phase.under_way:
        return False  # a rollout is judged by copies that are there
    found = list(told(held, f"idle/{held.uid[:NAMED]}", snapshot, now))
    return bool(found) and all(value is not None and value >= spec.patience for _, value in found)


def measured(
    held: Held, obj: Daemon, spec: Autoscale, snapshot: Snapshot, now: int
) -> Iterator[tuple[PropletId, int | None]]:
    """Of each copy that should run, thousandths; None where nobody has said it lately."""
    name = f"{_NAMES[spec.gauge]}/{held.uid[:NAMED]}"
    if spec.gauge is Gauge.GUEST:
        name = f"{name}/{spec.named}"
    for proplet, value in told(held, name, snapshot, now):
        if value is not None and spec.gauge is Gauge.MEMORY:
            assert obj.limits.memory is not None, "the loader refuses it"
            yield proplet, value * 1000 // obj.limits.memory
        else:
            yield proplet, value


def told(
    held: Held, name: str, snapshot: Snapshot, now: int
) -> Iterator[tuple[PropletId, int | None]]:
    """What each copy that should run was last said to have, at least 0; None: not known."""
    for proplet, copy in sorted(snapshot.assignments.get(held.uid, {}).items()):
        if copy.releasing:
            continue
        seen = snapshot.proplets.get(proplet)
        run = None if seen is None else seen.runs.get((held.uid, copy.run))
        value = None
        if (
            seen is not None
            and seen.presence is Presence.ONLINE
            and run is not None
            and run.state is RunState.RUNNING
            and now - seen.metrics_at <= FRESH
            and now - seen.told_at(name) <= OLDEST
        ):
            known = seen.metrics.get(name)
            value = None if known is None else max(0, known)
        yield proplet, value


def _within(copies: int, spec: Autoscale) -> int:
    return min(max(copies, spec.least), spec.most)


def _share(thousandths: int) -> str:
    return f"{thousandths / 1000:.2f}"
