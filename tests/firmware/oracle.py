"""Cryptography for 32-bit C tests, line by line on standard input: see `crypto_ask.c`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from propeller.errors import WireError
from propeller.wire.boxes import P256, X25519, BoxKey, BoxPublic, PointKey
from propeller.wire.signing import SigningKey, VerifyKey


def box(key: bytes, size: int) -> BoxKey | PointKey:
    """A private key of the curve whose public halves have so many bytes."""
    if size == 32:
        return BoxKey.from_seed(key)
    return PointKey(ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1()))


def secrets(word: str, values: list[bytes]) -> str:
    """The answers about sealed values."""
    match word:
        case "agree":
            pub = BoxPublic(values[1], X25519 if len(values[1]) == 32 else P256)
            return box(values[0], len(values[1])).shared(pub).hex()
        case "public":
            return box(values[0], values[1][0]).public.raw.hex()
        case "derive":
            secret, salt, info, size = values
            return HKDF(SHA256(), size[0], salt, info).derive(secret).hex()
        case "unseal":
            key, nonce, aad, data = values
            return ChaCha20Poly1305(key).decrypt(nonce, data, aad).hex()
        case _:
            key, nonce, aad, data = values
            return ChaCha20Poly1305(key).encrypt(nonce, data, aad).hex()


def answer(words: list[str]) -> str:
    """One answer."""
    given = words[2 if words[0] == "verify" else 1 :]
    values = [b"" if word == "-" else bytes.fromhex(word) for word in given]
    match words[0]:
        case "hash":
            return hashlib.sha256(values[0] if values else b"").hexdigest()
        case "sign":
            return SigningKey.from_seed(values[0]).sign(values[1]).hex()
    try:
        if words[0] != "verify":
            return secrets(words[0], values)
        key = VerifyKey(int(words[1]), values[0])
        return "yes" if key.verify(values[1], values[2]) else "no"
    except (WireError, InvalidTag):
        return "no"


for line in sys.stdin:
    print(answer(line.split()), flush=True)
