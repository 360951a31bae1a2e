"""Hypothesis against `why`: it never says that nothing is in the way of what is not Ready."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from propeller.cli.chain import chain_of
from propeller.cli.chainfacts import Facts
from propeller.cli.links import BROKEN, OK, WAITS, Chain, Link, Ready, closed, grouped
from propeller.cli.why import text
from propeller.plan.conditions import summarize
from propeller.state.records import StatusRow


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"{name}_for_chains", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


planning = _load("test_plan")
rolling = _load("test_rollout")
w = planning.w
share = planning.share


class Nothing:
    """A store that remembers no events."""

    def events(self, **_: Any) -> list[Any]:
        return []


def facts_of(world: Any) -> Facts:
    """What the store would say of that world."""
    facts = Facts(Nothing(), world.now)  # type: ignore[arg-type]
    statuses = []
    for uid, held in world.objects.items():
        summary = summarize(held, world.snapshot(), now=world.now, blocked=world.blocked.get(uid))
        rows = [one.mapping() for one in summary.conditions]
        document = json.dumps({"status": {"conditions": rows}})
        key = held.object.meta.key
        statuses.append(
            StatusRow(uid=uid, key=key, ready=summary.ready, document=document, changed_at=0)
        )
    facts.__dict__.update(
        revisions=[],
        inventory=dict(world.objects),
        assignments=[one for copies in world.assignments.values() for one in copies.values()],
        fleet=dict(world.proplets),
        asked={},
        courses=dict(world.courses),
        modules=dict(world.modules),
        pauses={},
        holds={},
        plans=[],
        handings={},
        broker={},
        sources={},
        statuses=statuses,
    )
    return facts


def check(chain: Chain) -> None:
    """What every answer keeps to."""
    lines = list(text(chain, colour=False))
    if chain.ready.status != "True":
        assert chain.in_the_way is not None
        assert lines[-1] != "Nothing is in the way."
        assert any(line.startswith("In the way: ") for line in lines)
    found = chain.in_the_way
    if found is None:
        links = [*chain.links, *(link for group in chain.groups for link in group.links)]
        assert all(link.state == OK for link in links)
    else:
        assert found.words
        assert chain.data()["blocked"] == found.words


def check_all(world: Any) -> None:
    """Every object of the world, for all of its copies and for a proplet without one."""
    facts = facts_of(world)
    for held in world.objects.values():
        chain = chain_of(facts, held, only=None)
        check(chain)
        copies = sum(1 for one in facts.assignments if one.uid == held.uid)
        assert sum(group.count for group in chain.groups) + chain.untold == copies
        for name in world.proplets:
            check(chain_of(facts, held, only=name))


@given(planning.worlds(), planning.stories(), st.integers(0, 3))
@share(40)
def test_what_is_not_ready_is_explained(
    world: Any, story: list[tuple[str, int]], rounds: int
) -> None:
    """At every moment of whatever happens to a fleet, settled or not."""
    check_all(world)
    for event, pick in story:
        planning.happen(world, event, pick)
        for _ in range(rounds):
            world.carry_out(world.plan())
            check_all(world)
            world.devices_work()
        check_all(world)


@given(
    rolling.rollouts(),
    st.integers(1, 6),
    st.lists(
        st.tuples(
            st.sampled_from(["off", "on", "edit", "revert", "minute", "hour"]), st.integers(0, 7)
        ),
        max_size=8,
    ),
    st.sets(st.integers(0, 5)),
)
@share(30)
def test_what_a_rollout_left_is_explained(
    rollout: Any, count: int, story: list[tuple[str, int]], sick: set[int]
) -> None:
    """Under way, paused, rolled back by itself: the link about versions says it."""
    tale = rolling.Story(rollout, count, w.everywhere(), {f"p{number}" for number in sick})
    for event, pick in story:
        tale.happen(event, pick)
        tale.turn()
        check_all(tale.world)
        chain = chain_of(facts_of(tale.world), tale.world.objects[tale.uid], only=None)
        links = {link.name: link for link in chain.links}
        if tale.course.phase == "RolledBack":
            assert links["rollout"].state == BROKEN
            assert chain.in_the_way is not None


def links() -> st.SearchStrategy[Link]:
    """Of a few names, in any state."""
    return st.builds(
        Link,
        st.sampled_from(["commit", "placement", "run"]),
        st.sampled_from([OK, WAITS, BROKEN]),
        st.sampled_from(["one", "two"]),
        rule=st.sampled_from(["", "A", "B"]),
    )


@given(
    st.sampled_from(["True", "False", "Unknown"]),
    st.lists(links(), max_size=4),
    st.dictionaries(st.integers(0, 300).map(str), st.lists(links(), max_size=3), max_size=60),
)
def test_any_links_make_an_honest_chain(
    status: str, shared: list[Link], copies: dict[str, list[Link]]
) -> None:
    """Whatever the links say: no answer is "nothing" unless Ready is True and every link holds."""
    groups, untold = grouped({name: tuple(found) for name, found in copies.items()})
    check(closed("Task/a/b", Ready(status, "R", "words"), shared, groups, untold=untold))
    assert sum(group.count for group in groups) + untold == len(copies)


def test_ten_thousand_copies_are_told_in_a_few_stories() -> None:
    """Equal stories are one group with ten names, the worst first; the answer stays small."""

    def story(number: int) -> tuple[Link, ...]:
        state = BROKEN if number % 1000 == 0 else OK
        return (Link("run", state, f"started {number} s ago", at=number, rule=state),)

    copies = {f"{number:05}": story(number) for number in range(10_000)}
    groups, untold = grouped(copies, tell=copies.__getitem__)
    assert [(one.count, len(one.names), one.state) for one in groups] == [
        (10, 10, BROKEN),
        (9_990, 10, OK),
    ]
    assert untold == 0
    chain = closed("Daemon/a/b", Ready("False", "Failed", "some failed"), (), groups)
    assert len(json.dumps(chain.data())) < 4_000
    assert chain.in_the_way is not None
    assert chain.in_the_way.on == "00000, 01000, 02000 and 7 more"
