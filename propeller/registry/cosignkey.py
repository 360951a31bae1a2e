"""Key pairs as cosign keeps them: who signs modules, and what signs the release list.

A private key is PKCS#8 of an ECDSA P-256 key, encrypted with a passphrase (scrypt, then NaCl
secretbox) and wrapped in PEM; a public key is the usual PEM. Both are the files that cosign writes
and reads (sigstore/pkg: `encrypted`, `cryptoutils`). Keys of other kinds are refused in words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from propeller.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

MAX_KEY_FILE = 64 * 1024
PRIVATE_LABELS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
"""As written today, and by cosign 1."""

KDF_N, KDF_R, KDF_P = 1 << 16, 8, 1
MOST_KDF = 1 << 21
"""N * r * p at most: a key file of somebody else must not take all memory (N*r*128 bytes)."""

_SALT, _NONCE = 32, 24
_LINE = 64

Randomness = Callable[[int], bytes]


class PublicKey:
    """An ECDSA P-256 key that may vouch for modules. `id`: hex SHA-256 of its DER, in short."""

    __slots__ = ("_key", "der", "id")

    def __init__(self, key: EllipticCurvePublicKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        self.der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(self.der).hexdigest()[:16]

    @classmethod
    def from_pem(cls, data: bytes, *, where: str) -> PublicKey:
        """Read `cosign.pub`. Raises UsageError naming `where`."""
        from cryptography.hazmat.primitives.asymmetric.ec import (
            SECP256R1,
            EllipticCurvePublicKey,
        )
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(data)
        except (ValueError, TypeError) as error:
            hint = "that is a private key: name the .pub file" if b"PRIVATE KEY" in data else ""
            raise UsageError(f"{where}: no public key in PEM: {error}", hint=hint) from None
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise UsageError(f"{where}: not an ECDSA P-256 key", hint="make one: propeller keygen")
        return cls(key)

    def to_pem(self) -> bytes:
        """`cosign.pub`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def point(self) -> bytes:
        """The 65 bytes of the uncompressed point, as `propeller.wire.signing` takes it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (ASN.1 DER of r and s) is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            self._key.verify(signature, message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"PublicKey({self.id})"


class PrivateKey:
    """A key that signs. Never shown by `repr`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new one from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, data: bytes, passphrase: bytes, *, where: str) -> PrivateKey:
        """Read `cosign.key`. Raises UsageError naming `where`: a wrong passphrase, another key."""
        from cryptography.hazmat.primitives.asymmetric.ec import (
            SECP256R1,
            EllipticCurvePrivateKey,
        )
        from cryptography.hazmat.primitives.serialization import load_der_private_key

        der = _decrypted(_unwrapped(data, where), passphrase, where)
        try:
            key = load_der_private_key(der, password=None)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{where}: no PKCS#8 key inside: {error}") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise UsageError(f"{where}: not an ECDSA P-256 key", hint="make one: propeller keygen")
        return cls(key)

    def to_pem(self, passphrase: bytes, randomness: Randomness) -> bytes:
        """`cosign.key`. randomness: so many unpredictable bytes."""
        from nacl.secret import SecretBox

        salt, nonce = randomness(_SALT), randomness(_NONCE)
        box = SecretBox(_derived(passphrase, salt, KDF_N, KDF_R, KDF_P))
        sealed = box.encrypt(self.pkcs8(), nonce).ciphertext
        document = {
            "kdf": {
                "name": "scrypt",
                "params": {"N": KDF_N, "r": KDF_R, "p": KDF_P},
                "salt": base64.b64encode(salt).decode("ascii"),
            },
            "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode("ascii")},
            "ciphertext": base64.b64encode(sealed).decode("ascii"),
        }
        body = base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()
        lines = [body[at : at + _LINE] for at in range(0, len(body), _LINE)]
        label = PRIVATE_LABELS[0]
        return "\n".join(
            (f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")
        ).encode()

    def pkcs8(self) -> bytes:
        """The key in clear, DER: never written anywhere by itself."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def pkcs8_pem(self) -> bytes:
        """The same as unencrypted PEM, for `propeller.wire.signing.SigningKey.from_pem`."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, ASN.1 DER."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(message, ECDSA(SHA256()))

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.id})"


def _unwrapped(data: bytes, where: str) -> bytes:
    """What is inside the PEM."""
    text = data.decode("ascii", errors="replace").strip()
    for label in PRIVATE_LABELS:
        begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
        if text.startswith(begin) and text.endswith(end):
            try:
                return base64.b64decode(
                    "".join(text[len(begin) : -len(end)].split()), validate=True
                )
            except (binascii.Error, ValueError):
                raise UsageError(f"{where}: its PEM is not base64") from None
    if "PRIVATE KEY" in text[:60]:
        hint = "import it: cosign import-key-pair, or make one: propeller keygen"
        raise UsageError(f"{where}: a private key, but not as cosign encrypts it", hint=hint)
    raise UsageError(f"{where}: no private key of cosign's", hint="make one: propeller keygen")


def _decrypted(body: bytes, passphrase: bytes, where: str) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        document = json.loads(body)
        kdf, cipher = document["kdf"], document["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise UsageError(f"{where}: encrypted with {kdf['name']} and {cipher['name']}")
        n, r, p = (int(kdf["params"][each]) for each in ("N", "r", "p"))
        salt = base64.b64decode(kdf["salt"], validate=True)
        nonce = base64.b64decode(cipher["nonce"], validate=True)
        sealed = base64.b64decode(document["ciphertext"], validate=True)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UsageError(f"{where}: not what cosign writes into a key file") from None
    sound = n > 1 and n & (n - 1) == 0 and r > 0 and p > 0 and n * r * p <= MOST_KDF
    if not sound or len(nonce) != _NONCE:
        raise UsageError(f"{where}: its scrypt parameters N={n}, r={r}, p={p} are not taken")
    try:
        return SecretBox(_derived(passphrase, salt, n, r, p)).decrypt(sealed, nonce)
    except (CryptoError, ValueError):
        raise UsageError(
            f"{where}: the passphrase does not open it",
            hint="PROPELLER_KEY_PASSWORD or COSIGN_PASSWORD, or --password-file",
        ) from None


def _derived(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=512 << 20)
