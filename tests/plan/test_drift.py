"""Drift: a device that does not hold what it said it took."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.drift import Drift, DriftReason, IgnoreDrift
from propeller.model.ids import Digest, PropletId, RunId
from propeller.model.seen import RunState, SeenRun
from propeller.model.selector import Operator, Requirement, Selector
from propeller.plan.conditions import summarize
from propeller.plan.drift import APART, MOST, WITHIN
from propeller.plan.findings import GRACE, REPLACING, find_drift
from propeller.plan.types import Correct, FieldDiff


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


def _found(world: Any, obj: Any) -> list[tuple[str, str]]:
    found = find_drift(world.objects[obj.meta.uid], world.snapshot(), world.now).found
    return [(one.proplet, str(one.reason)) for one in found]


def _alter(world: Any, obj: Any, name: str, **more: Any) -> None:
    """The proplet reports its run otherwise."""
    copy = world.assignments[obj.meta.uid][PropletId(name)]
    seen = world.proplets[PropletId(name)]
    world.set(name, runs={(copy.uid, copy.run): replace(seen.runs[copy.uid, copy.run], **more)})


def _stray(world: Any, obj: Any, name: str, **more: Any) -> None:
    """A run of the object is up where nobody asked for it."""
    run = SeenRun(
        uid=obj.meta.uid,
        run=RunId("f" * 32),
        digest=OTHER,
        cause="daemon",
        state=more.pop("state", RunState.RUNNING),
    )
    runs = {**world.proplets[PropletId(name)].runs, (run.uid, run.run): run}
    world.set(name, runs=runs)


OTHER = Digest("sha256:" + "9" * 64)


def test_a_run_of_another_entry_is_drift_once_it_had_time_to_be_replaced(w: Any) -> None:
    """A download may take an hour; then the device is asked anew, and has that hour again."""
    world, obj = _plant(w)
    world.asked_at = world.now
    _alter(world, obj, "p1", digest=OTHER)
    assert _found(world, obj) == []
    due = world.now + REPLACING
    assert (due, "p1") in [(one.due, one.proplet) for one in world.plan().wakeups]
    world.now = due
    assert _found(world, obj) == [("p1", "RunDiffers")]
    (action,) = _corrections(world)
    assert action.proplets == ("p1",)
    world.carry_out(world.plan())
    world.asked_at = world.now
    world.delivered.add(PropletId("p1"))
    world.now += REPLACING - 1
    assert _corrections(world) == []


def test_the_fields_that_differ_are_told(w: Any) -> None:
    """What was asked for and what is reported, by the digests of both entries."""
    world, obj = _plant(w)
    world.now += REPLACING
    _alter(world, obj, "p1", digest=OTHER)
    held = world.objects[obj.meta.uid]
    (one,) = find_drift(held, world.snapshot(), world.now).found
    asked = w.content_of(world.assignments[obj.meta.uid][PropletId("p1")])
    assert one.fields == (FieldDiff("entry", asked, OTHER),)


def test_one_that_cannot_be_replaced_has_said_why(w: Any) -> None:
    """A failed download is no drift: it is told as an error."""
    world, obj = _plant(w)
    world.now += REPLACING
    _alter(world, obj, "p1", digest=OTHER, error="ArtifactFetchFailed: no room")
    assert _found(world, obj) == []


def test_a_stray_run_is_drift(w: Any) -> None:
    """Nobody asked for one on p1; the device is asked anew for what it should hold."""
    obj = w.daemon("d", w.pinned("p0"))
    world = w.World(obj, proplets=[w.proplet("p0"), w.proplet("p1")])
    world.settle()
    world.delivered.add(PropletId("p1"))
    world.asked_at = world.now
    _stray(world, obj, "p1")
    assert _corrections(world) == []
    world.now += GRACE
    assert _found(world, obj) == [("p1", "RunStray")]
    (action,) = _corrections(world)
    assert action.proplets == ("p1",)
    world.settle()
    assert _found(world, obj) == []


def test_a_second_run_of_one_object_has_time_to_end(w: Any) -> None:
    """The old guest goes on until the module of its successor is there."""
    world, obj = _plant(w)
    world.asked_at = world.now
    _stray(world, obj, "p1")
    assert _found(world, obj) == []
    world.now += REPLACING
    assert _found(world, obj) == [("p1", "RunStray")]


def test_an_old_run_may_serve_until_its_successor_is_ready(w: Any) -> None:
    """However long that takes: with `HandOver` it stays where the new one fails."""
    world, obj = _plant(w)
    _alter(world, obj, "p1", ready=False, state=RunState.BACK_OFF)
    _stray(world, obj, "p1")
    world.now += 10 * REPLACING
    assert _found(world, obj) == []
    assert _corrections(world) == []


def test_a_stray_that_ended_is_history(w: Any) -> None:
    """It runs nothing and never will."""
    world, obj = _plant(w)
    world.now += REPLACING
    _stray(world, obj, "p1", state=RunState.FAILED)
    assert _found(world, obj) == []


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (IgnoreDrift(reasons=frozenset({DriftReason.MISSING})), []),
        (IgnoreDrift(reasons=frozenset({DriftReason.STRAY})), ["p0", "p1"]),
        (IgnoreDrift(proplets=frozenset({PropletId("p1")})), ["p0"]),
        (IgnoreDrift(selector=Selector((Requirement("bench", Operator.EXISTS),))), ["p1"]),
        (
            IgnoreDrift(
                reasons=frozenset({DriftReason.STRAY}), proplets=frozenset({PropletId("p1")})
            ),
            ["p0", "p1"],
        ),
    ],
    ids=["reason", "other reason", "proplet", "labels", "all of a rule"],
)
def test_what_is_ignored_is_neither_said_nor_corrected(
    w: Any, rule: IgnoreDrift, left: list[str]
) -> None:
    """One list governs what is told and what is done."""
    world, obj = _plant(w, ignore_drift=(rule,))
    world.set("p0", labels={"bench": "yes"})
    _lose(world, "p0")
    _lose(world, "p1")
    assert [proplet for one in _corrections(world) for proplet in one.proplets] == left
    held = world.objects[obj.meta.uid]
    assert [one.proplet for one in summarize(held, world.snapshot(), now=world.now).drift] == left


def test_one_rule_that_fits_is_enough(w: Any) -> None:
    """Rules are joined by or."""
    rules = tuple(IgnoreDrift(proplets=frozenset({PropletId(name)})) for name in ("p0", "p1"))
    world, _ = _plant(w, ignore_drift=rules)
    _lose(world, "p0")
    _lose(world, "p1")
    assert world.plan().actions == ()
