"""Strategies that look at single updates, so that a few liars cannot steer the mean.

Coordinate median and trimmed mean (Yin et al. 2018), Krum and multi-Krum (Blanchard et al. 2017),
clipping to the cohort's median length. Unweighted but for the clip: samples are what a client says
of itself. Conditions that fail are refused, never clamped away. Works in tiles, so that memory is
that of the cohort times a tile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from propeller.fl.admit import LANES
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution, ordered, piece, tiles, weighted_sum
from propeller.fl.strategies.base import Round, Step, Sum, Trait, moved, names_of
from propeller.fl.strategies.parameters import Parameters

_TILE: Final = 8 * 1024
_RANKS: Final = frozenset({Trait.RANKS})


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Per coordinate: drop floor(beta m) at each end, mean of the rest. beta None: the median."""

    beta: float | None
    traits: frozenset[str] = _RANKS

    @property
    def name(self) -> str:
        """Median or TrimmedMean."""
        return "Median" if self.beta is None else "TrimmedMean"

    @classmethod
    def parse_median(cls, given: Mapping[str, str]) -> Trimmed:
        """No parameters. Raises UsageError."""
        Parameters("Median", given).done()
        return cls(None)

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Trimmed:
        """beta (0.2), below one half. Raises UsageError."""
        read = Parameters("TrimmedMean", given)
        beta = read.number("beta", "0.2", low=0, high=0.5, below=True)
        read.done()
        return cls(beta)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """Sorts every coordinate."""
        order = ordered(round_.contributions)
        m, count = len(order), len(round_.base)
        _some(order)
        cut = (m - 1) // 2 if self.beta is None else math.floor(self.beta * m + 1e-9)
        middle = np.empty(count, np.float64)
        for at, size in tiles(count, _TILE):
            # A row a coordinate, f32: numpy sorts those many times faster, and to the same values.
            columns = np.empty((size, m), np.float32)
            for column, one in enumerate(order):
                columns[:, column] = piece(one, at, size)
            columns.sort(axis=1)
            total = np.zeros(size, np.float64)
            for column in range(cut, m - cut):
                total += columns[:, column]
            middle[at : at + size] = total / (m - 2 * cut)
        return Step(
            model=moved(round_.base, middle),
            used=names_of(order),
            notes={"cutAtEachEnd": str(cut)},
        )


@dataclass(frozen=True, slots=True)
class Krum:
    """The update nearest to its m - f - 2 nearest others, or the mean of the `keep` best.

    faulty: f, the liars it stands; 2f + 2 < m. keep 0: m - f of them (multi-Krum's most).
    """

    faulty: int
    keep: int
    multi: bool
    traits: frozenset[str] = _RANKS

    @property
    def name(self) -> str:
        """Krum or MultiKrum."""
        return "MultiKrum" if self.multi else "Krum"

    @classmethod
    def parse(cls, multi: bool, given: Mapping[str, str]) -> Krum:
        """faulty (required); MultiKrum: keep (0: as many as there can be). Raises UsageError."""
        read = Parameters("MultiKrum" if multi else "Krum", given)
        faulty = read.whole("faulty", None, low=0, high=100_000)
        keep = read.whole("keep", "0", low=0, high=100_000) if multi else 1
        read.done()
        return cls(faulty, keep, multi)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """Ties go to the smaller proplet id."""
        order = ordered(round_.contributions)
        m = len(order)
        if not 2 * self.faulty + 2 < m:
            raise Refusal(
                Why.ZERO_WEIGHT,
                f"{self.name} stands {self.faulty} faulty of at least {2 * self.faulty + 3}, "
                f"there are {m}",
            )
        keep = self.keep or m - self.faulty
        if keep > m - self.faulty:
            raise Refusal(Why.ZERO_WEIGHT, f"keep {keep} of {m} with {self.faulty} faulty")
        scores = _scores(_distances(order, len(round_.base)), m - self.faulty - 2)
        best = sorted(range(m), key=lambda i: (scores[i], i))[:keep]
        chosen = tuple(order[i] for i in sorted(best))
        mean, _ = weighted_sum(chosen, len(round_.base), weights=[1.0] * len(chosen))
        return Step(
            model=moved(round_.base, mean),
            used=names_of(chosen),
            notes={"kept": " ".join(one.proplet for one in chosen[:64])},
        )


@dataclass(frozen=True, slots=True)
class NormClip:
    """D_k * min(1, c / ||D_k||), c the median length of the cohort; then the weighted mean."""

    eta: float = 1.0
    name: str = "NormClip"
    traits: frozenset[str] = _RANKS

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> NormClip:
        """serverLearningRate (1). Raises UsageError."""
        read = Parameters("NormClip", given)
        eta = read.number("serverLearningRate", "1", low=0, high=100, above=True)
        read.done()
        return cls(eta)

    def trainer(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def step(self, round_: Round) -> Step:
        """Two passes: lengths, then the mean."""
        order = ordered(round_.contributions)
        _some(order)
        count = len(round_.base)
        norms = [math.sqrt(square) for square in _squares(order, count)]
        ranked = sorted(norms)
        half = len(ranked) // 2
        bound = ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2
        factors = [min(1.0, bound / norm) if norm > 0 else 1.0 for norm in norms]
        samples = math.fsum(one.samples for one in order)
        if not samples > 0:
            raise Refusal(Why.ZERO_WEIGHT, "no update carries any weight")
        weights = [one.samples * factor for one, factor in zip(order, factors, strict=True)]
        if not any(weights):
            return Step(model=round_.base.copy(), used=names_of(order))
        mean, total = weighted_sum(order, count, weights=weights)
        # The mean is over the samples, not over what was left of them.
        return Step(
            model=moved(round_.base, self.eta * (mean * (total / samples))),
            used=names_of(order),
            notes={
                "clippedTo": f"{bound:.9g}",
                "clipped": str(sum(factor < 1 for factor in factors)),
            },
        )


def _some(order: tuple[Contribution, ...]) -> None:
    if not order:
        raise Refusal(Why.ZERO_WEIGHT, "no update at all")


def _matrix(order: tuple[Contribution, ...], at: int, size: int) -> NDArray[np.float64]:
    """A row an update, in order."""
    rows = np.empty((len(order), size), np.float64)
    for row, one in zip(rows, order, strict=True):
        row[:] = piece(one, at, size)
    return rows


def _squares(order: tuple[Contribution, ...], count: int) -> list[float]:
    """||D_k||^2, by lanes as `admit.squares` does."""
    lanes = np.zeros((len(order), min(LANES, count)), np.float64)
    for at, size in tiles(count, LANES):
        rows = _matrix(order, at, size)
        lanes[:, :size] += rows * rows
    return [math.fsum(row.tolist()) for row in lanes]


def _distances(order: tuple[Contribution, ...], count: int) -> Sum:
    """||D_i - D_j||^2 for every pair, from a Gram matrix of f64 tiles.

    The products are rounded to 32 bits of their size before they are compared, so that the last
    bits of a BLAS, which may differ between machines, do not decide between near ties. The grain
    is the pair's own: were it the round's, one huge update would make all the others look alike.
    """
    m = len(order)
    gram = np.zeros((m, m), np.float64)
    for at, size in tiles(count, _TILE):
        rows = _matrix(order, at, size)
        gram += rows @ rows.T
    squares = np.diag(gram)
    apart = squares[:, None] + squares[None, :] - 2.0 * gram
    _, exponents = np.frexp(np.maximum(squares[:, None], squares[None, :]))
    grain = np.ldexp(1.0, np.maximum(exponents - 32, -1000))
    rounded: Sum = np.round(np.maximum(apart, 0.0) / grain) * grain
    return rounded


def _scores(distances: Sum, nearest: int) -> list[float]:
    """Of each update the sum over its `nearest` nearest others."""
    m = len(distances)
    others = ~np.eye(m, dtype=bool)
    ranked = np.sort(distances[others].reshape(m, m - 1), axis=1)[:, :nearest]
    return [math.fsum(row.tolist()) for row in ranked]
