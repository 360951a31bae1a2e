"""Strategies that need more than a delta of a trainer: local steps, control variates, staleness.

FedNova (Wang et al. 2020), SCAFFOLD (Karimireddy et al. 2020), FedBuff (Nguyen et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution, Deltas, ordered, weighted_sum
from propeller.fl.strategies.base import (
    Round,
    Step,
    Trait,
    Vector,
    moved,
    names_of,
    pack_state,
    unpack_state,
)
from propeller.fl.strategies.parameters import Parameters

CONTROLLED: Final = "controlVariates"
"""The parameter by which a device knows that it keeps a control variate."""


def change_of(control: Vector, delta: Vector, *, steps: int, rate: float) -> Vector:
    """c_k+ - c_k = -c - D / (K lr), after K local steps of rate lr (option II there), f32."""
    assert steps > 0
    assert rate > 0
    moved_by = delta.astype(np.float64) / (steps * rate)
    return np.asarray(-control.astype(np.float64) - moved_by, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class FedNova:
    """x + (sum p_k tau_k) * sum p_k D_k / tau_k, for trainers of plain SGD with tau_k steps."""

    name: str = "FedNova"
    traits: frozenset[str] = frozenset({Trait.STEPS})

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FedNova:
        """No parameters. Raises UsageError."""
        Parameters("FedNova", given).done()
        return cls()

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """Refuses a round with an update that does not say its steps."""
        order = ordered(round_.contributions)
        for one in order:
            if one.steps < 1:
                raise Refusal(Why.ZERO_WEIGHT, f"{one.proplet} does not say its local steps")
        samples = math.fsum(float(one.samples) for one in order)
        if not samples > 0:
            raise Refusal(Why.ZERO_WEIGHT, "no update carries any weight")
        effective = math.fsum(one.samples * one.steps for one in order) / samples
        weights = [one.samples / one.steps for one in order]
        mean, total = weighted_sum(order, len(round_.base), weights=weights)
        return Step(
            model=moved(round_.base, effective * (mean * (total / samples))),
            used=names_of(order),
            notes={"effectiveSteps": f"{effective:.9g}"},
        )


@dataclass(frozen=True, slots=True)
class _Half:
    """One half of a delta of 2P elements: SCAFFOLD sends D_k, then c_k+ - c_k."""

    deltas: Deltas
    start: int

    def read(self, at: int, count: int) -> Vector:
        return self.deltas.read(self.start + at, count)


@dataclass(frozen=True, slots=True)
class Scaffold:
    """x + eta/m sum D_k; c + (1/N) sum (c_k+ - c_k). Updates have 2P elements: D_k, then the change
    of the control variate. Trainers get c beside the model and keep c_k themselves."""

    eta: float = 1.0
    name: str = "SCAFFOLD"
    traits: frozenset[str] = frozenset({Trait.CONTROL})

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Scaffold:
        """serverLearningRate (1). Raises UsageError."""
        read = Parameters("SCAFFOLD", given)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(eta)

    def trainer(self) -> Mapping[str, str]:
        """That updates have a second half; the device's host makes it."""
        return {CONTROLLED: "Enabled"}

    def control(self, state: bytes | None, count: int) -> Vector:
        """c, as trainers get it."""
        if state is None:
            return np.zeros(count, np.float32)
        return unpack_state(state, self.name, count, "c")[1]["c"].astype(np.float32)

    def step(self, round_: Round) -> Step:
        """State: c. Unweighted over the round's m, as in the paper."""
        order = ordered(round_.contributions)
        if not order:
            raise Refusal(Why.ZERO_WEIGHT, "no update at all")
        count = len(round_.base)
        taken, c = 0, np.zeros(count)
        if round_.state is not None:
            taken, kept = unpack_state(round_.state, self.name, count, "c")
            c = kept["c"]
        ones = [1.0] * len(order)
        models, controls = (
            tuple(
                Contribution(
                    proplet=one.proplet, samples=one.samples, deltas=_Half(one.deltas, start)
                )
                for one in order
            )
            for start in (0, count)
        )
        delta, _ = weighted_sum(models, count, weights=ones)
        change, m = weighted_sum(controls, count, weights=ones)
        c = c + change * (m / max(round_.clients, len(order)))
        return Step(
            model=moved(round_.base, self.eta * delta),
            state=pack_state(self.name, taken + 1, c=c),
            used=names_of(order),
        )


@dataclass(frozen=True, slots=True)
class FedBuff:
    """x + eta/K sum D_k / sqrt(1 + s_k), s_k the rounds its base is behind; K updates a step.

    K is how many the round has: its spec says at how many it is full.
    """

    most_stale: int = 100
    eta: float = 1.0
    name: str = "FedBuff"
    traits: frozenset[str] = frozenset({Trait.ASYNC})

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FedBuff:
        """maxStaleness (100), serverLearningRate (1). Raises UsageError."""
        read = Parameters("FedBuff", given)
        stale = read.whole("maxStaleness", "100", low=0, high=1_000_000)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(stale, eta)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    @staticmethod
    def weight(staleness: int) -> float:
        """1 / sqrt(1 + s)."""
        return 1.0 / math.sqrt(1.0 + staleness)

    def step(self, round_: Round) -> Step:
        """One full buffer; what is too stale was dropped before and counts as a refusal here."""
        order = ordered(round_.contributions)
        if not order:
            raise Refusal(Why.ZERO_WEIGHT, "no update at all")
        for one in order:
            if one.staleness > self.most_stale:
                raise Refusal(Why.WRONG_BASE, f"{one.proplet} is {one.staleness} rounds behind")
        weights = [self.weight(one.staleness) for one in order]
        mean, total = weighted_sum(order, len(round_.base), weights=weights)
        return Step(
            model=moved(round_.base, self.eta * (mean * (total / len(order)))),
            used=names_of(order),
            notes={"meanStaleness": f"{sum(o.staleness for o in order) / len(order):.4g}"},
        )
