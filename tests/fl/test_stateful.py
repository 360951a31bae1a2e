"""FedNova, SCAFFOLD and FedBuff against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from propeller.fl.errors import Refusal
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy
from propeller.fl.strategies.stateful import FedBuff, Scaffold
from tests.fl.contributions import crowd, given, vector


def test_fednova_weighs_by_local_steps() -> None:
    """(sum p tau) * sum p D / tau: p = (1/4, 3/4), tau = (2, 4) gives 3.5 * (1/8 D1 + 3/16 D2)."""
    members = given((8, 0), (0, 16), samples=(10, 30), steps=(2, 4))
    step = strategy("FedNova", {}).step(Round(base=vector(0, 1), contributions=members))
    np.testing.assert_allclose(step.model, [3.5, 1 + 10.5], rtol=1e-7)
    assert step.notes["effectiveSteps"] == "3.5"


def test_fednova_with_equal_steps_is_fedavg() -> None:
    """As the paper says."""
    deltas = [one.deltas.read(0, 30) for one in crowd(6, 30)]
    members, base = given(*deltas, steps=[5] * 6), np.zeros(30, np.float32)
    nova, plain = (
        strategy(name, {}).step(Round(base=base, contributions=members)).model
        for name in ("FedNova", "FedAvg")
    )
    np.testing.assert_allclose(nova, plain, rtol=1e-6)


def test_fednova_refuses_an_update_without_steps() -> None:
    """It cannot be weighed."""
    with pytest.raises(Refusal, match="p0001 does not say its local steps"):
        strategy("FedNova", {}).step(
            Round(base=vector(0), contributions=given((1,), (1,), steps=(1, 0)))
        )


def test_scaffold_moves_model_and_control() -> None:
    """x + eta/m sum D, c + (1/N) sum (change of c_k): two of N = 4."""
    members = given((2, 1, 0.5, 0), (4, 3, 1.5, 2), samples=(1, 999))
    made = strategy("SCAFFOLD", {"serverLearningRate": "0.5"})
    step = made.step(Round(base=vector(0, 0), contributions=members, clients=4))
    np.testing.assert_array_equal(step.model, [1.5, 1])
    assert isinstance(made, Scaffold)
    np.testing.assert_array_equal(made.control(step.state, 2), [0.5, 0.5])
    np.testing.assert_array_equal(made.control(None, 2), [0, 0])
    again = made.step(Round(base=step.model, contributions=members, state=step.state, clients=4))
    np.testing.assert_array_equal(made.control(again.state, 2), [1, 1])


def test_scaffold_is_exact_where_fedavg_drifts() -> None:
    """Two clients with quadratics of unlike curvature: only control variates find the optimum."""
    curves, centres = (1.0, 10.0), (0.0, 1.0)
    best = sum(a * x for a, x in zip(curves, centres, strict=True)) / sum(curves)

    def local(x: float, a: float, centre: float, correction: float) -> float:
        for _ in range(10):
            x -= 0.05 * (a * (x - centre) + correction)
        return x

    made = Scaffold()
    average = strategy("FedAvg", {})
    x, state, own, plain = vector(0), None, [0.0, 0.0], vector(0)
    for _ in range(200):
        c = float(made.control(state, 1)[0])
        deltas, shifts = [], []
        for index, (a, centre) in enumerate(zip(curves, centres, strict=True)):
            y = local(float(x[0]), a, centre, c - own[index])
            new = own[index] - c + (float(x[0]) - y) / (10 * 0.05)
            deltas.append((y - float(x[0]), new - own[index]))
            own[index] = new
            shifts.append((local(float(plain[0]), a, centre, 0.0) - float(plain[0]),))
        step = made.step(Round(base=x, contributions=given(*deltas), state=state, clients=2))
        x, state = step.model, step.state
        plain = average.step(Round(base=plain, contributions=given(*shifts))).model
    assert abs(float(x[0]) - best) < 1e-3
    assert abs(float(plain[0]) - best) > 0.1


@pytest.mark.parametrize(("stale", "weight"), [(0, 1), (1, 0.7071), (3, 0.5), (8, 0.3333)])
def test_staleness_counts_less_by_the_square_root(stale: int, weight: float) -> None:
    """1 / sqrt(1 + s)."""
    assert FedBuff.weight(stale) == pytest.approx(weight, abs=1e-4)


def test_fedbuff_divides_by_the_buffer_and_not_by_the_weights() -> None:
    """x + eta / K * sum w D."""
    members = given((8,), (8,), staleness=(0, 3), samples=(1, 50))
    step = strategy("FedBuff", {"serverLearningRate": "0.5"}).step(
        Round(base=vector(1), contributions=members)
    )
    np.testing.assert_array_equal(step.model, [1 + 0.5 * (8 + 4) / 2])


def test_fedbuff_refuses_what_is_too_stale() -> None:
    """maxStaleness is a rule, not a hint."""
    with pytest.raises(Refusal, match="9 rounds behind"):
        strategy("FedBuff", {"maxStaleness": "8"}).step(
            Round(base=vector(1), contributions=given((1,), staleness=(9,)))
        )
