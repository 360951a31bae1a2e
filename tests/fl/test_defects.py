"""Defects found in other frameworks, each shown to be absent here; D1 to D11 of our survey.

D9 (a killed server loses its rounds) and D10 (seconds of polling) are about the engine: see
tests/scenario/test_fl_defects.py. D5, D6 are in test_privacy.py, D7 in test_secagg.py.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from propeller.errors import WireError
from propeller.fl.admit import admit
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution, Held, weighted_mean
from propeller.fl.layout import Layout
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy
from propeller.wire.updates import pack
from tests.fl.contributions import crowd, given, vector
from tests.fl.test_admit import ASKED, GOOD, LAYOUT


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("encoding", ["f32-delta", "f16-delta"])
def test_d1_one_nan_does_not_make_the_model_nan(bad: float, encoding: str) -> None:
    """It is refused before it is folded, in every width."""
    letter = {"f32-delta": "f", "f16-delta": "e"}[encoding]
    update = replace(GOOD, encoding=encoding, body=struct.pack(f"<2{letter}", 1, bad))
    with pytest.raises(Refusal) as caught:
        admit(pack(update), replace(ASKED, encoding=encoding), LAYOUT, None)
    assert caught.value.why is Why.NOT_FINITE


def test_d2_an_array_of_one_is_not_broadcast() -> None:
    """Neither at the door nor by the fold."""
    small = Layout.flat(1)
    update = replace(GOOD, count=1, layout=small.digest, body=struct.pack("<f", 1))
    with pytest.raises(Refusal):
        admit(pack(update), ASKED, LAYOUT, None)
    with pytest.raises(Refusal):
        weighted_mean(given((1, 2, 3), (7,)), 3)


@pytest.mark.parametrize("samples", [0, -100, 10**12])
def test_d3_samples_are_believed_within_reason_only(samples: int) -> None:
    """Zero, negative, a trillion."""
    with pytest.raises(WireError):
        admit(pack(replace(GOOD, samples=samples)), ASKED, LAYOUT, None)


def test_d3_weights_that_are_negative_or_all_zero_are_refused() -> None:
    """No division by zero, and no update that counts backwards."""
    for samples in ((1, -1), (0, 0), (5, -1)):
        with pytest.raises(Refusal) as caught:
            weighted_mean(given((1,), (2,), samples=samples), 1)
        assert caught.value.why is Why.ZERO_WEIGHT


@pytest.mark.parametrize("name", ["FedAvg", "Median", "NormClip", "FedBuff"])
def test_d4_one_proplet_counts_once(name: str) -> None:
    """Two contributions of one id are a fault, not two votes."""
    twice = tuple(
        Contribution(proplet="p1", samples=1, deltas=Held(vector(value))) for value in (1, 2)
    )
    with pytest.raises(Refusal) as caught:
        strategy(name, {}).step(Round(base=vector(0), contributions=twice))
    assert caught.value.why is Why.DUPLICATE


@pytest.mark.parametrize("name", ["FedAdam", "FedYogi", "FedAdagrad", "FedAvgM", "FedAvg"])
def test_d8_f32_stays_f32(name: str) -> None:
    """Round after round: the model does not double on the wire."""
    made, model, state = strategy(name, {}), np.zeros(3, np.float32), None
    for _ in range(3):
        step = made.step(Round(base=model, contributions=crowd(3, 3), state=state))
        model, state = step.model, step.state
        assert model.dtype == np.float32


def test_d11_arrival_order_is_not_in_the_model() -> None:
    """Any two orders, any strategy of the mean: the same bytes (see also test_fold.py)."""
    members = crowd(30, 500)
    for name in ("FedAvg", "FedAdam", "FedAvgM"):
        models = {
            strategy(name, {})
            .step(Round(base=np.zeros(500, np.float32), contributions=order))
            .model.tobytes()
            for order in (members, members[::-1])
        }
        assert len(models) == 1
