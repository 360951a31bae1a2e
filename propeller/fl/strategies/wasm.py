"""`Wasm`: a strategy that a module of the spec tree computes (docs/reference/strategies.md).

Here is what it is, not how it runs: the core starts no guest. Whoever holds the module's bytes
puts a `run` into it (`reconcile.aggregator`); without one it can be described and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from propeller.fl.aggregators import NAME
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution, ordered
from propeller.fl.strategies.base import Round, Step, Trait, Vector, names_of
from propeller.fl.strategies.parameters import Parameters

Run = Callable[[Vector, tuple[Contribution, ...], Mapping[str, float]], Vector]
"""base (P,), updates in canonical order, parameters -> the next model (P,). Raises Refusal."""


@dataclass(frozen=True, slots=True)
class Wasm:
    """See the module. parameters: any names, finite numbers."""

    parameters: tuple[tuple[str, float], ...] = ()
    run: Run | None = None
    name: str = NAME
    traits: frozenset[str] = frozenset({Trait.RANKS})

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Wasm:
        """Whatever the module takes, as decimals. Raises UsageError."""
        read = Parameters(NAME, given)
        found = tuple((name, read.number(name, None)) for name in sorted(given))
        read.done()
        return cls(found)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """What the module makes; there is no state. Raises Refusal, also for what is no model."""
        order = ordered(round_.contributions)
        if not order:
            raise Refusal(Why.ZERO_WEIGHT, "no update at all")
        if self.run is None:
            raise Refusal(Why.MODEL, "the aggregator module is not at hand here")
        model = self.run(round_.base, order, dict(self.parameters))
        if model.shape != round_.base.shape:
            raise Refusal(Why.WRONG_SIZE, "the aggregator made a model of another size")
        if not np.isfinite(model).all():
            raise Refusal(Why.NOT_FINITE, "the aggregator's model would not be finite")
        return Step(model=model, used=names_of(order))
