"""Robust rules: known values, outliers without influence, conditions that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from propeller.fl.errors import Refusal
from propeller.fl.strategies.base import Round, Step
from propeller.fl.strategies.registry import strategy
from tests.fl.contributions import Vector, given

RULES = [
    ("Median", {}),
    ("TrimmedMean", {"beta": "0.25"}),
    ("Krum", {"faulty": "4"}),
    ("MultiKrum", {"faulty": "4"}),
]


def _step(name: str, asked: dict[str, str], *deltas: Vector | tuple[float, ...]) -> Step:
    base = np.zeros(len(deltas[0]), np.float32)
    return strategy(name, asked).step(Round(base=base, contributions=given(*deltas)))


def _honest(count: int, size: int = 30) -> list[Vector]:
    return list(np.random.default_rng(7).normal(1, 0.1, (count, size)).astype(np.float32))


@pytest.mark.parametrize(("name", "asked"), RULES, ids=[name for name, _ in RULES])
@pytest.mark.parametrize("sign", [1e6, -1e6])
def test_a_fifth_of_outliers_moves_the_model_less_than_the_honest_differ(
    name: str, asked: dict[str, str], sign: float
) -> None:
    """Four equal ones of twenty, at a million: the mean would be 200,000."""
    honest = _honest(16)
    outlier = np.full(30, sign, np.float32)
    spread = np.ptp(np.stack(honest), axis=0)
    clean = _step(name, asked, *honest).model
    hit = _step(name, asked, outlier, *honest, outlier, outlier, outlier).model
    assert (np.abs(hit - clean) < spread).all()
    assert abs(_step("FedAvg", {}, *honest, *[outlier] * 4).model[0]) > 1e5


@pytest.mark.parametrize(("name", "asked"), RULES, ids=[name for name, _ in RULES])
def test_without_attackers_the_model_is_among_the_honest(name: str, asked: dict[str, str]) -> None:
    """In every coordinate between the least and the greatest."""
    honest = np.stack(_honest(20))
    model = _step(name, asked, *honest).model
    assert (model >= honest.min(axis=0)).all()
    assert (model <= honest.max(axis=0)).all()


def test_the_median_of_odd_and_even_cohorts() -> None:
    """The middle one, or the mean of the middle two, a coordinate at a time."""
    np.testing.assert_array_equal(_step("Median", {}, (1, 9), (2, 8), (9, 1)).model, [2, 8])
    np.testing.assert_array_equal(_step("Median", {}, (1,), (2,), (4,), (9,)).model, [3])


@pytest.mark.parametrize(("beta", "cut"), [("0.2", 2), ("0.25", 2), ("0.3", 3), ("0", 0)])
def test_the_trimmed_mean_drops_floor_beta_m_at_each_end(beta: str, cut: int) -> None:
    """Of ten."""
    values = [0, 1, 2, 3, 4, 50, 60, 70, 800, 9000]
    step = _step("TrimmedMean", {"beta": beta}, *((value,) for value in values))
    np.testing.assert_allclose(step.model, [np.mean(values[cut : 10 - cut])], rtol=1e-6)
    assert step.notes["cutAtEachEnd"] == str(cut)


def test_what_is_trimmed_is_the_decimal_that_was_written() -> None:
    """0.29 of 100 is 29, though 0.29 * 100 is 28.999999999999996 to a computer."""
    step = _step("TrimmedMean", {"beta": "0.29"}, *((value,) for value in range(100)))
    assert step.notes["cutAtEachEnd"] == "29"


def test_krum_takes_the_update_with_the_nearest_neighbours() -> None:
    """Scores by hand: m=5, f=1, the two nearest of each."""
    step = _step("Krum", {"faulty": "1"}, (0,), (1,), (3,), (4.5,), (100,))
    # p0: 1+9, p1: 1+4, p2: 2.25+4, p3: 2.25+12.25, p4: far
    np.testing.assert_array_equal(step.model, [1])
    assert step.used == {"p0001"}


def test_multi_krum_takes_the_mean_of_the_best() -> None:
    """As many as asked, all but the faulty where nothing is asked."""
    deltas = ((0,), (1,), (3,), (4.5,), (100,))
    kept = _step("MultiKrum", {"faulty": "1", "keep": "2"}, *deltas)
    assert kept.used == {"p0001", "p0002"}
    np.testing.assert_array_equal(kept.model, [2])
    assert "p0004" not in _step("MultiKrum", {"faulty": "1"}, *deltas).used


def test_a_tie_goes_to_the_smaller_id() -> None:
    """Five equal updates: the first."""
    assert _step("Krum", {"faulty": "1"}, *[(1.0, 2.0)] * 5).used == {"p0000"}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Krum", {"faulty": "2"}),
        ("MultiKrum", {"faulty": "2"}),
        ("MultiKrum", {"faulty": "1", "keep": "6"}),
    ],
)
def test_krum_refuses_a_cohort_that_is_too_small(name: str, asked: dict[str, str]) -> None:
    """2f + 2 < m, and no more kept than can be honest: refused, not clamped."""
    with pytest.raises(Refusal):
        _step(name, asked, *((float(index),) for index in range(6)))


def test_one_huge_update_does_not_make_the_others_look_alike() -> None:
    """An accomplice at 1e15 blinds nobody to a second liar, whose id comes first."""
    honest = _honest(8)
    liar, accomplice = np.full(30, 40, np.float32), np.full(30, 1e15, np.float32)
    assert "p0000" not in _step("Krum", {"faulty": "2"}, liar, *honest, accomplice).used
    assert _step("Krum", {"faulty": "2"}, liar, *honest, accomplice).used


def test_clipping_to_the_median_keeps_directions_and_bounds_lengths() -> None:
    """The long one counts as long as the median; the divisor is that of all samples."""
    step = _step("NormClip", {}, (3, 0), (0, 4), (0, 500))
    np.testing.assert_allclose(step.model, [1, 8 / 3], rtol=1e-6)
    assert step.notes == {"clippedTo": "4", "clipped": "1"}


def test_a_cohort_that_did_not_move_leaves_the_model() -> None:
    """A median length of zero is no division by zero."""
    np.testing.assert_array_equal(_step("NormClip", {}, (0, 0), (0, 0), (1, 1)).model, [0, 0])
