"""Differential privacy: bounds that hold, noise that is as large as it says, and its price."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from propeller.errors import UsageError
from propeller.fl.admit import length
from propeller.fl.errors import Refusal, Why
from propeller.fl.privacy.accounting import Budget, Ledger, renyi
from propeller.fl.privacy.clipping import AdaptiveBound, clipped, count_noise, split
from propeller.fl.privacy.noise import Fresh, Mechanism
from tests.fl.contributions import Vector, crowd, given, vector


class Silent:
    """Draws of nothing, to see what lies under the noise."""

    def standard_normal(self, size: int) -> np.ndarray:
        return np.zeros(size)


def test_a_clipped_update_is_never_longer_than_its_bound() -> None:
    """Not by a rounding either, and a short one is not touched."""
    draw = np.random.default_rng(3)
    for _ in range(300):
        delta = draw.normal(size=17).astype(np.float32)
        found = clipped(delta, 0.7)
        assert length(found) <= 0.7
        assert length(found) > 0.69999
    short = vector(0.1, 0.2)
    assert clipped(short, 1.0) is short


def test_adaptive_clipping_has_the_known_vector() -> None:
    """C0 = .1 and bbar = 0, 0, 1: .110517, .122140, .110517."""
    bound, seen = AdaptiveBound(), []
    for norms in ([9.0], [9.0], [0.0]):
        bound = bound.after(norms)
        seen.append(bound.bound)
    np.testing.assert_allclose(seen, [0.110517, 0.122140, 0.110517], rtol=1e-5)
    assert bound.after([]) == bound


@pytest.mark.parametrize("start", [0.1, 10.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_d5_the_bound_finds_the_median_length_from_both_sides(start: float, noisy: bool) -> None:
    """Clients of median length 1.0: C becomes 1.0; with the sign reversed it runs away."""
    draw = np.random.default_rng(5)
    bound = AdaptiveBound(bound=start)
    for _ in range(120):
        norms = draw.lognormal(0.0, 0.5, 100).tolist()
        noise = float(draw.normal(0, count_noise(100))) if noisy else 0.0
        bound = bound.after(norms, noise=noise)
    assert bound.bound == pytest.approx(1.0, rel=0.2)


def test_counting_has_a_price_that_the_sum_pays() -> None:
    """z = 1 and m = 100: z_D = 1.005038; where nothing is left, it is refused."""
    assert split(1.0, counts=count_noise(100)) == pytest.approx(1.005038, abs=1e-6)
    with pytest.raises(UsageError, match="more than counting 10 leaves"):
        split(1.0, counts=count_noise(10))


def test_d6_the_denominator_is_fixed_and_weights_have_a_cap() -> None:
    """One client more or less, with a billion samples, moves the mean by at most C / W."""
    mechanism = Mechanism(bound=1.0, multiplier=1.0, weight=10.0, cap=100)
    members = crowd(10, 50)
    huge = replace(given(np.full(50, 1e6, np.float32), samples=(10**9,))[0], proplet="z")
    without = mechanism.mean(members, 50, Silent())
    with_ = mechanism.mean((*members, huge), 50, Silent())
    assert np.linalg.norm(with_ - without) <= 1.0 / 10.0 + 1e-12
    assert np.linalg.norm(with_ - without) > 0.0999
    assert mechanism.weight_of(10**9) == 1.0
    assert mechanism.weight_of(25) == 0.25


def test_removing_any_client_stays_within_the_sensitivity() -> None:
    """Of every member in turn: what the noise is made for."""
    mechanism = Mechanism(bound=0.5, multiplier=1.0, weight=8.0, cap=500)
    members = crowd(12, 30)
    whole = mechanism.mean(members, 30, Silent())
    for left_out in members:
        rest = tuple(one for one in members if one is not left_out)
        apart = np.linalg.norm(whole - mechanism.mean(rest, 30, Silent()))
        assert apart <= 0.5 / 8.0 + 1e-12


def test_the_noise_is_as_large_as_it_says() -> None:
    """z C / W in every coordinate, centred, and the same for the same generator."""
    mechanism = Mechanism(bound=2.0, multiplier=1.5, weight=6.0)
    base: Vector = np.zeros(100_000, np.float32)
    members = given(np.zeros(100_000, np.float32))
    model = mechanism.step(base, members, np.random.Generator(np.random.Philox(7)))
    assert mechanism.deviation == 0.5
    assert float(np.std(model)) == pytest.approx(0.5, rel=0.01)
    assert abs(float(np.mean(model))) < 0.01
    again = mechanism.step(base, members, np.random.Generator(np.random.Philox(7)))
    np.testing.assert_array_equal(model, again)
    assert model.dtype == np.float32


def test_a_round_of_nobody_is_noise_too() -> None:
    """Whether anyone came is hidden as well."""
    mechanism = Mechanism(bound=1.0, multiplier=1.0, weight=1.0)
    assert mechanism.mean((), 5, np.random.default_rng(1)).any()


@pytest.mark.parametrize("field", ["bound", "multiplier", "weight"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_mechanism_without_protection_cannot_be_made(field: str, value: float) -> None:
    """No noise, no bound, no cohort: refused."""
    with pytest.raises(UsageError):
        Mechanism(**{"bound": 1.0, "multiplier": 1.0, "weight": 1.0, field: value})


def _spent(multiplier: float, rate: float, times: int) -> Ledger:
    return Ledger(job="j", rounds=((multiplier, rate, times),))


@pytest.mark.parametrize(
    ("rate", "multiplier", "times", "delta", "wanted"),
    [
        (1, 1, 1, 1e-5, 4.7285),
        (1, 10, 100, 1e-5, 4.7285),
        (1, 4, 100, 1e-5, 14.1322),
        (0.1, 1, 100, 1e-5, 7.9039),
        (0.01, 1, 1000, 1e-5, 2.1014),
        (0.01, 1.1, 10000, 1e-5, 5.6320),
        (0.004267, 1.1, 14062, 1e-5, 2.5966),
        (0.05, 0.8, 100, 1e-4, 5.5999),
    ],
)
def test_the_ledger_agrees_with_an_independent_accountant(
    rate: float, multiplier: float, times: int, delta: float, wanted: float
) -> None:
    """Google's dp-accounting 0.6 (RDP): never below it, and within two percent above."""
    found = _spent(multiplier, rate, times).epsilon(delta)
    assert wanted * 0.9999 <= found <= wanted * 1.02


def test_a_hundred_rounds_cost_what_one_of_a_tenth_of_the_noise_does() -> None:
    """Renyi costs add: 100 / 10^2 = 1."""
    one, many = Ledger(job="j").after(multiplier=1.0), Ledger(job="j")
    for _ in range(100):
        many = many.after(multiplier=10.0)
    assert many.epsilon(1e-5) == pytest.approx(one.epsilon(1e-5), rel=1e-9)
    assert many.spent == 100


def test_nothing_is_amplified_unless_it_is_asked_for() -> None:
    """A public seed is no secret sample."""
    assert Ledger(job="j").after(multiplier=1.0) == _spent(1.0, 1.0, 1)
    assert renyi(8, multiplier=2.0) == 1.0
    assert renyi(8, multiplier=2.0, rate=0.1) < 1.0
    assert renyi(8, multiplier=2.0, rate=0.0) == 0.0


def test_a_round_past_the_budget_is_refused_and_costs_nothing() -> None:
    """The ledger before it is still the ledger."""
    budget, ledger = Budget(epsilon=8.0, delta=1e-5), Ledger(job="j")
    with pytest.raises(Refusal) as caught:
        for _ in range(100):
            ledger = ledger.pay(budget, multiplier=2.0)
    assert caught.value.why is Why.BUDGET
    assert 0 < ledger.spent < 100
    assert ledger.epsilon(1e-5) <= 8.0 < ledger.after(multiplier=2.0).epsilon(1e-5)


@pytest.mark.parametrize("multiplier", [0.0, -1.0, 5e-324, 1e300, math.nan, math.inf])
def test_a_round_of_absurd_noise_has_no_price(multiplier: float) -> None:
    """Refused, not divided by."""
    with pytest.raises(UsageError):
        Ledger(job="j").after(multiplier=multiplier)


def test_a_ledger_is_read_back() -> None:
    """The same bytes."""
    ledger = Ledger(job="j").after(multiplier=1.5).after(multiplier=1.0, rate=0.1)
    assert Ledger.parse(ledger.to_json(), job="j", rounds=2) == ledger
    assert Ledger.parse(None, job="j", rounds=0) == Ledger(job="j")
    assert set(ledger.facts(1e-5)) == {"epsilon", "delta"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"[]",
        b"[" * 50_000,
        b'{"v":1,"job":"other","rounds":[[1.0,1.0,9]]}',
        b'{"v":1,"job":"j","rounds":[]}',
        b'{"v":1,"job":"j","rounds":[[1.0,1.0,1]]}',
        b'{"v":1,"job":"j","rounds":[[0.0,1.0,9]]}',
        b'{"v":1,"job":"j","rounds":[[NaN,1.0,9]]}',
        b'{"v":1,"job":"j","rounds":[[5e-324,1.0,9]]}',
        b'{"v":1,"job":"j","rounds":[[1.0,1.0,9' + b"0" * 400 + b"]]}",
        b'{"v":1,"job":"j","rounds":[[1.0,1.0,-9]]}',
        b'{"v":1,"job":"j","rounds":[[1.0,1.0,true]]}',
    ],
)
def test_a_lost_or_shortened_ledger_stops_the_job(data: bytes | None) -> None:
    """Two rounds are committed: nobody may begin again at nothing."""
    with pytest.raises(Refusal) as caught:
        Ledger.parse(data, job="j", rounds=2)
    assert caught.value.why is Why.LEDGER


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-5), (math.inf, 1e-5), (8, 0), (8, 1)])
def test_a_budget_that_protects_nothing_is_refused(epsilon: float, delta: float) -> None:
    """Infinite epsilon, delta of 1."""
    with pytest.raises(UsageError):
        Budget(epsilon=epsilon, delta=delta)


def test_fresh_noise_is_normal_and_its_seed_decides_it() -> None:
    """Mean 0, deviation 1, tails as they should be, an odd number of draws, pieces that go on."""
    draw = Fresh(bytes(range(32)))
    found = np.concatenate([draw.standard_normal(size) for size in (1, 4095, 100_000)])
    assert found.mean() == pytest.approx(0, abs=0.02)
    assert found.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(found) > 2).mean() == pytest.approx(0.0455, abs=0.005)
    assert np.isfinite(found).all()
    assert len(np.unique(found)) == len(found)
    again = Fresh(bytes(range(32))).standard_normal(1)
    assert again.tolist() == found[:1].tolist()
    assert Fresh(bytes(32)).standard_normal(1).tolist() != again.tolist()


def test_a_bound_moves_by_who_was_expected_and_not_by_who_came() -> None:
    """One client more or less moves the count by half a client, and the divisor not at all."""
    bound = AdaptiveBound(bound=1.0, rate=1.0)
    nobody = bound.after([], members=10)
    one = bound.after([0.5], members=10)
    assert nobody.bound == 1.0
    assert one.bound == pytest.approx(math.exp(-0.05))
    assert bound.after([0.5] * 10, members=10).bound == bound.after([0.5] * 10).bound
