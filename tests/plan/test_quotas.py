"""What a namespace may have in all: nothing begins beyond it, and what runs is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.quotas import Quota
from propeller.model.seen import RunState
from propeller.plan.quotas import shares
from propeller.plan.types import Policy


def under(w: Any, world: Any, **quota: int) -> Any:
    """The world with a quota for the namespace everything here is in."""
    world.policy = Policy(quotas={"default": Quota(**quota)})
    return world


def fleet(w: Any, count: int) -> list[Any]:
    return [w.proplet(f"p{number}") for number in range(1, count + 1)]


def test_no_copy_begins_beyond_the_quota_and_it_is_said_why(w: Any) -> None:
    """As many as are allowed, by number; another namespace is none of its business."""
    daemon = w.daemon("d", w.anywhere(4))
    world = under(w, w.World(daemon, proplets=fleet(w, 5)), copies=3)
    world.settle()
    assert len(world.where(daemon)) == 3
    block = world.blocked[daemon.meta.uid]
    assert (block.reason, block.message) == (
        "QuotaExceeded",
        "3 of 4 copies placed: namespace default may have 3 copies and has 3",
    )
    world.policy = Policy(quotas={"another": Quota(copies=0)})
    world.settle()
    assert len(world.where(daemon)) == 4


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ({"memory": 5 << 20}, "may have 5 MiB of memory and has 4 MiB; one more copy takes 2 MiB"),
        ({"copies": 2}, "may have 2 copies and has 2"),
    ],
)
def test_memory_and_copies_on_every_match(w: Any, quota: dict[str, int], words: str) -> None:
    """Of an object that wants to be everywhere the first proplets by name have it."""
    probe = w.daemon("probe", w.everywhere(), memory=2 * w.MIB)
    world = under(w, w.World(probe, proplets=fleet(w, 3)), **quota)
    world.settle()
    assert world.where(probe) == ["p1", "p2"]
    block = world.blocked[probe.meta.uid]
    assert (block.reason, list(block.refused)) == ("QuotaExceeded", ["p3"])
    assert words in block.message


def test_what_ends_or_leaves_makes_room_for_others(w: Any) -> None:
    """Runs that ended count for nothing; who waits is looked at when something does."""
    first, second = w.task("first", w.anywhere()), w.daemon("second", w.anywhere())
    world = under(w, w.World(first, second, proplets=fleet(w, 2)), copies=1)
    world.carry_out(world.plan())
    assert (len(world.where(first)), len(world.where(second))) == (0, 1)
    world.delete(second)
    world.settle()
    assert len(world.where(first)) == 1
    third = w.daemon("third", w.anywhere())
    for name, seen in world.proplets.items():
        runs = {pair: replace(run, state=RunState.SUCCEEDED) for pair, run in seen.runs.items()}
        world.set(str(name), runs=runs)
    world.add(third)
    world.settle()
    assert len(world.where(third)) == 1


def test_a_quota_that_became_smaller_stops_nothing(w: Any) -> None:
    """What runs goes on; nothing begins until there is less."""
    daemon = w.daemon("d", w.anywhere(3))
    world = w.World(daemon, proplets=fleet(w, 3))
    world.settle()
    under(w, world, copies=1)
    assert world.plan().actions == ()


def test_a_copy_moves_although_the_quota_is_used_up(w: Any) -> None:
    """A drained proplet is emptied: what comes in place of what leaves is no more than before."""
    daemon = w.daemon("d", w.anywhere(2))
    world = under(w, w.World(daemon, proplets=fleet(w, 3)), copies=2)
    world.settle()
    there = world.where(daemon)
    world.set(there[0], cordoned=True, draining=True)
    world.settle()
    assert len(world.where(daemon)) == 2
    assert PropletId(there[0]) not in world.where(daemon)


def test_the_higher_priority_uses_the_quota_first(w: Any) -> None:
    """As with room; and nobody is taken off for a quota."""
    low = w.daemon("a", w.anywhere())
    high = w.daemon("b", w.anywhere(priority=5, preempts=True))
    world = under(w, w.World(low, high, proplets=fleet(w, 2)), copies=1)
    world.settle()
    assert (world.where(low), len(world.where(high))) == ([], 1)
    world = under(w, w.World(low, proplets=fleet(w, 1)), copies=1)
    world.settle()
    world.add(high)
    world.settle()
    assert (len(world.where(low)), world.where(high)) == (1, [])
    assert world.blocked[high.meta.uid].reason == "QuotaExceeded"


def test_what_is_told_is_what_is_counted(w: Any) -> None:
    """Of every namespace, with a quota or without: as much as the next copy would be judged by."""
    daemon = w.daemon("d", w.anywhere(3), memory=2 * w.MIB)
    world = under(w, w.World(daemon, proplets=fleet(w, 3)), copies=2)
    world.policy = Policy(quotas={**world.policy.quotas, "idle": Quota(memory=1 << 30)})
    world.settle()
    told = shares(world.snapshot())
    assert [(one.namespace, one.copies, one.memory, one.calls) for one in told] == [
        ("default", 2, 4 * w.MIB, 0),
        ("idle", 0, 0, 0),
    ]
    assert told[0].quota == Quota(copies=2)
    world.policy = Policy()
    assert [(one.namespace, one.copies, one.quota) for one in shares(world.snapshot())] == [
        ("default", 2, Quota())
    ]
    assert "has 2" in world.blocked[daemon.meta.uid].message
