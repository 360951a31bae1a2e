"""Priorities: who gets room first, and what has to go for whom."""

from __future__ import annotations

from typing import Any

from propeller.model.ids import PropletId
from propeller.plan.types import Release


def fleet(w: Any, count: int = 1, **more: Any) -> list[Any]:
    """Proplets with room for one task each."""
    return [w.proplet(f"p{number}", tasks=1, **more) for number in range(1, count + 1)]


def releases(decided: Any) -> list[tuple[str, str]]:
    """Who is taken off to make room, and where."""
    return [
        (action.key.name, action.proplet)
        for action in decided.actions
        if isinstance(action, Release) and action.preempted
    ]


def test_the_higher_priority_gets_room_first(w: Any) -> None:
    """Whatever the names are; who runs already is left alone without a word about preemption."""
    first = w.daemon("a", w.anywhere())
    second = w.daemon("b", w.anywhere(priority=10))
    world = w.World(first, second, proplets=fleet(w))
    world.settle()
    assert (world.where(first), world.where(second)) == ([], ["p1"])
    world = w.World(first, proplets=fleet(w))
    world.settle()
    world.add(second)
    world.settle()
    assert (world.where(first), world.where(second)) == (["p1"], [])
    assert world.blocked[second.meta.uid].reason == "NoCapacity"


def test_a_copy_makes_room_and_comes_back_when_there_is_some(w: Any) -> None:
    """It goes only after the other was told, is explained, does not return to what is kept for
    another, and is placed again once there is room."""
    low = w.daemon("low", w.anywhere())
    high = w.daemon("high", w.anywhere(priority=10, preempts=True))
    world = w.World(low, proplets=fleet(w))
    world.settle()
    world.add(high)
    decided = world.plan()
    assert releases(decided) == [("low", "p1")]
    assert [action.reason for action in decided.actions] == [
        "makes room for Daemon/default/high, whose priority is 10"
    ]
    block = decided.blocked[high.meta.uid]
    assert (block.reason, block.message) == (
        "NoCapacity",
        "0 of 1 copies placed: room is being made on p1",
    )
    world.carry_out(decided)
    again = world.plan()
    assert again.actions == (), "it waits for the device's word, and nothing moves meanwhile"
    assert "it is kept for Daemon/default/high (priority 10)" in again.blocked[low.meta.uid].message
    world.settle()
    assert (world.where(low), world.where(high)) == ([], ["p1"])
    assert world.plan().actions == ()
    world.proplets[PropletId("p2")] = w.proplet("p2", tasks=1)
    world.settle()
    assert (world.where(low), world.where(high)) == (["p2"], ["p1"])


def test_nothing_goes_where_there_is_another_way(w: Any) -> None:
    """A free proplet is taken, whatever could be taken off another one."""
    low = w.daemon("low", w.anywhere())
    high = w.daemon("high", w.anywhere(priority=10, preempts=True))
    world = w.World(low, proplets=fleet(w, 2))
    world.settle()
    there = world.where(low)
    world.add(high)
    world.settle()
    assert world.where(low) == there
    assert len(world.where(high)) == 1


def test_the_lowest_goes_and_nobody_of_the_same_priority(w: Any) -> None:
    """Of two that could go the one that counts least; equals and higher ones never."""
    works = [
        w.daemon(name, w.pinned(on, priority=n))
        for name, on, n in (
            ("mid", "p1", 5),
            ("least", "p2", -5),
            ("equal", "p3", 10),
            ("more", "p4", 20),
        )
    ]
    world = w.World(*works, proplets=fleet(w, 4))
    world.settle()
    high = w.daemon("high", w.anywhere(2, priority=10, preempts=True))
    world.add(high)
    assert releases(world.plan()) == [("least", "p2"), ("mid", "p1")]
    world.settle()
    assert world.where(high) == ["p1", "p2"]
    third = w.daemon("third", w.anywhere(priority=10, preempts=True))
    world.add(third)
    assert releases(world.plan()) == []
    world.settle()
    assert world.blocked[third.meta.uid].reason == "NoCapacity"


def test_no_more_go_than_have_to(w: Any) -> None:
    """By memory: a small copy that is not in the way stays, though it counts less."""
    room = w.proplet("p1", tasks=8, memory=8 * w.MIB)
    tiny = w.daemon("tiny", w.anywhere(priority=-1), memory=1 * w.MIB)
    large = w.daemon("large", w.anywhere(), memory=6 * w.MIB)
    world = w.World(tiny, large, proplets=[room])
    world.settle()
    high = w.daemon("high", w.anywhere(priority=10, preempts=True), memory=6 * w.MIB)
    world.add(high)
    assert releases(world.plan()) == [("large", "p1")]
    world.settle()
    assert (world.where(tiny), world.where(large), world.where(high)) == (["p1"], [], ["p1"])


def test_who_may_not_push_waits(w: Any) -> None:
    """A priority alone takes nothing off; nor does one whose demand no proplet could meet."""
    low = w.daemon("low", w.anywhere(), memory=4 * w.MIB)
    world = w.World(low, proplets=[w.proplet("p1", tasks=8, memory=5 * w.MIB)])
    world.settle()
    world.add(w.daemon("patient", w.anywhere(priority=10), memory=4 * w.MIB))
    assert releases(world.plan()) == []
    world.add(w.daemon("huge", w.anywhere(priority=10, preempts=True), memory=64 * w.MIB))
    assert releases(world.plan()) == []


def test_while_a_whole_fleet_is_silent_nothing_is_taken_off(w: Any) -> None:
    """The brake of moves holds here as well."""
    from propeller.plan.types import Policy

    low = w.daemon("low", w.anywhere())
    world = w.World(low, proplets=fleet(w))
    world.settle()
    world.add(w.daemon("high", w.anywhere(priority=10, preempts=True)))
    world.policy = Policy(no_moves="a fifth of the fleet fell silent")
    assert releases(world.plan()) == []
