"""How many copies a Daemon with `autoscale` is to have.

Called by `planner` for every such Daemon that is looked at. The rule is that of Kubernetes'
HorizontalPodAutoscaler (its documentation, "Algorithm details"): wanted = ceil(copies * mean /
target), nothing within a tenth of the target; a copy nobody has measured yet counts as idle where
that would add copies and as on target where it would take some away. More copies come at once,
twice as many at most; fewer only when fewer were enough for as long as `patience`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from propeller.model.ids import PropletId
from propeller.model.inventory import Held
from propeller.model.scaling import Autoscale, Gauge, Scale
from propeller.model.seen import Presence, RunState
from propeller.model.specs import Daemon
from propeller.plan.notes import Note
from propeller.plan.types import Action, Rescale, Snapshot, Wakeup

PERIOD = 15_000
"""ms between two looks at one object."""
FRESH = 90_000
"""ms for which a measurement counts; heartbeats are 30 s by default."""
TOLERANCE = 100
"""Thousandths of the target within which nothing is done."""
MOST_VOTES = 256
_NAMES = {Gauge.CPU: "cpu", Gauge.MEMORY: "rss", Gauge.CALLS: "calls"}
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
    due = before.looked_at + PERIOD if before is not None else now
    if before is not None and now < due and before.copies == copies:
        out.wakeups.append(Wakeup(due=due, uid=held.uid))
        return out
    votes = before.votes if before is not None else ()
    found = tuple(measured(held, obj, spec, snapshot, now))
    vote, said = _vote(found, copies, spec)
    since = now - spec.patience
    votes = (*(one for one in votes if one[0] > since), (now, vote))[-MOST_VOTES:]
    after = Scale(uid=held.uid, copies=copies, votes=votes, looked_at=now, said=said)
    notes: tuple[Note, ...] = ()
    then = _then(votes, copies, since, before)
    if then != copies:
        after = replace(after, copies=then)
        notes = (Note("Rescaled", f"from {copies} to {then} copies: {said}"),)
    out.actions.append(Rescale(uid=held.uid, key=obj.meta.key, scale=after, notes=notes))
    out.wakeups.append(Wakeup(due=now + PERIOD, uid=held.uid))
    return out


def _then(votes: tuple[tuple[int, int], ...], copies: int, since: int, before: Scale | None) -> int:
    """More at once; fewer only when every vote of the whole time was for fewer."""
    newest = votes[-1][1]
    if newest >= copies:
        return newest
    watched = before is not None and before.votes and before.votes[0][0] <= since + PERIOD
    return max(vote for _, vote in votes) if watched else copies


def _vote(
    found: tuple[tuple[PropletId, int | None], ...], copies: int, spec: Autoscale
) -> tuple[int, str]:
    """How many copies would be enough, and the measurement in words."""
    known = [value for _, value in found if value is not None]
    if not known:
        return copies, "nothing is measured"
    unknown = max(len(found), copies) - len(known)
    mean = sum(known) // len(known)
    said = f"{spec.gauge} {_share(mean)} a copy, target {_share(spec.target)}"
    total = sum(known) + (unknown * spec.target if mean < spec.target else 0)
    count = len(known) + unknown
    if abs(total - count * spec.target) * 1000 <= TOLERANCE * count * spec.target:
        return copies, said
    enough = -(-total // spec.target)
    enough = min(max(enough, copies), 2 * copies) if mean > spec.target else min(enough, copies)
    return _within(enough, spec), said


def measured(
    held: Held, obj: Daemon, spec: Autoscale, snapshot: Snapshot, now: int
) -> Iterator[tuple[PropletId, int | None]]:
    """Of each copy that should run, thousandths; None where nobody has said it lately."""
    name = f"{_NAMES[spec.gauge]}/{held.uid[:NAMED]}"
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
        ):
            told = seen.metrics.get(name)
            if isinstance(told, int) and told >= 0:
                value = told
                if spec.gauge is Gauge.MEMORY:
                    assert obj.limits.memory is not None, "the loader refuses it"
                    value = told * 1000 // obj.limits.memory
        yield proplet, value


def _within(copies: int, spec: Autoscale) -> int:
    return min(max(copies, spec.least), spec.most)


def _share(thousandths: int) -> str:
    return f"{thousandths / 1000:.2f}"
