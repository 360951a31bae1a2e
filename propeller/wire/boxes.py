"""Sealed values: what one device can open, for the one run it was meant for, and nobody else.

A secret travels in a desired document as bytes sealed to the device's encryption key. The key of
each value is agreed anew (HPKE's base mode in shape, with its parts spelled out for small devices):

    place  = "propeller sealed v1" 00 device 00 inst 00 uid 00 run 00 name      (UTF-8)
    enc    = the ephemeral key's public half
    shared = what ephemeral key and device key agree on
    key | nonce = HKDF-SHA256(shared, salt = enc | device key, info = place, 32 + 12 bytes)
    sealed = scheme | enc | ChaCha20-Poly1305(key, nonce, value, aad = place)

Which curve is the device's choice: the word that its key begins with. Scheme 01 is X25519
(`x25519:`, enc has 32 bytes). Scheme 02 is ECDH on P-256 (`p256:`, for microcontrollers whose
crypto has no other curve): points are 65 bytes, uncompressed, and shared is the x coordinate, 32
bytes.

The ephemeral key is not drawn but derived, so that the same value for the same place gives the same
bytes and a document that did not change does not look changed:

    ephemeral = HMAC(fleet secret, device key | u32be(len(place)) | place | value)

by SHA-256 for X25519, by SHA-384 for P-256, where the 48 bytes are a number and the key is its rest
by the group's order less one, plus one.

Nobody without the fleet's secret can tell it from a random one, and it depends on everything that
is encrypted under it, so one key never meets two values. What is given away is that a value is the
same as before in the same place, which its unchanged run says already.

Called by the manager's vault and by agents. The library is imported at first use.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.wire.reject import Reject, refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

LABEL = "propeller sealed v1"


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to seal. word: what a key begins with. number: what a sealed value begins with.

    size: bytes of a public half.
    """

    word: str
    number: int
    size: int

    @property
    def overhead(self) -> int:
        """Bytes a sealed value is longer than the value."""
        return 1 + self.size + 16


X25519 = Scheme("x25519", 1, 32)
P256 = Scheme("p256", 2, 65)
SCHEMES = {scheme.word: scheme for scheme in (X25519, P256)}

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group P-256 (SEC 2, secp256r1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The one place where a sealed value counts: moved anywhere else, it does not open."""

    device: str
    inst: str
    uid: str
    run: str
    name: str

    def bytes(self) -> bytes:
        """Unambiguous: none of the parts can hold a NUL."""
        parts = (LABEL, self.device, self.inst, self.uid, self.run, self.name)
        return "\0".join(parts).encode()


@dataclass(frozen=True, slots=True)
class BoxPublic:
    """The public half of a device's encryption key, as many bytes as its scheme says."""

    raw: bytes
    scheme: Scheme = X25519

    @classmethod
    def parse(cls, text: str) -> BoxPublic:
        """`<scheme>:<base64>`, the inverse of `text`. Raises WireError (bad_key)."""
        word, _, encoded = text.partition(":")
        scheme = SCHEMES.get(word)
        if scheme is None:
            known = " or ".join(f"{word}:" for word in SCHEMES)
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} does not begin with {known}")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} is not base64") from None
        key = cls(raw, scheme)
        if len(raw) != scheme.size or key.text != text or (scheme is P256 and raw[0] != 4):
            words = f"{text[:80]!r} is not {scheme.size} bytes spelled as we would"
            raise refusal(Reject.BAD_KEY, words)
        return key

    @property
    def text(self) -> str:
        """`<scheme>:<base64>`."""
        return f"{self.scheme.word}:" + base64.b64encode(self.raw).decode("ascii")


class BoxKey:
    """A device's encryption key and its `public` half. Never shown by `repr`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = BoxPublic(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> BoxKey:
        """A new key from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> BoxKey:
        """The key of 32 bytes. Raises WireError (bad_key)."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        try:
            return cls(X25519PrivateKey.from_private_bytes(seed))
        except ValueError as error:
            raise refusal(Reject.BAD_KEY, f"no private key: {error}") from None

    @classmethod
    def from_pem(cls, data: bytes) -> BoxKey:
        """An unencrypted PKCS#8 X25519 key. Raises WireError (bad_key)."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise refusal(Reject.BAD_KEY, f"no PEM private key: {error}") from None
        if not isinstance(key, X25519PrivateKey):
            raise refusal(Reject.BAD_KEY, "not an X25519 key")
        return cls(key)

    def to_pem(self) -> bytes:
        """Unencrypted PKCS#8 PEM: the file's permissions are its protection."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def seed(self) -> bytes:
        """The 32 bytes of the private key: a secret."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def shared(self, other: BoxPublic) -> bytes:
        """What both sides of an exchange agree on. Raises WireError (bad_key) for a weak point."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        if other.scheme is not X25519:
            raise refusal(Reject.BAD_KEY, f"{other.text} is on another curve")
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(other.raw))
        except ValueError:
            raise refusal(Reject.BAD_KEY, f"{other.text} agrees on nothing") from None

    def __repr__(self) -> str:
        return f"BoxKey({self.public.text!r})"


class PointKey:
    """The same on P-256: of a microcontroller, and ephemeral ones. Never shown by `repr`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        raw = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = BoxPublic(raw, P256)

    @classmethod
    def from_seed(cls, seed: bytes) -> PointKey:
        """The key of 48 bytes, which are evenly spread where they are."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(
            ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
        )

    def scalar(self) -> bytes:
        """The 32 bytes of the private key: a secret."""
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def shared(self, other: BoxPublic) -> bytes:
        """What both sides of an exchange agree on. Raises WireError (bad_key) for no point."""
        from cryptography.hazmat.primitives.asymmetric import ec

        if other.scheme is not P256:
            raise refusal(Reject.BAD_KEY, f"{other.text} is on another curve")
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), other.raw)
            return self._key.exchange(ec.ECDH(), point)
        except ValueError:
            raise refusal(Reject.BAD_KEY, f"{other.text} agrees on nothing") from None

    def __repr__(self) -> str:
        return f"PointKey({self.public.text!r})"


def seal_value(value: bytes, to: BoxPublic, place: Place, *, secret: bytes) -> str:
    """`value` sealed, as base64. secret: 32 bytes only this fleet's managers have.

    Raises WireError (bad_key) when `to` is no usable key.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    where = place.bytes()
    whole = to.raw + len(where).to_bytes(4, "big") + where + value
    ephemeral: BoxKey | PointKey
    if to.scheme is P256:
        ephemeral = PointKey.from_seed(hmac.digest(secret, whole, "sha384"))
    else:
        ephemeral = BoxKey.from_seed(hmac.digest(secret, whole, "sha256"))
    enc = ephemeral.public.raw
    key, nonce = _derived(ephemeral.shared(to), enc + to.raw, where)
    body = ChaCha20Poly1305(key).encrypt(nonce, value, where)
    return base64.b64encode(bytes([to.scheme.number]) + enc + body).decode("ascii")


def open_value(sealed: str, key: BoxKey | PointKey, place: Place) -> bytes:
    """The value. Raises WireError (bad_seal) for what was not sealed to this key for this place."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    scheme = key.public.scheme
    try:
        data = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise refusal(Reject.BAD_SEAL, "not base64") from None
    if len(data) < scheme.overhead or data[0] != scheme.number:
        raise refusal(Reject.BAD_SEAL, f"not a value sealed by scheme {scheme.number}")
    enc, body = BoxPublic(data[1 : 1 + scheme.size], scheme), data[1 + scheme.size :]
    where = place.bytes()
    opening, nonce = _derived(key.shared(enc), enc.raw + key.public.raw, where)
    try:
        return ChaCha20Poly1305(opening).decrypt(nonce, body, where)
    except InvalidTag:
        raise refusal(
            Reject.BAD_SEAL, f"{place.name} was sealed to another key or for another run"
        ) from None


def _derived(shared: bytes, salt: bytes, place: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    out = HKDF(algorithm=SHA256(), length=44, salt=salt, info=place).derive(shared)
    return out[:32], out[32:]
