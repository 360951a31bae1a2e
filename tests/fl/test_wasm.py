"""The strategy `Wasm` as it is described and checked; `tests/reconcile` runs modules."""

from __future__ import annotations

import numpy as np
import pytest

from propeller.errors import UsageError
from propeller.fl.errors import Refusal, Why
from propeller.fl.strategies.base import Round, Trait
from propeller.fl.strategies.registry import compatible, strategy
from propeller.fl.strategies.wasm import Wasm
from tests.fl.contributions import given, vector


def test_parameters_have_any_name_and_are_numbers() -> None:
    """What the module makes of them is its own; what is no finite number is refused."""
    assert strategy("Wasm", {"eta": "0.5", "cut": "1"}) == Wasm((("cut", 1.0), ("eta", 0.5)))
    for text in ("nan", "inf", "1e999", "Enabled", ""):
        with pytest.raises(UsageError, match="eta"):
            strategy("Wasm", {"eta": text})


def test_it_sees_single_updates_so_it_stands_beside_nothing_that_hides_them() -> None:
    """Secure aggregation and the noise of central privacy are refused in words."""
    chosen = strategy("Wasm", {})
    assert Trait.RANKS in chosen.traits
    assert compatible(chosen, encoding="f32-delta", secure=False, noise=False, cohort=1) == []
    assert compatible(chosen, encoding="secagg-u32", secure=True, noise=False, cohort=3)
    assert compatible(chosen, encoding="f32-delta", secure=False, noise=True, cohort=3)


def test_updates_reach_the_module_by_proplet_id() -> None:
    """However they came, and with the parameters as numbers."""
    seen = []

    def run(base, order, parameters):
        seen.append(([one.proplet for one in order], dict(parameters)))
        return base

    chosen = Wasm((("cut", 2.0),), run=run)
    updates = given([1.0], [2.0], [3.0])
    step = chosen.step(Round(base=vector(4), contributions=updates[::-1]))
    assert seen == [(["p0000", "p0001", "p0002"], {"cut": 2.0})]
    assert step.model.tolist() == [4.0]
    assert step.used == {"p0000", "p0001", "p0002"}
    assert step.state is None


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (vector(1, np.nan), Why.NOT_FINITE),
        (vector(1, np.inf), Why.NOT_FINITE),
        (vector(1), Why.WRONG_SIZE),
    ],
)
def test_what_is_no_model_is_refused(made: np.ndarray, why: Why) -> None:
    """A NaN, an infinity, another size."""
    chosen = Wasm(run=lambda *_: made)
    with pytest.raises(Refusal) as refused:
        chosen.step(Round(base=vector(0, 0), contributions=given([1.0, 2.0])))
    assert refused.value.why is why


def test_without_its_module_or_without_updates_there_is_no_step() -> None:
    """A simulation that has no module is told so."""
    with pytest.raises(Refusal, match="not at hand"):
        Wasm().step(Round(base=vector(0), contributions=given([1.0])))
    with pytest.raises(Refusal, match="no update"):
        Wasm(run=lambda *_: vector(0)).step(Round(base=vector(0), contributions=()))
