"""Folding by gateways: each folds its own proplets, the root folds the gateways (ruling 20).

A gateway owns a contiguous range of proplet ids, which the round records; the range is one leaf of
the fold's tree in place of the leaves of 1,024. So the root comes to the bytes of a flat fold over
the same leaves, whoever did the adding: gateways run a leaf's sum, the root adds leaves in order,
divides once and rounds once. The body of encoding 10, `f64-partial`, is P sums and the sum of
samples as little-endian f64. `sites` makes and reads such updates; rank rules and clipping by the
cohort's lengths cannot be folded this way, since the root sees sums only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import TILE, Contribution, Sum, Vector, ordered, piece, tiles

MOST_SAMPLES: Final = 1 << 53
"""Samples that a sum in f64 counts exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Proplet ids `first` to `last`, both in it, by their bytes."""

    first: str
    last: str

    def holds(self, proplet: str) -> bool:
        """Whether that id is in it."""
        return self.first.encode() <= proplet.encode() <= self.last.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What a gateway sends up. samples: their sum. sums: f64, `sum n_k D_k`, shape (count,)."""

    range: Range
    samples: int
    sums: Sum = field(repr=False)


def checked(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """In order of ids. Raises Refusal (malformed) where one is empty or two overlap."""
    out = tuple(sorted(ranges, key=lambda one: one.first.encode()))
    for one in out:
        if one.last.encode() < one.first.encode():
            raise Refusal(Why.MALFORMED, f"the range {one.first} to {one.last} is empty")
    for one, other in pairwise(out):
        if other.first.encode() <= one.last.encode():
            raise Refusal(Why.MALFORMED, f"the ranges of {one.first} and {other.first} overlap")
    return out


def fold_range(range_: Range, contributions: Iterable[Contribution], count: int) -> Partial:
    """One leaf: a running f64 sum in order of ids, each at least one sample.

    Raises Refusal (duplicate, malformed, zero-weight) where an update is not of the range, and
    where there is none.
    """
    order = ordered(contributions)
    for one in order:
        if not range_.holds(one.proplet):
            raise Refusal(Why.MALFORMED, f"{one.proplet} is not of {range_.first} to {range_.last}")
        if one.samples < 1:
            raise Refusal(Why.ZERO_SAMPLES, f"{one.proplet} trained on nothing")
    if not order:
        raise Refusal(Why.ZERO_WEIGHT, f"nobody of {range_.first} to {range_.last} contributes")
    sums = np.empty(count, np.float64)
    for at, size in tiles(count):
        sums[at : at + size] = _leaf(order, at, size)
    return Partial(range=range_, samples=sum(one.samples for one in order), sums=sums)


def _leaf(order: Sequence[Contribution], at: int, count: int) -> Sum:
    leaf, product = np.zeros(count, np.float64), np.empty(count, np.float64)
    for one in order:
        product[:] = piece(one, at, count)
        np.multiply(product, np.float64(one.samples), out=product)
        np.add(leaf, product, out=leaf)
    return leaf


def mean_of(partials: Iterable[Partial], count: int) -> Vector:
    """`sum n_k D_k / sum n_k` over all gateways, f32, in whatever order they answered.

    Raises Refusal (malformed, wrong-size, zero-weight, not-finite).
    """
    out = np.empty(count, np.float32)
    with np.errstate(over="ignore"):
        for at, mean in mean_tiles(partials, count):
            out[at : at + len(mean)] = mean
    if not bool(np.isfinite(out).all()):
        raise Refusal(Why.NOT_FINITE, "the mean of the gateways is not finite")
    return out


def mean_tiles(partials: Iterable[Partial], count: int) -> Iterator[tuple[int, Sum]]:
    """The same in pieces, (at, f64), before its rounding. Raises as `mean_of`."""
    by_range = {one.range: one for one in partials}
    order = [by_range[one] for one in checked(by_range)]
    total = sum(one.samples for one in order)
    if not 0 < total <= MOST_SAMPLES:
        raise Refusal(Why.ZERO_WEIGHT, "no gateway carries any weight")
    for at, size in tiles(count, TILE):
        whole = np.zeros(size, np.float64)
        for one in order:
            if one.sums.shape != (count,):
                raise Refusal(Why.WRONG_SIZE, f"{one.range.first} sent another number of sums")
            np.add(whole, one.sums[at : at + size], out=whole)
        yield at, whole / np.float64(total)


def flat_mean(ranges: Iterable[Range], contributions: Iterable[Contribution], count: int) -> Vector:
    """The same without gateways: what an auditor computes from the updates and the ranges.

    Raises as `fold_range` and `mean_of`; an update outside of every range is malformed.
    """
    left, parts = list(ordered(contributions)), []
    for range_ in checked(ranges):
        mine = [one for one in left if range_.holds(one.proplet)]
        left = [one for one in left if not range_.holds(one.proplet)]
        if mine:
            parts.append(fold_range(range_, mine, count))
    if left:
        raise Refusal(Why.MALFORMED, f"{left[0].proplet} is of no gateway's range")
    return mean_of(parts, count)


def to_body(partial: Partial) -> bytes:
    """The body of an `f64-partial` update."""
    whole = np.append(partial.sums, np.float64(partial.samples))
    return bytes(whole.astype("<f8").tobytes())


def from_body(body: bytes, range_: Range, count: int) -> Partial:
    """Back. Raises Refusal (wrong-size, not-finite, malformed) for what no gateway can mean."""
    if len(body) != 8 * (count + 1):
        raise Refusal(Why.WRONG_SIZE, f"{len(body)} bytes, expected {8 * (count + 1)}")
    whole = np.frombuffer(body, "<f8").astype(np.float64)
    if not bool(np.isfinite(whole).all()):
        raise Refusal(Why.NOT_FINITE, "a sum that is not finite")
    samples = float(whole[count])
    if samples != int(samples) or not 1 <= samples <= MOST_SAMPLES:
        raise Refusal(Why.MALFORMED, "the sum of samples is no whole number of at least 1")
    return Partial(range=range_, samples=int(samples), sums=whole[:count])
