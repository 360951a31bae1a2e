"""Windows: when they are open, and what waits while they are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.seen import RunState
from propeller.model.versions import Phase
from propeller.model.windows import WindowKind
from propeller.model.withheld import Withheld
from propeller.plan.preview import preview
from propeller.plan.types import Assign, LetIn, Policy, Release
from propeller.plan.windows import is_open, mark, opens_at

HOUR = 3_600_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = at("2025-06-16T12:00")  # a Monday
NIGHT = at("2025-06-16T22:00")


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2025-06-16T21:59:59", False),
        ("2025-06-16T22:00:00", True),
        ("2025-06-17T03:59:59", True),
        ("2025-06-17T04:00:00", False),
    ],
)
def test_an_allow_window_is_open_from_its_time_for_its_duration(
    w: Any, moment: str, expected: bool
) -> None:
    """From 22:00 for six hours, midnight in between."""
    assert is_open([w.window("0 22 * * *", 6)], at(moment)) is expected


def test_a_deny_window_wins(w: Any) -> None:
    """Open every night, but not on the night to the 17th."""
    nights = w.window("0 22 * * *", 6)
    frozen = w.window("0 0 17 6 *", 24, kind=WindowKind.DENY)
    assert is_open([nights, frozen], at("2025-06-16T23:00"))
    assert not is_open([nights, frozen], at("2025-06-17T01:00"))


def test_deny_windows_alone_leave_the_rest_open(w: Any) -> None:
    """Without an Allow window everything that is not denied is allowed."""
    lunch = w.window("0 12 * * *", 1, kind=WindowKind.DENY)
    assert not is_open([lunch], NOON)
    assert is_open([lunch], NOON + HOUR)


def test_windows_follow_their_time_zone(w: Any) -> None:
    """22:00 in Belgrade is 20:00 UTC in summer."""
    local = w.window("0 22 * * *", 1, time_zone="Europe/Belgrade")
    assert is_open([local], at("2025-06-16T20:30"))
    assert not is_open([local], at("2025-06-16T22:30"))


def test_when_it_opens_is_known(w: Any) -> None:
    """Also through a Deny window that ends later, and across two lists."""
    nights = w.window("0 22 * * *", 6)
    late = w.window("0 21 * * *", 3, kind=WindowKind.DENY)
    assert opens_at([[nights]], NOON) == NIGHT
    assert opens_at([[nights, late]], NOON) == NIGHT + 2 * HOUR
    mondays = [w.window("0 0 * * 2", 24)]
    assert opens_at([[nights], mondays], NOON) == at("2025-06-17T00:00")


def test_a_window_that_never_opens_is_said_so(w: Any) -> None:
    """Allowed and denied at the same time, always."""
    allow = w.window("0 1 * * *", 1)
    deny = w.window("0 0 * * *", 24, kind=WindowKind.DENY)
    assert opens_at([[allow, deny]], NOON) is None


# -- what waits -----------------------------------------------------------------------------------


def _plant(w: Any, obj: Any, *, count: int = 2) -> Any:
    """A fleet at noon on which `obj` was let in and runs."""
    world = w.World(obj, proplets=[w.proplet(f"p{number}") for number in range(count)], now=NIGHT)
    world.settle(rounds=40)
    world.now = NIGHT + 14 * HOUR
    return world


def _nightly(w: Any, **more: Any) -> Any:
    return w.daemon("d", w.everywhere(), windows=(w.window("0 22 * * *", 6),), **more)


def _touches(decided: Any) -> list[Any]:
    return [one for one in decided.actions if isinstance(one, Assign | Release | LetIn)]


def test_an_edit_waits_until_its_window_opens(w: Any) -> None:
    """What runs goes on unchanged; the block says when, and the plan looks again then."""
    world = _plant(w, _nightly(w))
    before = dict(world.assignments[w.uid("Daemon", "d")])
    world.add(_nightly(w, args=("2",)))
    decided = world.plan()
    assert _touches(decided) == []
    block = decided.blocked[w.uid("Daemon", "d")]
    assert block.reason == "WindowClosed"
    assert "generation 2 waits for a window, which opens 2025-06-17T22:00:00Z" in block.message
    opens = NIGHT + 24 * HOUR
    assert opens in [one.due for one in decided.wakeups]
    world.now = opens
    world.settle(rounds=40)
    assert world.withheld == {}
    after = world.assignments[w.uid("Daemon", "d")]
    assert all(after[name].run != before[name].run for name in before)


def test_a_new_object_waits_as_well(w: Any) -> None:
    """Nothing of it was let in before, so nothing of it is there."""
    world = w.World(proplets=[w.proplet("p0")], now=NOON)
    world.add(_nightly(w))
    assert _touches(world.plan()) == []
    world.now = NIGHT
    world.settle(rounds=40)
    assert world.where(_nightly(w)) == ["p0"]


def test_a_deletion_waits_as_well(w: Any) -> None:
    """Taking something off a device is a change like any other."""
    world = _plant(w, _nightly(w))
    world.delete(_nightly(w))
    decided = world.plan()
    assert _touches(decided) == []
    assert "its removal waits" in decided.blocked[w.uid("Daemon", "d")].message
    world.now = NIGHT + 24 * HOUR
    world.settle(rounds=40)
    assert world.objects == {}


def test_while_an_edit_waits_the_rest_goes_on(w: Any) -> None:
    """A new device gets what was let in, a failed run its retry; suspension stops at once."""
    task = w.task("t", w.everywhere(), windows=(w.window("0 22 * * *", 6),), retries=1)
    world = _plant(w, task)
    world.add(w.task("t", w.everywhere(), windows=task.windows, retries=1, args=("2",)))
    late = w.proplet("p9")
    world.proplets[late.id] = late
    world.report(task, "p0", RunState.FAILED, ended=world.now)
    world.now += w.MINUTE
    decided = world.plan()
    assert {(one.proplet, one.attempt) for one in _touches(decided)} == {("p0", 2), ("p9", 1)}
    world.settle(rounds=20)
    row = world.objects[w.uid("Task", "t")]
    world.objects[row.uid] = replace(row, hold=w.suspend())
    late = w.proplet("p8")
    world.proplets[late.id] = late
    assert _touches(world.plan()) == []


def test_a_cron_task_keeps_its_times(w: Any) -> None:
    """A window is about edits: what is scheduled runs as it was let in."""
    task = w.task("t", windows=(w.window("0 22 * * *", 1),), schedule=w.hourly())
    world = _plant(w, task)
    world.add(w.task("t", windows=task.windows, schedule=w.hourly(), args=("2",)))
    world.now += HOUR
    decided = world.plan()
    assert [type(one).__name__ for one in decided.actions] == ["Fire", "Assign"]


def test_the_window_of_an_app_holds_for_its_objects(w: Any) -> None:
    """And both must be open where both have one."""
    obj = w.daemon("d", w.everywhere(), windows=(w.window("0 20 * * *", 3),))
    world = _plant(w, obj)
    world.policy = Policy(windows={"default": (w.window("0 22 * * *", 6),)})
    world.add(w.daemon("d", w.everywhere(), windows=obj.windows, args=("2",)))
    for hour, waits in ((21, True), (22, False), (23, True)):
        world.now = at(f"2025-06-17T{hour}:30")
        assert (LetIn not in [type(one) for one in world.plan().actions]) is waits, hour


def test_somebody_may_let_one_edit_through(w: Any) -> None:
    """That edit and no later one."""
    world = _plant(w, _nightly(w))
    held = world.add(_nightly(w, args=("2",)))
    world.overrides[held.uid] = mark(held)
    world.settle(rounds=40)
    assert world.withheld == {}
    world.add(_nightly(w, args=("3",)))
    assert _touches(world.plan()) == []


def test_a_rollout_waits_between_its_steps(w: Any) -> None:
    """Begun in the night and not done at dawn, it goes on the next night."""
    old = _nightly(w, rollout=w.staged("100%"))
    world = w.World(old, proplets=[w.proplet(f"p{number}") for number in range(4)], now=NIGHT)
    world.settle(rounds=40)
    rollout = w.staged("1", soak=5 * HOUR)
    world.add(_nightly(w, rollout=rollout, args=("2",)))
    for _ in range(6):
        world.carry_out(world.plan())
        world.devices_work()
    world.now = NIGHT + 7 * HOUR
    decided = world.plan()
    world.carry_out(decided)
    assert _touches(decided) == []
    course = world.courses[old.meta.uid]
    assert (course.phase, course.step) == (Phase.WAVE, 1)
    assert "next step" in decided.blocked[old.meta.uid].message
    world.now = NIGHT + 24 * HOUR
    assert len(_touches(world.plan())) == 3


def test_going_back_waits_for_no_window(w: Any) -> None:
    """What was begun in a window and fails after it is taken back at once."""
    old = _nightly(w, rollout=w.staged("100%"))
    world = w.World(old, proplets=[w.proplet(f"p{number}") for number in range(4)], now=NIGHT)
    world.settle(rounds=40)
    good = world.courses[old.meta.uid].good
    world.add(_nightly(w, rollout=w.staged("2", soak=9 * HOUR), args=("2",)))
    for _ in range(6):
        world.carry_out(world.plan())
        world.devices_work()
    world.now = NIGHT + 7 * HOUR
    copies = world.assignments[old.meta.uid]
    name = next(name for name, copy in copies.items() if copy.version != good.digest)
    world.report(old, name, RunState.BACK_OFF, error="trap")
    world.settle(rounds=40)
    assert {copy.version for copy in world.assignments[old.meta.uid].values()} == {good.digest}


def test_an_incremental_plan_sees_what_waits(w: Any) -> None:
    """A proplet that joins while a deletion waits still gets what was let in."""
    world = _plant(w, _nightly(w))
    world.delete(_nightly(w))
    world.carry_out(world.plan())
    late = w.proplet("p9")
    world.proplets[late.id] = late
    part = world.plan(
        touched=world.affected("p9"),
        proplets=frozenset({PropletId("p9")}),
        standing=world.blocked,
    )
    assert part.actions == world.plan().actions
    assert [one.proplet for one in _touches(part)] == ["p9"]


def test_a_preview_says_what_would_wait(w: Any) -> None:
    """Nothing restarts now, and the line says when it would."""
    world = _plant(w, _nightly(w))
    line, block = preview(world.snapshot(), w.revision(_nightly(w, args=("2",))), now=world.now)
    assert (line.how, line.devices) == ("none", 0)
    assert block.reason.startswith("WindowClosed: generation 2 waits")
    line, block = preview(world.snapshot(), w.revision(), now=world.now)
    assert (line.op.value, line.how) == ("delete", "none")


def test_a_new_object_that_devices_hold_already_is_not_new(w: Any) -> None:
    """After a lost store what is written is what runs: it is taken in, not stopped."""
    world = _plant(w, _nightly(w))
    world.assignments = {}
    world.withheld[w.uid("Daemon", "d")] = Withheld(uid=w.uid("Daemon", "d"), held=None)
    decided = world.plan()
    assert sorted(w.words(decided))[:2] == ["Adopt d p0 daemon", "Adopt d p1 daemon"]
    world.settle(rounds=20)
    assert world.withheld == {}
