"""The fold: known sums, and the same bits whatever order, tile, leaf or storage."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest

from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import (
    LEAF,
    Held,
    contributors_digest,
    fold_tile,
    ordered,
    weighted_mean,
    weighted_sum,
)
from tests.fl.contributions import crowd, given, spooled, vector


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_the_mean_of_the_paper() -> None:
    """(1,2,3), (3,2,1), (0,0,6) with 10, 30 and 60 samples: (1.0, 0.8, 4.2)."""
    mean = weighted_mean(given((1, 2, 3), (3, 2, 1), (0, 0, 6), samples=(10, 30, 60)), 3)
    np.testing.assert_array_equal(mean, vector(1.0, 0.8, 4.2))
    assert mean.dtype == np.float32


def test_equal_deltas_give_that_delta() -> None:
    """To the last bit, whatever the samples are."""
    delta = np.random.default_rng(2).normal(size=100).astype(np.float32)
    mean = weighted_mean(given(*[delta] * 7, samples=(1, 2, 3, 5, 7, 11, 13)), 100)
    np.testing.assert_array_equal(mean, delta)


def test_an_update_without_samples_has_no_effect() -> None:
    """It weighs nothing."""
    with_, without = (
        weighted_mean(given(*deltas, samples=(3, 5, 0)[: len(deltas)]), 2)
        for deltas in (((1, 2), (3, 4), (9, 9)), ((1, 2), (3, 4)))
    )
    np.testing.assert_array_equal(with_, without)


def test_only_the_proportions_of_samples_count() -> None:
    """A thousand times as many samples everywhere is the same mean."""
    deltas = ((0.1, 2), (0.3, -4))
    np.testing.assert_allclose(
        weighted_mean(given(*deltas, samples=(3, 5)), 2),
        weighted_mean(given(*deltas, samples=(3000, 5000)), 2),
        rtol=1e-7,
    )


def test_fifty_arrival_orders_have_one_digest() -> None:
    """A running f32 sum has fifty."""
    members = list(crowd(50, 3000))
    shuffle = random.Random(5)
    digests, naive = set(), set()
    for _ in range(50):
        shuffle.shuffle(members)
        digests.add(_digest(weighted_mean(members, 3000)))
        total = np.zeros(3000, np.float32)
        for one in members:
            total += np.float32(one.samples) * one.deltas.read(0, 3000)
        naive.add(_digest(total))
    assert len(digests) == 1
    assert len(naive) > 40


@pytest.mark.parametrize("tile", [1, 7, 64, 1000, 1 << 20])
def test_a_tile_changes_no_bit(tile: int) -> None:
    """It is for the cache only."""
    members = crowd(20, 5003)
    assert _digest(weighted_mean(members, 5003, tile=tile)) == _digest(weighted_mean(members, 5003))


def test_a_spool_file_and_an_array_give_the_same_bits() -> None:
    """Where an update is kept does not show."""
    members = crowd(9, 500)
    files = [replace(one, deltas=spooled(one.deltas.read(0, 500))) for one in members]
    assert _digest(weighted_mean(files, 500, tile=64)) == _digest(weighted_mean(members, 500))


def test_more_than_a_leaf_is_folded_by_the_tree() -> None:
    """2,500 updates are three leaves, each summed on its own: a gateway could have sent it."""
    members = crowd(2500, 40)
    total = np.zeros(40)
    for start in range(0, 2500, LEAF):
        leaf = np.zeros(40)
        for one in members[start : start + LEAF]:
            leaf += np.float64(one.samples) * one.deltas.read(0, 40).astype(np.float64)
        total += leaf
    weight = float(sum(one.samples for one in members))
    assert LEAF == 1024
    assert _digest(weighted_mean(reversed(members), 40)) == _digest(
        (total / weight).astype(np.float32)
    )


def test_the_order_is_that_of_proplet_ids_as_bytes() -> None:
    """Not of a locale, and not of numbers in them."""
    members = [
        replace(one, proplet=name)
        for one, name in zip(crowd(4, 1), ["b10", "b9", "B", "é"], strict=True)
    ]
    assert [one.proplet for one in ordered(members)] == ["B", "b10", "b9", "é"]


def test_a_spooled_update_that_is_too_short_is_refused() -> None:
    """A file cut by a full disk is not read as zeros."""
    short = replace(crowd(1, 1)[0], deltas=spooled(vector(1, 2)))
    with pytest.raises(Refusal) as caught:
        weighted_mean([short], 3)
    assert caught.value.why is Why.WRONG_SIZE


def test_no_update_at_all_is_refused() -> None:
    """There is nothing to divide by."""
    with pytest.raises(Refusal) as caught:
        weighted_mean([], 3)
    assert caught.value.why is Why.ZERO_WEIGHT


def test_the_sum_before_rounding_keeps_f64() -> None:
    """Momentum is taken from it, not from the f32 model."""
    mean, total = weighted_sum(given((1,), (2,), samples=(1, 2)), 1)
    assert mean.dtype == np.float64
    assert (mean[0], total) == (5 / 3, 3.0)


def test_a_tile_is_a_sum_and_not_a_mean() -> None:
    """What a gateway would add up of its range of ids."""
    np.testing.assert_array_equal(fold_tile(given((1, 2), (3, 4)), [2.0, 3.0], 1, 1), [16.0])


def test_who_contributed_has_a_digest_of_its_own() -> None:
    """Over proplet, body and samples, in order of ids: anyone can compute it from the record."""
    members = [replace(one, body=f"sha256:{index}") for index, one in enumerate(crowd(2, 1))]
    lines = "".join(f"{one.proplet} {one.body} {one.samples}\n" for one in members)
    wanted = "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert contributors_digest(reversed(members)) == wanted


def test_an_array_is_read_without_a_copy() -> None:
    """Memory of a fold is one tile."""
    whole = vector(1, 2, 3)
    assert np.shares_memory(Held(whole).read(1, 2), whole)
