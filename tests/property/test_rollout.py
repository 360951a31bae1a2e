"""Hypothesis against rollouts: whatever fails, falls silent or is edited, their promises hold."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from propeller.model.checks import Bounds, Check, Http, Reading
from propeller.model.ids import PropletId
from propeller.model.rollout import OfflinePolicy, OnFailure
from propeller.model.seen import Presence
from propeller.model.specs import Daemon, Task
from propeller.model.versions import Course, Phase
from propeller.plan.rollout import needed
from propeller.plan.types import Advance, Assign, Plan


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"{name}_for_rollouts", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


planning = _load("test_plan")
w = planning.w
share = planning.share

OVER = (Phase.SETTLED, Phase.ROLLED_BACK, Phase.PAUSED)


def rollouts(**more: Any) -> st.SearchStrategy[Any]:
    """Few and many steps, strict and lenient."""
    return st.builds(
        lambda steps, **rest: w.staged(*steps, **rest),
        st.sampled_from([("1",), ("1", "50%"), ("2", "4"), ("100%",), ("20%", "40%", "60%")]),
        max_unavailable=st.sampled_from(["1", "25%", "100%"]),
        errors=st.sampled_from(["0%", "1", "40%"]),
        least=st.sampled_from([1, 3]),
        offline=st.sampled_from(list(OfflinePolicy)),
        on_failure=st.sampled_from(list(OnFailure)),
        success=st.sampled_from([100, 60]),
        deadline=st.sampled_from([None, 30 * w.MINUTE]),
        soak=more.get("soak", st.sampled_from([0, w.MINUTE])),
    )


# -- one object, closely watched ------------------------------------------------------------------


class Story:
    """One Daemon with a rollout on up to eight proplets, and a plan after every event."""

    def __init__(self, rollout: Any, count: int, placement: Any, sick: set[str]) -> None:
        self.rollout = rollout
        self.edits = 0
        self.daemon = w.daemon("d", placement, rollout=w.staged("100%"))
        proplets = [w.proplet(f"p{number}") for number in range(count)]
        self.world = w.World(self.daemon, proplets=proplets)
        self.world.settle(rounds=40)
        self.daemon = replace(self.daemon, rollout=rollout)
        self.world.add(self.daemon)
        self.uid = self.daemon.meta.uid
        good = self.course.good
        assert good is not None
        self.world.traps = lambda name, copy: name in sick and copy.version not in ("", good.digest)

    @property
    def course(self) -> Course:
        return self.world.courses.get(self.uid, Course(uid=self.uid))

    @property
    def copies(self) -> dict[Any, Any]:
        return {
            name: copy
            for name, copy in self.world.assignments.get(self.uid, {}).items()
            if not copy.releasing
        }

    def works(self, name: Any) -> bool:
        seen, copy = self.world.proplets[name], self.copies[name]
        run = seen.runs.get((self.uid, copy.run))
        online = seen.presence is Presence.ONLINE
        return bool(run and run.ready and online and run.digest == w.content_of(copy))

    def happen(self, event: str, pick: int) -> None:
        names = sorted(self.world.proplets)
        name = names[pick % len(names)]
        row = self.world.objects[self.uid]
        match event:
            case "off" if self.world.proplets[name].presence is Presence.ONLINE:
                self.world.off(name)
            case "on":
                self.world.on(name)
            case "edit":
                self.edits += 1
                run = replace(self.daemon.run, args=(str(self.edits),))
                self.world.add(replace(self.daemon, run=run))
            case "limits":
                limits = replace(row.object.limits, memory=2 * w.MIB)
                self.world.add(replace(row.object, limits=limits))
            case "revert":
                self.world.add(self.daemon)
            case "minute":
                self.world.now += w.MINUTE
            case "hour":
                self.world.now += 60 * w.MINUTE
            case "resume" if self.course.phase is Phase.PAUSED:
                self.world.courses[self.uid] = replace(
                    self.course, phase=Phase.WAVE, forgiven=-1, since=self.world.now
                )
            case _:
                pass

    def turn(self) -> Plan:
        """Plan, check, carry out, let the devices take a step."""
        decided = self.world.plan()
        note("; ".join(w.words(decided)))
        self.check(decided)
        self.world.carry_out(decided)
        again = self.world.plan()
        assert again.actions == (), f"not a fixed point: {w.words(again)}"
        self.world.devices_work()
        return decided

    def check(self, decided: Plan) -> None:
        before = self.course
        after = next((one.course for one in decided.actions if isinstance(one, Advance)), before)
        self._never_skips(before, after)
        moves = [
            one.proplet
            for one in decided.actions
            if isinstance(one, Assign)
            and one.proplet in self.copies
            and one.version != self.copies[one.proplet].version
        ]
        self._keeps_to_the_budget(moves)
        self._keeps_to_the_step(after, decided)

    def _never_skips(self, before: Course, after: Course) -> None:
        if before.target_digest == after.target_digest and before.phase.under_way:
            assert after.step <= before.step + 1 or not self.rollout.soak
            if after.step > before.step and self.rollout.soak:
                assert before.phase is Phase.SOAK
                assert self.world.now >= before.since + self.rollout.soak
        if after.good != before.good:
            assert before.target_digest == after.good.digest or not before.phase.under_way

    def _keeps_to_the_budget(self, moves: list[Any]) -> None:
        working = [name for name in self.copies if self.works(name)]
        down = [name for name in moves if name in working]
        most = max(1, self.rollout.max_unavailable.down(len(self.copies)))
        assert len(down) <= most, f"{len(down)} taken down at once, at most {most}"
        unheard = self.world.proplets
        online = [name for name in self.copies if unheard[name].presence is Presence.ONLINE]
        broken = [name for name in online if name not in working]
        if down:
            assert len(broken) + len(down) <= most, "more are unavailable than allowed"

    def _keeps_to_the_step(self, after: Course, decided: Plan) -> None:
        if not after.phase.under_way:
            return
        seen = self.world.proplets
        had = sum(
            1
            for name, copy in self.copies.items()
            if copy.version == after.target_digest
            and (
                self.rollout.offline is not OfflinePolicy.EXCLUDE_AFTER
                or seen[name].presence is Presence.ONLINE
            )
        )
        gets = [
            one
            for one in decided.actions
            if isinstance(one, Assign)
            and one.version == after.target_digest
            and self.copies[one.proplet].version != one.version
        ]
        if gets:
            limit = needed(self.rollout, after.step, len(self.copies))
            assert had + len(gets) <= max(limit, 1), "more copies than the step asks for"
        assert not gets or after.phase is Phase.WAVE or self.rollout.success < 100


EVENTS = ["off", "on", "edit", "edit", "limits", "revert", "minute", "hour", "resume"]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A fleet, a rollout, and proplets on which every new version traps."""
    count = draw(st.integers(1, 8))
    placement = draw(st.sampled_from([w.everywhere(), w.anywhere(min(count, 4))]))
    sick = draw(st.sets(st.sampled_from([f"p{number}" for number in range(8)]), max_size=4))
    return Story(draw(rollouts()), count, placement, sick)


@given(stories(), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 7)), max_size=10))
@share(80)
def test_a_rollout_keeps_to_its_steps_and_its_budget(
    story: Story, events: list[tuple[str, int]]
) -> None:
    """No step is skipped or overfilled, no more is down than allowed, and every plan is stable."""
    story.happen("edit", 0)
    for event, pick in events:
        note(f"-- {event} {pick}")
        story.turn()
        story.happen(event, pick)
        story.turn()


@given(stories(), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 7)), max_size=6))
@share(60)
def test_a_rollout_comes_to_an_end(story: Story, events: list[tuple[str, int]]) -> None:
    """With everybody heard again it is accepted, rolled back or paused, in bounded time."""
    story.happen("edit", 0)
    for event, pick in events:
        note(f"-- {event} {pick}")
        story.turn()
        story.happen(event, pick)
    for name in story.world.proplets:
        story.world.on(name)
    for _ in range(60):
        story.turn()
        story.world.now += w.MINUTE
    course = story.course
    assert course.phase in OVER
    if course.phase is not Phase.PAUSED:
        assert course.good is not None
        assert {copy.version for copy in story.copies.values()} == {course.good.digest}


# -- many objects, any event ----------------------------------------------------------------------


def _may_be_staged(obj: Any) -> bool:
    if isinstance(obj, Daemon):
        return True
    placement = obj.placement
    return (
        isinstance(obj, Task)
        and obj.schedule is None
        and bool(placement.per_proplet or placement.proplets)
    )


def _reasons(blocked: Any) -> dict[Any, Any]:
    """Why, and on which proplets: how much room is left there is only as new as their last plan."""
    return {uid: (block.reason, sorted(block.refused)) for uid, block in blocked.items()}


@st.composite
def worlds(draw: st.DrawFn) -> Any:
    """The worlds of the other properties, with rollouts on most objects."""
    world = draw(planning.worlds())
    for uid, row in world.objects.items():
        chosen = draw(st.one_of(st.none(), rollouts(), rollouts()))
        if chosen is not None and _may_be_staged(row.object):
            world.objects[uid] = replace(row, object=replace(row.object, rollout=chosen))
    return world


def _turns(world: Any, *, most: int = 40) -> Iterator[Plan]:
    """Work until nothing is left."""
    for _ in range(most):
        decided = world.plan()
        note("; ".join(w.words(decided)))
        planning.check_promises(world, decided)
        yield decided
        world.carry_out(decided)
        before = dict(world.proplets)
        world.devices_work()
        if not decided.actions and before == world.proplets:
            return
    raise AssertionError(f"no fixed point: {w.words(world.plan())}")


def _settle(world: Any) -> None:
    for _ in _turns(world):
        pass


@given(worlds(), planning.stories())
@share(60)
def test_staged_fleets_settle_after_whatever_happens(
    world: Any, story: list[tuple[str, int]]
) -> None:
    """Rollouts beside each other and beside plain objects: plans still reach a fixed point."""
    _settle(world)
    for event, pick in story:
        note(f"-- {event} {pick}")
        planning.happen(world, event, pick)
        _settle(world)


@given(worlds(), planning.stories(), st.integers(0, 3))
@share(60)
def test_an_incremental_plan_of_rollouts_is_the_full_plan(
    world: Any, story: list[tuple[str, int]], unsettled: int
) -> None:
    """One proplet's change is planned as if everything had been looked at."""
    _settle(world)
    for event, pick in story:
        note(f"-- {event} {pick}")
        changed = planning.happen(world, event, pick)
        rounds = 0
        while changed and rounds < 4:
            full = world.plan()
            part = world.plan(
                touched=world.affected(*changed),
                proplets=frozenset(PropletId(name) for name in changed),
                standing=world.blocked,
            )
            note("; ".join(w.words(full)))
            assert part.actions == full.actions
            assert _reasons(planning._merged(world, part)) == _reasons(full.blocked)
            world.carry_out(part)
            if rounds == unsettled:
                break
            before = dict(world.proplets)
            moved = {action.proplet for action in part.actions if hasattr(action, "proplet")}
            world.devices_work()
            later = {name for name, seen in world.proplets.items() if seen != before[name]}
            changed = moved | later
            rounds += 1
        _settle(world)


@given(worlds(), planning.stories())
@share(30)
def test_nothing_advances_while_held(world: Any, story: list[tuple[str, int]]) -> None:
    """After a lost store a rollout waits like everything else."""
    _settle(world)
    for event, pick in story:
        planning.happen(world, event, pick)
    world.policy = w.Policy(hold="waiting for p9")
    decided = world.plan()
    assert not [one for one in decided.actions if isinstance(one, Advance | Assign)]


# -- judged by measurements -----------------------------------------------------------------------


@given(
    answers=st.lists(st.sampled_from(["good", "bad", "odd", "none", "late"]), max_size=30),
    resumes=st.sets(st.integers(0, 29), max_size=2),
)
def test_a_step_goes_on_only_after_as_many_good_answers_as_it_needs(
    answers: list[str], resumes: set[int]
) -> None:
    """Whatever a server answers, and in whatever order: unless somebody takes the doubt upon
    himself, nobody beyond the step gets the version before two good answers came, one bad answer
    takes it back, and every measurement is asked for once and counted once."""
    check = Check(
        name="c",
        source=Http("http://127.0.0.1/", ""),
        success=Bounds(at_most=Decimal(1)),
        failure=Bounds(at_least=Decimal(9)),
        interval=1_000,
        count=2,
    )
    old = w.daemon("d", w.everywhere(), rollout=w.staged("100%"))
    world = w.World(old, proplets=[w.proplet(f"p{number}") for number in range(4)])
    world.settle(rounds=60)
    uid = old.meta.uid
    world.add(w.daemon("d", w.everywhere(), rollout=w.staged("50%", checks=(check,)), args=("2",)))
    good = 0
    doubted = False
    values = {"good": Decimal(0), "bad": Decimal(10), "odd": Decimal(5), "none": None}
    for turn, answer in enumerate(answers):
        decided = world.plan()
        world.carry_out(decided)
        assert world.plan().actions == (), "a plan that was carried out leaves nothing to plan"
        world.devices_work()
        course = world.courses[uid]
        note(f"{turn}: {answer} {course.phase} {course.checks} {decided.probes}")
        copies = world.assignments[uid].values()
        moved = sum(1 for copy in copies if copy.version == course.target_digest)
        if course.target is not None and course.phase.under_way and course.step == 0:
            assert moved <= 2, "the next step began although nothing spoke for it"
        if course.step > 0 or course.phase is Phase.SETTLED:
            assert good >= 2 or doubted
            break
        if course.phase is Phase.ROLLED_BACK:
            break
        assert len(decided.probes) <= 1
        for probe in decided.probes:
            assert probe.slot <= world.now
            if answer != "late":
                words = Reading(slot=probe.slot, value=values[answer], words=answer)
                world.readings.setdefault(uid, {})["c"] = words
                good += answer == "good"
        if turn in resumes and course.phase is Phase.PAUSED:
            doubted = True
            world.courses[uid] = replace(
                course, phase=Phase.WAVE, since=world.now, waived=True, unclear=False, forgiven=-1
            )
        world.now += 1_000
    else:
        return
    if course.phase is Phase.ROLLED_BACK:
        assert "check c failed 1 of" in course.why
