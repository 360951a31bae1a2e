"""Sealed values: the vectors every implementation must pass, and what the construction promises."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from propeller.errors import WireError
from propeller.wire.boxes import (
    P256,
    X25519,
    BoxKey,
    BoxPublic,
    Place,
    PointKey,
    open_value,
    seal_value,
)

SECRET = bytes(range(32))
KEY = BoxKey.from_seed(bytes(range(64, 96)))
POINT = PointKey.from_seed(bytes(range(48)))
PLACE = Place(device="gw-01", inst="0" * 32, uid="u", run="1" * 32, name="TOKEN")


def schemes(told: dict[str, Any]) -> list[tuple[BoxKey | PointKey, dict[str, Any]]]:
    """The key and the cases of each scheme."""
    seeds = [bytes.fromhex(one["box"]["seed"]) for one in (told, told["p256"])]
    return [(BoxKey.from_seed(seeds[0]), told), (PointKey.from_seed(seeds[1]), told["p256"])]


@pytest.mark.parametrize("which", [0, 1], ids=["x25519", "p256"])
def test_the_vectors_open_and_are_sealed_again(vectors: Callable[[str], Any], which: int) -> None:
    """Byte for byte: sealing is a function of value, key, place and the fleet's secret."""
    told = vectors("sealed")
    key, cases = schemes(told)[which]
    assert key.public.text == cases["box"]["text"]
    for case in cases["good"]:
        value = bytes.fromhex(case["value"]) + bytes(case["zeros"])
        place = Place(**case["place"])
        sealed = seal_value(value, key.public, place, secret=bytes.fromhex(told["secret"]))
        assert hashlib.sha256(sealed.encode()).hexdigest() == case["sha256"], case["name"]
        assert case["sealed"] in ("", sealed), case["name"]
        assert open_value(sealed, key, place) == value, case["name"]


@pytest.mark.parametrize("which", [0, 1], ids=["x25519", "p256"])
def test_what_was_moved_or_changed_does_not_open(vectors: Callable[[str], Any], which: int) -> None:
    """Another run, variable, device or key, and any flipped bit."""
    key, cases = schemes(vectors("sealed"))[which]
    for case in cases["bad"]:
        with pytest.raises(WireError) as caught:
            open_value(case["sealed"], key, Place(**case["place"]))
        assert caught.value.reject == case["reject"], case["name"]


@pytest.mark.parametrize("key", [KEY, POINT], ids=["x25519", "p256"])
def test_another_value_or_place_has_another_ephemeral_key(key: BoxKey | PointKey) -> None:
    """One key never meets two values: that is what makes the derived ones safe."""
    sealed = [
        seal_value(value, key.public, place, secret=SECRET)
        for value in (b"a", b"b")
        for place in (PLACE, replace(PLACE, run="2" * 32), replace(PLACE, name="OTHER"))
    ]
    ephemeral = {one[2:44] for one in sealed}
    assert len(ephemeral) == len(sealed)


def test_without_the_fleets_secret_nothing_can_be_compared() -> None:
    """Who guesses a value cannot check the guess: another secret seals it otherwise."""
    one = seal_value(b"guess", KEY.public, PLACE, secret=SECRET)
    other = seal_value(b"guess", KEY.public, PLACE, secret=bytes(32))
    assert one != other
    assert open_value(one, KEY, PLACE) == open_value(other, KEY, PLACE) == b"guess"


@pytest.mark.parametrize("key", [KEY, POINT], ids=["x25519", "p256"])
def test_a_sealed_value_is_as_long_as_promised(key: BoxKey | PointKey) -> None:
    """Devices with little room can count on it."""
    sealed = base64.b64decode(seal_value(b"abc", key.public, PLACE, secret=SECRET))
    assert len(sealed) == 3 + key.public.scheme.overhead
    assert sealed[0] == key.public.scheme.number


def test_keys_of_two_curves_agree_on_nothing() -> None:
    """Each refuses the other's public half, and a value of the other scheme."""
    for one, other in ((KEY, POINT), (POINT, KEY)):
        with pytest.raises(WireError) as caught:
            one.shared(other.public)
        assert caught.value.reject == "bad_key"
        with pytest.raises(WireError) as caught:
            open_value(seal_value(b"abc", other.public, PLACE, secret=SECRET), one, PLACE)
        assert caught.value.reject == "bad_seal"
    assert (KEY.public.scheme, POINT.public.scheme) == (X25519, P256)


def test_nothing_is_sealed_to_what_is_no_point() -> None:
    """65 bytes that begin like a point are refused when they are used."""
    key = BoxPublic(b"\x04" + bytes(63) + b"\x01", P256)
    with pytest.raises(WireError) as caught:
        seal_value(b"abc", key, PLACE, secret=SECRET)
    assert caught.value.reject == "bad_key"


def test_keys_survive_their_file_and_hide_themselves() -> None:
    """PEM there and back; `repr` shows the public half only."""
    again = BoxKey.from_pem(KEY.to_pem())
    assert again.public == KEY.public
    assert BoxPublic.parse(KEY.public.text) == KEY.public
    assert bytes(range(64, 96)).hex() not in repr(KEY)
    assert BoxPublic.parse(POINT.public.text) == POINT.public
    assert POINT.scalar().hex() not in repr(POINT)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x25519:", "x25519:****", "ed25519:AAAA", "x25519:" + "A" * 44, "x25519:AAAA"),
        *(
            "p256:",
            "p256:AAAA",
            "p256:" + "A" * 87 + "=",
            POINT.public.text.replace("p256", "P256"),
        ),
        POINT.public.text.replace("p256", "x25519"),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """A device that announces nonsense gets no secrets."""
    with pytest.raises(WireError) as caught:
        BoxPublic.parse(text)
    assert caught.value.reject == "bad_key"


def test_a_file_with_another_key_is_refused() -> None:
    """A signing key is no encryption key."""
    from propeller.wire.signing import SigningKey

    with pytest.raises(WireError):
        BoxKey.from_pem(SigningKey.generate().to_pem())
    with pytest.raises(WireError):
        BoxKey.from_pem(b"nothing")
