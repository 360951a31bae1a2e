"""Hypothesis against the planner: whatever happens to a small fleet, its promises hold."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from propeller.model.ids import PropletId
from propeller.model.module import Import
from propeller.model.quotas import Quota
from propeller.model.seen import Presence, RunState, Seen
from propeller.model.specs import Daemon, ModuleRef, OnOffline, Overlap, Task
from propeller.plan.fit import fit
from propeller.plan.placement import Looks, memory_of
from propeller.plan.planner import plan
from propeller.plan.types import Adopt, Assign, Gone, Plan, Policy, Release


def _load() -> ModuleType:
    place = Path(__file__).resolve().parents[1] / "plan" / "worlds.py"
    spec = importlib.util.spec_from_file_location("plan_worlds_for_properties", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


w = _load()

NAMES = [f"p{number}" for number in range(6)]
BIG = ModuleRef(file="big.wasm")
ODD = ModuleRef(file="odd.wasm")
LATE = ModuleRef(image="oci://late")
ROOMY = Quota(memory=4 * w.MIB)


def share(percent: int) -> settings:
    """That part of the profile's examples: a story is many plans."""
    return settings(max_examples=max(1, settings().max_examples * percent // 100))


def fleets() -> st.SearchStrategy[list[Seen]]:
    """Up to six proplets that differ in everything placement reads."""
    return st.lists(
        st.builds(
            dict,
            labels=st.fixed_dictionaries(
                {
                    "zone": st.sampled_from(["a", "b"]),
                    "board": st.sampled_from(["gateway", "mcu"]),
                }
            ),
            declared=st.sampled_from([True, True, True, False]),
            tasks=st.sampled_from([None, 1, 2, 8]),
            memory=st.sampled_from([None, 2 * w.MIB, 64 * w.MIB]),
            heard=st.sampled_from(["yes", "yes", "yes", "yes", "offline", "never"]),
            cordoned=st.sampled_from([False, False, False, True]),
        ),
        min_size=1,
        max_size=6,
    ).map(lambda rows: [_seen(NAMES[index], row) for index, row in enumerate(rows)])


def _seen(name: str, row: dict[str, Any]) -> Seen:
    heard = row.pop("heard")
    if heard == "never":
        row |= {"presence": Presence.UNKNOWN, "inst": "", "facts": None, "last_heard": 0}
    elif heard == "offline":
        row |= {"presence": Presence.OFFLINE, "offline_since": w.NOW - w.MINUTE}
    return w.proplet(name, **row)


def placements() -> st.SearchStrategy[Any]:
    """Overlapping selectors, every shape, both answers to silence."""
    selector = st.sampled_from(
        [{}, {}, {"selector": w.labelled(board="gateway")}, {"selector": w.labelled(zone="a")}]
    )
    silence = st.sampled_from(
        [{"on_offline": OnOffline.KEEP}, {"on_offline": OnOffline.RESCHEDULE}]
    )
    rank = st.sampled_from([{}, {}, {"priority": 5}, {"priority": 9}])
    pushing = st.sampled_from([{}, {"preempts": True}])
    replicas = st.builds(
        lambda chosen, quiet, count, spread, rank, pushing: w.anywhere(
            count, spread=spread, **chosen, **quiet, **rank, **pushing
        ),
        selector,
        silence,
        st.integers(1, 3),
        st.sampled_from([None, "zone"]),
        rank,
        pushing,
    )
    broad = st.builds(
        lambda chosen, quiet, rank: w.everywhere(**chosen, **quiet, **rank), selector, silence, rank
    )
    names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
    named = st.builds(lambda chosen, some: w.pinned(*some, **chosen), selector, names)
    return st.one_of(replicas, replicas, broad, named)


def works(index: int) -> st.SearchStrategy[Task | Daemon]:
    """One object; its name decides its place in the order."""
    common: dict[str, Any] = {
        "args": st.sampled_from([(), ("1",)]),
        "memory": st.sampled_from([w.MIB, w.MIB, 3 * w.MIB]),
        "module": st.sampled_from([ModuleRef(file="add.wasm")] * 5 + [BIG, ODD, LATE]),
        "app": st.sampled_from(["default", "default", "plant"]),
    }
    once = st.builds(
        w.task,
        st.just(f"o{index}"),
        placements(),
        retries=st.integers(0, 1),
        schedule=st.sampled_from([None, None, w.hourly(), w.hourly(overlap=Overlap.REPLACE)]),
        **common,
    )
    return st.one_of(once, st.builds(w.daemon, st.just(f"o{index}"), placements(), **common))


@st.composite
def worlds(draw: st.DrawFn) -> Any:
    """A fleet and up to six objects that compete for it."""
    count = draw(st.integers(1, 6))
    world = w.World(*[draw(works(index)) for index in range(count)], proplets=draw(fleets()))
    world.modules[BIG] = w.module(bytes=b"big", memory_min=16 * w.MIB)
    quotas = st.sampled_from([{}, {}, {"default": Quota(copies=3)}, {"default": ROOMY}])
    world.policy = Policy(quotas=draw(quotas))
    world.modules[ODD] = w.module(bytes=b"odd", imports=(Import("env", "laser"),))
    return world


EVENTS = [
    "off", "on", "cordon", "uncordon", "drain", "undrain", "quarantine", "trust", "label",
    "fail", "interrupt", "edit", "limits", "delete", "suspend", "resume", "restore", "late",
    "forget", "minutes", "hour", "rerun", "shrink", "grow", "lose",
]  # fmt: skip


def happen(world: Any, event: str, pick: int) -> set[str]:
    """Let something happen; returns the proplets it was about, {} when it was about objects."""
    names = sorted(world.proplets)
    name = names[pick % len(names)]
    seen = world.proplets[PropletId(name)]
    uids = sorted(world.objects)
    uid = uids[pick % len(uids)] if uids else None
    match event:
        case "off" if seen.presence is Presence.ONLINE:
            world.off(name)
        case "on" if seen.presence is not Presence.ONLINE:
            world.set(
                name,
                presence=Presence.ONLINE,
                offline_since=None,
                inst=f"inst-{name}",
                facts=seen.facts or w.facts(),
            )
        case "cordon" | "uncordon":
            world.set(name, cordoned=event == "cordon")
        case "drain" | "undrain":
            world.set(name, cordoned=event == "drain", draining=event == "drain")
        case "quarantine":
            world.set(name, quarantine="IdentityMismatch")
        case "trust":
            world.set(name, quarantine="")
        case "label":
            other = "mcu" if seen.labels["board"] == "gateway" else "gateway"
            world.set(name, labels={**seen.labels, "board": other})
        case "fail" | "interrupt":
            state = RunState.FAILED if event == "fail" else RunState.INTERRUPTED
            runs = {
                pair: replace(run, state=state, ended=world.now)
                for pair, run in seen.runs.items()
                if not run.state.ended and seen.presence is Presence.ONLINE
            }
            world.set(name, runs={**seen.runs, **runs})
        case _ if uid is not None:
            _happen_to_object(world, event, uid)
            return set()
        case _:
            return set()
    return {name}


def _happen_to_object(world: Any, event: str, uid: Any) -> None:
    row = world.objects[uid]
    obj = row.object
    match event:
        case "edit":
            run = replace(obj.run, args=(*obj.run.args, "more"))
            world.objects[uid] = replace(row, object=replace(obj, run=run))
        case "limits":
            limits = replace(obj.limits, memory=2 * w.MIB)
            world.objects[uid] = replace(row, object=replace(obj, limits=limits))
        case "delete":
            world.objects[uid] = replace(row, deleted_at=world.now)
        case "restore":
            world.objects[uid] = replace(row, deleted_at=None)
        case "suspend":
            world.objects[uid] = replace(row, hold=w.suspend())
        case "resume":
            world.objects[uid] = replace(row, hold=None)
        case "late":
            world.modules[LATE] = w.module(bytes=b"late")
        case "rerun" if isinstance(obj, Task):
            world.objects[uid] = replace(row, object=replace(obj, run_key=obj.run_key + "x"))
        case "shrink" | "grow" if not obj.placement.proplets:
            count = 1 if event == "shrink" else 3
            placement = replace(obj.placement, replicas=count)
            world.objects[uid] = replace(row, object=replace(obj, placement=placement))
        case "minutes":
            world.now += 6 * w.MINUTE
        case "hour":
            world.now += 60 * w.MINUTE
        case "lose":
            world.assignments = {}
            world.delivered = set()
        case _:
            pass


def stories() -> st.SearchStrategy[list[tuple[str, int]]]:
    """Events, each with a number that picks whom it happens to."""
    return st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 11)), max_size=8)


def check_promises(world: Any, decided: Plan) -> None:
    """What holds for every plan, settled or not."""
    assert list(decided.actions) == sorted(decided.actions, key=_order)
    pairs = Counter(
        (action.uid, action.proplet)
        for action in decided.actions
        if isinstance(action, Assign | Adopt)
    )
    assert not pairs or max(pairs.values()) == 1, "two runs of one object on one proplet"
    touched = Counter(
        (action.uid, action.proplet)
        for action in decided.actions
        if isinstance(action, Assign | Adopt | Release)
    )
    assert not touched or max(touched.values()) == 1, "assigned and released in one plan"
    check_room(world, decided)
    check_quota(world, decided)
    for action in decided.actions:
        if isinstance(action, Assign):
            _check_assign(world, action)
        elif isinstance(action, Gone):
            _check_gone(world, action)
        elif isinstance(action, Release) and action.preempted:
            _check_preempted(world, action)


def _order(action: Any) -> tuple[Any, ...]:
    first = type(action).__name__ in ("Fire", "Advance", "LetIn", "Correct")
    proplet = getattr(action, "proplet", "" if first else "~")
    return (action.key, proplet)


def check_room(world: Any, decided: Plan) -> None:
    """No plan puts more on a proplet than it takes (what was there already may be too much)."""
    load: dict[Any, set[Any]] = {}
    for uid, copies in world.assignments.items():
        for name, copy in copies.items():
            seen = world.proplets.get(name)
            run = seen.runs.get((uid, copy.run)) if seen is not None else None
            if run is None or not run.state.ended:
                load.setdefault(name, set()).add(uid)
    for action in decided.actions:
        if isinstance(action, Gone):
            load.get(action.proplet, set()).discard(action.uid)
    before = {name: len(uids) for name, uids in load.items()}
    for action in decided.actions:
        if isinstance(action, Assign):
            load.setdefault(action.proplet, set()).add(action.uid)
    for name, uids in load.items():
        seen = world.proplets.get(name)
        grown = len(uids) > before.get(name, 0)
        if grown and seen is not None and seen.tasks is not None:
            assert len(uids) <= seen.tasks, f"{name} takes {seen.tasks} tasks, not {sorted(uids)}"


def check_quota(world: Any, decided: Plan) -> None:
    """No plan begins more than the quota has left, but for what comes in place of another copy."""
    quota = world.policy.quotas.get("default")
    if quota is None or quota.copies is None:
        return
    busy = {
        (uid, name)
        for uid, copies in world.assignments.items()
        for name, copy in copies.items()
        if not copy.releasing and _runs(world, uid, name, copy)
    }
    begun = {
        (action.uid, action.proplet)
        for action in decided.actions
        if isinstance(action, Assign) and (action.uid, action.proplet) not in busy
    }
    moving = {uid for uid, name in busy if _leaves(world, uid, name)}
    assert len(busy) + len({one for one in begun if one[0] not in moving}) <= max(
        quota.copies, len(busy)
    )


def _runs(world: Any, uid: Any, name: Any, copy: Any) -> bool:
    seen = world.proplets.get(name)
    run = seen.runs.get((uid, copy.run)) if seen is not None else None
    return run is None or not run.state.ended


def _leaves(world: Any, uid: Any, name: Any) -> bool:
    """Whether that copy may be replaced by another: its proplet drains, is silent, or is unfit."""
    seen = world.proplets.get(name)
    if seen is None or seen.draining or seen.quarantine or seen.presence is not Presence.ONLINE:
        return True
    thing = world.objects[uid].object
    if not thing.placement.selector.matches(seen.labels):
        return True
    module = world.modules.get(thing.module)
    return module is None or fit(thing, module, seen.facts, memory_of(seen)) is not None


def _check_assign(world: Any, action: Assign) -> None:
    obj = world.objects[action.uid].object
    seen = world.proplets[action.proplet]
    before = world.assignments.get(action.uid, {}).get(action.proplet)
    assert not seen.quarantine
    assert not seen.draining
    assert seen.declared or obj.meta.app == "default"
    assert obj.placement.selector.matches(seen.labels)
    assert fit(obj, world.modules[obj.module], seen.facts, memory_of(seen)) is None
    assert world.objects[action.uid].hold is None
    if before is None or before.releasing:
        assert not seen.cordoned, "new work on a cordoned proplet"
        if not obj.placement.per_proplet and not obj.placement.proplets:
            assert seen.presence is Presence.ONLINE, "a new replica on a silent proplet"


def _check_preempted(world: Any, action: Release) -> None:
    """Nothing makes room for what counts as much or less, nor for what already has its copies."""
    victim = world.objects[action.uid].object
    pushing = [
        uid
        for uid, row in world.objects.items()
        if isinstance(row.object, Task | Daemon)
        and row.object.placement.preempts
        and row.object.placement.priority > victim.placement.priority
        and len(_counting(world, uid)) < row.object.placement.replicas
    ]
    assert pushing, f"{victim.meta.key} is taken off for nobody who may ask for that"
    copy = world.assignments[action.uid][action.proplet]
    assert not copy.releasing
    assert world.proplets[action.proplet].presence is Presence.ONLINE


def _counting(world: Any, uid: Any) -> list[Any]:
    """Copies that are meant to stay, where their proplet is there to have them."""
    return [
        name
        for name, copy in world.assignments.get(uid, {}).items()
        if not copy.releasing and world.proplets[name].presence is Presence.ONLINE
    ]


def _check_gone(world: Any, action: Gone) -> None:
    seen = world.proplets.get(action.proplet)
    reached = seen is not None and seen.inst
    listed = reached and any(uid == action.uid for uid, _ in seen.runs)
    assert not listed, "left the inventory while the device still lists it"
    copy = world.assignments[action.uid][action.proplet]
    assert not reached or (copy.releasing and action.proplet in world.delivered)


def check_settled(world: Any) -> None:
    """What holds when nothing is left to do."""
    for uid, row in world.objects.items():
        obj = row.object
        copies = {
            name: copy
            for name, copy in world.assignments.get(uid, {}).items()
            if not copy.releasing
        }
        if row.deleted_at is not None:
            assert not copies, "a deleted object keeps a copy"
            continue
        placement = obj.placement
        if placement.per_proplet or placement.proplets:
            continue
        counted = [name for name in copies if not _may_be_surplus(world, obj, name)]
        assert len(counted) <= placement.replicas, f"{obj.meta.key} has more than it wants"
        if len(copies) < placement.replicas and isinstance(obj, Daemon):
            assert uid in world.blocked, f"{obj.meta.key} is short and nobody says why"


def _may_be_surplus(world: Any, obj: Any, name: str) -> bool:
    """A copy on a silent proplet may still run: at least one, not exactly one."""
    seen = world.proplets[name]
    silent = seen.presence is Presence.OFFLINE
    return silent and obj.placement.on_offline is OnOffline.RESCHEDULE


def settle(world: Any) -> None:
    """Work until nothing is left, checking every plan on the way. A quota lets few at a time."""
    for _ in range(100):
        decided = world.plan()
        note("; ".join(w.words(decided)))
        check_promises(world, decided)
        world.carry_out(decided)
        before = dict(world.proplets)
        world.devices_work()
        if not decided.actions and before == world.proplets:
            check_settled(world)
            return
    raise AssertionError(f"no fixed point: {w.words(world.plan())}")


@given(worlds(), stories())
@share(80)
def test_a_fleet_settles_after_whatever_happens(world: Any, story: list[tuple[str, int]]) -> None:
    """Plans reach a fixed point in bounded rounds, and every plan on the way keeps the promises."""
    settle(world)
    for event, pick in story:
        note(f"-- {event} {pick}")
        happen(world, event, pick)
        settle(world)


@given(worlds(), stories(), st.integers(0, 3))
@share(80)
def test_an_incremental_plan_is_the_full_plan(
    world: Any, story: list[tuple[str, int]], unsettled: int
) -> None:
    """Looking only at what a change of proplets can concern gives the plan of looking at all."""
    settle(world)
    looks = Looks()
    for event, pick in story:
        note(f"-- {event} {pick}")
        changed = happen(world, event, pick)
        rounds = 0
        while changed and rounds < 4:
            full = world.plan()
            part = world.plan(
                touched=world.affected(*changed),
                proplets=frozenset(PropletId(name) for name in changed),
                standing=world.blocked,
                looks=looks,
            )
            note("; ".join(w.words(full)))
            assert part.actions == full.actions
            assert _merged(world, part) == dict(full.blocked)
            world.carry_out(part)
            if rounds == unsettled:
                break
            before = dict(world.proplets)
            moved = {action.proplet for action in part.actions if hasattr(action, "proplet")}
            world.devices_work()
            later = {name for name, seen in world.proplets.items() if seen != before[name]}
            changed = moved | later
            rounds += 1
        settle(world)


@given(worlds(), stories())
@share(50)
def test_edits_and_reports_may_be_planned_together(
    world: Any, story: list[tuple[str, int]]
) -> None:
    """Objects that changed are looked at everywhere, the others on the proplets that changed."""
    settle(world)
    changed: set[str] = set()
    edited: set[Any] = set()
    for event, pick in story:
        if event in ("minutes", "hour", "late", "lose", "delete", "restore"):
            continue
        uids = sorted(world.objects)
        changed |= happen(world, event, pick)
        edited |= {uids[pick % len(uids)]} if uids else set()
    full = world.plan()
    part = world.plan(
        touched=world.affected(*changed),
        proplets=frozenset(PropletId(name) for name in changed),
        whole=frozenset(edited),
        standing=world.blocked,
    )
    assert part.actions == full.actions
    assert _merged(world, part) == dict(full.blocked)


def _merged(world: Any, part: Plan) -> dict[Any, Any]:
    assert part.planned is not None
    kept = {uid: block for uid, block in world.blocked.items() if uid not in part.planned}
    return kept | dict(part.blocked)


@given(worlds(), stories())
@share(50)
def test_touching_the_object_that_changed_is_enough(
    world: Any, story: list[tuple[str, int]]
) -> None:
    """After an edit, planning that object alone (and what waits for room) is the full plan."""
    settle(world)
    for event, pick in story:
        if event in ("edit", "limits", "delete", "suspend", "resume", "rerun", "shrink", "grow"):
            uids = sorted(world.objects)
            if not uids:
                return
            uid = uids[pick % len(uids)]
            _happen_to_object(world, event, uid)
            full = world.plan()
            part = world.plan(touched=frozenset({uid}), standing=world.blocked)
            assert part.actions == full.actions
            assert _merged(world, part) == dict(full.blocked)
        settle(world)


@given(worlds(), stories(), st.randoms(use_true_random=False))
@share(40)
def test_the_order_of_mappings_does_not_matter(
    world: Any, story: list[tuple[str, int]], chance: random.Random
) -> None:
    """Same inputs, same plan, same bytes: shuffled mappings give an equal plan."""
    settle(world)
    for event, pick in story:
        happen(world, event, pick)
    first = world.plan()
    for name in ("objects", "proplets", "assignments"):
        rows = list(getattr(world, name).items())
        chance.shuffle(rows)
        setattr(world, name, dict(rows))
    again = world.plan()
    assert repr(again) == repr(first)


@given(worlds(), stories())
@share(40)
def test_nothing_starts_or_moves_while_held(world: Any, story: list[tuple[str, int]]) -> None:
    """Under a hold a plan only writes down what is so already; lifting it changes nothing else."""
    settle(world)
    for event, pick in story:
        happen(world, event, pick)
    free = world.plan()
    before = world.policy
    world.policy = replace(before, hold="waiting for p9")
    decided = world.plan()
    assert not [a for a in decided.actions if isinstance(a, Assign | Release)]
    dropped = {action.uid for action in free.actions if isinstance(action, Assign)}
    live = {uid for uid in dropped if world.objects[uid].deleted_at is None}
    assert all(decided.blocked[uid].reason == "Held" for uid in live)
    world.policy = before
    assert world.plan() == plan(world.snapshot(), now=world.now) == free
