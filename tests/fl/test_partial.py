"""Gateways that fold their own proplets come to the bytes of one fold over all of them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from propeller.fl.encodings import largest
from propeller.fl.errors import Refusal
from propeller.fl.fold import Contribution, Held, weighted_mean
from propeller.fl.partial import (
    Partial,
    Range,
    checked,
    flat_mean,
    fold_range,
    from_body,
    mean_of,
    to_body,
)

COUNT = 700
RANGES = (Range(first="a", last="azzz"), Range(first="b", last="bzzz"), Range(first="c", last="z"))


def updates(number: int = 60) -> list[Contribution]:
    draw = np.random.default_rng(3)
    return [
        Contribution(
            proplet=f"{'abc'[index % 3]}{index:04}",
            samples=1 + index * 7,
            deltas=Held((draw.normal(size=COUNT) * 10.0 ** draw.integers(-6, 6)).astype("f4")),
        )
        for index in range(number)
    ]


def through_gateways(members: list[Contribution], shuffle: random.Random) -> np.ndarray:
    """Each gateway folds what came to it in any order, and the root hears them in any order."""
    sent = []
    for range_ in RANGES:
        mine = [one for one in members if range_.holds(one.proplet)]
        shuffle.shuffle(mine)
        body = to_body(fold_range(range_, mine, COUNT))
        assert len(body) == largest("f64-partial", COUNT)
        sent.append(from_body(body, range_, COUNT))
    shuffle.shuffle(sent)
    return mean_of(sent, COUNT)


def test_gateways_and_one_fold_give_the_same_bytes_in_any_order() -> None:
    """Fifty arrival orders; and nearly the mean of the fold without gateways, whose tree is
    another."""
    members = updates()
    flat = flat_mean(RANGES, members, COUNT)
    shuffle = random.Random(1)
    found = {through_gateways(members, shuffle).tobytes() for _ in range(50)}
    assert found == {flat.tobytes()}
    assert np.allclose(flat, weighted_mean(members, COUNT), rtol=1e-6)


def test_one_gateway_for_all_is_the_ordinary_fold() -> None:
    """Up to 1,024 updates are one leaf there too."""
    members = updates()
    everything = (Range(first="a", last="z"),)
    assert flat_mean(everything, members, COUNT).tobytes() == (
        weighted_mean(members, COUNT).tobytes()
    )


def test_ranges_that_overlap_or_are_empty_are_refused() -> None:
    """Nobody may be counted twice."""
    assert checked(reversed(RANGES)) == RANGES
    for wrong in (
        (Range(first="a", last="c"), Range(first="c", last="d")),
        (Range(first="b", last="a"),),
    ):
        with pytest.raises(Refusal):
            checked(wrong)
    with pytest.raises(Refusal, match="is of no gateway's range"):
        flat_mean(RANGES[1:], updates(), COUNT)
    with pytest.raises(Refusal, match="is not of"):
        fold_range(RANGES[0], updates(), COUNT)
    with pytest.raises(Refusal, match="nobody"):
        fold_range(RANGES[0], [], COUNT)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda body: body[:-1], "wrong-size"),
        (lambda body: body[:-8] + np.array([1.5], "<f8").tobytes(), "malformed"),
        (lambda body: body[:-8] + np.array([-1.0], "<f8").tobytes(), "malformed"),
        (lambda body: np.array([np.nan], "<f8").tobytes() + body[8:], "not-finite"),
    ],
)
def test_a_body_that_no_gateway_can_mean_is_refused(spoil, why) -> None:
    """Before it touches a model."""
    mine = [one for one in updates() if RANGES[0].holds(one.proplet)]
    body = spoil(to_body(fold_range(RANGES[0], mine, COUNT)))
    with pytest.raises(Refusal) as refused:
        from_body(body, RANGES[0], COUNT)
    assert refused.value.why == why


def test_a_gateway_of_another_size_is_refused() -> None:
    """Numpy would broadcast one sum over the whole model."""
    wrong = Partial(range=RANGES[0], samples=1, sums=np.ones(1))
    with pytest.raises(Refusal, match="another number of sums"):
        mean_of([wrong], COUNT)
