"""Who waits for whom, and what goes in a circle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import Key
from propeller.plan.depends import Links, circle
from propeller.plan.types import Assign

DRIVER, FILTER = Key("Daemon", "default", "driver"), Key("Daemon", "default", "filter")


def app_key(name: str) -> Key:
    return Key("App", "default", name)


def links(w: Any, *objects: Any) -> Any:
    """Links, objects by uid, and what is ready (nothing yet)."""
    held = {obj.meta.uid: w.held(obj) for obj in objects}
    return Links(held), held


def waits(w: Any, of: Any, *objects: Any, ready: Any = ()) -> str:
    """What `of` waits for while `ready` are Ready at generation 1."""
    made, held = links(w, *objects)
    uids = {one.meta.uid for one in ready}
    told: str = made.waits(of.meta.uid, held, lambda uid: int(uid in uids))
    return told


def test_an_object_waits_for_what_it_names(w: Any) -> None:
    """And says for what."""
    driver, one = w.daemon("driver"), w.daemon("filter", depends_on=(DRIVER,))
    assert waits(w, one, driver, one) == "Daemon/default/driver is not ready"
    assert waits(w, one, driver, one, ready=(driver,)) == ""
    assert waits(w, driver, driver, one) == ""


def test_ready_means_at_the_generation_that_is_wanted_now(w: Any) -> None:
    """An edit of the dependency closes the gate again."""
    driver, one = w.daemon("driver"), w.daemon("filter", depends_on=(DRIVER,))
    made, held = links(w, driver, one)
    held[driver.meta.uid] = replace(held[driver.meta.uid], generation=2)
    told = made.waits(one.meta.uid, held, lambda _: 1)
    assert told == "Daemon/default/driver is not ready at generation 2 yet"


def test_what_is_not_there_is_waited_for(w: Any) -> None:
    """It may come with another source; meanwhile the reason is said."""
    one = w.daemon("filter", depends_on=(DRIVER, app_key("drivers")))
    assert waits(w, one, one) == "there is no Daemon/default/driver; there is no App drivers"


def test_an_app_is_ready_with_all_of_its_objects(w: Any) -> None:
    """Also with those of the Apps in it."""
    outer, inner = w.app("outer"), w.app("inner", app="outer")
    deep = w.daemon("driver", app="inner")
    one = w.daemon("filter", depends_on=(app_key("outer"),))
    everything = (outer, inner, deep, one)
    told = waits(w, one, *everything, ready=(outer, inner))
    assert told == "Daemon/default/driver (in App outer) is not ready"
    assert waits(w, one, *everything, ready=(outer, inner, deep)) == ""
    assert waits(w, one, *everything, ready=(inner, deep)) == "App outer is not ready"


def test_what_an_app_depends_on_its_objects_wait_for(w: Any) -> None:
    """Those of the Apps in it, too."""
    driver = w.daemon("driver")
    outer = w.app("outer", depends_on=(DRIVER,))
    inner = w.app("inner", app="outer")
    one = w.daemon("filter", app="inner")
    assert waits(w, one, driver, outer, inner, one) == "Daemon/default/driver is not ready"


def test_dependents_are_known_both_ways(w: Any) -> None:
    """Whoever became ready wakes them, an object of an App as well as the App."""
    outer = w.app("outer")
    driver = w.daemon("driver", app="outer")
    by_name = w.daemon("a", depends_on=(DRIVER,))
    by_app = w.daemon("b", depends_on=(app_key("outer"),))
    made, _ = links(w, outer, driver, by_name, by_app)
    assert made.dependents(driver.meta.uid) == {by_name.meta.uid, by_app.meta.uid}
    assert made.dependents(outer.meta.uid) == {by_app.meta.uid}
    assert made.dependents(by_app.meta.uid) == frozenset()


def test_a_fleet_where_nothing_depends_has_no_links(w: Any) -> None:
    """The planner is not asked then."""
    made, _ = links(w, w.app("outer"), w.daemon("driver", app="outer"))
    assert not made


# -- circles --------------------------------------------------------------------------------------


def test_no_circle_is_no_way(w: Any) -> None:
    """A diamond is none."""
    assert circle([]) == ()
    a = w.daemon("a")
    b, c = (w.daemon(name, depends_on=(a.meta.key,)) for name in "bc")
    assert circle([a, b, c, w.daemon("d", depends_on=(b.meta.key, c.meta.key))]) == ()


@pytest.mark.parametrize("length", [1, 2, 3, 3000])
def test_a_circle_is_told_as_a_way(w: Any, length: int) -> None:
    """From a key back to itself, however long."""
    keys = [Key("Daemon", "default", f"d{number:04}") for number in range(length)]
    made = [
        w.daemon(key.name, depends_on=(keys[(index + 1) % length],))
        for index, key in enumerate(keys)
    ]
    way = circle(made)
    assert way == (*keys, keys[0])


def test_an_object_cannot_wait_for_the_app_it_is_in(w: Any) -> None:
    """The App is ready with its objects."""
    outer = w.app("outer")
    one = w.daemon("filter", app="outer", depends_on=(app_key("outer"),))
    assert circle([outer, one]) == (app_key("outer"), FILTER, app_key("outer"))


def test_two_apps_cannot_wait_for_each_other(w: Any) -> None:
    """It is the objects that would never begin."""
    a = w.app("a", depends_on=(app_key("b"),))
    b = w.app("b", depends_on=(app_key("a"),))
    way = circle([a, b, w.daemon("x", app="a"), w.daemon("y", app="b")])
    assert way[0] == way[-1]
    assert {str(key) for key in way} >= {"Daemon/default/x", "Daemon/default/y"}


# -- the gate in the plan ------------------------------------------------------------------------


def gated(w: Any, *objects: Any, waiting: str = "Daemon/default/filter") -> Any:
    """A plan in which one object waits."""
    world = w.World(*objects, proplets=[w.proplet("p")])
    waits = {obj.meta.uid: "the driver" for obj in objects if str(obj.meta.key) == waiting}
    snapshot = replace(world.snapshot(), waits=lambda uid: waits.get(uid, ""))
    return world, snapshot


def test_nothing_new_begins_while_the_gate_is_closed(w: Any) -> None:
    """And the block says for what it waits."""
    from propeller.plan.planner import plan

    one, other = w.daemon("filter", w.everywhere()), w.daemon("other", w.everywhere())
    _, snapshot = gated(w, one, other)
    made = plan(snapshot, now=w.NOW)
    assert [action.uid for action in made.actions if isinstance(action, Assign)] == [other.meta.uid]
    block = made.blocked[one.meta.uid]
    assert (block.reason, block.message) == (
        "DependencyNotReady",
        "waits for what it depends on: the driver",
    )


def test_what_runs_is_left_alone_when_the_gate_closes(w: Any) -> None:
    """An edit waits as well: the old version goes on."""
    from propeller.plan.planner import plan

    one = w.daemon("filter", w.everywhere())
    world = w.World(one, proplets=[w.proplet("p")])
    world.settle()
    snapshot = replace(world.snapshot(), waits=lambda _: "the driver")
    assert plan(snapshot, now=world.now).actions == ()
    assert plan(snapshot, now=world.now).blocked == {}
    world.add(w.daemon("filter", w.everywhere(), args=("new",)))
    snapshot = replace(world.snapshot(), waits=lambda _: "the driver")
    made = plan(snapshot, now=world.now)
    assert made.actions == ()
    assert made.blocked[one.meta.uid].reason == "DependencyNotReady"


def test_a_copy_too_many_leaves_all_the_same(w: Any) -> None:
    """Only beginnings are gated."""
    from propeller.plan.planner import plan

    one = w.daemon("filter", w.moving(2))
    world = w.World(one, proplets=[w.proplet("p"), w.proplet("q")])
    world.settle()
    world.add(w.daemon("filter", w.moving(1)))
    snapshot = replace(world.snapshot(), waits=lambda _: "the driver")
    made = plan(snapshot, now=world.now)
    assert [type(action).__name__ for action in made.actions] == ["Release"]
