"""Strategies that need only the weighted mean of deltas, G = sum p_k D_k, and what they make of it.

FedAvg (McMahan et al. 2017), FedProx (Li et al. 2020; its term is the trainer's), FedAvgM (Hsu et
al. 2019), FedAdagrad, FedAdam and FedYogi (Reddi et al. 2021, in the paper's form: the second
moment starts at tau^2 and there is no bias correction unless asked for).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from propeller.fl.fold import weighted_sum, weighted_tiles
from propeller.fl.strategies.base import (
    Round,
    Step,
    Sum,
    moved,
    names_of,
    pack_state,
    unpack_state,
)
from propeller.fl.strategies.parameters import Parameters


@dataclass(frozen=True, slots=True)
class FedAvg:
    """x + eta * G."""

    eta: float = 1.0
    name: str = "FedAvg"
    traits: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FedAvg:
        """serverLearningRate (1). Raises UsageError."""
        read = Parameters("FedAvg", given)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(eta)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """One weighted mean."""
        base = round_.base
        model = np.empty(len(base), np.float32)
        for at, mean in weighted_tiles(round_.contributions, len(base)):
            part = slice(at, at + len(mean))
            model[part] = moved(base[part], mean if self.eta == 1.0 else self.eta * mean)
        return Step(
            model=model,
            used=names_of(round_.contributions),
        )


@dataclass(frozen=True, slots=True)
class FedProx:
    """FedAvg on the server; trainers add mu/2 ||w - x||^2 to what they minimise (squared: the
    gradient gets mu (w - x)), and partial work counts."""

    mu: str = "0.1"
    average: FedAvg = FedAvg()
    name: str = "FedProx"
    traits: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FedProx:
        """mu (required), serverLearningRate (1). Raises UsageError."""
        read = Parameters("FedProx", given)
        read.number("mu", None, low=0, high=1000)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(given["mu"], FedAvg(eta))

    def trainer(self) -> Mapping[str, str]:
        """mu, for the proximal term."""
        return {"mu": self.mu}

    def step(self, round_: Round) -> Step:
        """As FedAvg."""
        return self.average.step(round_)


@dataclass(frozen=True, slots=True)
class FedAvgM:
    """v = b v + G; x + eta v."""

    momentum: float = 0.9
    eta: float = 1.0
    name: str = "FedAvgM"
    traits: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FedAvgM:
        """momentum (0.9), serverLearningRate (1). Raises UsageError."""
        read = Parameters("FedAvgM", given)
        momentum = read.number("momentum", "0.9", low=0, high=1, below=True)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(momentum, eta)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """State: v."""
        count = len(round_.base)
        taken, v = 0, np.zeros(count)
        if round_.state is not None:
            taken, kept = unpack_state(round_.state, self.name, count, "v")
            v = kept["v"]
        mean, _ = weighted_sum(round_.contributions, count)
        v = self.momentum * v + mean
        return Step(
            model=moved(round_.base, self.eta * v),
            state=pack_state(self.name, taken + 1, v=v),
            used=names_of(round_.contributions),
        )


@dataclass(frozen=True, slots=True)
class Adaptive:
    """m = b1 m + (1 - b1) G; v by `rule`; x + eta m / (sqrt(v) + tau)."""

    rule: str
    eta: float
    b1: float
    b2: float
    tau: float
    corrected: bool = False
    traits: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """FedAdagrad, FedAdam or FedYogi."""
        return f"Fed{self.rule}"

    @classmethod
    def parse(cls, rule: str, given: Mapping[str, str]) -> Adaptive:
        """serverLearningRate (0.1, Yogi 0.01), beta1 (0.9, Adagrad 0), beta2 (0.99), tau (0.001),
        biasCorrection (Disabled; Adam only). Raises UsageError."""
        read = Parameters(f"Fed{rule}", given)
        default = "0.01" if rule == "Yogi" else "0.1"
        eta = read.number("serverLearningRate", default, low=0, high=100, above=True)
        b1 = read.number("beta1", "0" if rule == "Adagrad" else "0.9", low=0, high=1, below=True)
        b2 = 0.0
        if rule != "Adagrad":
            b2 = read.number("beta2", "0.99", low=0, high=1, below=True)
        tau = read.number("tau", "0.001", low=0, high=1, above=True)
        corrected = rule == "Adam" and read.flag("biasCorrection")
        read.done()
        return cls(rule, eta, b1, b2, tau, corrected)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """State: m, v."""
        count = len(round_.base)
        taken, m, v = 0, np.zeros(count), np.full(count, self.tau * self.tau)
        if round_.state is not None:
            taken, kept = unpack_state(round_.state, self.name, count, "m", "v")
            m, v = kept["m"], kept["v"]
        mean, _ = weighted_sum(round_.contributions, count)
        m = self.b1 * m + (1.0 - self.b1) * mean
        v = self._second(v, mean * mean)
        top, bottom = m, v
        if self.corrected:
            top = m / (1.0 - self.b1 ** (taken + 1))
            bottom = v / (1.0 - self.b2 ** (taken + 1))
        return Step(
            model=moved(round_.base, self.eta * top / (np.sqrt(bottom) + self.tau)),
            state=pack_state(self.name, taken + 1, m=m, v=v),
            used=names_of(round_.contributions),
        )

    def _second(self, v: Sum, square: Sum) -> Sum:
        if self.rule == "Adagrad":
            return v + square
        if self.rule == "Yogi":
            return v - (1.0 - self.b2) * square * np.sign(v - square)
        return self.b2 * v + (1.0 - self.b2) * square
