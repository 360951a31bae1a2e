"""Keys, frames and keyrings beyond the vectors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from propeller.errors import WireError
from propeller.wire.frame import ROLES, is_framed, may_ask, open_frame, peek_body, seal
from propeller.wire.keyring import Keyring, keyring_from_trust, trusted
from propeller.wire.messages import Trust
from propeller.wire.signing import ED25519, P256, SigningKey, VerifyKey

BOTH = pytest.mark.parametrize("alg", [ED25519, P256])


def word_of(act: object, *arguments: object) -> str:
    assert callable(act)
    with pytest.raises(WireError) as caught:
        act(*arguments)
    return caught.value.reject


@BOTH
def test_what_a_key_signs_its_public_half_verifies(alg: int) -> None:
    """And nothing else: another message, another key, a cut signature."""
    key = SigningKey.generate(alg)
    signature = key.sign(b"message")
    assert len(signature) == 64
    assert key.public.verify(signature, b"message")
    assert not key.public.verify(signature, b"another")
    assert not key.public.verify(signature[:-1], b"message")
    assert not SigningKey.generate(alg).public.verify(signature, b"message")


@BOTH
def test_keys_survive_their_files(alg: int) -> None:
    """PEM for the private half, text for the public one."""
    key = SigningKey.generate(alg)
    again = SigningKey.from_pem(key.to_pem())
    assert again.public == key.public
    assert again.alg == key.alg == alg
    assert VerifyKey.parse(key.public.text) == key.public
    assert len({key.public, again.public}) == 1


def test_a_private_key_does_not_show_itself() -> None:
    """A key in a log is a public key."""
    key = SigningKey.generate()
    assert repr(key) == f"SigningKey({key.public.text!r})"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519",
        "ed25519:",
        "ed25519:AAAA",
        "rsa:" + "A" * 43 + "=",
        "ed25519:" + "A" * 43 + "=\n",
        "ed25519:" + "A" * 42 + "B=",
        "p256:" + "A" * 86 + "A=",
        "ed25519:ключ",
    ],
)
def test_a_key_text_has_one_spelling(text: str) -> None:
    """Cut, padded, of an unknown kind or off the curve: no key."""
    assert word_of(VerifyKey.parse, text) == "bad_key"


def test_seeds_and_pems_that_are_none() -> None:
    """Wrong length, scalar zero, another kind of key, not PEM at all."""
    assert word_of(SigningKey.from_seed, b"short") == "bad_key"
    assert word_of(SigningKey.from_seed, bytes(32), P256) == "bad_key"
    assert word_of(SigningKey.from_pem, b"-----BEGIN CERTIFICATE-----") == "bad_key"
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed448PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    assert word_of(SigningKey.from_pem, pem) == "bad_key"
    assert word_of(VerifyKey, 7, bytes(32)) == "unknown_alg"


@pytest.mark.parametrize("purpose", sorted(ROLES))
def test_a_frame_opens_for_its_purpose_alone(purpose: str) -> None:
    """What was signed for one topic proves nothing on another."""
    key = SigningKey.generate()
    everything = Keyring.of([key.public], "manager", "device", "root", "gateway", "release")
    frame = seal(purpose, b"body", key)
    assert open_frame(purpose, frame, everything).body == b"body"
    for other in ROLES.keys() - {purpose}:
        assert word_of(open_frame, other, frame, everything) == "bad_signature"


def test_only_roots_sign_trust_and_only_managers_desired() -> None:
    """The table of roles, where it matters most."""
    key = SigningKey.generate()
    for role in ("manager", "gateway", "device", "release"):
        ring = Keyring.of([key.public], role)
        assert word_of(open_frame, "trust", seal("trust", b"", key), ring) == "not_allowed"
    for role in ("root", "gateway", "device", "release"):
        ring = Keyring.of([key.public], role)
        assert word_of(open_frame, "desired", seal("desired", b"", key), ring) == "not_allowed"


def test_a_gateway_only_invokes() -> None:
    """Its key opens `op`, and the verb is checked after."""
    assert may_ask(frozenset({"gateway"}), "invoke")
    assert not may_ask(frozenset({"gateway"}), "cancel")
    assert may_ask(frozenset({"manager"}), "cancel")
    assert not may_ask(frozenset({"device"}), "invoke")


def test_a_frame_is_told_from_every_other_body() -> None:
    """By its first byte alone."""
    frame = seal("report", b"{}", SigningKey.generate())
    assert is_framed(frame)
    assert not any(is_framed(body) for body in (b"", b"{}", b"\xa0", b"B\x01", b"["))
    assert peek_body(frame) == b"{}"
    assert word_of(peek_body, b"{}") == "not_framed"
    assert word_of(peek_body, frame[:40]) == "bad_frame"


def test_a_frame_too_big_is_refused_before_it_is_hashed() -> None:
    """A little over a mebibyte is the most that ever travels in one."""
    key = SigningKey.generate()
    frame = seal("put", bytes((1 << 20) + 8192), key)
    assert word_of(open_frame, "put", frame, Keyring.of_device(key.public)) == "too_big"


def test_a_trust_document_never_makes_a_root() -> None:
    """Roles it may not give are dropped; the root stays what was configured."""
    root, manager = SigningKey.generate(), SigningKey.generate()
    trust = Trust(version=1, keys=(trusted(manager.public, "manager", "root", "king"),))
    ring = keyring_from_trust(trust, root.public)
    held = ring.find(manager.kid)
    assert held is not None
    assert held.roles == {"manager"}
    usurped = keyring_from_trust(
        Trust(version=2, keys=(trusted(root.public, "manager"),)), root.public
    )
    held = usurped.find(root.kid)
    assert held is not None
    assert held.roles == {"root"}, "a root is a root and nothing else"


def test_a_revoked_key_is_unknown() -> None:
    """A key the newest document does not list opens nothing."""
    root, old = SigningKey.generate(), SigningKey.generate()
    ring = keyring_from_trust(Trust(version=2), root.public)
    assert len(ring) == 1
    assert word_of(open_frame, "desired", seal("desired", b"", old), ring) == "unknown_kid"


def test_the_wire_is_read_without_loading_cryptography() -> None:
    """Commands that verify nothing do not pay for it."""
    code = (
        "import sys, propeller.wire.codec, propeller.wire.frame, propeller.wire.keyring\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('cryptography', 'cbor2')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
