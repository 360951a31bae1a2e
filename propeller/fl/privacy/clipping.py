"""How long one update may be: a fixed bound, or one that follows the cohort.

Flat clipping (McMahan et al. 2018): D * min(1, C / ||D||). Adaptive clipping (Andrew et al. 2021)
moves C until the share of updates that are *not* clipped is `quantile`:

    b_k = 1 where ||D_k|| <= C
    C <- C * exp(-rate * (bbar - quantile)),  bbar = (sum b_k + N(0, sigma_b^2)) / m

The sign matters: with the share of the clipped in place of bbar the bound runs away, to zero or to
infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from propeller.errors import UsageError
from propeller.fl.admit import length
from propeller.fl.fold import Vector


def clipped(delta: Vector, bound: float) -> Vector:
    """`delta`, at most `bound` long (L2), f32.

    Not longer by a rounding either: the sensitivity of what is added up is what noise is measured
    by. Raises Refusal (not-finite).
    """
    factor = shortening(delta, bound)
    return delta if factor == 1.0 else scaled(delta, factor)


def shortening(delta: Vector, bound: float) -> float:
    """By what to multiply `delta` so that it is at most `bound` long; 1 where it is."""
    assert bound > 0
    norm = length(delta)
    if norm <= bound:
        return 1.0
    factor = bound / norm
    while length(scaled(delta, factor)) > bound:
        factor *= 1.0 - 2.0**-23
    return factor


def scaled(delta: Vector, factor: float) -> Vector:
    """Each number times `factor` with one rounding: the same in pieces as in whole."""
    return (delta.astype(np.float64) * factor).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveBound:
    """A bound that follows. Defaults of the paper."""

    bound: float = 0.1
    rate: float = 0.2
    quantile: float = 0.5

    def after(
        self, norms: Sequence[float], *, noise: float = 0.0, members: int | None = None
    ) -> AdaptiveBound:
        """The bound of the next round. norms: of the round's updates before they were clipped.
        noise: one draw of N(0, sigma_b^2).

        members: of the cohort that was expected, where noise has to cover who came: each counts
        one half up or down, and bbar = 1/2 + (sum (b_k - 1/2) + noise) / members.
        """
        if members is None and not norms:
            return self
        halves = math.fsum(0.5 if norm <= self.bound else -0.5 for norm in norms)
        within = 0.5 + (halves + noise) / (len(norms) if members is None else members)
        return replace(self, bound=self.bound * math.exp(-self.rate * (within - self.quantile)))


def count_noise(members: int) -> float:
    """sigma_b of the paper: a twentieth of the cohort."""
    return members / 20


def split(multiplier: float, *, counts: float) -> float:
    """z_D, the noise multiplier for the sum, when counting with sigma_b = `counts` is to cost
    nothing beyond `multiplier` in all: (z^-2 - (2 sigma_b)^-2)^(-1/2). Raises UsageError."""
    left = multiplier**-2 - (2 * counts) ** -2
    if not left > 0:
        raise UsageError(
            f"a noise multiplier of {multiplier:g} is more than counting {counts * 20:g} leaves; "
            "use a fixed clipping norm or a larger cohort"
        )
    return float(left**-0.5)
