"""Cohorts: chosen by keys that anyone can check."""

from __future__ import annotations

import hashlib
import hmac
from fractions import Fraction

from propeller.fl.select import invited_count, select, selection_key, training_seed

SEED = bytes(32)
FLEET = [f"p{index:03}" for index in range(200)]


def _chosen(fleet: list[str], **changed: int) -> tuple[str, ...]:
    of = {"round_": 1, "attempt": 1, **changed}
    return select(fleet, count=20, seed=SEED, job="j", **of)


def test_keys_are_what_the_documentation_says() -> None:
    """HMAC-SHA256(seed, job|round|attempt|proplet): no library of random numbers in it."""
    wanted = hmac.new(SEED, b"j|3|2|p1", hashlib.sha256).digest()
    assert selection_key(SEED, job="j", round_=3, attempt=2, proplet="p1") == wanted


def test_who_joins_or_leaves_moves_nobody_else() -> None:
    """Of those who were chosen, all stay who are still there."""
    before = _chosen(FLEET)
    without = _chosen([one for one in FLEET if one != before[0]])
    assert set(before[1:]) < set(without)
    assert _chosen(list(reversed(FLEET)) + FLEET) == before


def test_rounds_and_attempts_choose_anew() -> None:
    """Nobody is always or never in."""
    assert len({_chosen(FLEET), _chosen(FLEET, round_=2), _chosen(FLEET, attempt=2)}) == 3
    seen = {one for number in range(1, 80) for one in _chosen(FLEET, round_=number)}
    assert seen == set(FLEET)


def test_more_are_invited_than_needed_but_never_more_than_there_are() -> None:
    """ceil(target * over), exactly: 10 * 1.3 is 13."""
    assert invited_count(target=10, over=Fraction("1.3"), eligible=100) == 13
    assert invited_count(target=7, over=Fraction("1.3"), eligible=100) == 10
    assert invited_count(target=7, over=Fraction(1), eligible=5) == 5


def test_a_repeated_assignment_draws_the_same_numbers() -> None:
    """And no two proplets do."""
    of = {"job": "j", "round_": 1, "attempt": 1}
    one = training_seed(SEED, proplet="p1", **of)  # type: ignore[arg-type]
    assert one == training_seed(SEED, proplet="p1", **of)  # type: ignore[arg-type]
    assert one != training_seed(SEED, proplet="p2", **of)  # type: ignore[arg-type]
    assert len(bytes.fromhex(one)) == 8
