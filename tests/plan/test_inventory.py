"""Deleting, orphans, and taking in what devices already hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.module import ModuleProblem
from propeller.model.seen import Presence, RunState
from propeller.model.specs import OnOffline
from propeller.plan.types import Adopt, Assign, Policy

P1 = PropletId("p1")


def _lose(world: Any) -> None:
    """The store is lost: objects come from the source again, assignments are not known."""
    world.assignments = {}
    world.delivered = set()
    world.blocked = {}
    world.started = []


# -- deleting -------------------------------------------------------------------------------------


def test_a_deleted_object_leaves_when_its_device_says_so(w: Any) -> None:
    """Release, then Gone, then Forget: law 4."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.delete(d)
    assert w.words(world.plan()) == ["Release d p1"]
    world.carry_out(world.plan())
    assert world.plan().actions == ()
    world.devices_work()
    assert w.words(world.plan()) == ["Gone d p1", "Forget d"]
    world.settle()
    assert world.objects == {}


def test_a_silent_device_keeps_its_copy_in_the_inventory(w: Any) -> None:
    """However long it takes."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.off("p1")
    world.delete(d)
    world.settle()
    world.now += 10**9
    assert world.plan().actions == ()
    assert world.leaving(d) == ["p1"]
    world.on("p1")
    world.settle()
    assert world.objects == {}


def test_a_device_that_took_the_document_but_still_lists_the_run_is_not_done(w: Any) -> None:
    """It is stopping; gone is gone from the inventory it reports."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.delete(d)
    world.carry_out(world.plan())
    world.delivered.add(P1)
    assert world.plan().actions == ()


def test_a_device_that_does_not_list_the_run_but_has_not_taken_the_document_is_not_done(
    w: Any,
) -> None:
    """It may be about to start it."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.carry_out(world.plan())
    world.set("p1", reported=True)
    world.delete(d)
    world.carry_out(world.plan())
    assert world.plan().actions == ()


def test_a_proplet_that_was_never_reached_confirms_at_once(w: Any) -> None:
    """Nothing was ever sent to it."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.carry_out(world.plan())
    world.set("p1", inst="")
    world.delete(d)
    assert w.words(world.plan()) == ["Gone d p1", "Forget d"]


def test_an_orphan_is_left_alone(w: Any) -> None:
    """`prune: Never`: it left the source, and what runs stays."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.delete(d)
    world.objects[d.meta.uid] = replace(world.objects[d.meta.uid], orphan=True)
    world.settle()
    assert world.where(d) == ["p1"]


@pytest.mark.parametrize("kind", ["App", "Proplet"])
def test_a_deleted_app_or_proplet_is_forgotten(w: Any, kind: str) -> None:
    """They have no copies of their own."""
    obj = w.app("plant") if kind == "App" else w.declared("p1")
    world = w.World(obj)
    world.delete(obj)
    assert w.words(world.plan()) == [f"Forget {obj.meta.key.name}"]


def test_apps_and_proplets_are_not_run(w: Any) -> None:
    """Nothing is planned for them."""
    world = w.World(w.app("plant"), w.declared("p1"), proplets=[w.proplet("p1")])
    assert world.plan() == replace(world.plan(), actions=(), blocked={}, wakeups=())


def test_what_comes_back_takes_up_its_copies(w: Any) -> None:
    """Deleted and restored before the device heard of it: nothing restarts."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    run = world.assignments[d.meta.uid][P1].run
    world.delete(d)
    world.carry_out(world.plan())
    world.objects[d.meta.uid] = replace(world.objects[d.meta.uid], deleted_at=None)
    world.settle()
    assert world.assignments[d.meta.uid][P1].run == run
    assert len(world.started) == 1


# -- adoption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["replicas", "everywhere", "pinned"])
@pytest.mark.parametrize("kind", ["task", "daemon"])
def test_a_lost_store_takes_in_what_runs_and_starts_nothing(w: Any, kind: str, shape: str) -> None:
    """The runs it would name are the runs that are there."""
    placement = {
        "replicas": w.anywhere(2),
        "everywhere": w.everywhere(),
        "pinned": w.pinned("p1", "p2"),
    }[shape]
    obj = getattr(w, kind)("x", placement)
    world = w.World(obj, proplets=[w.proplet("p1"), w.proplet("p2"), w.proplet("p3")])
    world.settle()
    before = {name: copy.run for name, copy in world.assignments[obj.meta.uid].items()}
    _lose(world)
    decided = world.plan()
    assert {type(action) for action in decided.actions} == {Adopt}
    world.settle()
    assert {name: copy.run for name, copy in world.assignments[obj.meta.uid].items()} == before
    assert world.started == []


def test_adoption_comes_before_placement(w: Any) -> None:
    """Two wanted, one is there: one is adopted and one is placed."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    world.add(w.daemon("d", w.moving(2)))
    world.proplets[PropletId("p2")] = w.proplet("p2")
    assert w.words(world.plan()) == ["Adopt d p1 daemon", "Assign d p2 daemon"]


def test_what_is_adopted_takes_its_room(w: Any) -> None:
    """An object with an earlier key does not get the slot of one that runs."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    _lose(world)
    world.add(w.daemon("a"))
    assert w.words(world.plan()) == ["Adopt d p1 daemon"]


def test_a_silent_device_is_adopted_by_its_retained_report(w: Any) -> None:
    """It may well be running: its task is not begun elsewhere."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.off("p1")
    world.settle()
    assert world.where(t) == ["p1"]


def test_a_finished_task_is_adopted_though_its_proplet_no_longer_matches(w: Any) -> None:
    """What was done stays done."""
    t = w.task("t", w.anywhere(selector=w.labelled(board="gateway")))
    world = w.World(t, proplets=[w.proplet("p1", labels={"board": "gateway"})])
    world.settle()
    _lose(world)
    world.set("p1", labels={})
    world.proplets[PropletId("p2")] = w.proplet("p2", labels={"board": "gateway"})
    assert w.words(world.plan()) == ["Adopt t p1 once"]


def test_a_run_of_another_spec_is_not_adopted(w: Any) -> None:
    """Edited while the store was lost: the new run takes its place."""
    world = w.World(w.daemon("d"), proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    world.add(w.daemon("d", args=("2",)))
    assert [type(action) for action in world.plan().actions] == [Assign]


def test_a_later_attempt_is_adopted_as_such(w: Any) -> None:
    """The cause tells the attempt, so retries do not begin anew."""
    t = w.task("t", retries=1)
    world = w.World(t, proplets=[w.proplet("p1")])
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.FAILED, ended=w.NOW)
    world.now += 10_000
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.FAILED, ended=world.now)
    _lose(world)
    (action,) = world.plan().actions
    assert (action.cause, action.attempt) == ("once#2", 2)
    world.now += 10**6
    world.settle()
    assert world.started == []


def test_a_cron_run_is_adopted_with_its_slot(w: Any) -> None:
    """Also when the journal lost the slot: the next one counts from the run that is there."""
    ten = w.NOW - w.NOW % 3_600_000
    t = w.task("t", schedule=w.hourly())
    world = w.World(t, proplets=[w.proplet("p1")], now=ten - 1)
    world.settle()
    world.now = ten
    world.settle()
    _lose(world)
    world.now = ten + 5 * w.MINUTE
    row = world.objects[t.meta.uid]
    world.objects[t.meta.uid] = replace(row, last_slot=None, created_at=world.now)
    assert w.words(world.plan()) == [f"Adopt t p1 cron:{ten}"]
    world.settle()
    assert world.started == []


@pytest.mark.parametrize("resolved", [None, ModuleProblem("Unavailable", "no answer", True)])
def test_while_the_module_is_not_at_hand_what_runs_is_taken_as_it_stands(
    w: Any, resolved: Any
) -> None:
    """Else its document would come without it, and the device would stop it."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    known = world.modules.pop(d.module)
    if resolved is not None:
        world.modules[d.module] = resolved
    assert w.words(world.plan()) == ["Adopt d p1 daemon"]
    world.settle()
    world.modules[d.module] = known
    assert world.plan().actions == ()


def test_a_run_with_a_cause_nobody_knows_is_left(w: Any) -> None:
    """A device may say anything."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    seen = world.proplets[P1]
    runs = {pair: replace(run, cause="because") for pair, run in seen.runs.items()}
    world.set("p1", runs=runs)
    assert [type(action) for action in world.plan().actions] == [Assign]


def test_surplus_strays_are_left_to_their_devices(w: Any) -> None:
    """One wanted, two run: the ready one online is taken, the other's document comes without it."""
    d = w.daemon("d", w.moving(2))
    world = w.World(d, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.settle()
    _lose(world)
    world.add(w.daemon("d", w.moving(1)))
    world.set("p1", presence=Presence.OFFLINE, offline_since=w.NOW)
    assert w.words(world.plan()) == ["Adopt d p2 daemon"]


# -- holds ----------------------------------------------------------------------------------------


def test_under_a_hold_only_what_is_so_is_written_down(w: Any) -> None:
    """Nothing starts or moves until every declared proplet has reported; what runs is adopted."""
    d, t = w.daemon("d"), w.task("t")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    _lose(world)
    world.add(t)
    world.policy = Policy(hold="waiting for p9")
    decided = world.plan()
    assert w.words(decided) == ["Adopt d p1 daemon"]
    block = decided.blocked[t.meta.uid]
    assert (block.reason, block.message) == ("Held", "waiting for p9")
    assert d.meta.uid not in decided.blocked


def test_under_a_hold_nothing_is_taken_back(w: Any) -> None:
    """Not even what was deleted."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.delete(d)
    world.policy = Policy(hold="waiting for p9")
    assert world.plan().actions == ()


def test_keep_is_what_tests_here_mean_by_anywhere(w: Any) -> None:
    """The builder's default is the cautious one."""
    assert w.anywhere().on_offline is OnOffline.KEEP
