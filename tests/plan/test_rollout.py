"""Versions in waves: who gets one, what stops it, and what comes after."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.rollout import Amount, OfflinePolicy, OnFailure
from propeller.model.seen import Presence, RunState
from propeller.model.versions import Phase
from propeller.plan.rollout import needed

STAGES = ("1", "10%", "50%", "100%")


def _fleet(w: Any, count: int) -> list[Any]:
    return [w.proplet(f"p{number:03}") for number in range(count)]


def _new(old: Any, w: Any, **more: Any) -> Any:
    """Another version of the same Daemon or Task."""
    make = w.daemon if type(old).__name__ == "Daemon" else w.task
    more.setdefault("args", ("2",))
    more.setdefault("rollout", old.rollout)
    return make(old.meta.key.name, old.placement, **more)


def _old_ones(w: Any, count: int, rollout: Any, **more: Any) -> tuple[Any, Any]:
    """A fleet on which version 1 of a Daemon runs and is accepted."""
    old = w.daemon("d", w.everywhere(), rollout=w.staged("100%"), **more)
    world = w.World(old, proplets=_fleet(w, count))
    world.settle(rounds=60)
    old = w.daemon("d", w.everywhere(), rollout=rollout, **more)
    world.add(old)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert world.courses[old.meta.uid].good is not None
    world.told.clear()
    return world, old


def _versions(world: Any, obj: Any) -> Counter[bool]:
    """How many copies have the accepted version (True) and how many another."""
    good = world.courses[obj.meta.uid].good
    copies = world.assignments.get(obj.meta.uid, {}).values()
    return Counter(copy.version == good.digest for copy in copies if not copy.releasing)


def _moved(world: Any, obj: Any) -> int:
    course = world.courses[obj.meta.uid]
    copies = world.assignments.get(obj.meta.uid, {}).values()
    return sum(1 for copy in copies if copy.version == course.target_digest)


def _once(world: Any) -> None:
    """One plan, carried out, and the devices take one step."""
    world.carry_out(world.plan())
    world.devices_work()


# -- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "expected"), [(100, [1, 10, 50, 100]), (3, [1, 1, 2, 3]), (1, [1, 1, 1, 1])]
)
def test_steps_are_counts_and_shares_of_all(w: Any, total: int, expected: list[int]) -> None:
    """A part of a copy counts as one, and no step is smaller than the one before it."""
    rollout = w.staged(*STAGES)
    assert [needed(rollout, step, total) for step in range(4)] == expected


def test_a_last_step_for_all_is_added_where_it_is_missing(w: Any) -> None:
    """`steps: [1]` means one, then all."""
    assert w.staged("1").waves == (Amount(1), Amount(100, percent=True))


# -- going well -----------------------------------------------------------------------------------


def test_a_new_version_comes_in_steps(w: Any) -> None:
    """1 of 20, then 10 %, half, all; the next step begins when the last one is ready."""
    world, old = _old_ones(w, 20, w.staged(*STAGES))
    world.add(_new(old, w))
    seen = []
    for _ in range(40):
        _once(world)
        seen.append(_moved(world, old))
        if world.courses[old.meta.uid].phase is Phase.SETTLED:
            break
    assert [count for count in dict.fromkeys(seen) if count] == [1, 2, 10, 20]
    assert _versions(world, old) == {True: 20}
    assert world.told == [
        "RolloutStarted",
        "RolloutStep",
        "RolloutStep",
        "RolloutStep",
        "RolloutComplete",
    ]


def test_a_step_soaks_before_the_next_one_begins(w: Any) -> None:
    """A good step must stay good for a while; the plan says when to look again."""
    world, old = _old_ones(w, 4, w.staged("1", soak=5 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    course = world.courses[old.meta.uid]
    assert (course.phase, _moved(world, old)) == (Phase.SOAK, 1)
    assert w.NOW + 5 * w.MINUTE in [wakeup.due for wakeup in world.plan().wakeups]
    world.now += 5 * w.MINUTE - 1
    assert world.plan().actions == ()
    world.now += 1
    _once(world)
    assert _moved(world, old) == 4


def test_no_more_working_copies_are_taken_down_than_allowed(w: Any) -> None:
    """maxUnavailable counts everything that is not ready, whoever took it down."""
    world, old = _old_ones(w, 10, w.staged("100%", max_unavailable="20%"))
    world.add(_new(old, w))
    world.carry_out(world.plan())
    assert _moved(world, old) == 2
    world.devices_work()
    assert world.plan().actions == ()  # both are on their way
    for _ in range(30):
        _once(world)
    assert _versions(world, old) == {True: 10}


def test_a_copy_that_does_not_work_may_always_be_replaced(w: Any) -> None:
    """The new version may be the cure: what is down already costs no budget."""
    world, old = _old_ones(w, 4, w.staged("100%", max_unavailable="1"))
    for name in ("p001", "p002"):
        world.report(old, name, RunState.BACK_OFF)
    world.add(_new(old, w))
    world.carry_out(world.plan())
    copies = world.assignments[old.meta.uid]
    target = world.courses[old.meta.uid].target_digest
    moved = sorted(name for name, copy in copies.items() if copy.version == target)
    assert moved == ["p001", "p002"]


def test_edited_limits_are_a_version_too_and_keep_the_run(w: Any) -> None:
    """Nothing is rerun, but only this step's devices are told of it."""
    world, old = _old_ones(w, 4, w.staged("1", soak=w.MINUTE))
    before = {name: copy.run for name, copy in world.assignments[old.meta.uid].items()}
    world.add(_new(old, w, args=(), memory=2 * w.MIB))
    world.carry_out(world.plan())
    assert _moved(world, old) == 1
    assert {name: copy.run for name, copy in world.assignments[old.meta.uid].items()} == before
    world.devices_work()
    assert world.courses[old.meta.uid].phase is Phase.WAVE  # not begun anew yet


def test_placement_is_no_part_of_a_version(w: Any) -> None:
    """Editing where copies go, or the rollout itself, stages nothing."""
    world, old = _old_ones(w, 4, w.staged("1"))
    world.add(_new(old, w, args=(), rollout=w.staged("2", soak=w.MINUTE)))
    assert world.plan().actions == ()


def test_a_number_of_copies_is_updated_in_steps_as_well(w: Any) -> None:
    """Three replicas: one, then the others."""
    old = w.daemon("d", w.moving(3), rollout=w.staged("1", soak=w.MINUTE))
    world = w.World(old, proplets=_fleet(w, 5))
    for _ in range(8):
        world.settle(rounds=30)
        world.now += w.MINUTE
    assert len(world.where(old)) == 3
    world.add(_new(old, w))
    world.carry_out(world.plan())
    assert _moved(world, old) == 1
    for _ in range(4):
        world.settle(rounds=30)
        world.now += w.MINUTE
    assert _versions(world, old) == {True: 3}
    assert len(world.where(old)) == 3


def test_a_task_is_rerun_in_steps(w: Any) -> None:
    """A step of a Task is good when its runs have succeeded."""
    old = w.task("t", w.everywhere(), rollout=w.staged("1"))
    world = w.World(old, proplets=_fleet(w, 4))
    world.settle(rounds=40)
    world.add(_new(old, w, run_key="2", args=()))
    world.carry_out(world.plan())
    assert _moved(world, old) == 1
    for _ in range(2):
        world.devices_work()
        assert world.plan().actions == ()
    world.settle(rounds=40)
    assert _versions(world, old) == {True: 4}


def test_the_very_first_version_comes_in_steps_too(w: Any) -> None:
    """Nobody knows yet that it works: one device first."""
    new = w.daemon("d", w.everywhere(), rollout=w.staged("1", "50%", soak=w.MINUTE))
    world = w.World(new, proplets=_fleet(w, 10))
    counts = []
    for _ in range(4):
        for _ in range(5):
            _once(world)
        counts.append(len(world.where(new)))
        world.now += w.MINUTE
    assert counts == [1, 5, 10, 10]


def test_the_first_version_of_a_number_of_copies_comes_in_steps_too(w: Any) -> None:
    """Three wanted: one is placed, and the others when it has been good for a while."""
    new = w.daemon("d", w.moving(3), rollout=w.staged("1", soak=w.MINUTE))
    world = w.World(new, proplets=_fleet(w, 5))
    for _ in range(5):
        _once(world)
    assert len(world.where(new)) == 1
    world.now += w.MINUTE
    for _ in range(5):
        _once(world)
    assert len(world.where(new)) == 3


# -- going wrong ----------------------------------------------------------------------------------


def test_a_version_that_fails_is_rolled_back(w: Any) -> None:
    """The canary traps: the others never get it, and it goes back to what it ran before."""
    world, old = _old_ones(w, 20, w.staged(*STAGES))
    good = world.courses[old.meta.uid].good
    world.add(_new(old, w))
    world.traps = lambda _name, copy: copy.version != good.digest
    world.settle(rounds=40)
    course = world.courses[old.meta.uid]
    assert course.phase is Phase.ROLLED_BACK
    assert course.good == good
    assert "1 of 1 copies failed: p" in course.why and "trap" in course.why
    assert _versions(world, old) == {True: 20}
    assert world.told == ["RolloutStarted", "RolledBack"]
    started = [name for name, _, _ in world.started]
    assert len(started) == 20 + 1 + 1


def test_a_rejected_version_stays_rejected_until_the_spec_changes(w: Any) -> None:
    """Syncing the same spec again does nothing; another version is rolled out."""
    world, old = _old_ones(w, 6, w.staged("1"))
    good = world.courses[old.meta.uid].good
    bad = _new(old, w)
    world.add(bad)
    world.traps = lambda _name, copy: copy.version != good.digest
    world.settle(rounds=40)
    world.add(old)
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    world.add(bad)  # the same commit comes back
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.ROLLED_BACK
    assert _versions(world, old) == {True: 6}
    world.traps = lambda _name, _copy: False
    world.add(_new(old, w, args=("3",)))
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert world.courses[old.meta.uid].good != good
    assert _versions(world, old) == {True: 6}


def test_some_failures_are_borne(w: Any) -> None:
    """10 % may fail: 2 of 20 do, and the version is accepted."""
    world, old = _old_ones(w, 20, w.staged("50%", errors="10%", least=5))
    good = world.courses[old.meta.uid].good
    world.traps = lambda name, copy: name in ("p003", "p011") and copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 20}


def test_one_failure_too_many_is_not_borne(w: Any) -> None:
    """10 % may fail: 3 of 20 do."""
    world, old = _old_ones(w, 20, w.staged("50%", errors="10%", least=5))
    good = world.courses[old.meta.uid].good
    sick = {"p003", "p011", "p017"}
    world.traps = lambda name, copy: name in sick and copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.ROLLED_BACK


def test_few_results_are_not_judged_while_others_are_on_their_way(w: Any) -> None:
    """With `min: 3` one failure of two ends says nothing yet; when all have ended it does."""
    world, old = _old_ones(w, 4, w.staged("100%", errors="50%", least=3))
    world.add(_new(old, w))
    world.carry_out(world.plan())
    for name in ("p000", "p001"):
        world.report(old, name, RunState.FAILED)
    assert world.courses[old.meta.uid].phase is Phase.WAVE
    world.carry_out(world.plan())
    assert world.courses[old.meta.uid].phase is Phase.WAVE
    world.report(old, "p002", RunState.FAILED)
    world.carry_out(world.plan())
    assert world.courses[old.meta.uid].phase is Phase.ROLLED_BACK


def test_a_failure_may_pause_instead(w: Any) -> None:
    """`onFailure: Pause`: nothing moves any more, and nothing is taken back."""
    world, old = _old_ones(w, 6, w.staged("2", on_failure=OnFailure.PAUSE))
    good = world.courses[old.meta.uid].good
    world.traps = lambda _name, copy: copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=40)
    course = world.courses[old.meta.uid]
    assert (course.phase, _moved(world, old)) == (Phase.PAUSED, 2)
    assert "2 of 2 copies failed" in course.why


def test_resuming_forgives_what_has_failed_so_far(w: Any) -> None:
    """An operator has seen it: the next failure stops it again."""
    world, old = _old_ones(w, 6, w.staged("2", on_failure=OnFailure.PAUSE))
    good = world.courses[old.meta.uid].good
    sick = {"p000", "p001"}
    world.traps = lambda name, copy: name in sick and copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=40)
    uid = old.meta.uid
    while world.courses[uid].phase is Phase.PAUSED:
        course = world.courses[uid]
        world.courses[uid] = replace(course, phase=Phase.WAVE, forgiven=-1, since=world.now)
        world.settle(rounds=40)
    assert world.courses[uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 6}


def test_with_nothing_to_go_back_to_a_failure_pauses(w: Any) -> None:
    """The first version of all fails: no more copies of it, and words that say why."""
    new = w.daemon("d", w.everywhere(), rollout=w.staged("2"))
    world = w.World(new, proplets=_fleet(w, 10))
    world.traps = lambda _name, _copy: True
    world.settle(rounds=40)
    course = world.courses[new.meta.uid]
    assert course.phase is Phase.PAUSED
    assert "no earlier good version" in course.why
    assert len(world.where(new)) == 2


def test_a_step_that_is_late_has_failed(w: Any) -> None:
    """`deadline`: what is not ready by then counts as failed."""
    world, old = _old_ones(w, 4, w.staged("1", deadline=10 * w.MINUTE))
    world.add(_new(old, w))
    _once(world)
    world.now += 10 * w.MINUTE - 1
    assert world.plan().actions == ()
    world.now += 1
    world.carry_out(world.plan())
    course = world.courses[old.meta.uid]
    assert course.phase is Phase.ROLLED_BACK
    assert "not ready within 10m" in course.why


def test_failed_copies_that_use_up_the_budget_stop_it(w: Any) -> None:
    """Nothing more may be taken down, and nothing is on its way: waiting would be for ever."""
    world, old = _old_ones(w, 10, w.staged("100%", max_unavailable="1", errors="50%", least=9))
    good = world.courses[old.meta.uid].good
    world.traps = lambda _name, copy: copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=40)
    course = world.courses[old.meta.uid]
    assert course.phase is Phase.ROLLED_BACK
    assert "maxUnavailable" in course.why


def test_a_failure_while_it_soaks_counts(w: Any) -> None:
    """It was ready, and is not any more."""
    world, old = _old_ones(w, 4, w.staged("1", soak=10 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    assert world.courses[old.meta.uid].phase is Phase.SOAK
    target = world.courses[old.meta.uid].target_digest
    copies = world.assignments[old.meta.uid]
    (name,) = [name for name, copy in copies.items() if copy.version == target]
    world.report(old, name, RunState.BACK_OFF, error="trap")
    world.carry_out(world.plan())
    assert world.courses[old.meta.uid].phase is Phase.ROLLED_BACK


def test_going_back_keeps_to_the_budget_as_well(w: Any) -> None:
    """What works is taken down a few at a time; what does not goes back at once."""
    world, old = _old_ones(w, 10, w.staged("100%", max_unavailable="10%", errors="20%", least=8))
    good = world.courses[old.meta.uid].good
    sick = {f"p{number:03}" for number in (0, 1, 2)}
    most = 0
    world.traps = lambda name, copy: name in sick and copy.version != good.digest
    world.add(_new(old, w))
    for _ in range(80):
        decided = world.plan()
        ready = {
            name
            for name, seen in world.proplets.items()
            if any(run.ready for run in seen.runs.values())
        }
        taken = [one for one in decided.actions if getattr(one, "proplet", None) in ready]
        most = max(most, len(taken))
        world.carry_out(decided)
        world.devices_work()
    assert world.courses[old.meta.uid].phase is Phase.ROLLED_BACK
    assert _versions(world, old) == {True: 10}
    assert most == 1


# -- silence --------------------------------------------------------------------------------------


def test_silent_proplets_are_left_out_and_follow(w: Any) -> None:
    """`Exclude`: a drawer full of dead sensors holds up nobody; their document waits for them."""
    world, old = _old_ones(w, 6, w.staged("1"))
    for name in ("p004", "p005"):
        world.off(name)
    world.add(_new(old, w))
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 6}
    world.on("p004")
    world.settle(rounds=60)


def test_silent_proplets_may_count(w: Any) -> None:
    """`Count`: the last step waits for all of them."""
    world, old = _old_ones(w, 4, w.staged("1", offline=OfflinePolicy.COUNT))
    world.off("p003")
    world.add(_new(old, w))
    world.settle(rounds=60)
    course = world.courses[old.meta.uid]
    assert (course.phase, course.step) == (Phase.WAVE, 1)
    world.on("p003")
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED


def test_silent_proplets_may_count_for_a_while(w: Any) -> None:
    """`ExcludeAfter`: waited for, then left out; the plan says when."""
    policy = {"offline": OfflinePolicy.EXCLUDE_AFTER, "offline_after": 10 * w.MINUTE}
    world, old = _old_ones(w, 4, w.staged("1", **policy))
    world.off("p003")
    world.add(_new(old, w))
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.WAVE
    assert w.NOW + 10 * w.MINUTE in [wakeup.due for wakeup in world.plan().wakeups]
    world.now += 10 * w.MINUTE
    world.settle(rounds=60)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 4}


def test_a_proplet_that_falls_silent_with_the_new_version_is_waited_for(w: Any) -> None:
    """It may be the version that took it off the network: `Exclude` does not excuse that."""
    world, old = _old_ones(w, 4, w.staged("1", soak=w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    target = world.courses[old.meta.uid].target_digest
    copies = world.assignments[old.meta.uid]
    (canary,) = [name for name, copy in copies.items() if copy.version == target]
    world.off(canary)
    world.now += w.MINUTE
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.WAVE
    assert _moved(world, old) == 1


def test_with_everybody_silent_nothing_is_accepted(w: Any) -> None:
    """A version that ran nowhere is not good."""
    world, old = _old_ones(w, 3, w.staged("1"))
    for name in ("p000", "p001", "p002"):
        world.off(name)
    world.add(_new(old, w))
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.WAVE
    assert _moved(world, old) == 0


# -- newcomers, edits on the way ------------------------------------------------------------------


def test_a_late_joiner_gets_the_newest_accepted_version(w: Any) -> None:
    """While a version is being tried a new device gets the one that is known to be good."""
    world, old = _old_ones(w, 4, w.staged("1", soak=10 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    late = w.proplet("p900")
    world.proplets[late.id] = late
    world.carry_out(world.plan())
    good = world.courses[old.meta.uid].good
    assert world.assignments[old.meta.uid][late.id].version == good.digest


def test_a_late_joiner_after_a_rollback_gets_the_good_version(w: Any) -> None:
    """And not the one that was rejected."""
    world, old = _old_ones(w, 4, w.staged("1"))
    good = world.courses[old.meta.uid].good
    world.traps = lambda _name, copy: copy.version != good.digest
    world.add(_new(old, w))
    world.settle(rounds=40)
    late = w.proplet("p900")
    world.proplets[late.id] = late
    world.settle(rounds=40)
    assert world.assignments[old.meta.uid][late.id].version == good.digest


def test_another_edit_on_the_way_begins_anew(w: Any) -> None:
    """The half-done version is given up; its copies are the first to get the next one."""
    world, old = _old_ones(w, 10, w.staged("3", soak=10 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    first = world.courses[old.meta.uid].target_digest
    world.add(_new(old, w, args=("3",)))
    world.carry_out(world.plan())
    course = world.courses[old.meta.uid]
    assert (course.phase, course.step) == (Phase.WAVE, 0)
    assert course.target_digest != first
    assert _moved(world, old) == 3
    for _ in range(12):
        world.settle(rounds=40)
        world.now += 10 * w.MINUTE
    assert _versions(world, old) == {True: 10}


def test_reverting_on_the_way_goes_back(w: Any) -> None:
    """`git revert` needs no steps: what it means is known to be good."""
    world, old = _old_ones(w, 10, w.staged("3", soak=10 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    world.add(old)
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 10}


def test_a_rollout_taken_out_of_the_spec_ends_at_once(w: Any) -> None:
    """Without `rollout` every copy follows the spec."""
    world, old = _old_ones(w, 4, w.staged("1", soak=10 * w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    world.add(_new(old, w, rollout=None))
    world.settle(rounds=20)
    assert {copy.version for copy in world.assignments[old.meta.uid].values()} == {""}


def test_suspending_stops_a_rollout_where_it_is(w: Any) -> None:
    """Copies stop; nothing is judged meanwhile, and it goes on from there."""
    world, old = _old_ones(w, 4, w.staged("1", soak=w.MINUTE))
    world.add(_new(old, w))
    for _ in range(6):
        _once(world)
    row = world.objects[old.meta.uid]
    world.objects[old.meta.uid] = replace(row, hold=w.suspend())
    world.settle(rounds=20)
    world.now += w.MINUTE
    world.settle(rounds=20)
    assert world.where(old) == []
    assert world.courses[old.meta.uid].phase is Phase.SOAK
    world.objects[old.meta.uid] = row
    for _ in range(4):
        world.settle(rounds=40)
        world.now += w.MINUTE
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
    assert _versions(world, old) == {True: 4}


def test_a_proplet_the_version_does_not_fit_is_no_part_of_it(w: Any) -> None:
    """It keeps what it has, the object says why, and the others go on."""
    world, old = _old_ones(w, 4, w.staged("1"))
    small = w.facts(memory=2 * w.MIB)
    world.set("p002", facts=small)
    world.modules[old.module] = w.module(memory_min=16 * w.MIB, bytes=b"big")
    world.add(_new(old, w, memory=32 * w.MIB))
    world.settle(rounds=40)
    course = world.courses[old.meta.uid]
    assert course.phase is Phase.SETTLED
    stays = world.assignments[old.meta.uid][PropletId("p002")]
    assert stays.version != course.good.digest
    assert "p002" in world.blocked[old.meta.uid].refused


def test_objects_without_a_rollout_go_all_at_once(w: Any) -> None:
    """As ever: no course, no versions, no waiting."""
    old = w.daemon("d", w.everywhere())
    world = w.World(old, proplets=_fleet(w, 5))
    world.settle()
    world.add(_new(old, w))
    decided = world.plan()
    assert len(decided.actions) == 5
    world.carry_out(decided)
    assert world.courses == {}
    assert {copy.version for copy in world.assignments[old.meta.uid].values()} == {""}


def test_a_proplet_never_heard_is_left_out_too(w: Any) -> None:
    """It has no silence to wait for; `Count` alone waits for it."""
    world, old = _old_ones(w, 3, w.staged("1", offline=OfflinePolicy.EXCLUDE_AFTER))
    world.set("p002", presence=Presence.UNKNOWN)
    world.add(_new(old, w))
    world.settle(rounds=40)
    assert world.courses[old.meta.uid].phase is Phase.SETTLED
