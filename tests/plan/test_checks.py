"""What one measurement means, and what they add up to."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from propeller.model.checks import Bounds, Check, Metric, Over, RunFact, Tally, Verdict, number
from propeller.plan.checks import ALONE, Meter
from propeller.plan.rollout import Fitness, Member
from propeller.plan.verdicts import counted, graded, verdict

S, F, U, R = Verdict.SUCCESSFUL, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.RUNNING


def a_check(**more: Any) -> Check:
    more.setdefault("source", Metric("cpuPermille"))
    more.setdefault("success", Bounds(at_most=Decimal(200)))
    return Check(name="cpu", **more)


@pytest.mark.parametrize(
    ("value", "strict", "lenient"),
    [("200", S, S), ("200.001", F, U), ("399", F, U), ("400", F, F), (None, U, U)],
)
def test_what_a_value_means(value: str | None, strict: Verdict, lenient: Verdict) -> None:
    """Without `failure` all but success fails; with it there is a part between. None is doubt."""
    given = None if value is None else Decimal(value)
    assert graded(a_check(), given) is strict
    assert graded(a_check(failure=Bounds(at_least=Decimal(400))), given) is lenient


@pytest.mark.parametrize(
    ("values", "limits", "expected"),
    [
        ("ss", (0, 0), R),
        ("sss", (0, 0), S),
        ("f", (0, 0), F),
        ("f", (1, 0), R),
        ("sfs", (1, 0), S),
        ("ff", (1, 0), F),
        ("u", (0, 0), U),
        ("uss", (0, 1), S),
        ("uu", (0, 1), U),
        ("uf", (0, 0), F),
    ],
)
def test_measurements_add_up(values: str, limits: tuple[int, int], expected: Verdict) -> None:
    """The limits are borne, one more is not; three make a step, and failing is certain."""
    check = a_check(
        failure=Bounds(at_least=Decimal(400)), failure_limit=limits[0], inconclusive_limit=limits[1]
    )
    tally = Tally(name="cpu", last=0)
    numbers = {"s": Decimal(1), "f": Decimal(500), "u": None}
    for at, letter in enumerate(values):
        tally = counted(check, tally, numbers[letter], letter, at)
    assert verdict(check, tally) is expected


def _meter(w: Any, told: dict[str, int | None], *, new: str, since: int = 0) -> Meter:
    """Copies on proplets p0, p1, ...; those named in `new` have the target."""
    obj = w.daemon("d", w.everywhere())
    world = w.World(obj, proplets=[w.proplet(name) for name in told])
    world.settle()
    for name, value in told.items():
        if value is not None:
            world.set(name, metrics={"cpuPermille": value}, metrics_at=1_000)
    members = [
        Member(
            proplet=name,
            version="new" if name in new else "old",
            fitness=Fitness.READY,
        )
        for name in told
    ]
    copies = world.assignments[obj.meta.uid]
    return Meter(obj, copies, world.snapshot(), members, "new", since)


def test_many_copies_become_one_number(w: Any) -> None:
    """Of the copies that have the version, as the check says."""
    meter = _meter(w, {"p0": 100, "p1": 300, "p2": 999}, new="p0 p1")
    for over, expected in ((Over.MEAN, 200), (Over.MAX, 300), (Over.MIN, 100)):
        assert meter.read(a_check(over=over))[0] == expected
    assert meter.read(a_check())[1] == "200 (mean of 2 copies)"


def test_others_are_a_hundred_percent(w: Any) -> None:
    """The value is what share of theirs the new copies have."""
    meter = _meter(w, {"p0": 150, "p1": 100, "p2": 100}, new="p0")
    value, words = meter.read(a_check(others=True))
    assert value == 150
    assert words == "150% of the others (150, they have 100)"


@pytest.mark.parametrize(
    ("told", "new", "words"),
    [
        ({"p0": None, "p1": 5}, "p0", "none of 1 copies has told it"),
        ({"p0": 5, "p1": None}, "p0", "none of the copies to compare with has told it"),
        ({"p0": 5, "p1": 0}, "p0", "5, and the others have 0: that is no percentage"),
        ({"p0": 5, "p1": 5}, "p0 p1", ALONE),
    ],
)
def test_why_there_is_no_value(w: Any, told: dict[str, int | None], new: str, words: str) -> None:
    """Silence, a division by nothing, and nobody to compare with are told apart."""
    assert _meter(w, told, new=new).read(a_check(others=True)) == (None, words)


def test_both_nothing_is_the_same(w: Any) -> None:
    """0 and 0: a hundred percent."""
    assert _meter(w, {"p0": 0, "p1": 0}, new="p0").read(a_check(others=True))[0] == 100


def test_reports_from_before_the_step_do_not_count(w: Any) -> None:
    """What a device told while it still ran the old version says nothing of the new one."""
    assert _meter(w, {"p0": 5, "p1": 5}, new="p0", since=1_001).read(a_check())[0] is None
    assert _meter(w, {"p0": 5, "p1": 5}, new="p0", since=1_000).read(a_check())[0] == 5


def test_facts_of_runs(w: Any) -> None:
    """Restarts of the new copies and the time they took, in ms."""
    meter = _meter(w, {"p0": 1, "p1": 1}, new="p0")
    (key,) = meter.snapshot.proplets["p0"].runs
    copy = meter.copies["p0"]
    seen = meter.snapshot.proplets["p0"]
    run = replace(seen.runs[key], restarts=4, ready=True, started=copy.assigned_at + 250)
    meter.snapshot.proplets["p0"] = replace(seen, runs={key: run})  # type: ignore[index]  # a dict
    assert meter.read(a_check(source=RunFact.RESTARTS))[0] == 4
    expected = 250 + meter.obj.ready_after  # type: ignore[union-attr]  # a Daemon
    assert meter.read(a_check(source=RunFact.TIME_TO_READY))[0] == expected


@pytest.mark.parametrize("text", ["", "x", "NaN", "inf", "1e400", "9" * 41, "1_0x"])
def test_numbers_that_are_not_believed(text: str) -> None:
    """Results and answers come from strangers."""
    assert number(text) is None
