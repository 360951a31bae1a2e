"""Masks in the ring of 32-bit integers, and the vectors they hide.

A mask is the ChaCha20 key stream of a 256-bit seed: nothing shorter than the key, and no generator
made for simulations. Quantised: `floor((clip(f D, -c, c) / c + 1) / 2 * (2^b - 1) + U)` with
f = w / w_max, the weight itself as one element more; sums of m do not wrap while
m (2^b - 1) < 2^32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from propeller.errors import UsageError
from propeller.fl.encodings import Uniform
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Sum, Vector
from propeller.fl.secagg.messages import MODULUS

Ring = NDArray[np.uint32]

SEED_SIZE: Final = 32


def mask(seed: bytes, count: int) -> Ring:
    """`count` ring elements of a seed: ChaCha20, counter and nonce zero, little-endian."""
    assert len(seed) == SEED_SIZE
    stream = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(bytes(4 * count))
    return np.frombuffer(stream, "<u4").astype(np.uint32)


def agreed(private: bytes, public: bytes, info: bytes) -> bytes:
    """32 bytes that two X25519 keys agree on for `info`. Raises Refusal (malformed) for a point of
    small order."""
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError as error:
        raise Refusal(Why.MALFORMED, "a public key that agrees on nothing") from error
    return HKDF(hashes.SHA256(), SEED_SIZE, salt=None, info=info).derive(shared)


def public_of(private: bytes) -> bytes:
    """The public half, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def commitment(seed: bytes) -> bytes:
    """What a seed of full entropy is recognised by, and not found by."""
    return hashlib.sha256(b"propeller-secagg-seed-v1\0" + seed).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """clip: of each weighted coordinate. bits: of a coordinate. most: the largest weight (samples).

    members: the most that are ever summed.
    """

    clip: float
    bits: int
    most: int
    members: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.clip) and self.clip > 0):
            raise UsageError(f"secure aggregation: clip must be above 0, not {self.clip:g}")
        if not 2 <= self.bits <= 31 or self.most < 1 or self.members < 1:
            raise UsageError("secure aggregation: bits from 2 to 31, weights and members from 1")
        if self.members * self.levels >= MODULUS or self.members * self.most >= MODULUS:
            raise UsageError(
                f"secure aggregation: {self.members} updates of {self.bits} bits and weights of "
                f"{self.most} do not fit 32 bits; use fewer bits or a lower maxSamples"
            )

    @property
    def levels(self) -> int:
        """Of a coordinate, without zero."""
        return (1 << self.bits) - 1

    @property
    def error(self) -> float:
        """The most that a coordinate of the weighted sum is off for each member, weights in parts
        of `most`: one level. (What was longer than `clip` is cut beside that.)"""
        return 2 * self.clip / self.levels

    def quantised(self, delta: Vector, weight: int, uniform: Uniform) -> Ring:
        """`delta` times its weight, and the weight: P + 1 elements. Raises Refusal."""
        if not 1 <= weight <= self.most:
            raise Refusal(Why.TOO_MANY_SAMPLES, f"a weight of {weight}, from 1 to {self.most}")
        if not np.isfinite(delta).all():
            raise Refusal(Why.NOT_FINITE, "a delta with a NaN or an infinity")
        scaled = np.clip(delta.astype(np.float64) * (weight / self.most), -self.clip, self.clip)
        grid = (scaled / self.clip + 1.0) / 2.0 * self.levels
        drawn = uniform.random(len(delta), np.float32).astype(np.float64)
        out = np.empty(len(delta) + 1, np.uint32)
        out[:-1] = np.clip(np.floor(grid + drawn), 0, self.levels).astype(np.uint32)
        out[-1] = weight
        return out

    def mean(self, total: Ring, members: int) -> tuple[Sum, int]:
        """The weighted mean, f64 (P,), and the sum of weights, from the unmasked sum of `members`
        vectors. Raises Refusal (zero-weight)."""
        weight = int(total[-1])
        if not members <= weight <= members * self.most:
            raise Refusal(Why.ZERO_WEIGHT, f"{members} updates with a weight of {weight}")
        raw = 2.0 * total[:-1].astype(np.float64) / self.levels - members
        return raw * (self.clip * self.most / weight), weight
