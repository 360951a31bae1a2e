"""What has to be done so that the fleet becomes what the specs say: the one planner.

`plan` feeds the loop, `apply`, `diff` and dry runs alike. It answers the smallest set of actions
with a reason each, and when to look again. Two phases (docs/explanation/planning.md): `survey`
decides for every object by itself what stays and what leaves; `filling` then places what is missing
in the order of keys. An incremental plan gives what a full one would, and a plan that was carried
out and confirmed leaves nothing to plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from propeller.model.ids import Key, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.specs import (
    Alert,
    App,
    Daemon,
    FederatedTask,
    Proplet,
    Secret,
    Task,
    Workflow,
)
from propeller.model.withheld import Withheld
from propeller.plan.cases import Case, Grounds, open_case
from propeller.plan.drift import correct
from propeller.plan.federated import conduct
from propeller.plan.filling import blocked, fill, wait
from propeller.plan.placement import Loads, Looks, holders_of
from propeller.plan.quotas import Allowance
from propeller.plan.scaling import as_scaled, rescale
from propeller.plan.survey import bury, survey
from propeller.plan.types import (
    Action,
    Adopt,
    Advance,
    Assign,
    Blocked,
    Conduct,
    Correct,
    Fire,
    Forget,
    Gone,
    LetIn,
    Plan,
    Proceed,
    Release,
    Rescale,
    Snapshot,
    Wakeup,
)
from propeller.plan.windows import Gate, closed_block, gate
from propeller.plan.workflow import proceed

NOTHING_BLOCKED: Mapping[Uid, Blocked] = {}

_RANK: Mapping[type[Action], int] = {
    Fire: 0,
    LetIn: 1,
    Advance: 2,
    Correct: 3,
    Conduct: 4,
    Proceed: 5,
    Rescale: 6,
    Gone: 7,
    Adopt: 8,
    Release: 9,
    Assign: 10,
    Forget: 11,
}
OPEN = "its window is open"
_LAST = "\x7f"
"""Sorts behind every proplet id."""


def plan(
    snapshot: Snapshot,
    *,
    now: int,
    touched: frozenset[Uid] | None = None,
    proplets: frozenset[PropletId] | None = None,
    whole: frozenset[Uid] = frozenset(),
    standing: Mapping[Uid, Blocked] = NOTHING_BLOCKED,
    looks: Looks | None = None,
) -> Plan:
    """Everything to do now (Unix ms), pure and sorted.

    touched: the objects to look at; None for all. `affected` says which ones a change of proplets
    concerns; objects that wait for room are added here.
    proplets: nothing but these changed since the objects in `touched` were last planned, so of
    objects that say where they want to be proplet by proplet, only these are looked at; None when
    anything may have changed.
    whole: objects of which that is not so, although `proplets` is given (their spec changed, a
    wakeup of the whole object came); they need not be in `touched`.
    standing: what earlier plans left blocked; needed whenever `touched` is given.
    looks: a cache that may be kept from plan to plan; changes nothing but the time it takes.
    """
    chosen = touched
    if touched is not None:
        waiting = {uid for uid, block in standing.items() if block.reason in _WAITING_FOR_OTHERS}
        chosen = frozenset(uid for uid in touched | whole | waiting if uid in snapshot.objects)
        chosen |= _workflows_of(chosen, snapshot)
        limited = any(standing[uid].reason == "QuotaExceeded" for uid in waiting)
        if whole or limited or any(_preempts(uid, snapshot) for uid in waiting):
            # An edit may free room on proplets that did not change, as may whoever finds room in
            # another place than the one that was made for it, and what ends anywhere of a quota.
            whole |= waiting
    grounds = Grounds(
        snapshot,
        now,
        scope=proplets if touched is not None else None,
        whole=whole,
        looks=looks if looks is not None else Looks(),
    )
    actions: list[Action] = []
    gates: dict[Uid, Gate] = {}
    cases = _survey_all(_in_order(snapshot, chosen), grounds, actions, gates)
    loads = _loads(grounds, cases, actions)
    allowance = Allowance(snapshot, loads)
    for case in cases:
        for proplet in case.adopted:
            allowance.take(case.uid, proplet)
    hold = snapshot.policy.hold
    blocks: dict[Uid, Blocked] = {}
    wakeups: list[Wakeup] = []
    for case in sorted(cases, key=_first_served):
        waits = snapshot.waits(case.uid) if snapshot.waits is not None else ""
        if waits:
            case.wish.starts = case.joining.starts = False
        fill(case, loads, allowance, grounds)
        short = wait(case) if waits else False
        kept = [action for action in case.actions if not hold or _is_bookkeeping(action)]
        block = blocked(
            case,
            refused_elsewhere=_elsewhere(case, standing),
            held_back=hold if len(kept) != len(case.actions) else "",
        )
        if block is None and short:
            block = Blocked(
                uid=case.uid,
                key=case.key,
                reason="DependencyNotReady",
                message=f"waits for what it depends on: {waits}",
            )
        if block is not None:
            blocks[case.uid] = block
        actions += kept
        wakeups += case.wakeups
    actions = _without_second_thoughts(actions)
    _conduct_all(_in_order(snapshot, chosen), grounds, actions, blocks, wakeups)
    _proceed_all(_in_order(snapshot, chosen), grounds, actions, blocks, wakeups)
    _tell_of_windows(snapshot, gates, cases, blocks, wakeups)
    if hold:
        actions = [action for action in actions if _is_bookkeeping(action)]
    return Plan(
        actions=tuple(sorted(actions, key=_order)),
        blocked=blocks,
        wakeups=tuple(sorted(set(wakeups))),
        planned=chosen,
        probes=tuple(
            probe for case in cases if case.helm is not None for probe in case.helm.probes
        ),
        asks=tuple(one for case in cases for one in case.asks),
    )


def _first_served(case: Case) -> int:
    """The higher priority gets room first; the order of keys stays among equals."""
    return -case.wish.obj.placement.priority


def _preempts(uid: Uid, snapshot: Snapshot) -> bool:
    held = snapshot.objects.get(uid)
    return (
        held is not None
        and isinstance(held.object, Task | Daemon)
        and held.object.placement.preempts
    )


def _without_second_thoughts(actions: list[Action]) -> list[Action]:
    """What has to make room goes, whatever else this plan had for it there."""
    going = {
        (one.uid, one.proplet) for one in actions if isinstance(one, Release) and one.preempted
    }
    if not going:
        return actions
    return [
        one
        for one in actions
        if not isinstance(one, Assign | Adopt | Release)
        or (one.uid, one.proplet) not in going
        or (isinstance(one, Release) and one.preempted)
    ]


_WAITING_FOR_OTHERS = frozenset({"NoCapacity", "QuotaExceeded", "Held"})


def _conduct_all(
    helds: Iterable[Held],
    grounds: Grounds,
    actions: list[Action],
    blocks: dict[Uid, Blocked],
    wakeups: list[Wakeup],
) -> None:
    """The rounds of every live FederatedTask that is looked at."""
    waits = grounds.snapshot.waits
    for held in helds:
        if held.deleted_at is not None or not isinstance(held.object, FederatedTask):
            continue
        done = conduct(held, grounds, waits=waits(held.uid) if waits is not None else "")
        actions += done.actions
        wakeups += done.wakeups
        if done.block is not None:
            blocks[held.uid] = done.block


def _workflows_of(chosen: Iterable[Uid], snapshot: Snapshot) -> frozenset[Uid]:
    """A step that moved concerns its Workflow."""
    found = set()
    for uid in chosen:
        thing = snapshot.objects[uid].object
        if isinstance(thing, Task) and thing.step is not None:
            found.add(thing.step.workflow)
    return frozenset(uid for uid in found if uid in snapshot.objects)


def _proceed_all(
    helds: Iterable[Held],
    grounds: Grounds,
    actions: list[Action],
    blocks: dict[Uid, Blocked],
    wakeups: list[Wakeup],
) -> None:
    """The runs of every live Workflow that is looked at."""
    waits = grounds.snapshot.waits
    for held in helds:
        if held.deleted_at is not None or not isinstance(held.object, Workflow):
            continue
        done = proceed(
            held,
            grounds.snapshot,
            grounds.now,
            tasks=grounds.steps,
            waits=waits(held.uid) if waits is not None else "",
        )
        actions += done.actions
        wakeups += done.wakeups
        if done.block is not None:
            blocks[held.uid] = done.block


def _tell_of_windows(
    snapshot: Snapshot,
    gates: Mapping[Uid, Gate],
    cases: Iterable[Case],
    blocks: dict[Uid, Blocked],
    wakeups: list[Wakeup],
) -> None:
    """What waits for a window is said, unless something else stands in the way, and looked at again
    when it opens."""
    for case in cases:
        if case.helm is not None and case.helm.local:
            blocks.setdefault(
                case.uid,
                Blocked(uid=case.uid, key=case.key, reason="WindowClosed", message=case.helm.local),
            )
    steps = {case.uid for case in cases if case.helm is not None and case.helm.held_back}
    for uid, found in gates.items():
        if not found.waits and uid not in steps:
            continue
        what = "the next step of its rollout" if not found.waits else ""
        blocks.setdefault(uid, closed_block(snapshot.objects[uid], found, what=what))
        if found.opens is not None:
            wakeups.append(Wakeup(due=found.opens, uid=uid))


def affected(
    snapshot: Snapshot,
    proplets: Iterable[PropletId],
    *,
    standing: Mapping[Uid, Blocked] = NOTHING_BLOCKED,
    facts_moved: bool = True,
) -> frozenset[Uid]:
    """The objects that a change of these proplets can concern.

    Those that have a copy there and those that are blocked; where more than runs moved (facts,
    labels, presence, scheduling, quarantine, declaration: `facts_moved`) also every object that
    says where it wants to be proplet by proplet, for it may want to be there now.
    """
    holders = snapshot.holders if snapshot.holders is not None else holders_of(snapshot)
    uids = set(standing)
    for proplet in proplets:
        uids.update(holders.get(proplet, ()))
    if facts_moved:
        waiting = snapshot.withheld.values()
        helds = (*snapshot.objects.values(), *(one.held for one in waiting if one.held is not None))
        uids.update(held.uid for held in helds if _goes_by_proplet(held))
    return frozenset(uid for uid in uids if uid in snapshot.objects)


def _goes_by_proplet(held: Held) -> bool:
    obj = held.object
    if held.deleted_at is not None or not isinstance(obj, Task | Daemon):
        return False
    return obj.placement.per_proplet or bool(obj.placement.proplets)


def _in_order(snapshot: Snapshot, chosen: frozenset[Uid] | None) -> list[Held]:
    objects = snapshot.objects
    helds = list(objects.values()) if chosen is None else [objects[uid] for uid in chosen]
    return sorted(helds, key=lambda held: (held.object.meta.key, held.uid))


def _survey_all(
    helds: Iterable[Held], grounds: Grounds, actions: list[Action], gates: dict[Uid, Gate]
) -> list[Case]:
    """Phase 1. Deleted objects are dealt with on the way; returns the live workloads.

    gates: filled with those of objects whose window is closed.
    """
    cases = []
    for head in helds:
        found = gate(head, grounds.snapshot, grounds.now, grounds.is_there)
        held = found.held
        if found.closed:
            gates[head.uid] = found
        if found.lets_in:
            actions.append(LetIn(uid=head.uid, key=head.object.meta.key, reason=OPEN))
        if held is None:
            continue
        if held.deleted_at is not None:
            if not held.orphan:
                actions += bury(held, grounds.snapshot)
            continue
        match held.object:
            case Task() | Daemon():
                scaled = rescale(held, grounds.snapshot, grounds.now)
                actions += scaled.actions
                case = open_case(as_scaled(held, grounds.snapshot), grounds, found)
                case.wakeups += scaled.wakeups
                survey(case, grounds)
                correct(case, grounds.snapshot, grounds.now)
                cases.append(case)
            case FederatedTask():
                pass  # `_conduct_all`: it needs nothing of the cases
            case Alert() | App() | Proplet() | Secret() | Workflow():
                pass
    return cases


def _loads(grounds: Grounds, cases: Iterable[Case], buried: Iterable[Action]) -> Loads:
    """Room after phase 1: without what is gone, with what was adopted."""
    gone = {(action.uid, action.proplet) for action in buried if isinstance(action, Gone)}
    for case in cases:
        gone |= {(case.uid, action.proplet) for action in case.actions if isinstance(action, Gone)}
    snapshot = grounds.snapshot

    def waiting(uid: Uid) -> Withheld | None:
        one = snapshot.withheld.get(uid)
        if one is None:
            return None
        found = gate(snapshot.objects[uid], snapshot, grounds.now, grounds.is_there)
        return one if found.waits else None

    loads = Loads(snapshot, gone, waiting)
    for case in cases:
        for proplet in case.adopted:
            loads.take(case.uid, proplet)
        for action in case.actions:
            if isinstance(action, Release):
                loads.leave(action.uid, action.proplet)
    return loads


def _elsewhere(case: Case, standing: Mapping[Uid, Blocked]) -> Mapping[PropletId, str]:
    """Refusals of proplets outside the scope, from the last plan that looked there."""
    before = standing.get(case.uid)
    if case.scope is None or not case.widely or before is None or not before.refused:
        return {}
    scope = set(case.scope)
    return {name: why for name, why in before.refused.items() if name not in scope}


def _is_bookkeeping(action: Action) -> bool:
    """Whether it changes nothing on any device: it only writes down what is so already."""
    return isinstance(action, Adopt | Gone | Forget)


def _order(action: Action) -> tuple[Key, Uid, str, int]:
    rank = _RANK[type(action)]
    if isinstance(action, Fire | Advance | LetIn | Correct | Conduct | Proceed | Rescale):
        return (action.key, action.uid, "", rank)
    if isinstance(action, Forget):
        return (action.key, action.uid, _LAST, rank)
    return (action.key, action.uid, action.proplet, rank)
