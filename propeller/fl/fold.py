"""The weighted sum of updates, the same to the last bit whatever order they came in.

Float addition is not associative: fifty arrival orders of fifty updates give fifty sums. So updates
are spooled, the round is closed, and then they are folded in the order of proplet ids by a fixed
tree: leaves of 1,024 updates, each a running f64 sum `acc += f64(n_k) * f64(D_k)`, leaves added in
order, one division by the sum of n, one rounding to f32. Only element-wise multiply and add, no
BLAS and no reduction, so tiles, processes and machines cannot change a bit. Memory is one tile of
one update and the accumulator, however many clients there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from propeller.fl.errors import Refusal, Why

Vector = NDArray[np.float32]
Sum = NDArray[np.float64]

LEAF: Final = 1024
"""Updates of a leaf. Changing it changes every digest."""

TILE: Final = 64 * 1024
"""Elements worked on at a time: cache, nothing else, depends on it."""


_SMALL: Final = 4096
"""Up to here numpy's own widening costs less than a call for it; the bits are the same."""


class Deltas(Protocol):
    """One update's delta, in pieces: a file of f32 (`Spooled`), or an array (`Held`)."""

    def read(self, at: int, count: int) -> Vector:
        """Elements `at` to `at + count`, f32."""


@dataclass(frozen=True, slots=True)
class Held:
    """A delta in memory."""

    delta: Vector

    def read(self, at: int, count: int) -> Vector:
        """A view."""
        return self.delta[at : at + count]


@dataclass(frozen=True, slots=True)
class Spooled:
    """A delta in a file, little-endian f32 from byte `start`. read_at: (count, offset) -> bytes."""

    read_at: Callable[[int, int], bytes]
    start: int = 0

    def read(self, at: int, count: int) -> Vector:
        """The piece, read now."""
        data = self.read_at(4 * count, self.start + 4 * at)
        if len(data) != 4 * count:
            raise Refusal(Why.WRONG_SIZE, "a spooled update is shorter than its model")
        return np.frombuffer(data, "<f4").astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One accepted update. samples: at least 1. steps: local steps, 0 unknown. body: its digest.

    staleness: rounds its base is behind (FedBuff), 0 in a synchronous round.
    """

    proplet: str
    samples: int
    deltas: Deltas = field(repr=False)
    body: str = ""
    steps: int = 0
    staleness: int = 0


def ordered(contributions: Iterable[Contribution]) -> tuple[Contribution, ...]:
    """By proplet id, as bytes. Raises Refusal (duplicate) where one proplet contributes twice."""
    out = tuple(sorted(contributions, key=lambda one: one.proplet.encode()))
    for one, other in pairwise(out):
        if one.proplet == other.proplet:
            raise Refusal(Why.DUPLICATE, f"{one.proplet} contributes twice")
    return out


def weighted_mean(
    contributions: Iterable[Contribution],
    count: int,
    *,
    weights: Sequence[float] | None = None,
    tile: int = TILE,
) -> Vector:
    """`sum n_k D_k / sum n_k`, f32, shape (count,).

    weights: in the order of `ordered`, in place of the samples; at least 0. Raises Refusal
    (zero-weight, duplicate).
    """
    out = np.empty(count, np.float32)
    for at, mean in weighted_tiles(contributions, count, weights=weights, tile=tile):
        out[at : at + len(mean)] = mean
    return out


def weighted_sum(
    contributions: Iterable[Contribution],
    count: int,
    *,
    weights: Sequence[float] | None = None,
    tile: int = TILE,
) -> tuple[Sum, float]:
    """The mean in f64 before its rounding, and the sum of weights."""
    scale, total = _scale(ordered(contributions), weights)
    out = np.empty(count, np.float64)
    for at, mean in weighted_tiles(contributions, count, weights=scale, tile=tile):
        out[at : at + len(mean)] = mean
    return out, total


def weighted_tiles(
    contributions: Iterable[Contribution],
    count: int,
    *,
    weights: Sequence[float] | None = None,
    tile: int = TILE,
) -> Iterator[tuple[int, Sum]]:
    """The same mean in pieces, (at, f64): nothing of the size of the model need be held twice."""
    order = ordered(contributions)
    scale, total = _scale(order, weights)
    for at, size in tiles(count, tile):
        yield at, fold_tile(order, scale, at, size) / total


def _scale(
    order: Sequence[Contribution], weights: Sequence[float] | None
) -> tuple[list[float], float]:
    """Weights in order, and their sum. Raises Refusal (zero-weight)."""
    scale = [float(one.samples) for one in order] if weights is None else list(weights)
    assert len(scale) == len(order)
    if any(weight < 0 for weight in scale):
        raise Refusal(Why.ZERO_WEIGHT, "an update with a negative weight")
    total = _tree(scale)
    if not 0 < total < math.inf:
        raise Refusal(Why.ZERO_WEIGHT, "no update carries any weight")
    return scale, total


def fold_tile(order: Sequence[Contribution], weights: Sequence[float], at: int, count: int) -> Sum:
    """`sum w_k D_k` of elements `at` to `at + count`, by the fixed tree."""
    whole = np.zeros(count, np.float64)
    leaf = np.empty(count, np.float64)
    product = np.empty(count, np.float64)
    for start in range(0, len(order), LEAF):
        leaf.fill(0.0)
        for one, weight in zip(
            order[start : start + LEAF], weights[start : start + LEAF], strict=True
        ):
            found: Vector | Sum = piece(one, at, count)
            if count > _SMALL:
                product[:] = found
                found = product
            np.multiply(found, np.float64(weight), out=product)
            np.add(leaf, product, out=leaf)
        np.add(whole, leaf, out=whole)
    return whole


def piece(one: Contribution, at: int, count: int) -> Vector:
    """Elements `at` to `at + count` of an update. Raises Refusal (wrong-size) where there are
    fewer: numpy would broadcast an array of one without a word."""
    found = one.deltas.read(at, count)
    if found.shape != (count,):
        raise Refusal(Why.WRONG_SIZE, f"{one.proplet} sent fewer elements than the model has")
    return found


def tiles(count: int, size: int = TILE) -> Iterator[tuple[int, int]]:
    """(at, count) of each tile of a model."""
    for at in range(0, count, size):
        yield at, min(size, count - at)


def contributors_digest(contributions: Iterable[Contribution]) -> str:
    """`sha256:<hex>` over (proplet, body digest, samples), a line each, in order."""
    digest = hashlib.sha256()
    for one in ordered(contributions):
        digest.update(f"{one.proplet} {one.body} {one.samples}\n".encode())
    return "sha256:" + digest.hexdigest()


def _tree(weights: Sequence[float]) -> float:
    """Their sum by the same tree."""
    whole = 0.0
    for start in range(0, len(weights), LEAF):
        leaf = 0.0
        for weight in weights[start : start + LEAF]:
            leaf += weight
        whole += leaf
    return whole
