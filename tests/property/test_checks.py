"""Hypothesis against checks: whatever is measured, neither doubt nor a failure promotes."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from propeller.model.checks import Bounds, Check, Metric, Tally, Verdict
from propeller.plan.verdicts import counted, graded, verdict

VALUES = st.none() | st.decimals(-1000, 1000, places=3)
CHECKS = st.builds(
    Check,
    name=st.just("c"),
    source=st.just(Metric("m")),
    success=st.builds(Bounds, st.none(), st.decimals(-500, 500, places=2)),
    failure=st.none() | st.builds(Bounds, st.decimals(-500, 500, places=2), st.none()),
    interval=st.integers(1, 1000),
    count=st.integers(1, 6),
    failure_limit=st.integers(0, 3),
    inconclusive_limit=st.integers(0, 3),
)


@given(CHECKS, st.lists(VALUES, max_size=12))
def test_a_check_is_successful_only_within_both_limits(
    check: Check, values: list[Decimal | None]
) -> None:
    """Measured until it is over, as the planner does; then what it says fits what was measured."""
    tally, seen = Tally(name="c", last=0), []
    for at, value in enumerate(values):
        if verdict(check, tally) is not Verdict.RUNNING:
            break
        seen.append(graded(check, value))
        tally = counted(check, tally, value, "", at)
    failed = seen.count(Verdict.FAILED)
    doubts = seen.count(Verdict.INCONCLUSIVE)
    assert (tally.failed, tally.inconclusive, tally.taken) == (failed, doubts, len(seen))
    match verdict(check, tally):
        case Verdict.SUCCESSFUL:
            assert len(seen) == check.count
            assert failed <= check.failure_limit
            assert doubts <= check.inconclusive_limit
        case Verdict.FAILED:
            assert failed == check.failure_limit + 1
            assert seen[-1] is Verdict.FAILED
        case Verdict.INCONCLUSIVE:
            assert doubts == check.inconclusive_limit + 1
            assert failed <= check.failure_limit
        case Verdict.RUNNING:
            assert len(seen) < check.count


@given(CHECKS, VALUES)
def test_every_value_has_one_meaning(check: Check, value: Decimal | None) -> None:
    """Success where it holds, whatever `failure` says; no value is neither for nor against."""
    found = graded(check, value)
    assert (found is Verdict.SUCCESSFUL) == (value is not None and check.success.holds(value))
    if value is None:
        assert found is Verdict.INCONCLUSIVE
    elif check.failure is None:
        assert found is not Verdict.INCONCLUSIVE
