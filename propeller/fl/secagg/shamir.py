"""Shamir's sharing of 32-byte secrets modulo the prime 2^521 - 1 (Shamir 1979).

A share is the value of a polynomial of degree t - 1 at x = 1, 2, ...; t of them give the value at
0, fewer say nothing. `Recovery` computes the Lagrange coefficients of a set of helpers once and
then restores any number of secrets that the same helpers have shares of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from propeller.fl.errors import Refusal, Why

PRIME: Final = (1 << 521) - 1
SECRET_SIZE: Final = 32
SHARE_SIZE: Final = 66

Draw = Callable[[int], bytes]
"""That many bytes from the system's entropy; a seeded stream in tests."""


def split(secret: bytes, *, threshold: int, holders: int, draw: Draw) -> tuple[bytes, ...]:
    """A share for each of x = 1 .. holders."""
    assert len(secret) == SECRET_SIZE
    assert 1 <= threshold <= holders
    # 128 bits more than the prime: reducing them leaves no bias that could be seen.
    curve = [int.from_bytes(draw(SHARE_SIZE + 16)) % PRIME for _ in range(threshold - 1)]
    curve.append(int.from_bytes(secret))
    out = []
    for x in range(1, holders + 1):
        value = 0
        for coefficient in curve:
            value = (value * x + coefficient) % PRIME
        out.append(value.to_bytes(SHARE_SIZE))
    return tuple(out)


class Recovery:
    """What the helpers at these x can restore."""

    def __init__(self, helpers: Sequence[int]) -> None:
        assert len(set(helpers)) == len(helpers)
        assert all(x > 0 for x in helpers)
        self._coefficients: dict[int, int] = {}
        for x in helpers:
            top, bottom = 1, 1
            for other in helpers:
                if other != x:
                    top = top * other % PRIME
                    bottom = bottom * (other - x) % PRIME
            self._coefficients[x] = top * pow(bottom, -1, PRIME) % PRIME

    def secret(self, shares: Mapping[int, bytes]) -> bytes:
        """From a share of every helper, by x. Raises Refusal (malformed) where they are not of one
        secret; that they are is not proved: compare what comes out with its commitment."""
        total = 0
        for x, coefficient in self._coefficients.items():
            share = shares.get(x)
            if share is None or len(share) != SHARE_SIZE:
                raise Refusal(Why.MALFORMED, f"no share of {SHARE_SIZE} bytes from holder {x}")
            value = int.from_bytes(share)
            if value >= PRIME:
                raise Refusal(Why.MALFORMED, f"a share beyond the prime from holder {x}")
            total = (total + coefficient * value) % PRIME
        if total >> (8 * SECRET_SIZE):
            raise Refusal(Why.MALFORMED, "shares that are not of one secret")
        return total.to_bytes(SECRET_SIZE)
