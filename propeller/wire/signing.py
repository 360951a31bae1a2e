"""Keys of the protocol: making, reading, writing, signing and verifying, with `cryptography`.

Two algorithms: Ed25519 (1) for everyone who has it, ECDSA over P-256 with SHA-256 (2) for devices
whose crypto library has no Ed25519. A key is named by its `kid`, the first 16 hex digits of the
SHA-256 of the public key's bytes (32 for Ed25519, the 65 of an uncompressed point for P-256), and
written `ed25519:<base64>` or `p256:<base64>`. The library is imported at first use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import cache
from typing import TYPE_CHECKING

from propeller.wire.reject import Reject, refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ED25519 = 1
P256 = 2
ALG_NAMES = {ED25519: "ed25519", P256: "p256"}
SIGNATURE_SIZE = 64

_ALG_OF = {name: alg for alg, name in ALG_NAMES.items()}
_RAW_SIZE = {ED25519: 32, P256: 65}
_HALF = 32  # bytes of each of r and s


class VerifyKey:
    """A public key, equal by algorithm and bytes. Raises WireError (bad_key) for other bytes."""

    __slots__ = ("_key", "alg", "kid", "raw")

    def __init__(self, alg: int, raw: bytes) -> None:
        if alg not in _RAW_SIZE:
            raise refusal(Reject.UNKNOWN_ALG, f"algorithm {alg}")
        if len(raw) != _RAW_SIZE[alg]:
            raise refusal(Reject.BAD_KEY, f"{len(raw)} bytes, wanted {_RAW_SIZE[alg]}")
        self.alg = alg
        self.raw = raw
        self.kid = hashlib.sha256(raw).hexdigest()[:16]
        self._key: Ed25519PublicKey | EllipticCurvePublicKey | None = None

    @classmethod
    def parse(cls, text: str) -> VerifyKey:
        """The inverse of `text`. Raises WireError (bad_key)."""
        name, _, encoded = text.partition(":")
        if name not in _ALG_OF:
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} begins neither ed25519: nor p256:")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} is not base64") from None
        key = cls(_ALG_OF[name], raw)
        if key.text != text:
            raise refusal(Reject.BAD_KEY, f"{text[:80]!r} is not spelled as we would")
        key._opened()
        return key

    @property
    def text(self) -> str:
        """`ed25519:<base64>` or `p256:<base64>`."""
        return f"{ALG_NAMES[self.alg]}:{base64.b64encode(self.raw).decode('ascii')}"

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (64 bytes; r and s for P-256) is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(signature) != SIGNATURE_SIZE:
            return False
        key = self._opened()
        try:
            if isinstance(key, EllipticCurvePublicKey):
                r = int.from_bytes(signature[:_HALF], "big")
                s = int.from_bytes(signature[_HALF:], "big")
                key.verify(encode_dss_signature(r, s), message, _ecdsa())
            else:
                key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _opened(self) -> Ed25519PublicKey | EllipticCurvePublicKey:
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

            try:
                if self.alg == ED25519:
                    self._key = Ed25519PublicKey.from_public_bytes(self.raw)
                else:
                    self._key = ec.EllipticCurvePublicKey.from_encoded_point(
                        ec.SECP256R1(), self.raw
                    )
            except ValueError:
                raise refusal(Reject.BAD_KEY, "no public key of its algorithm") from None
        return self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and (self.alg, self.raw) == (other.alg, other.raw)

    def __hash__(self) -> int:
        return hash((self.alg, self.raw))

    def __repr__(self) -> str:
        return f"VerifyKey({self.text!r})"


class SigningKey:
    """A private key and its `public` half. Never shown by `repr`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        if isinstance(key, Ed25519PrivateKey):
            alg, form, encoding = ED25519, PublicFormat.Raw, Encoding.Raw
        else:
            alg, form, encoding = P256, PublicFormat.UncompressedPoint, Encoding.X962
        self.public = VerifyKey(alg, key.public_key().public_bytes(encoding, form))

    @classmethod
    def generate(cls, alg: int = ED25519) -> SigningKey:
        """A new key from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if alg == ED25519:
            return cls(Ed25519PrivateKey.generate())
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_seed(cls, seed: bytes, alg: int = ED25519) -> SigningKey:
        """The key of 32 bytes: an Ed25519 seed or a P-256 scalar. Raises WireError (bad_key)."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            if alg == ED25519:
                return cls(Ed25519PrivateKey.from_private_bytes(seed))
            return cls(ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1()))
        except ValueError as error:
            raise refusal(Reject.BAD_KEY, f"no private key: {error}") from None

    @classmethod
    def from_pem(cls, data: bytes) -> SigningKey:
        """An unencrypted PKCS#8 key of one of the two algorithms. Raises WireError (bad_key)."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise refusal(Reject.BAD_KEY, f"no PEM private key: {error}") from None
        if isinstance(key, Ed25519PrivateKey):
            return cls(key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise refusal(Reject.BAD_KEY, "neither an Ed25519 nor a P-256 key")

    def to_pem(self) -> bytes:
        """Unencrypted PKCS#8 PEM: the file's permissions are its protection."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def kid(self) -> str:
        """The name of its public key."""
        return self.public.kid

    @property
    def alg(self) -> int:
        """ED25519 or P256."""
        return self.public.alg

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same for the same message (RFC 8032, RFC 6979)."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        if isinstance(self._key, EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(message, _ecdsa()))
            return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.text!r})"


@cache
def _ecdsa() -> ECDSA:
    """ECDSA with SHA-256, without a random nonce where OpenSSL can do that."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        return ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ECDSA(SHA256())
