"""Strategies of the weighted mean against the vectors of their papers."""

from __future__ import annotations

import numpy as np
import pytest

from propeller.fl.errors import Refusal, Why
from propeller.fl.strategies.base import Round, Step, pack_state, unpack_state
from propeller.fl.strategies.registry import strategy
from tests.fl.contributions import Vector, crowd, given, vector

G1, G2 = (0.1, -0.2, 0.0), (0.3, 0.0, 0.5)


def _rounds(name: str, parameters: dict[str, str], *deltas: tuple[float, ...]) -> Step:
    """One update a round, from zeros."""
    made = strategy(name, parameters)
    step = Step(model=np.zeros(len(deltas[0]), np.float32))
    for delta in deltas:
        step = made.step(Round(base=step.model, contributions=given(delta), state=step.state))
    return step


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("FedAdagrad", (0.193574, -0.099501, 0.0998)),
        ("FedYogi", (0.209989, -0.180737, 0.09802)),
        ("FedAdam", (0.210052, -0.18115, 0.09802)),
    ],
)
def test_adaptive_server_optimisers_give_the_known_vectors(
    name: str, wanted: tuple[float, ...]
) -> None:
    """Two steps in the paper's form: v starts at tau^2, no bias correction."""
    model = _rounds(name, {"serverLearningRate": "0.1"}, G1, G2).model
    np.testing.assert_allclose(model, wanted, atol=1e-6)


def test_adam_corrects_its_bias_when_asked_with_the_right_exponents() -> None:
    """The first step is power 1: m is G and the step eta * G / (|G| + tau)."""
    asked = {"biasCorrection": "Enabled", "tau": "0.000001"}
    np.testing.assert_allclose(
        _rounds("FedAdam", asked, (0.5, -0.25)).model, (0.1, -0.1), atol=1e-5
    )


def test_momentum_adds_up() -> None:
    """v = b v + G, x + eta v: after two rounds of G it is (1 + 1 + b) eta G."""
    asked = {"momentum": "0.5", "serverLearningRate": "0.1"}
    np.testing.assert_allclose(_rounds("FedAvgM", asked, (1.0,), (1.0,)).model, [0.25], rtol=1e-6)


def test_momentum_of_zero_is_fedavg() -> None:
    """To the last bit."""
    members, base = crowd(5, 50), np.ones(50, np.float32)
    plain, momentum = (
        strategy(name, asked).step(Round(base=base, contributions=members)).model
        for name, asked in (("FedAvg", {}), ("FedAvgM", {"momentum": "0"}))
    )
    np.testing.assert_array_equal(plain, momentum)


def test_fedavg_moves_by_eta_times_the_mean() -> None:
    """x + eta G."""
    step = strategy("FedAvg", {"serverLearningRate": "0.5"}).step(
        Round(base=vector(1, 1), contributions=given((2, 4), (4, 8)))
    )
    np.testing.assert_array_equal(step.model, vector(2.5, 4))
    assert step.used == {"p0000", "p0001"}
    assert step.state is None


def test_fedprox_is_fedavg_with_a_term_for_trainers() -> None:
    """mu goes out as it was written; the fold is the same."""
    made = strategy("FedProx", {"mu": "0.01"})
    assert made.trainer() == {"mu": "0.01"}
    members, base = crowd(5, 50), np.ones(50, np.float32)
    round_ = Round(base=base, contributions=members)
    np.testing.assert_array_equal(
        made.step(round_).model, strategy("FedAvg", {}).step(round_).model
    )


STRATEGIES: list[tuple[str, dict[str, str]]] = [
    ("FedAvg", {}),
    ("FedProx", {"mu": "0.1"}),
    ("FedAvgM", {}),
    ("FedAdagrad", {}),
    ("FedAdam", {}),
    ("FedYogi", {}),
    ("FedNova", {}),
    ("FedBuff", {}),
    ("Median", {}),
    ("TrimmedMean", {}),
    ("Krum", {"faulty": "1"}),
    ("MultiKrum", {"faulty": "1"}),
    ("NormClip", {}),
]


@pytest.mark.parametrize(("name", "asked"), STRATEGIES, ids=[name for name, _ in STRATEGIES])
def test_every_strategy_is_a_function_of_the_set(name: str, asked: dict[str, str]) -> None:
    """Order of arrival changes no bit of model and state, and the model stays f32."""
    members = tuple(
        one for one in given(*(c.deltas.read(0, 40) for c in crowd(9, 40)), steps=range(1, 10))
    )
    base = np.linspace(-1, 1, 40, dtype=np.float32)
    made = strategy(name, asked)
    seen = set()
    for order in (members, members[::-1], members[4:] + members[:4]):
        step = made.step(Round(base=base, contributions=order, clients=20))
        assert step.model.dtype == np.float32
        assert step.model.shape == base.shape
        seen.add((step.model.tobytes(), step.state))
    assert len(seen) == 1


@pytest.mark.parametrize(("name", "asked"), STRATEGIES, ids=[name for name, _ in STRATEGIES])
def test_every_strategy_refuses_a_round_of_nobody(name: str, asked: dict[str, str]) -> None:
    """No division by zero, no model out of nothing."""
    with pytest.raises(Refusal):
        strategy(name, asked).step(Round(base=np.zeros(2, np.float32), contributions=()))


def test_state_outlives_the_process() -> None:
    """Bytes with a digest: the next step from them is the next step."""
    first = _rounds("FedAdam", {}, G1)
    assert first.state is not None
    taken, kept = unpack_state(first.state, "FedAdam", 3, "m", "v")
    assert taken == 1
    assert pack_state("FedAdam", taken, **kept) == first.state
    again = strategy("FedAdam", {}).step(
        Round(base=first.model, contributions=given(G2), state=bytes(first.state))
    )
    np.testing.assert_array_equal(again.model, _rounds("FedAdam", {}, G1, G2).model)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"PFS1",
        b"PFS1\xff\xff\xff\xff",
        pack_state("FedYogi", 1, m=np.zeros(3), v=np.zeros(3)),
        pack_state("FedAdam", 1, m=np.zeros(2), v=np.zeros(2)),
        pack_state("FedAdam", 1, m=np.zeros(3)),
        pack_state("FedAdam", 1, m=np.zeros(3), v=np.zeros(3))[:-8],
        pack_state("FedAdam", 1, m=np.zeros(3), v=np.full(3, np.nan)),
        pack_state("FedAdam", -1, m=np.zeros(3), v=np.zeros(3)),
    ],
)
def test_state_of_something_else_is_refused(state: bytes) -> None:
    """Another strategy's, another size's, a damaged one."""
    with pytest.raises(Refusal) as caught:
        strategy("FedAdam", {}).step(
            Round(base=np.zeros(3, np.float32), contributions=given(G1), state=state)
        )
    assert caught.value.why is Why.MODEL


def test_a_model_that_would_be_infinite_is_refused() -> None:
    """The round fails, the model of the last one stays."""
    big: Vector = vector(3e38)
    with pytest.raises(Refusal) as caught:
        strategy("FedAvg", {}).step(Round(base=big, contributions=given((3e38,))))
    assert caught.value.why is Why.NOT_FINITE
