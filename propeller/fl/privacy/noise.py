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
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from propeller.errors import UsageError
from propeller.fl.fold import (
    TILE,
    Contribution,
    Sum,
    Vector,
    fold_tile,
    ordered,
    piece,
    tiles,
)
from propeller.fl.privacy.clipping import scaled, shortening
from propeller.fl.strategies.base import moved

BLOCK: Final = 4096
"""Numbers drawn at a time: part of what a seed means."""


class Normal(Protocol):
    """Where noise comes from: `Fresh`; in tests a `numpy.random.Generator`."""

    def standard_normal(self, size: int) -> Sum:
        """`size` draws of N(0, 1), f64."""


class Fresh:
    """N(0, 1) from the ChaCha20 key stream of 32 bytes of the system's entropy, by Box and Muller.

    seed: drawn for this and kept nowhere. A generator made for simulations would be one whose other
    draws could be computed from a few.
    """

    def __init__(self, seed: bytes) -> None:
        self._stream = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor()

    def standard_normal(self, size: int) -> Sum:
        """See `Normal`."""
        pairs = -(-size // 2)
        raw = np.frombuffer(self._stream.update(bytes(16 * pairs)), "<u8") >> np.uint64(11)
        uniform = (raw.astype(np.float64) + 0.5) * 2.0**-53  # in (0, 1): the logarithm is finite
        radius = np.sqrt(-2.0 * np.log(uniform[:pairs]))
        angle = 2.0 * np.pi * uniform[pairs:]
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:size]


@dataclass(frozen=True, slots=True)
class _Shortened:
    """A delta that is multiplied as it is read: nothing of its size is held."""

    whole: Contribution
    factor: float

    def read(self, at: int, count: int) -> Vector:
        found = piece(self.whole, at, count)
        return found if self.factor == 1.0 else scaled(found, self.factor)


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
            replace(one, deltas=_Shortened(one, shortening(piece(one, 0, count), self.bound)))
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
