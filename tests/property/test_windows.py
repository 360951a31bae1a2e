"""Hypothesis against windows: while they are closed an edit does nothing, and then all of it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from propeller.model.ids import PropletId
from propeller.model.specs import Daemon, Task
from propeller.model.withheld import Withheld
from propeller.plan.types import Fire, LetIn, Plan


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"{name}_for_windows", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


planning = _load("test_plan")
w = planning.w

EDITS = ["edit", "limits", "delete", "rerun", "shrink", "grow"]
OTHERS = ["off", "on", "cordon", "uncordon", "fail", "interrupt", "label", "minutes", "late"]
OPENS = 22 * 60 * w.MINUTE
"""From midnight; the worlds begin at 15:06 UTC."""


def _reasons(blocked: Any) -> dict[Any, Any]:
    """Why, and on which proplets: how much room is left there is only as new as their last plan."""
    return {uid: (block.reason, sorted(block.refused)) for uid, block in blocked.items()}


@st.composite
def worlds(draw: st.DrawFn) -> Any:
    """A settled fleet whose objects may be edited from 22:00 on."""
    world = draw(planning.worlds())
    planning.settle(world)
    for uid, row in world.objects.items():
        if isinstance(row.object, Task | Daemon):
            windowed = replace(row.object, windows=(w.window("0 22 * * *", 2),))
            world.objects[uid] = replace(row, object=windowed)
    return world


def _edit(world: Any, event: str, pick: int) -> None:
    uids = sorted(world.objects)
    if not uids:
        return
    uid = uids[pick % len(uids)]
    before = world.objects[uid]
    planning.happen(world, event, pick)
    after = world.objects[uid]
    if after == before:
        return
    world.objects[uid] = replace(after, generation=before.generation + 1)
    if uid not in world.withheld:
        module = world.modules.get(before.object.module)
        world.withheld[uid] = Withheld(uid=uid, held=before, module=module)


def _does(decided: Plan) -> list[Any]:
    return [one for one in decided.actions if not isinstance(one, LetIn)]


stories = st.lists(
    st.tuples(st.sampled_from([*EDITS, *EDITS, *OTHERS]), st.integers(0, 11)), max_size=8
)


@given(worlds(), stories)
@planning.share(60)
def test_while_a_window_is_closed_an_edit_does_nothing(
    world: Any, story: list[tuple[str, int]]
) -> None:
    """The plan is that of the objects as they were let in, whatever else happens."""
    for event, pick in story:
        note(f"-- {event} {pick}")
        if event in EDITS:
            _edit(world, event, pick)
        else:
            planning.happen(world, event, pick)
    if world.now % (24 * 60 * w.MINUTE) >= OPENS:
        return
    decided = world.plan()
    edited, waiting = dict(world.objects), dict(world.withheld)
    world.objects |= {uid: one.held for uid, one in waiting.items()}
    world.withheld = {}
    assert _does(decided) == _does(world.plan())
    assert not [one for one in decided.actions if isinstance(one, LetIn)]
    stands = {uid for uid in waiting if decided.blocked[uid].reason == "WindowClosed"}
    others = {uid for uid in waiting if uid in world.plan().blocked}
    assert stands | others == set(waiting)
    world.objects, world.withheld = edited, waiting


@given(worlds(), stories)
@planning.share(60)
def test_when_it_opens_everything_is_let_in(world: Any, story: list[tuple[str, int]]) -> None:
    """In one plan, and the fleet settles as if there had been no window."""
    for event, pick in story:
        note(f"-- {event} {pick}")
        if event in EDITS:
            _edit(world, event, pick)
        else:
            planning.happen(world, event, pick)
    midnight = world.now - world.now % (24 * 60 * w.MINUTE)
    world.now = max(world.now, midnight + OPENS + w.MINUTE)
    waiting = set(world.withheld)
    decided = world.plan()
    assert {one.uid for one in decided.actions if isinstance(one, LetIn)} == waiting
    plain = dict(world.objects)
    world.withheld = {}
    assert _does(decided) == _does(world.plan())
    world.objects = plain
    world.carry_out(replace(decided, actions=tuple(_does(decided))))
    planning.settle(world)


@given(worlds(), stories, st.integers(0, 5))
@planning.share(40)
def test_an_incremental_plan_behind_windows_is_the_full_plan(
    world: Any, story: list[tuple[str, int]], pick: int
) -> None:
    """One proplet's change is planned with what was let in, too."""
    for event, chosen in story:
        if event in EDITS:
            _edit(world, event, chosen)
    world.carry_out(world.plan())
    names = sorted(world.proplets)
    name = names[pick % len(names)]
    online = world.proplets[PropletId(name)].presence == "Online"
    changed = planning.happen(world, "off" if online else "on", pick)
    part = world.plan(
        touched=world.affected(*changed),
        proplets=frozenset(PropletId(one) for one in changed),
        standing=world.blocked,
    )
    full = world.plan()
    assert [one for one in part.actions if not isinstance(one, Fire)] == [
        one for one in full.actions if not isinstance(one, Fire)
    ]
    assert _reasons(planning._merged(world, part)) == _reasons(full.blocked)
