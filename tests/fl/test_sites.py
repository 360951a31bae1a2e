"""What a site sends for all its proplets, and what of it is joined."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from propeller.fl.errors import Refusal
from propeller.fl.fold import Contribution, Held
from propeller.fl.layout import Layout
from propeller.fl.partial import Range, fold_range
from propeller.fl.sites import NO_NONCE, Folded, agree, joined, packed, read_site
from propeller.fl.strategies.averaging import FedAvg
from propeller.fl.strategies.base import Round
from propeller.wire.signing import SigningKey
from propeller.wire.updates import pack, signed_bytes, unpack, update_id

COUNT = 500
LAYOUT = Layout.flat(COUNT)
BASE = "sha256:" + "b" * 64
KEYS = tuple(SigningKey.from_seed(bytes([number]) * 32) for number in range(3))
VERIFY = tuple(key.public.verify for key in KEYS)
RANGES = tuple(Range(first=f"{name}0", last=f"{name}9") for name in "abc")


def members(number: int) -> list[Contribution]:
    """Seven updates of a site, of very different sizes."""
    draw = np.random.default_rng(number)
    return [
        Contribution(
            proplet=f"{'abc'[number]}{index}",
            samples=1 + 13 * index + number,
            deltas=Held((draw.normal(size=COUNT) * 10.0 ** draw.integers(-3, 1)).astype("f4")),
        )
        for index in range(7)
    ]


def folded(number: int, **more) -> Folded:
    known = {
        "job": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "round": 3,
        "attempt": 1 + number,
        "base": BASE,
        "layout": LAYOUT.digest,
        "partial": fold_range(RANGES[number], members(number), COUNT),
        "members": 7,
        "contributors": "sha256:" + "c" * 64,
        "record": "sha256:" + "d" * 64,
    }
    return Folded(**{**known, **more})


def sent(number: int, *, by: SigningKey | None = None, **more) -> bytes:
    return packed(folded(number, **more), (by or KEYS[number]).sign)


def read(data: bytes, **more):
    return read_site(data, **{"base": BASE, "layout": LAYOUT, "keys": VERIFY, **more})


def base() -> np.ndarray:
    return np.random.default_rng(9).normal(size=COUNT).astype("f4")


def test_sites_in_any_order_give_the_same_model() -> None:
    """Every order of three; and nearly what one fold over all 21 proplets gives, whose tree is
    another."""
    sites = [read(sent(number)) for number in range(3)]
    found = {joined(base(), order).tobytes() for order in permutations(sites)}
    assert len(found) == 1
    everybody = tuple(one for number in range(3) for one in members(number))
    flat = FedAvg().step(Round(base=base(), contributions=everybody, state=None, clients=21))
    assert np.allclose(np.frombuffer(found.pop(), "f4"), flat.model, rtol=1e-6, atol=1e-7)


def test_one_site_is_one_step_of_fedavg_to_the_last_bit() -> None:
    """Its leaf is the leaf that its own reconciler folds."""
    alone = joined(base(), [read(sent(1))])
    step = FedAvg().step(Round(base=base(), contributions=tuple(members(1)), state=None, clients=7))
    assert alone.tobytes() == step.model.tobytes()


def test_what_was_sent_is_what_is_read() -> None:
    """Members, samples, digests, the range, and who signed."""
    site = read(sent(2))
    assert (site.members, site.signer, site.partial.range) == (7, 2, RANGES[2])
    assert site.partial.samples == site.update.samples == sum(one.samples for one in members(2))
    assert site.contributors == folded(2).contributors
    assert site.record == folded(2).record


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"base": ""}, "wrong-base"),
        ({"layout": "sha256:" + "1" * 64}, "wrong-layout"),
        ({"members": 0}, "malformed"),
        ({"members": 1 << 30}, "malformed"),
        ({"contributors": "x" * 300}, "malformed"),
        ({"partial": replace(folded(0).partial, sums=np.ones(COUNT + 1))}, "envelope"),
        ({"partial": replace(folded(0).partial, sums=np.ones(COUNT - 1))}, "wrong-size"),
        ({"partial": replace(folded(0).partial, sums=np.full(COUNT, np.inf))}, "not-finite"),
        ({"partial": replace(folded(0).partial, samples=1 << 40)}, "too-many-samples"),
        ({"partial": replace(folded(0).partial, range=Range(first="b", last="a"))}, "malformed"),
        ({"by": SigningKey.from_seed(b"x" * 32)}, "bad-signature"),
    ],
)
def test_what_no_site_of_ours_can_mean_is_refused(more, why) -> None:
    """With the word for it, before it touches a model."""
    with pytest.raises(Refusal) as refused:
        read(sent(0, **more))
    assert refused.value.why == why


def resigned(**more) -> bytes:
    """The first site's update with other fields, signed properly."""
    update = replace(unpack(sent(0), max_body=1 << 20), **more)
    text = signed_bytes(update_id(pack(update)), NO_NONCE)
    return pack(replace(update, signature=KEYS[0].sign(text)))


def test_envelopes_that_contradict_themselves_are_refused() -> None:
    """Samples of the header, meta that is missing or a number, another encoding, no signature, a
    bit that was turned."""
    meta = dict(unpack(sent(0), max_body=1 << 20).meta)
    assert read(resigned(meta=meta)).members == 7
    for more, why in (
        ({"samples": 5}, "malformed"),
        ({"meta": {}}, "malformed"),
        ({"meta": {**meta, "@first": 7}}, "malformed"),
        ({"meta": {**meta, "@members": "7"}}, "malformed"),
        ({"encoding": "f32-delta"}, "wrong-format"),
    ):
        with pytest.raises(Refusal) as refused:
            read(resigned(**more))
        assert refused.value.why == why
    update = unpack(sent(0), max_body=1 << 20)
    turned = bytearray(sent(0))
    turned[-100] ^= 1
    for data in (pack(replace(update, signature=None)), bytes(turned)):
        with pytest.raises(Refusal, match="bad-signature"):
            read(data)
    for cut in (0, 3, 127, 200, len(turned) - 1):
        with pytest.raises(Refusal, match="envelope"):
            read(sent(0)[:cut])


def test_sites_that_are_not_of_one_round_are_not_joined() -> None:
    """Another job or round, one manager twice, ranges that overlap, far too long, nobody."""
    first, second, third = (read(sent(number)) for number in range(3))
    other = "0f8fad5b-d9cb-469f-a165-70867728950f"
    long = replace(folded(2).partial, sums=folded(2).partial.sums * 1e6)
    cases = (
        ([], "zero-weight"),
        ([first, read(sent(1, job=other))], "wrong-job"),
        ([first, read(sent(1, round=4))], "wrong-round"),
        ([first, first], "duplicate"),
        ([first, read(sent(1, by=KEYS[0]))], "duplicate"),
        ([first, read(sent(0, by=KEYS[1]))], "malformed"),
        ([first, second, read(sent(2, partial=long))], "huge-norm"),
    )
    for sites, why in cases:
        with pytest.raises(Refusal) as refused:
            joined(base(), sites)
        assert refused.value.why == why
    agree([third, first, second])


def test_a_model_that_would_not_be_finite_is_refused() -> None:
    """Sums may be finite where their mean and the base are not."""
    most = np.full(COUNT, np.finfo("f4").max, np.float32)
    partial = replace(folded(0).partial, samples=7, sums=np.full(COUNT, 7e38 * 7 / 3))
    with pytest.raises(Refusal, match="not-finite"):
        joined(most, [read(sent(0, partial=partial))])
