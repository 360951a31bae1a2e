"""Whoever drops out when: the sum is right or refused; and any ledger is read or stops the job."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.fl.errors import Refusal, Why
from propeller.fl.privacy.accounting import Ledger
from propeller.fl.secagg import letters
from propeller.fl.secagg.client import Client
from propeller.fl.secagg.messages import Keys, Revealed, Terms
from propeller.fl.secagg.server import Server

NAMES = tuple("abcdefg")
TERMS = Terms(job="j", round=1, attempt=1, cohort=NAMES, threshold=4, count=3)
some = st.sets(st.sampled_from(NAMES))


def _stream(name: str) -> Callable[[int], bytes]:
    number = itertools.count()
    return lambda size: hashlib.shake_256(f"{name}{next(number)}".encode()).digest(size)


@settings(max_examples=40, deadline=None)
@given(some, some, some, some, st.integers(0, 2**32))
def test_the_sum_of_who_stayed_or_nothing(
    silent: set[str], no_shares: set[str], no_vector: set[str], no_help: set[str], seed: int
) -> None:
    """At each of four exchanges any set of clients is gone for good."""
    draw = np.random.default_rng(seed)
    server, gone = Server(TERMS), set(silent)
    clients = {name: Client(name, TERMS, _stream(name)) for name in NAMES}
    vectors = {name: draw.integers(0, 1 << 32, 3, dtype=np.uint32) for name in NAMES}
    try:
        roster = server.roster(clients[name].keys for name in NAMES if name not in gone)
        gone |= no_shares
        sealed = {name: clients[name].share(roster) for name in roster if name not in gone}
        boxes = server.route(sealed)
        gone |= no_vector
        for name, box in boxes.items():
            if name not in gone:
                server.add(name, clients[name].mask(box, vectors[name]))
        survivors = server.close()
        gone |= no_help
        told = [clients[name].reveal(survivors) for name in sorted(survivors - gone)]
        total = server.unmask(told)
    except Refusal as error:
        assert error.why is Why.THRESHOLD
        assert len(NAMES) - len(silent | no_shares | no_vector | no_help) < TERMS.threshold
        return
    wanted = np.zeros(3, np.uint32)
    for name in set(NAMES) - silent - no_shares - no_vector:
        wanted = wanted + vectors[name]
    np.testing.assert_array_equal(total, wanted)
    for one in told:
        assert not one.seeds.keys() & one.keys.keys()


numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.none())


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {
            "v": st.just(1) | numbers,
            "job": st.just("j") | numbers,
            "rounds": numbers
            | st.lists(
                st.lists(numbers, max_size=4)
                | numbers
                | st.tuples(st.floats(0, 10), st.floats(0, 1), st.integers(-1, 10**6)),
                max_size=3,
            ),
        }
    ).map(lambda document: json.dumps(document).encode())
)
def test_any_ledger_is_read_or_stops_the_job(data: bytes) -> None:
    """What is read has a price that is a number, and goes back to bytes."""
    try:
        ledger: Any = Ledger.parse(data, job="j", rounds=1)
    except Refusal as error:
        assert error.why is Why.LEDGER
        return
    assert ledger.spent >= 1
    assert ledger.epsilon(1e-5) >= 0
    assert Ledger.parse(ledger.to_json(), job="j", rounds=1).spent == ledger.spent


READERS: tuple[Callable[[bytes], object], ...] = (
    lambda data: letters.read_keys(data, "a"),
    letters.read_roster,
    letters.read_shares,
    letters.read_sum,
    lambda data: letters.read_opened(data, "a"),
)
halves = st.builds(
    Keys, proplet=st.just("a"), seal=st.binary(min_size=32, max_size=32),
    mask=st.binary(min_size=32, max_size=32), seed=st.binary(min_size=32, max_size=32),
)  # fmt: skip
names = st.text("abcdefg0123_-", min_size=1, max_size=12)
shares = st.dictionaries(names, st.binary(min_size=66, max_size=66), max_size=5)


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["v", "keys", "seeds", "shares", "survivors", "mask", "seal", "seed"]),
        inner, max_size=4,
    ),
    max_leaves=9,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_a_letter_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    """Devices and reconcilers are hostile to each other: nothing but a Refusal comes out."""
    for read in READERS:
        try:
            read(data)
        except Refusal as error:
            assert error.why is Why.MALFORMED


@given(halves, shares, shares, st.frozensets(names, max_size=6))
def test_letters_are_read_back(
    keys: Keys, some_shares: dict[str, bytes], more: dict[str, bytes], survivors: frozenset[str]
) -> None:
    """Each as it was written, and in one spelling."""
    assert letters.read_keys(letters.keys_letter(keys), "a") == keys
    assert letters.read_roster(letters.roster_letter([keys])) == {"a": keys}
    sealed = {name: share * 2 + bytes(16) for name, share in some_shares.items()}
    assert letters.read_shares(letters.shares_letter(sealed)) == sealed
    assert letters.read_sum(letters.sum_letter(survivors)) == survivors
    told = Revealed(proplet="a", seeds=some_shares, keys=more)
    assert letters.read_opened(letters.opened_letter(told), "a") == told
