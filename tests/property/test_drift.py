"""Hypothesis against drift: what is ignored or only detected never leads to an action."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from propeller.model.drift import Drift, DriftReason, IgnoreDrift
from propeller.model.ids import Digest, PropletId, RunId
from propeller.model.seen import RunState, SeenRun
from propeller.model.specs import Daemon
from propeller.plan.conditions import summarize
from propeller.plan.findings import REPLACING, find_drift
from propeller.plan.types import Correct


def _load() -> ModuleType:
    name = "planning_properties"
    if name not in sys.modules:
        place = Path(__file__).with_name("test_plan.py")
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


planning = _load()

OTHER = Digest("sha256:" + "9" * 64)
TAMPERS = ["lose", "alter", "stray", "wipe"]

rules = st.lists(
    st.builds(
        IgnoreDrift,
        reasons=st.one_of(st.none(), st.frozensets(st.sampled_from(DriftReason), min_size=1)),
        proplets=st.one_of(
            st.none(),
            st.frozensets(st.sampled_from(planning.NAMES).map(PropletId), min_size=1),
        ),
    ),
    max_size=2,
).map(tuple)


def tampers() -> st.SearchStrategy[list[tuple[str, int]]]:
    """What owners do to their devices, each with a number that picks where and to what."""
    return st.lists(st.tuples(st.sampled_from(TAMPERS), st.integers(0, 35)), min_size=1, max_size=6)


def _tamper(world: Any, what: str, pick: int) -> None:
    seen = world.proplets[sorted(world.proplets)[pick % len(world.proplets)]]
    runs = dict(seen.runs)
    daemons = sorted(uid for uid, row in world.objects.items() if isinstance(row.object, Daemon))
    match what:
        case "wipe":
            runs = {}
        case "lose" if runs:
            del runs[sorted(runs)[pick % len(runs)]]
        case "alter" if runs:
            pair = sorted(runs)[pick % len(runs)]
            if not runs[pair].state.ended:
                runs[pair] = replace(runs[pair], digest=OTHER)
        case "stray" if daemons:
            uid, run = daemons[pick % len(daemons)], RunId(f"{pick:032x}")
            runs[uid, run] = SeenRun(
                uid=uid, run=run, digest=OTHER, cause="daemon", state=RunState.RUNNING
            )
        case _:
            return
    world.set(seen.id, runs=runs)


def _plant(world: Any, modes: list[tuple[Drift, tuple[IgnoreDrift, ...]]]) -> None:
    """At rest long enough for every difference to count at once."""
    for index, (uid, row) in enumerate(sorted(world.objects.items())):
        if isinstance(row.object, Daemon):
            mode, ignored = modes[index % len(modes)]
            obj = replace(row.object, drift=mode, ignore_drift=ignored)
            world.objects[uid] = replace(row, object=obj)
    planning.settle(world)
    world.now += REPLACING
    planning.settle(world)


def _corrections(world: Any) -> dict[Any, tuple[PropletId, ...]]:
    return {one.uid: one.proplets for one in world.plan().actions if isinstance(one, Correct)}


@given(
    planning.worlds(),
    st.lists(st.tuples(st.sampled_from([Drift.DETECT, Drift.IGNORE]), rules), min_size=1),
    tampers(),
)
@planning.share(30)
def test_what_is_not_to_be_corrected_is_left_alone(
    world: Any, modes: list[tuple[Drift, tuple[IgnoreDrift, ...]]], story: list[tuple[str, int]]
) -> None:
    """Whatever owners do: no correction, and of `Ignore` not even a word."""
    _plant(world, modes)
    for what, pick in story:
        _tamper(world, what, pick)
    assert _corrections(world) == {}
    for row in world.objects.values():
        if isinstance(row.object, Daemon) and row.object.drift is Drift.IGNORE:
            summary = summarize(row, world.snapshot(), now=world.now)
            assert summary.drift == ()
            assert all(one.type != "DriftDetected" for one in summary.conditions)


@given(planning.worlds(), st.lists(rules, min_size=1), tampers())
@planning.share(30)
def test_what_is_told_is_what_is_corrected(
    world: Any, ignored: list[tuple[IgnoreDrift, ...]], story: list[tuple[str, int]]
) -> None:
    """One list of rules: a device is asked anew exactly where its drift is told."""
    _plant(world, [(Drift.CORRECT, rows) for rows in ignored])
    for what, pick in story:
        _tamper(world, what, pick)
    told = {}
    for uid, row in world.objects.items():
        if not isinstance(row.object, Daemon):
            continue
        found = find_drift(row, world.snapshot(), world.now).found
        for one in found:
            labels = world.proplets[one.proplet].labels
            assert not any(
                rule.covers(one.reason, one.proplet, labels) for rule in row.object.ignore_drift
            )
        if found:
            told[uid] = tuple(sorted({one.proplet for one in found}))
    moving = {(one.uid, one.proplet) for one in world.plan().actions if hasattr(one, "proplet")}
    expected = {
        uid: tuple(name for name in names if (uid, name) not in moving)
        for uid, names in told.items()
    }
    assert _corrections(world) == {uid: names for uid, names in expected.items() if names}
