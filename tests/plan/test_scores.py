"""Plugins that score proplets: their answers are part of what a plan rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId, sha256_digest
from propeller.model.parse import parse_object, stored_form
from propeller.model.plugins import scored
from propeller.model.scoring import Failing, Score, Scorer
from propeller.plan.planner import plan

SCORER = Scorer(
    name="near", digest=sha256_digest(b"near"), failing=Failing.CLOSED,
    fuel=1, memory=1, timeout=1,
)  # fmt: skip


def a_daemon(w: Any, *, failing: Failing = Failing.CLOSED, **more: Any) -> Any:
    """One copy anywhere, placed by `near`."""
    thing = w.daemon("d", w.moving(1), **more)
    return replace(thing, meta=replace(thing.meta, scorers=(replace(SCORER, failing=failing),)))


def a_world(w: Any, *objects: Any) -> Any:
    """Three proplets that differ in a label."""
    fleet = [w.proplet(f"p{n}", labels={"hops": str(n)}) for n in (1, 2, 3)]
    return w.World(*objects, proplets=fleet)


def answer(world: Any, by_hops: dict[str, Score]) -> None:
    """What the plugin says of proplets with that label."""
    for asking in world.plan().asks:
        hops = json.loads(asking.question)["proplet"]["labels"]["hops"]
        world.scores[asking.name] = by_hops[hops]


def points(*values: int) -> dict[str, Score]:
    return {str(n + 1): Score(points=value) for n, value in enumerate(values)}


@pytest.mark.parametrize("values", [(5, 9, 1), (9, 5, 1), (-3, -2, -1)])
def test_the_highest_score_gets_the_copy(w: Any, values: tuple[int, ...]) -> None:
    """Whatever the hash would have said."""
    world = a_world(w, a_daemon(w))
    answer(world, points(*values))
    world.settle()
    assert world.where(w.daemon("d")) == [f"p{values.index(max(values)) + 1}"]


def test_nothing_new_is_placed_before_all_have_answered(w: Any) -> None:
    """So that the same answers give the same place in any order; and it says what it waits for."""
    thing = a_daemon(w)
    world = a_world(w, thing)
    first = world.plan()
    assert w.words(first) == []
    assert first.blocked[thing.meta.uid].reason == "PluginPending"
    assert SCORER.version in first.blocked[thing.meta.uid].message
    assert len(first.asks) == 3
    world.scores[first.asks[0].name] = Score(points=100)
    assert len(world.plan().asks) == 2
    assert w.words(world.plan()) == []


def test_equal_proplets_are_asked_about_once(w: Any) -> None:
    """A question is about what is known of a proplet, not about its name."""
    world = w.World(a_daemon(w), proplets=[w.proplet(f"p{n}") for n in range(50)])
    assert len(world.plan().asks) == 1


def test_a_copy_that_is_there_is_not_asked_about_nor_moved(w: Any) -> None:
    """Another version of the plugin moves nothing: there is no cause."""
    world = a_world(w, a_daemon(w))
    answer(world, points(1, 2, 3))
    world.settle()
    assert world.where(w.daemon("d")) == ["p3"]
    world.scores.clear()
    assert world.plan().asks == ()
    assert w.words(world.plan()) == []


def test_a_plugin_that_has_to_answer_and_fails_leaves_a_proplet_out(w: Any) -> None:
    """In words, as anything else that keeps a proplet from being the place."""
    thing = a_daemon(w)
    world = a_world(w, thing)
    answer(world, points(1, 2, 0) | {"2": Score(failed="used up its fuel of 1")})
    world.settle()
    assert world.where(w.daemon("d")) == ["p1"]
    broken = a_world(w, thing)
    answer(broken, {hops: Score(failed="trapped: unreachable") for hops in "123"})
    broken.settle()
    block = broken.blocked[thing.meta.uid]
    assert block.reason == "Unfit"
    assert f"p1: the plugin {SCORER.version} trapped: unreachable" in block.message


def test_a_plugin_that_may_fail_counts_for_nothing_then(w: Any) -> None:
    """As if it had said zero."""
    world = a_world(w, a_daemon(w, failing=Failing.OPEN))
    answer(world, points(-1, 0, -1) | {"2": Score(failed="trapped")})
    world.settle()
    assert world.where(w.daemon("d")) == ["p2"]


def test_a_late_plugin_is_asked_again_when_its_time_has_come(w: Any) -> None:
    """A wakeup says when."""
    thing = a_daemon(w)
    world = a_world(w, thing)
    late = Score(failed="was not done", again=world.now + 30_000)
    answer(world, dict.fromkeys("123", late))
    decided = world.plan()
    assert decided.asks == ()
    assert [one.due for one in decided.wakeups if one.uid == thing.meta.uid] == [late.again]
    world.now += 30_000
    assert len(world.plan().asks) == 3


def test_a_plan_of_what_was_touched_is_the_whole_plan(w: Any) -> None:
    """Scores are part of the snapshot: nothing else decides."""
    thing, other = a_daemon(w), w.daemon("e", w.moving(2))
    world = a_world(w, thing, other)
    world.settle()
    answer(world, points(3, 2, 1))
    part = plan(
        world.snapshot(), now=world.now, touched=frozenset({thing.meta.uid}),
        proplets=frozenset({PropletId("p2")}), standing=world.blocked,
    )  # fmt: skip
    assert w.words(part) == w.words(world.plan()) == ["Assign d p1 daemon"]


def test_an_object_is_stored_with_who_scores_for_it(w: Any) -> None:
    """And its spec, so its generation, is as before."""
    thing = w.daemon("d")
    again = scored(_real(), [SCORER])
    assert parse_object(**stored_form(again)) == again
    assert again.meta.scorers == (SCORER,)
    assert again.meta.spec_digest == _real().meta.spec_digest
    assert thing.meta.scorers == ()


def _real() -> Any:
    """A Task as a source makes it."""
    from propeller.sources.fill import fill_for

    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "a"},
        "spec": {"module": {"image": "r.example/a:1"}},
    }
    filled = fill_for("Task")(document)
    meta = {**filled["metadata"], "namespace": "n", "uid": "u", "app": "a"}
    return parse_object("Task", meta, {**filled["spec"]})
