"""Where copies go, and that they stay there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.seen import Presence, RunState
from propeller.model.specs import OnOffline
from propeller.plan.types import Policy


def test_a_task_goes_to_one_proplet_and_stays(w: Any) -> None:
    """One copy by default; planning again does nothing."""
    add = w.task("add")
    world = w.World(add, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.settle()
    assert len(world.where(add)) == 1
    assert world.plan().actions == ()


def test_a_copy_goes_to_every_match_and_nowhere_else(w: Any) -> None:
    """`perProplet` with a selector, a silent match included: its document waits at the broker."""
    probe = w.daemon("probe", w.everywhere(selector=w.labelled(board="gateway")))
    fleet = [
        w.proplet("p1", labels={"board": "gateway"}),
        w.proplet("p2", labels={"board": "mcu"}),
        w.proplet("p3", labels={"board": "gateway"}),
    ]
    world = w.World(probe, proplets=fleet)
    world.off("p3")
    world.settle()
    assert world.where(probe) == ["p1", "p3"]


def test_pinned_names_are_where_it_goes(w: Any) -> None:
    """A name nobody has heard of is told, the others get theirs."""
    probe = w.daemon("probe", w.pinned("p2", "p9"))
    world = w.World(probe, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.settle()
    assert world.where(probe) == ["p2"]
    block = world.blocked[probe.meta.uid]
    assert (block.reason, dict(block.refused)) == ("NoMatch", {"p9": "is not a known proplet"})


def test_replicas_spread_over_zones_first(w: Any) -> None:
    """Two zones, three copies: never three in one."""
    vib = w.daemon("vib", w.moving(3, spread="zone"))
    fleet = [w.proplet(f"a{n}", labels={"zone": "a"}) for n in range(5)]
    fleet += [w.proplet("b1", labels={"zone": "b"})]
    world = w.World(vib, proplets=fleet)
    world.settle()
    assert "b1" in world.where(vib)
    assert len(world.where(vib)) == 3


def test_the_least_busy_proplet_is_taken(w: Any) -> None:
    """Work spreads by itself over equal proplets."""
    world = w.World(
        *[w.daemon(f"d{n}") for n in range(4)], proplets=[w.proplet(f"p{n}") for n in range(4)]
    )
    world.settle()
    taken = [world.where(w.daemon(f"d{n}"))[0] for n in range(4)]
    assert sorted(taken) == ["p0", "p1", "p2", "p3"]


def test_a_new_proplet_takes_nothing_away(w: Any) -> None:
    """No moves without cause: a better place is no cause."""
    world = w.World(w.daemon("d0"), w.daemon("d1"), proplets=[w.proplet("p0")])
    world.settle()
    world.proplets[PropletId("p1")] = w.proplet("p1")
    assert world.plan().actions == ()


def test_a_new_match_gets_its_copy(w: Any) -> None:
    """`perProplet` covers who comes later."""
    probe = w.daemon("probe", w.everywhere())
    world = w.World(probe, proplets=[w.proplet("p1")])
    world.settle()
    world.proplets[PropletId("p2")] = w.proplet("p2")
    assert w.words(world.plan()) == ["Assign probe p2 daemon"]


def test_a_lost_match_loses_its_copy(w: Any) -> None:
    """The label is gone, so is the daemon."""
    probe = w.daemon("probe", w.everywhere(selector=w.labelled(board="gateway")))
    world = w.World(probe, proplets=[w.proplet("p1", labels={"board": "gateway"})])
    world.settle()
    world.set("p1", labels={"board": "mcu"})
    assert w.words(world.plan()) == ["Release probe p1"]
    world.settle()
    assert world.where(probe) == world.leaving(probe) == []


@pytest.mark.parametrize(
    ("app", "discovery", "placed"),
    [("default", {"default"}, True), ("plant", {"default"}, False), ("plant", {"plant"}, True)],
)
def test_an_undeclared_proplet_works_only_for_apps_that_discover(
    w: Any, app: str, discovery: set[str], placed: bool
) -> None:
    """A device that announced itself is listed, and gets work only where the App allows it."""
    probe = w.daemon("probe", app=app)
    world = w.World(probe, proplets=[w.proplet("p1", declared=False)])
    world.policy = Policy(discovery_apps=frozenset(discovery))
    world.settle()
    assert (world.where(probe) == ["p1"]) is placed
    assert (probe.meta.uid in world.blocked) is not placed


# -- cordon, drain, quarantine --------------------------------------------------------------------


def test_a_cordoned_proplet_keeps_what_it_has_and_takes_nothing_new(w: Any) -> None:
    """Cordon stops placement, not work."""
    old, new = w.daemon("old", w.everywhere()), w.daemon("new", w.everywhere())
    world = w.World(old, proplets=[w.proplet("p1")])
    world.settle()
    world.set("p1", cordoned=True)
    world.add(new)
    world.settle()
    assert (world.where(old), world.where(new)) == (["p1"], [])
    assert world.blocked[new.meta.uid].reason == "NoMatch"


def test_a_daemon_on_a_cordoned_proplet_is_updated_in_place(w: Any) -> None:
    """What is held there is looked after."""
    world = w.World(w.daemon("d"), proplets=[w.proplet("p1")])
    world.settle()
    world.set("p1", cordoned=True)
    world.add(w.daemon("d", args=("2",)))
    assert w.words(world.plan()) == ["Assign d p1 daemon"]


def test_a_finished_task_is_not_run_again_on_a_cordoned_proplet(w: Any) -> None:
    """A rerun is new work: it goes elsewhere, and the old copy leaves when it has."""
    world = w.World(w.task("t"), proplets=[w.proplet("p1")])
    world.settle()
    world.set("p1", cordoned=True)
    world.add(w.task("t", run_key="2"))
    world.settle()
    assert world.blocked[w.uid("Task", "t")].reason == "NoMatch"
    assert world.where(w.task("t")) == ["p1"]
    world.proplets[PropletId("p2")] = w.proplet("p2")
    assert w.words(world.plan()) == ["Release t p1", "Assign t p2 once"]


def test_draining_moves_a_daemon_once(w: Any) -> None:
    """One release, one assignment, and no way back when the drain ends."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.set("p1", cordoned=True, draining=True)
    assert w.words(world.plan()) == ["Release d p1", "Assign d p2 daemon"]
    world.settle()
    world.set("p1", cordoned=False, draining=False)
    world.settle()
    assert world.where(d) == ["p2"]


def test_draining_lets_a_run_end_that_may_not_be_cut_short(w: Any) -> None:
    """`onOffline: Keep` says that a rerun is not known to be safe."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.carry_out(world.plan())
    world.devices_work(finish=False)
    (place,) = world.where(t)
    world.set(place, cordoned=True, draining=True)
    assert world.plan().actions == ()
    world.settle()
    assert world.where(t) == [place]


def test_draining_cuts_a_run_short_that_may_be_begun_again(w: Any) -> None:
    """`onOffline: Reschedule` says that a rerun is safe."""
    t = w.task("t", w.moving())
    world = w.World(t, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.carry_out(world.plan())
    (place,) = world.where(t)
    other = "p2" if place == "p1" else "p1"
    world.set(place, cordoned=True, draining=True)
    assert sorted(w.words(world.plan())) == [f"Assign t {other} once", f"Release t {place}"]


def test_a_quarantined_proplet_loses_its_daemon(w: Any) -> None:
    """It gets no work, and its copy is not counted on; it stays listed until confirmed gone."""
    d = w.daemon("d")
    world = w.World(d, proplets=[w.proplet("p1")])
    world.settle()
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.off("p1")
    world.set("p1", quarantine="DuplicateIdentity")
    world.settle()
    assert (world.where(d), world.leaving(d)) == (["p2"], ["p1"])


# -- room -----------------------------------------------------------------------------------------


def test_room_is_given_in_the_order_of_keys_and_the_rest_waits(w: Any) -> None:
    """One slot, two daemons: the first key has it, the other says why not."""
    a, b = w.daemon("a"), w.daemon("b")
    world = w.World(b, a, proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    assert (world.where(a), world.where(b)) == (["p1"], [])
    block = world.blocked[b.meta.uid]
    assert block.reason == "NoCapacity"
    assert block.message == ("0 of 1 copies placed: p1: no room: all 1 task slots are taken")


def test_memory_is_room(w: Any) -> None:
    """The sum of limits may not pass what the proplet has."""
    a, b = w.daemon("a", memory=40 * w.MIB), w.daemon("b", memory=40 * w.MIB)
    world = w.World(a, b, proplets=[w.proplet("p1")])
    world.settle()
    assert world.where(b) == []
    assert "needs 40 MiB, 24 MiB of 64 MiB is free" in world.blocked[b.meta.uid].message


def test_a_finished_run_takes_no_room(w: Any) -> None:
    """It stays listed on the device, but nothing of it runs."""
    world = w.World(w.task("a"), proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    world.add(w.task("b"))
    world.settle()
    assert world.where(w.task("b")) == ["p1"]


def test_a_copy_that_leaves_takes_room_until_it_is_gone(w: Any) -> None:
    """The next one starts when the device says that there is room."""
    a, b = w.daemon("a"), w.daemon("b")
    world = w.World(a, b, proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    world.delete(a)
    world.carry_out(world.plan())
    assert w.words(world.plan()) == []
    world.devices_work()
    assert w.words(world.plan()) == ["Gone a p1", "Forget a", "Assign b p1 daemon"]


def test_a_proplet_of_its_own_is_no_obstacle_to_an_update(w: Any) -> None:
    """A full proplet still takes the next version of what fills it."""
    world = w.World(w.daemon("d"), proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    world.add(w.daemon("d", args=("2",)))
    assert w.words(world.plan()) == ["Assign d p1 daemon"]


def test_a_copy_that_comes_back_has_its_room_still(w: Any) -> None:
    """Released and wanted again on a full proplet, before it was gone."""
    d = w.daemon("d", w.everywhere(selector=w.labelled(board="gateway")))
    world = w.World(d, proplets=[w.proplet("p1", tasks=1, labels={"board": "gateway"})])
    world.settle()
    world.set("p1", labels={})
    world.carry_out(world.plan())
    world.set("p1", labels={"board": "gateway"})
    assert w.words(world.plan()) == ["Assign d p1 daemon"]


def test_a_rerun_waits_for_room_on_a_full_proplet(w: Any) -> None:
    """What has ended gave its room away."""
    world = w.World(w.task("a"), proplets=[w.proplet("p1", tasks=1)])
    world.settle()
    world.add(w.daemon("b"))
    world.settle()
    world.add(w.task("a", run_key="2"))
    world.settle()
    assert world.blocked[w.uid("Task", "a")].reason == "NoCapacity"
    world.delete(w.daemon("b"))
    world.settle()
    assert w.uid("Task", "a") not in world.blocked
    assert len(world.started) == 3


# -- why not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"labels": {}}, "NoMatch", "does not match the selector (2)"),
        ({"quarantine": "ForeignFence"}, "NoMatch", "is quarantined (1)"),
        ({"cordoned": True}, "NoMatch", "is cordoned (1)"),
        ({"facts": None}, "NotHeard", "p1: has not said hello yet"),
        ({"memory": 1024}, "Unfit", "p1: needs 64 KiB of linear memory, has 1 KiB"),
        ({"presence": Presence.OFFLINE, "offline_since": 1}, "AllOffline", "p1 could run it"),
        ({"tasks": 0}, "NoCapacity", "all 0 task slots are taken"),
    ],
)
def test_what_is_missing_has_a_reason(
    w: Any, change: dict[str, Any], reason: str, words: str
) -> None:
    """The reason nearest to success: it names the smallest change that would help."""
    d = w.daemon("d", w.moving(selector=w.labelled(board="gateway")))
    fleet = [w.proplet("p1", labels={"board": "gateway"}), w.proplet("p0")]
    world = w.World(d, proplets=fleet)
    world.set("p1", **change)
    world.settle()
    block = world.blocked[d.meta.uid]
    assert block.reason == reason
    assert words in block.message


def test_an_empty_fleet_is_told_as_such(w: Any) -> None:
    """Nobody is there."""
    world = w.World(w.daemon("d"))
    world.settle()
    block = world.blocked[w.uid("Daemon", "d")]
    assert (block.reason, block.message) == ("NoMatch", "0 of 1 copies placed: no proplet is known")


def test_what_a_proplet_cannot_run_is_refused_before_anything_is_sent(w: Any) -> None:
    """`perProplet`: those that can have theirs, the other is named with the reason."""
    d = w.daemon("d", w.everywhere())
    world = w.World(
        d, proplets=[w.proplet("p1"), w.proplet("p2", facts=w.facts(imports=frozenset()))]
    )
    world.settle()
    assert world.where(d) == ["p1"]
    block = world.blocked[d.meta.uid]
    assert block.reason == "Unfit"
    assert dict(block.refused) == {"p2": "does not provide import wasi_snapshot_preview1.fd_write"}


def test_work_for_another_engine_goes_where_that_is(w: Any) -> None:
    """And `why` names the devices that lack it."""
    both = frozenset({"wasi_snapshot_preview1", "external:wasmedge"})
    d = w.daemon("d", w.everywhere(), external="wasmedge")
    world = w.World(d, proplets=[w.proplet("p1"), w.proplet("p2", facts=w.facts(imports=both))])
    world.settle()
    assert world.where(d) == ["p2"]
    block = world.blocked[d.meta.uid]
    assert dict(block.refused) == {"p1": 'has no external engine "wasmedge" (it has none)'}


def test_a_version_that_fits_nowhere_does_not_stop_the_one_that_runs(w: Any) -> None:
    """The old copy stays until another proplet takes the new version."""
    world = w.World(w.daemon("d"), proplets=[w.proplet("p1")])
    world.settle()
    world.modules[w.daemon("d").module] = w.module(bytes=b"new", memory_min=128 * w.MIB)
    world.add(w.daemon("d", memory=256 * w.MIB))
    world.settle()
    assert world.where(w.daemon("d")) == ["p1"]
    assert world.blocked[w.uid("Daemon", "d")].reason == "Unfit"
    world.proplets[PropletId("p2")] = w.proplet("p2", memory=1 << 30)
    assert w.words(world.plan()) == ["Release d p1", "Assign d p2 daemon"]


def test_a_module_under_way_leaves_everything_as_it_is(w: Any) -> None:
    """Nothing starts before its bytes are known, and nothing stops either."""
    world = w.World(w.daemon("d", w.moving(2)), proplets=[w.proplet("p1")])
    world.settle()
    world.modules.clear()
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.settle()
    assert world.where(w.daemon("d")) == ["p1"]
    assert world.blocked[w.uid("Daemon", "d")].reason == "ModuleUnresolved"


# -- silence --------------------------------------------------------------------------------------


def _silent_world(w: Any, placement: Any) -> Any:
    world = w.World(w.daemon("d", placement), proplets=[w.proplet("p1")])
    world.settle()
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.off("p1")
    return world


def test_a_silence_within_tolerance_is_the_network(w: Any) -> None:
    """Nothing moves, and the planner says when to look again."""
    world = _silent_world(w, w.moving())
    decided = world.plan()
    assert decided.actions == ()
    assert [wakeup.due for wakeup in decided.wakeups] == [world.now + 5 * w.MINUTE]


def test_a_longer_silence_gets_a_substitute_and_keeps_the_copy(w: Any) -> None:
    """At least one: the silent one may still run, and no word of ours reaches it."""
    world = _silent_world(w, w.moving())
    world.now += 5 * w.MINUTE
    assert w.words(world.plan()) == ["Assign d p2 daemon"]
    world.settle()
    assert world.where(w.daemon("d")) == ["p1", "p2"]


def test_silence_moves_nothing_where_the_spec_does_not_say_so(w: Any) -> None:
    """`onOffline: Keep`."""
    world = _silent_world(w, w.anywhere())
    world.now += 50 * w.MINUTE
    assert world.plan().actions == ()


def test_silence_moves_nothing_while_the_fleet_is_silent(w: Any) -> None:
    """FleetSilent: it is more likely us."""
    world = _silent_world(w, w.moving())
    world.now += 50 * w.MINUTE
    world.policy = Policy(no_moves="more than a fifth fell silent together")
    assert world.plan().actions == ()


def test_silence_counts_from_where_our_own_echo_works(w: Any) -> None:
    """A manager that was away for an hour gives everyone their time anew (rule h)."""
    world = _silent_world(w, w.moving())
    world.now += 60 * w.MINUTE
    world.policy = Policy(echo_since=world.now - w.MINUTE)
    decided = world.plan()
    assert decided.actions == ()
    assert [wakeup.due for wakeup in decided.wakeups] == [world.now + 4 * w.MINUTE]


def test_when_the_silent_one_is_back_the_surplus_leaves(w: Any) -> None:
    """Both run and are ready: the longer assigned one stays."""
    world = _silent_world(w, w.moving())
    world.now += 5 * w.MINUTE
    world.settle()
    world.on("p1")
    assert w.words(world.plan()) == ["Release d p2"]
    world.settle()
    assert world.where(w.daemon("d")) == ["p1"]


def test_the_one_that_is_ready_stays(w: Any) -> None:
    """The one that came back has not got its daemon up again."""
    world = _silent_world(w, w.moving())
    world.now += 5 * w.MINUTE
    world.settle()
    world.on("p1")
    world.report(w.daemon("d"), "p1", RunState.BACK_OFF)
    assert w.words(world.plan()) == ["Release d p1"]


def test_a_finished_task_stays_finished_when_its_proplet_falls_silent(w: Any) -> None:
    """History is not undone by silence, drain, cordon or a changed selector."""
    t = w.task("t", w.moving(selector=w.labelled(board="gateway")))
    world = w.World(t, proplets=[w.proplet("p1", labels={"board": "gateway"})])
    world.settle()
    world.proplets[PropletId("p2")] = w.proplet("p2", labels={"board": "gateway"})
    for change in (
        {"presence": Presence.OFFLINE, "offline_since": 1},
        {"cordoned": True, "draining": True},
        {"labels": {}},
        {"quarantine": "IdentityMismatch"},
    ):
        before = world.proplets[PropletId("p1")]
        world.set("p1", **change)
        assert world.plan().actions == (), change
        world.proplets[PropletId("p1")] = before


def test_a_forgotten_proplet_takes_its_past_with_it(w: Any) -> None:
    """`propeller forget` forgets what was done there too: the task runs again elsewhere."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1")])
    world.settle()
    del world.proplets[PropletId("p1")]
    world.proplets[PropletId("p2")] = w.proplet("p2")
    assert w.words(world.plan()) == ["Gone t p1", "Assign t p2 once"]


# -- numbers --------------------------------------------------------------------------------------


def test_fewer_replicas_keep_the_best(w: Any) -> None:
    """Three to two: the one that is not ready goes."""
    world = w.World(w.daemon("d", w.moving(3)), proplets=[w.proplet(f"p{n}") for n in range(3)])
    world.settle()
    world.report(w.daemon("d"), "p1", RunState.BACK_OFF)
    world.add(w.daemon("d", w.moving(2)))
    assert w.words(world.plan()) == ["Release d p1"]


def test_more_replicas_leave_the_others_alone(w: Any) -> None:
    """Two to three: one more, and nothing else."""
    world = w.World(w.daemon("d", w.moving(2)), proplets=[w.proplet(f"p{n}") for n in range(3)])
    world.settle()
    world.add(w.daemon("d", w.moving(3)))
    decided = world.plan()
    assert [type(action).__name__ for action in decided.actions] == ["Assign"]


def test_from_a_number_to_everywhere_keeps_what_there_is(w: Any) -> None:
    """Changing the shape of a placement moves nothing that is right already."""
    world = w.World(w.task("t"), proplets=[w.proplet("p1"), w.proplet("p2")])
    world.settle()
    (place,) = world.where(w.task("t"))
    other = "p2" if place == "p1" else "p1"
    world.add(w.task("t", w.everywhere()))
    assert w.words(world.plan()) == [f"Assign t {other} once"]


def test_an_unreleased_copy_is_taken_back_where_it_is_wanted_again(w: Any) -> None:
    """A label that comes and goes before the device heard of it changes nothing for the device."""
    d = w.daemon("d", w.everywhere(selector=w.labelled(board="gateway")))
    world = w.World(d, proplets=[w.proplet("p1", labels={"board": "gateway"})])
    world.settle()
    run = world.assignments[d.meta.uid][PropletId("p1")].run
    world.set("p1", labels={})
    world.carry_out(world.plan())
    world.set("p1", labels={"board": "gateway"})
    world.carry_out(world.plan())
    copy = world.assignments[d.meta.uid][PropletId("p1")]
    assert (copy.run, copy.releasing) == (run, False)


def test_a_lame_copy_is_not_moved_where_a_rerun_is_not_safe(w: Any) -> None:
    """A run under way on a proplet that no longer fits is left to end."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1")])
    world.carry_out(world.plan())
    world.devices_work(finish=False)
    world.proplets[PropletId("p2")] = w.proplet("p2")
    world.set("p1", facts=replace(w.facts(), imports=frozenset()))
    assert t.placement.on_offline is OnOffline.KEEP
    assert world.plan().actions == ()


def test_silence_moves_nothing_from_a_site_that_fell_silent_as_one(w: Any) -> None:
    """SiteSilent: the others' copies move as always."""
    world = _silent_world(w, w.moving())
    world.now += 50 * w.MINUTE
    world.policy = Policy(silent_sites={PropletId("p1"): "site=north"})
    assert world.plan().actions == ()
    world.policy = Policy(silent_sites={PropletId("p3"): "site=north"})
    assert w.words(world.plan()) == ["Assign d p2 daemon"]
