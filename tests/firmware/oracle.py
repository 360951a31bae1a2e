"""Cryptography for 32-bit C tests, line by line on standard input: see `crypto_ask.c`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from propeller.errors import WireError
from propeller.wire.signing import SigningKey, VerifyKey


def answer(words: list[str]) -> str:
    """One answer."""
    values = [bytes.fromhex(word) for word in words[2 if words[0] == "verify" else 1 :]]
    match words[0]:
        case "hash":
            return hashlib.sha256(values[0] if values else b"").hexdigest()
        case "sign":
            return SigningKey.from_seed(values[0]).sign(values[1]).hex()
    try:
        key = VerifyKey(int(words[1]), values[0])
        return "yes" if key.verify(values[1], values[2]) else "no"
    except WireError:
        return "no"


for line in sys.stdin:
    print(answer(line.split()), flush=True)
