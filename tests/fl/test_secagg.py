"""Secure aggregation: the sum is right, the summands stay hidden, too few get nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from propeller.errors import UsageError
from propeller.fl.errors import Refusal, Why
from propeller.fl.secagg.client import Client
from propeller.fl.secagg.masks import Grid, Ring, agreed, mask, public_of
from propeller.fl.secagg.messages import Revealed, Terms
from propeller.fl.secagg.server import Server
from propeller.fl.secagg.shamir import PRIME, Recovery, split

COUNT = 51


def stream(seed: str) -> Callable[[int], bytes]:
    """Bytes that are the same in every run."""
    at = 0

    def draw(size: int) -> bytes:
        nonlocal at
        at += 1
        return hashlib.shake_256(f"{seed}|{at}".encode()).digest(size)

    return draw


class Meeting:
    """A cohort and a server, as far as a test lets them get."""

    def __init__(self, size: int = 10, threshold: int = 7) -> None:
        self.names = tuple(f"p{index:02}" for index in range(size))
        self.terms = Terms(
            job="j", round=1, attempt=1, cohort=self.names, threshold=threshold, count=COUNT
        )
        self.server = Server(self.terms)
        self.clients = {name: Client(name, self.terms, stream(name)) for name in self.names}
        draw = np.random.default_rng(1)
        self.vectors: dict[str, Ring] = {
            name: draw.integers(0, 1 << 32, COUNT, dtype=np.uint32) for name in self.names
        }

    def share(self) -> dict[str, dict[str, bytes]]:
        roster = self.server.roster(one.keys for one in self.clients.values())
        sealed = {name: one.share(roster) for name, one in self.clients.items()}
        return {name: dict(box) for name, box in self.server.route(sealed).items()}

    def masked(self, *, without: tuple[str, ...] = ()) -> None:
        for name, inbox in self.share().items():
            hidden = self.clients[name].mask(inbox, self.vectors[name])
            if name not in without:
                self.server.add(name, hidden)

    def revealed(self, *names: str) -> list[Revealed]:
        survivors = self.server.close()
        return [self.clients[name].reveal(survivors) for name in names or sorted(survivors)]

    def plain(self, *, without: tuple[str, ...] = ()) -> Ring:
        total = np.zeros(COUNT, np.uint32)
        for name, vector in self.vectors.items():
            if name not in without:
                total = total + vector
        return total


@pytest.mark.parametrize("without", [(), ("p03",), ("p00", "p05", "p09")])
def test_the_sum_is_the_plain_sum_of_those_who_stayed(without: tuple[str, ...]) -> None:
    """Bit for bit, with nobody, a tenth and three tenths gone after they shared."""
    meeting = Meeting()
    meeting.masked(without=without)
    total = meeting.server.unmask(meeting.revealed())
    np.testing.assert_array_equal(total, meeting.plain(without=without))


def test_a_proplet_gone_before_it_shared_is_left_out() -> None:
    """Nobody masks against it, so nothing of it has to be restored."""
    meeting = Meeting()
    roster = meeting.server.roster(one.keys for one in meeting.clients.values())
    sealed = {n: one.share(roster) for n, one in meeting.clients.items() if n != "p04"}
    for name, inbox in meeting.server.route(sealed).items():
        meeting.server.add(name, meeting.clients[name].mask(inbox, meeting.vectors[name]))
    total = meeting.server.unmask(meeting.revealed())
    np.testing.assert_array_equal(total, meeting.plain(without=("p04",)))


def test_a_threshold_of_helpers_is_enough_and_one_fewer_is_not() -> None:
    """Of ten survivors seven answer the last question, or six."""
    for helpers, enough in ((7, True), (6, False)):
        meeting = Meeting()
        meeting.masked()
        shares = meeting.revealed(*meeting.names[-helpers:])
        if enough:
            np.testing.assert_array_equal(meeting.server.unmask(shares), meeting.plain())
        else:
            with pytest.raises(Refusal) as caught:
                meeting.server.unmask(shares)
            assert caught.value.why is Why.THRESHOLD


def test_fewer_vectors_than_the_threshold_close_nothing() -> None:
    """Neither the server's honest half nor a client helps with a sum of too few."""
    meeting = Meeting()
    meeting.masked(without=meeting.names[:4])
    with pytest.raises(Refusal) as caught:
        meeting.server.close()
    assert caught.value.why is Why.THRESHOLD
    with pytest.raises(Refusal) as caught:
        meeting.clients["p09"].reveal(frozenset(meeting.names[-6:]))
    assert caught.value.why is Why.THRESHOLD


def test_never_both_shares_of_one() -> None:
    """A client answers the last question once; a second list, even a better one, gets nothing."""
    meeting = Meeting()
    meeting.masked()
    everyone = frozenset(meeting.names)
    client = meeting.clients["p00"]
    told = client.reveal(everyone - {"p09"})
    assert not told.seeds.keys() & told.keys.keys()
    assert set(told.keys) == {"p09"}
    for again in (everyone, everyone - {"p09"}):
        with pytest.raises(Refusal, match="asked after REVEALED"):
            client.reveal(again)


def test_a_masked_vector_looks_like_noise() -> None:
    """Zeros, hidden: no element survives, bits are even, and two rounds have nothing in common."""
    hidden = []
    for salt in ("a", "b"):
        meeting = Meeting()
        meeting.clients = {n: Client(n, meeting.terms, stream(n + salt)) for n in meeting.names}
        inbox = meeting.share()["p00"]
        hidden.append(meeting.clients["p00"].mask(inbox, np.zeros(COUNT, np.uint32)))
    assert len(np.unique(hidden[0])) == COUNT
    bits = np.unpackbits(hidden[0].view(np.uint8))
    assert 0.45 < bits.mean() < 0.55
    assert not (hidden[0] == hidden[1]).any()


def test_d7_masks_use_the_whole_key_of_a_stream_cipher() -> None:
    """ChaCha20 of 256 bits, as the documentation says: no 32-bit seed to be searched."""
    seed = bytes(range(32))
    wanted = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(bytes(40))
    assert mask(seed, 10).astype("<u4").tobytes() == wanted
    for at in range(32):
        other = bytearray(seed)
        other[at] ^= 1
        assert not (mask(bytes(other), 10) == mask(seed, 10)).any()


def test_shares_are_sealed_for_one_receiver_and_one_round() -> None:
    """Moved to another, changed, or replayed in the next attempt they do not open."""
    meeting = Meeting()
    boxes = meeting.share()
    vector = meeting.vectors["p00"]
    for bent in (
        {**boxes["p00"], "p01": boxes["p02"]["p01"]},
        {**boxes["p00"], "p01": boxes["p00"]["p01"][:-1] + b"\0"},
        {**boxes["p00"], "p01": b""},
        {**boxes["p00"], "p00": boxes["p01"]["p00"]},
        {**boxes["p00"], "stranger": boxes["p00"]["p01"]},
    ):
        with pytest.raises(Refusal) as caught:
            meeting.clients["p00"].mask(bent, vector)
        assert caught.value.why is Why.MALFORMED
    meeting.clients["p00"].mask(boxes["p00"], vector)
    terms = replace(meeting.terms, attempt=2)
    assert terms.context("share", "a", "b") != meeting.terms.context("share", "a", "b")
    assert terms.context("share", "a", "bc") != terms.context("share", "ab", "c")


def test_steps_out_of_order_are_refused() -> None:
    """A server cannot make a client skip or repeat."""
    meeting = Meeting()
    client, everyone = meeting.clients["p00"], frozenset(meeting.names)
    for early in (
        lambda: client.mask({}, meeting.vectors["p00"]),
        lambda: client.reveal(everyone),
        lambda: meeting.server.unmask([]),
    ):
        with pytest.raises(Refusal):
            early()
    roster = meeting.server.roster(one.keys for one in meeting.clients.values())
    client.share(roster)
    with pytest.raises(Refusal):
        client.share(roster)


def test_a_roster_that_lies_is_refused() -> None:
    """Other keys in my name, one key twice, too few."""
    meeting = Meeting()
    roster = dict(meeting.server.roster(one.keys for one in meeting.clients.values()))
    for bent in (
        {**roster, "p00": roster["p01"]},
        {**roster, "p01": replace(roster["p02"], proplet="p01")},
        {**roster, "p01": replace(roster["p01"], proplet="p02")},
        dict(list(roster.items())[:6]),
    ):
        with pytest.raises(Refusal):
            meeting.clients["p00"].share(bent)


def test_the_server_takes_one_vector_of_one_shape_from_those_who_shared() -> None:
    """Strangers, repeats, other sizes, latecomers."""
    meeting = Meeting()
    meeting.masked(without=("p00",))
    good = meeting.vectors["p00"]
    for name, vector in (("p01", good), ("p99", good), ("p00", good[:-1]), ("p00", good * 1.0)):
        with pytest.raises(Refusal):
            meeting.server.add(name, vector)
    meeting.server.close()
    with pytest.raises(Refusal):
        meeting.server.add("p00", good)


@pytest.mark.parametrize("part", ["seeds", "keys"])
def test_a_wrong_share_is_noticed(part: str) -> None:
    """What is restored is compared with what was advertised: no wrong sum."""
    meeting = Meeting()
    meeting.masked(without=("p05",))
    shares = meeting.revealed()
    bent = {name: bytes(66) for name in getattr(shares[0], part)}
    with pytest.raises(Refusal) as caught:
        meeting.server.unmask([replace(shares[0], **{part: bent}), *shares[1:]])
    assert caught.value.why is Why.MALFORMED


@pytest.mark.parametrize("threshold", [5, 2, 11])
def test_a_threshold_that_protects_nobody_is_refused(threshold: int) -> None:
    """At most half of ten could be asked for one share each by two lists."""
    with pytest.raises(UsageError):
        Meeting(threshold=threshold)


def test_shamir_gives_the_secret_to_a_threshold_and_nothing_to_fewer() -> None:
    """Any three of five; two fit every secret."""
    secret = bytes(range(32))
    shares = split(secret, threshold=3, holders=5, draw=stream("s"))
    for helpers in ((1, 2, 3), (5, 1, 3), (2, 4, 5), (1, 2, 3, 4, 5)):
        assert Recovery(helpers).secret({x: shares[x - 1] for x in helpers}) == secret
    with pytest.raises(Refusal):
        Recovery((1, 2)).secret({x: shares[x - 1] for x in (1, 2)})
    with pytest.raises(Refusal):
        Recovery((1, 2, 3)).secret({1: shares[0], 2: shares[1]})
    with pytest.raises(Refusal):
        Recovery((1,)).secret({1: PRIME.to_bytes(66)})


def test_a_key_of_small_order_agrees_on_nothing() -> None:
    """The all-zero point would make the mask public."""
    with pytest.raises(Refusal):
        agreed(bytes(range(32)), bytes(32), b"")
    one, other = bytes(range(32)), bytes(range(1, 33))
    assert agreed(one, public_of(other), b"x") == agreed(other, public_of(one), b"x")
    assert agreed(one, public_of(other), b"x") != agreed(one, public_of(other), b"y")


def test_a_secure_mean_is_the_mean_within_its_grid() -> None:
    """Twenty trainers, two of them gone: as near as quantisation says, weights included."""
    meeting = Meeting(size=20, threshold=14)
    grid = Grid(clip=8.0, bits=22, most=1000, members=20)
    draw = np.random.default_rng(3)
    deltas = draw.normal(0, 0.3, (20, COUNT - 1)).astype(np.float32)
    weights = [int(one) for one in draw.integers(1, 1000, 20)]
    meeting.vectors = {
        name: grid.quantised(deltas[index], weights[index], draw)
        for index, name in enumerate(meeting.names)
    }
    meeting.masked(without=("p07", "p11"))
    mean, weight = grid.mean(meeting.server.unmask(meeting.revealed()), 18)
    kept = [index for index in range(20) if index not in (7, 11)]
    assert weight == sum(weights[index] for index in kept)
    wanted = sum(weights[i] * deltas[i].astype(np.float64) for i in kept) / weight
    assert np.abs(mean - wanted).max() <= 18 * grid.error * grid.most / weight
    assert np.abs(mean - wanted).max() < 1e-5


def test_a_grid_that_would_wrap_is_refused() -> None:
    """4096 updates of 20 bits fit, of 21 not; 1024 of 22."""
    Grid(clip=1, bits=20, most=1000, members=4096)
    Grid(clip=1, bits=22, most=1000, members=1024)
    for bits, most, members in ((21, 1, 4096), (22, 1, 1025), (8, 1 << 20, 1 << 13), (1, 1, 1)):
        with pytest.raises(UsageError):
            Grid(clip=1, bits=bits, most=most, members=members)


def test_the_corners_of_a_grid_stay_inside() -> None:
    """The clip itself, far beyond it, and weights that are none."""
    grid = Grid(clip=1.0, bits=8, most=10, members=3)
    found = grid.quantised(np.array([1, -1, 99, -99, 0], np.float32), 10, np.random.default_rng(1))
    assert found[[0, 2]].tolist() == [255, 255]
    assert found[[1, 3]].tolist() == [0, 0]
    assert found[-1] == 10
    for weight in (0, 11, -1):
        with pytest.raises(Refusal):
            grid.quantised(np.zeros(1, np.float32), weight, np.random.default_rng(1))
    with pytest.raises(Refusal):
        grid.mean(np.zeros(2, np.uint32), 3)
