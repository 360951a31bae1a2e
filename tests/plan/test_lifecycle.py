"""What becomes of runs: retries, reruns, suspension, cron slots."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.seen import RunState
from propeller.model.specs import Backoff, Missed, Overlap
from propeller.plan.types import Fire

P1 = PropletId("p1")
TEN = int(datetime(2025, 6, 15, 10, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000


def _ran(w: Any, obj: Any, state: RunState, **more: Any) -> Any:
    """One proplet, one object, and its copy in that state."""
    world = w.World(obj, proplets=[w.proplet("p1")])
    world.carry_out(world.plan())
    world.report(obj, "p1", state, **more)
    return world


# -- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.INTERRUPTED])
def test_a_failed_or_interrupted_run_is_tried_again_after_its_backoff(
    w: Any, state: RunState
) -> None:
    """On the same proplet, as another attempt and another run."""
    world = _ran(w, w.task("t", retries=1), state, ended=w.NOW)
    decided = world.plan()
    assert decided.actions == ()
    assert [(one.due, one.proplet) for one in decided.wakeups] == [(w.NOW + 10_000, "p1")]
    world.now += 10_000
    (action,) = world.plan().actions
    assert (action.cause, action.attempt) == ("once#2", 2)
    assert action.run != world.assignments[w.uid("Task", "t")][P1].run


@pytest.mark.parametrize(("attempt", "wait"), [(1, 10_000), (2, 20_000), (3, 40_000), (4, 60_000)])
def test_backoff_doubles_up_to_its_cap(w: Any, attempt: int, wait: int) -> None:
    """10 s, 20 s, 40 s, then the cap of 60 s."""
    t = w.task("t", retries=9, backoff=Backoff(base=10_000, cap=60_000))
    world = _ran(w, t, RunState.FAILED)
    copies = world.assignments[t.meta.uid]
    cause = "once" if attempt == 1 else f"once#{attempt}"
    from propeller.plan.runs import run_for

    run = run_for(world.objects[t.meta.uid], w.module(), cause, P1)
    copies[P1] = replace(copies[P1], run=run, cause=cause, attempt=attempt)
    world.report(t, "p1", RunState.FAILED, ended=w.NOW)
    assert [one.due for one in world.plan().wakeups] == [w.NOW + wait]


def test_retries_come_to_an_end(w: Any) -> None:
    """One retry means two attempts."""
    t = w.task("t", retries=1)
    world = _ran(w, t, RunState.FAILED, ended=w.NOW)
    world.now += 10_000
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.FAILED, ended=world.now)
    world.now += HOUR
    assert world.plan().actions == ()
    assert world.plan().wakeups == ()


@pytest.mark.parametrize("state", [RunState.REFUSED, RunState.SUCCEEDED])
def test_what_was_refused_or_succeeded_is_not_tried_again(w: Any, state: RunState) -> None:
    """Refused by the device: only another entry can help."""
    world = _ran(w, w.task("t", retries=5), state, ended=w.NOW)
    world.now += HOUR
    assert world.plan().actions == ()


@pytest.mark.parametrize("ended", [0, 1, TEN * 2])
def test_a_device_clock_that_cannot_be_right_does_not_matter(w: Any, ended: int) -> None:
    """Unknown, before it was assigned, or in the future: backoff counts from the assignment."""
    world = _ran(w, w.task("t", retries=1), RunState.FAILED, ended=ended)
    world.now += 9_999
    assert world.plan().actions == ()
    world.now += 1
    assert w.words(world.plan()) == ["Assign t p1 once#2"]


def test_a_retry_waits_while_its_proplet_is_cordoned(w: Any) -> None:
    """A retry is new work."""
    t = w.task("t", retries=1)
    world = _ran(w, t, RunState.FAILED, ended=w.NOW)
    world.now += HOUR
    world.set("p1", cordoned=True)
    decided = world.plan()
    assert decided.actions == ()
    assert dict(decided.blocked[t.meta.uid].refused) == {"p1": "is cordoned"}


def test_a_retry_waits_for_room(w: Any) -> None:
    """What failed gave its room away."""
    t = w.task("t", retries=1)
    world = _ran(w, t, RunState.FAILED, ended=w.NOW)
    world.set("p1", tasks=1)
    world.add(w.daemon("a"))
    world.settle()
    world.now += HOUR
    decided = world.plan()
    assert decided.actions == ()
    assert decided.blocked[t.meta.uid].reason == "NoCapacity"


def test_a_failed_run_on_a_draining_proplet_is_tried_elsewhere(w: Any) -> None:
    """It has ended, so nothing is cut short."""
    world = _ran(w, w.task("t", retries=1), RunState.FAILED, ended=w.NOW)
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.set("p1", cordoned=True, draining=True)
    assert w.words(world.plan()) == ["Release t p1", "Assign t p2 once"]


# -- reruns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"run_key": "2"}, {"args": ("3",)}, {"env": (("A", "b"),)}])
def test_a_finished_task_runs_again_when_its_run_changes(w: Any, change: dict[str, Any]) -> None:
    """On the same proplet, as another run."""
    world = w.World(w.task("t"), proplets=[w.proplet("p1")])
    world.settle()
    world.add(w.task("t", **change))
    assert w.words(world.plan()) == ["Assign t p1 once"]
    world.settle()
    assert len(world.started) == 2


def test_a_running_task_is_replaced_when_its_run_changes(w: Any) -> None:
    """Never two runs of one object on one proplet: the new one takes the place of the old."""
    world = _ran(w, w.task("t"), RunState.RUNNING)
    world.add(w.task("t", args=("2",)))
    assert w.words(world.plan()) == ["Assign t p1 once"]


@pytest.mark.parametrize("change", [{"memory": 2048}, {"retries": 3}, {"labels": {"a": "b"}}])
def test_other_edits_rerun_nothing(w: Any, change: dict[str, Any]) -> None:
    """Limits, retries and labels are not part of the run."""
    world = w.World(w.task("t"), proplets=[w.proplet("p1", facts=w.facts(max_module=0))])
    world.settle()
    world.modules[w.task("t").module] = replace(w.module(), memory_min=0)
    world.add(w.task("t", **change))
    assert world.plan().actions == ()


def test_another_module_restarts_a_daemon(w: Any) -> None:
    """The tag moved: the resolved module is another."""
    world = w.World(w.daemon("d"), proplets=[w.proplet("p1")])
    world.settle()
    world.modules[w.daemon("d").module] = w.module(bytes=b"new")
    assert w.words(world.plan()) == ["Assign d p1 daemon"]


def test_a_failed_daemon_stays_failed(w: Any) -> None:
    """Its device has used up its restarts; a person has to look."""
    world = _ran(w, w.daemon("d"), RunState.FAILED, ended=w.NOW)
    world.now += HOUR
    assert world.plan().actions == ()


# -- suspension -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["hold", "spec"])
def test_a_suspended_object_starts_nothing(w: Any, where: str) -> None:
    """The operator's hold or the spec's: either suspends."""
    t = w.task("t", suspend=w.suspend() if where == "spec" else None)
    world = w.World(t, proplets=[w.proplet("p1")])
    if where == "hold":
        world.objects[t.meta.uid] = replace(world.objects[t.meta.uid], hold=w.suspend())
    decided = world.plan()
    assert decided.actions == ()
    block = decided.blocked[t.meta.uid]
    assert (block.reason, block.message) == ("Suspended", "suspended by ada: maintenance")


def test_suspending_stops_what_runs_and_resuming_starts_it(w: Any) -> None:
    """A Daemon's copies are released."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.objects[d.meta.uid] = replace(world.objects[d.meta.uid], hold=w.suspend())
    world.settle()
    assert world.where(d) == []
    world.objects[d.meta.uid] = replace(world.objects[d.meta.uid], hold=None)
    world.settle()
    assert world.where(d) == ["p1"]


def test_suspending_keeps_what_was_done(w: Any) -> None:
    """A finished run is not undone, and not done again by resuming."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1")])
    world.settle()
    world.objects[t.meta.uid] = replace(world.objects[t.meta.uid], hold=w.suspend())
    world.settle()
    world.objects[t.meta.uid] = replace(world.objects[t.meta.uid], hold=None)
    world.settle()
    assert len(world.started) == 1


def test_a_suspension_ends_by_itself_at_its_time(w: Any) -> None:
    """A wakeup says when."""
    d = w.daemon("d", suspend=w.suspend(until=w.NOW + 1_000))
    world = w.World(d, proplets=[w.proplet("p1")])
    assert [one.due for one in world.plan().wakeups] == [w.NOW + 1_000]
    world.now += 1_000
    assert w.words(world.plan()) == ["Assign d p1 daemon"]


# -- cron -----------------------------------------------------------------------------------------


def _hourly(w: Any, *, created: int = TEN - 1, placement: Any = None, **more: Any) -> Any:
    """A cron world that exists since just before ten."""
    t = w.task("t", placement, schedule=w.hourly(**more))
    world = w.World(t, proplets=[w.proplet("p1"), w.proplet("p2")], now=created)
    world.settle()
    return world


def test_the_first_slot_is_the_next_one_after_creation(w: Any) -> None:
    """Nothing runs at once, and a wakeup waits for the slot."""
    world = _hourly(w, created=TEN + 1)
    decided = world.plan()
    assert decided.actions == ()
    assert decided.blocked == {}
    assert [one.due for one in decided.wakeups] == [TEN + HOUR]


def test_a_slot_fires_once(w: Any) -> None:
    """It is used up by the plan that starts its run."""
    world = _hourly(w)
    world.now = TEN
    first = world.plan()
    assert w.words(first)[0] == f"Fire t {TEN}"
    assert [action.cause for action in first.actions if not isinstance(action, Fire)] == [
        f"cron:{TEN}"
    ]
    world.settle()
    assert world.plan().actions == ()
    assert len(world.started) == 1


def test_the_next_slot_stays_where_the_last_one_was(w: Any) -> None:
    """Cron runs do not wander."""
    world = _hourly(w)
    world.now = TEN
    world.settle()
    world.now = TEN + HOUR
    world.settle()
    assert len(world.started) == 2
    assert len({proplet for proplet, _, _ in world.started}) == 1


def test_a_slot_goes_elsewhere_when_its_proplet_is_silent(w: Any) -> None:
    """A new run need not wait for it."""
    world = _hourly(w)
    world.now = TEN
    world.settle()
    (place,) = world.where(w.task("t"))
    world.off(place)
    world.now = TEN + HOUR
    world.settle()
    assert world.started[-1][0] != place
    assert len(world.where(w.task("t"))) == 1


@pytest.mark.parametrize(("missed", "runs"), [(Missed.RUN_LATEST, 1), (Missed.SKIP, 0)])
def test_of_missed_slots_at_most_the_latest_runs(w: Any, missed: Missed, runs: int) -> None:
    """Nobody was there for five slots; the deadline of ten minutes is over."""
    world = _hourly(w, missed=missed)
    world.now = TEN + 4 * HOUR + 30 * w.MINUTE
    decided = world.plan()
    fired = [action.slot for action in decided.actions if isinstance(action, Fire)]
    assert fired == [TEN + 4 * HOUR]
    world.settle()
    assert len(world.started) == runs
    world.now += w.MINUTE
    assert world.plan().actions == ()


def test_a_slot_within_its_deadline_is_not_missed(w: Any) -> None:
    """Nine minutes late is in time."""
    world = _hourly(w, missed=Missed.SKIP)
    world.now = TEN + 9 * w.MINUTE
    world.settle()
    assert len(world.started) == 1


def test_forbid_waits_for_the_last_run_to_end(w: Any) -> None:
    """Never two at once: the slot starts when the last run is over, if it is still in time."""
    t = w.task("t", w.pinned("p1"), schedule=w.hourly())
    world = w.World(t, proplets=[w.proplet("p1")], now=TEN - 1)
    world.settle()
    world.now = TEN
    world.carry_out(world.plan())
    world.devices_work(finish=False)
    world.now = TEN + HOUR
    assert w.words(world.plan()) == [f"Fire t {TEN + HOUR}"]
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.SUCCEEDED, ended=world.now)
    assert w.words(world.plan()) == [f"Assign t p1 cron:{TEN + HOUR}"]


def test_replace_stops_the_last_run(w: Any) -> None:
    """The newer slot takes its place."""
    t = w.task("t", schedule=w.hourly(overlap=Overlap.REPLACE))
    world = w.World(t, proplets=[w.proplet("p1")], now=TEN - 1)
    world.settle()
    world.now = TEN
    world.carry_out(world.plan())
    world.devices_work(finish=False)
    world.now = TEN + HOUR
    assert w.words(world.plan()) == [f"Fire t {TEN + HOUR}", f"Assign t p1 cron:{TEN + HOUR}"]


def test_forbid_is_a_matter_of_each_proplet(w: Any) -> None:
    """One silent device does not hold up the schedule of the others."""
    t = w.task("t", w.everywhere(), schedule=w.hourly())
    world = w.World(t, proplets=[w.proplet("p1"), w.proplet("p2")], now=TEN - 1)
    world.settle()
    world.off("p2")
    world.now = TEN
    world.settle()
    world.now = TEN + HOUR
    decided = world.plan()
    assert w.words(decided) == [f"Fire t {TEN + HOUR}", f"Assign t p1 cron:{TEN + HOUR}"]


def test_an_edited_cron_task_runs_as_edited_from_its_next_slot(w: Any) -> None:
    """An edit is no slot."""
    world = _hourly(w)
    world.now = TEN
    world.settle()
    world.add(w.task("t", schedule=w.hourly(), args=("2",)))
    assert world.plan().actions == ()
    world.now = TEN + HOUR
    world.settle()
    assert len({run for _, _, run in world.started}) == 2


def test_a_cron_run_is_retried_with_its_slot(w: Any) -> None:
    """The attempt is part of the cause, and the deadline of the slot does not stop it."""
    t = w.task("t", w.pinned("p1"), schedule=w.hourly(missed=Missed.SKIP), retries=1)
    world = w.World(t, proplets=[w.proplet("p1")], now=TEN - 1)
    world.settle()
    world.now = TEN
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.FAILED, ended=TEN)
    world.now = TEN + 20 * w.MINUTE
    assert w.words(world.plan()) == [f"Assign t p1 cron:{TEN}#2"]


def test_a_suspended_cron_task_uses_up_no_slot(w: Any) -> None:
    """What was missed meanwhile is decided when it is resumed."""
    world = _hourly(w)
    uid = w.uid("Task", "t")
    world.objects[uid] = replace(world.objects[uid], hold=w.suspend())
    world.now = TEN
    assert world.plan().actions == ()
    world.objects[uid] = replace(world.objects[uid], hold=None)
    world.now = TEN + w.MINUTE
    assert w.words(world.plan())[0] == f"Fire t {TEN}"


def test_a_slot_nobody_can_take_is_taken_when_somebody_can(w: Any) -> None:
    """All were silent when it came; RunLatest runs it late."""
    t = w.task("t", schedule=w.hourly())
    world = w.World(t, proplets=[w.proplet("p1")], now=TEN - 1)
    world.off("p1")
    world.now = TEN
    world.settle()
    assert world.blocked[t.meta.uid].reason == "AllOffline"
    world.now = TEN + 40 * w.MINUTE
    world.on("p1")
    world.settle()
    assert len(world.started) == 1
