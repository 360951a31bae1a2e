"""Drift: a device that does not hold what it said it took."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.drift import Drift
from propeller.model.ids import PropletId
from propeller.plan.conditions import summarize
from propeller.plan.drift import APART, GRACE, MOST, WITHIN
from propeller.plan.types import Correct


def _lose(world: Any, name: str) -> None:
    """The proplet reports nothing any more, though it holds the document."""
    world.set(name, runs={})


def _plant(w: Any, **more: Any) -> tuple[Any, Any]:
    obj = w.daemon("d", w.everywhere(), **more)
    world = w.World(obj, proplets=[w.proplet("p0"), w.proplet("p1")])
    world.settle()
    world.now += GRACE
    return world, obj


def _corrections(world: Any) -> list[Correct]:
    return [one for one in world.plan().actions if isinstance(one, Correct)]


def test_a_lost_run_is_asked_for_anew(w: Any) -> None:
    """Once: until the device has taken that, nobody can say that it has drifted."""
    world, obj = _plant(w)
    _lose(world, "p1")
    (action,) = _corrections(world)
    assert action.proplets == ("p1",)
    world.carry_out(world.plan())
    assert world.plan().actions == ()
    world.settle()
    assert world.told == ["DriftCorrected"]
    assert (obj.meta.uid, world.assignments[obj.meta.uid][PropletId("p1")].run) in (
        world.proplets[PropletId("p1")].runs
    )


@pytest.mark.parametrize("mode", [Drift.DETECT, Drift.IGNORE])
def test_drift_may_be_left_alone(w: Any, mode: Drift) -> None:
    """Nothing is asked of the device; `Ignore` does not even say so."""
    world, obj = _plant(w, drift=mode)
    _lose(world, "p1")
    assert world.plan().actions == ()
    held = world.objects[obj.meta.uid]
    summary = summarize(held, world.snapshot(), now=world.now)
    told = [row.type for row in summary.conditions]
    assert ("DriftDetected" in told) is (mode is Drift.DETECT)


@pytest.mark.parametrize(
    "why",
    ["silent", "not delivered", "not reported", "young", "suspended"],
)
def test_what_is_no_drift_is_not_corrected(w: Any, why: str) -> None:
    """Silence, a document on its way, a copy that was only just asked for."""
    world, obj = _plant(w)
    _lose(world, "p1")
    match why:
        case "silent":
            world.off("p1")
        case "not delivered":
            world.delivered.discard(PropletId("p1"))
        case "not reported":
            world.set("p1", reported=False)
        case "young":
            world.now -= 1
        case "suspended":
            row = world.objects[obj.meta.uid]
            world.objects[obj.meta.uid] = replace(row, hold=w.suspend())
    assert _corrections(world) == []
    if why == "young":
        assert (w.NOW + GRACE, "p1") in [(one.due, one.proplet) for one in world.plan().wakeups]


def test_a_task_is_never_corrected(w: Any) -> None:
    """Its run may have been: it is not to be run twice."""
    task = w.task("t", w.everywhere())
    world = w.World(task, proplets=[w.proplet("p0")])
    world.settle()
    world.now += GRACE
    _lose(world, "p0")
    assert world.plan().actions == ()


def test_corrections_keep_apart(w: Any) -> None:
    """A second drift within a minute waits, and the plan says until when."""
    world, _ = _plant(w)
    _lose(world, "p1")
    world.settle()
    _lose(world, "p0")
    assert _corrections(world) == []
    assert (world.now + APART, "p0") in [(one.due, one.proplet) for one in world.plan().wakeups]
    world.now += APART
    assert [one.proplets for one in _corrections(world)] == [("p0",)]


def _flap(world: Any, times: int) -> None:
    for _ in range(times):
        _lose(world, "p1")
        world.settle()
        world.now += APART


def test_too_many_corrections_are_flapping(w: Any) -> None:
    """After ten within an hour it stops, and says so; an edit begins anew."""
    world, obj = _plant(w)
    _flap(world, MOST)
    _lose(world, "p1")
    world.carry_out(world.plan())
    assert world.told == ["DriftCorrected"] * MOST + ["DriftFlapping"]
    assert world.corrections[obj.meta.uid].flapping
    world.now += 2 * WITHIN
    assert world.plan().actions == ()
    held = world.objects[obj.meta.uid]
    summary = summarize(held, world.snapshot(), now=world.now)
    rows = {row.type: row.reason for row in summary.conditions}
    assert (rows["Ready"], rows["Stalled"]) == ("DriftFlapping", "DriftFlapping")
    assert rows["DriftDetected"] == "DriftFlapping"
    world.add(w.daemon("d", w.everywhere(), args=("2",)))
    world.settle()
    world.now += GRACE
    _lose(world, "p1")
    assert len(_corrections(world)) == 1


def test_corrections_of_long_ago_do_not_count(w: Any) -> None:
    """Ten in a day are no flapping."""
    world, obj = _plant(w)
    for _ in range(2 * MOST):
        _flap(world, 1)
        world.now += WITHIN // 5
    assert not world.corrections[obj.meta.uid].flapping
    assert world.told == ["DriftCorrected"] * 2 * MOST


def test_an_incremental_plan_corrects_as_well(w: Any) -> None:
    """One report is enough."""
    world, _ = _plant(w)
    _lose(world, "p1")
    part = world.plan(
        touched=world.affected("p1"),
        proplets=frozenset({PropletId("p1")}),
        standing=world.blocked,
    )
    assert part.actions == world.plan().actions != ()


def test_nothing_is_corrected_while_held(w: Any) -> None:
    """After a lost store nobody is asked for anything before all were heard."""
    world, _ = _plant(w)
    _lose(world, "p1")
    world.policy = w.Policy(hold="waiting for p9")
    assert world.plan().actions == ()
