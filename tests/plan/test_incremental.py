"""Planning only what changed."""

from __future__ import annotations

from typing import Any

from propeller.model.ids import PropletId
from propeller.plan.planner import affected, plan

P1, P2 = PropletId("p1"), PropletId("p2")


def _two(w: Any, *objects: Any) -> Any:
    world = w.World(*objects, proplets=[w.proplet("p1"), w.proplet("p2")])
    world.settle()
    return world


def test_a_report_concerns_what_its_proplet_holds(w: Any) -> None:
    """And nothing else, as long as only runs moved."""
    a, b = w.daemon("a", w.pinned("p1")), w.daemon("b", w.pinned("p2"))
    world = _two(w, a, b)
    found = affected(world.snapshot(), [P1], facts_moved=False)
    assert found == {a.meta.uid}


def test_a_new_look_concerns_every_object_that_goes_by_proplet(w: Any) -> None:
    """It may want to be there now; a number of copies that is met wants nothing."""
    a, b = w.daemon("a", w.everywhere(selector=w.labelled(board="gateway"))), w.daemon("b")
    world = _two(w, a, b)
    (place,) = world.where(b)
    other = PropletId("p2" if place == "p1" else "p1")
    assert affected(world.snapshot(), [other]) == {a.meta.uid}


def test_what_is_blocked_is_always_concerned(w: Any) -> None:
    """The change may be what it waits for."""
    a = w.daemon("a", w.moving(3))
    world = _two(w, a)
    assert a.meta.uid in affected(world.snapshot(), [], standing=world.blocked, facts_moved=False)


def test_an_index_by_proplet_changes_nothing(w: Any) -> None:
    """`holders` only saves the walk over all assignments."""
    from dataclasses import replace

    from propeller.plan.placement import holders_of

    world = _two(w, w.daemon("a", w.everywhere()), w.daemon("b"))
    world.add(w.daemon("c", w.moving(2)))
    indexed = replace(world.snapshot(), holders=holders_of(world.snapshot()))
    assert plan(indexed, now=world.now) == world.plan()
    assert affected(indexed, [P1]) == affected(world.snapshot(), [P1])


def test_only_the_proplets_in_scope_are_looked_at(w: Any) -> None:
    """Two copies are to be updated; a plan for one proplet updates one."""
    a = w.daemon("a", w.everywhere())
    world = _two(w, a)
    world.add(w.daemon("a", w.everywhere(), args=("2",)))
    decided = world.plan(touched=frozenset({a.meta.uid}), proplets=frozenset({P2}))
    assert w.words(decided) == ["Assign a p2 daemon"]
    assert decided.planned == {a.meta.uid}


def test_a_full_plan_says_so(w: Any) -> None:
    """`planned` is None: what is not blocked in it is not blocked."""
    assert _two(w, w.daemon("a")).plan().planned is None


def test_refusals_of_other_proplets_stand(w: Any) -> None:
    """What earlier plans found out about the rest of the fleet is not forgotten."""
    a = w.daemon("a", w.everywhere())
    world = w.World(
        a, proplets=[w.proplet("p1", memory=1024), w.proplet("p2", memory=1024), w.proplet("p3")]
    )
    world.settle()
    world.set("p1", memory=None)
    decided = world.plan(
        touched=world.affected("p1"), proplets=frozenset({P1}), standing=world.blocked
    )
    assert w.words(decided) == ["Assign a p1 daemon"]
    assert set(decided.blocked[a.meta.uid].refused) == {"p2"}
    assert decided.blocked == world.plan().blocked


def test_room_that_an_edit_frees_goes_to_who_waits_for_it(w: Any) -> None:
    """Only the edited object is touched; the waiting one is looked at all the same."""
    a, b = w.daemon("a", memory=60 * w.MIB), w.daemon("b", memory=20 * w.MIB)
    world = w.World(a, b, proplets=[w.proplet("p1")])
    world.settle()
    assert world.blocked[b.meta.uid].reason == "NoCapacity"
    world.add(w.daemon("a", memory=10 * w.MIB))
    decided = world.plan(touched=frozenset({a.meta.uid}), standing=world.blocked)
    assert w.words(decided) == ["Assign b p1 daemon"]
    assert decided.planned == {a.meta.uid, b.meta.uid}


def test_room_is_found_outside_the_scope_too_when_an_edit_frees_it(w: Any) -> None:
    """The waiting object goes by proplet, and the room is not on the one that changed."""
    a, b = (
        w.daemon("a", w.pinned("p1"), memory=60 * w.MIB),
        w.daemon("b", w.everywhere(), memory=20 * w.MIB),
    )
    world = _two(w, a, b)
    world.add(w.daemon("a", w.pinned("p1"), memory=10 * w.MIB))
    decided = world.plan(
        touched=world.affected("p2"),
        proplets=frozenset({P2}),
        whole=frozenset({a.meta.uid}),
        standing=world.blocked,
    )
    assert w.words(decided) == ["Assign b p1 daemon"]
    assert decided.actions == world.plan().actions


def test_an_object_that_is_no_longer_known_is_no_trouble(w: Any) -> None:
    """A wakeup may outlive its object."""
    world = _two(w, w.daemon("a"))
    gone = w.uid("Task", "gone")
    decided = world.plan(touched=frozenset({gone}))
    assert (decided.actions, decided.planned) == ((), frozenset())


def test_a_pinned_proplet_that_is_forgotten_is_noticed_in_scope(w: Any) -> None:
    """It is not in the fleet any more, and its copy with it."""
    a = w.daemon("a", w.pinned("p1", "p2"))
    world = _two(w, a)
    del world.proplets[P1]
    decided = world.plan(
        touched=world.affected("p1"), proplets=frozenset({P1}), standing=world.blocked
    )
    assert w.words(decided) == ["Gone a p1"]
    assert decided.actions == world.plan().actions
