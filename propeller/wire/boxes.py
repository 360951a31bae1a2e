"""Sealed values: what one device can open, for the one run it was meant for, and nobody else.

A secret travels in a desired document as bytes sealed to the device's X25519 key. The key of each
value is agreed anew (HPKE's base mode in shape, with its parts spelled out for small devices):

    place  = "propeller sealed v1" 00 device 00 inst 00 uid 00 run 00 name      (UTF-8)
    enc    = X25519(ephemeral, base)
    shared = X25519(ephemeral, device key)
    key | nonce = HKDF-SHA256(shared, salt = enc | device key, info = place, 32 + 12 bytes)
    sealed = 01 | enc | ChaCha20-Poly1305(key, nonce, value, aad = place)

The ephemeral key is not drawn but derived, so that the same value for the same place gives the same
bytes and a document that did not change does not look changed:

    ephemeral = HMAC-SHA256(fleet secret, device key | u32be(len(place)) | place | value)

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
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

LABEL = "propeller sealed v1"
VERSION = 1
KEY_SIZE = 32
OVERHEAD = 1 + KEY_SIZE + 16
"""Bytes a sealed value is longer than the value."""

_PREFIX = "x25519:"


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
    """The public half of a device's encryption key, 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> BoxPublic:
        """`x25519:<base64>`, the inverse of `text`. Raises WireError (bad_key)."""
        if not text.startswith(_PREFIX):
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} does not begin with {_PREFIX}")
        try:
            raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} is not base64") from None
        key = cls(raw)
        if len(raw) != KEY_SIZE or key.text != text:
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} is not 32 bytes spelled as we would")
        return key

    @property
    def text(self) -> str:
        """`x25519:<base64>`."""
        return _PREFIX + base64.b64encode(self.raw).decode("ascii")


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

        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(other.raw))
        except ValueError:
            raise refusal(Reject.BAD_KEY, f"{other.text} agrees on nothing") from None

    def __repr__(self) -> str:
        return f"BoxKey({self.public.text!r})"


def seal_value(value: bytes, to: BoxPublic, place: Place, *, secret: bytes) -> str:
    """`value` sealed, as base64. secret: 32 bytes only this fleet's managers have.

    Raises WireError (bad_key) when `to` is no usable key.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    where = place.bytes()
    whole = to.raw + len(where).to_bytes(4, "big") + where + value
    ephemeral = BoxKey.from_seed(hmac.digest(secret, whole, "sha256"))
    enc = ephemeral.public.raw
    key, nonce = _derived(ephemeral.shared(to), enc + to.raw, where)
    body = ChaCha20Poly1305(key).encrypt(nonce, value, where)
    return base64.b64encode(bytes([VERSION]) + enc + body).decode("ascii")


def open_value(sealed: str, key: BoxKey, place: Place) -> bytes:
    """The value. Raises WireError (bad_seal) for what was not sealed to this key for this place."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        data = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise refusal(Reject.BAD_SEAL, "not base64") from None
    if len(data) < OVERHEAD or data[0] != VERSION:
        raise refusal(Reject.BAD_SEAL, "not a sealed value of version 1")
    enc, body = BoxPublic(data[1 : 1 + KEY_SIZE]), data[1 + KEY_SIZE :]
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
