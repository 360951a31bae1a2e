"""DP-FedAvg's sum (McMahan et al. 2018): clipped, weighted, noised, over a *fixed* denominator.

    x + eta * (sum_k w_k D_k + N(0, z^2 C^2 I)) / W,   w_k = min(n_k / cap, 1),  ||D_k|| <= C

W does not depend on who came. Dividing by the weights that did come would let one client change the
divisor too, and the noise would not cover that; weights by samples without a cap would let one
client weigh more than the noise was made for. W is that of the expected cohort.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from propeller.errors import UsageError
from propeller.fl.fold import (
    TILE,
    Contribution,
    Held,
    Sum,
    Vector,
    fold_tile,
    ordered,
    piece,
    tiles,
)
from propeller.fl.privacy.clipping import clipped
from propeller.fl.strategies.base import moved

BLOCK: Final = 4096
"""Numbers drawn at a time: part of what a seed means."""


class Normal(Protocol):
    """Where noise comes from: `numpy.random.Generator` over a bit generator that the caller seeded
    from the system's entropy, and forgets."""

    def standard_normal(self, size: int) -> Sum:
        """`size` draws of N(0, 1), f64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """bound: C. multiplier: z. cap: samples that give the whole weight 1, None: everybody has 1.

    weight: W, the whole weight of the expected cohort; fixed for a job.
    """

    bound: float
    multiplier: float
    weight: float
    cap: int | None = None

    def __post_init__(self) -> None:
        for name in ("bound", "multiplier", "weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"privacy: {name} must be above 0, not {value:g}")
        if self.cap is not None and self.cap < 1:
            raise UsageError("privacy: cap must be at least 1")

    @property
    def deviation(self) -> float:
        """Of the noise in each coordinate of the mean: z C / W."""
        return self.multiplier * self.bound / self.weight

    def weight_of(self, samples: int) -> float:
        """w_k, at most 1: what the noise is measured by."""
        return 1.0 if self.cap is None else min(samples / self.cap, 1.0)

    def mean(self, contributions: Iterable[Contribution], count: int, draw: Normal) -> Sum:
        """The noised mean, f64, shape (count,). Clips here, whatever was clipped before: a bound
        that another part was to keep is no bound. Noise is added with nobody there too.

        Raises Refusal (duplicate, not-finite, wrong-size).
        """
        order = tuple(
            replace(one, deltas=Held(clipped(piece(one, 0, count), self.bound)))
            for one in ordered(contributions)
        )
        weights = [self.weight_of(one.samples) for one in order]
        out = np.empty(count, np.float64)
        for at, size in tiles(count, TILE):
            out[at : at + size] = fold_tile(order, weights, at, size)
        for at, size in tiles(count, BLOCK):
            out[at : at + size] += self.multiplier * self.bound * draw.standard_normal(size)
        out /= self.weight
        return out

    def step(
        self,
        base: Vector,
        contributions: Iterable[Contribution],
        draw: Normal,
        *,
        eta: float = 1.0,
    ) -> Vector:
        """The next model, f32."""
        return moved(base, eta * self.mean(contributions, len(base), draw))
