"""Who is invited to a round: by seeded keys, so that anyone can check the choice from the record.

`key_i = HMAC-SHA256(seed, run | round | attempt | proplet_i)`, smallest keys first. A
proplet that joins or leaves moves nobody else, and no random number library is involved.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from fractions import Fraction


def invited_count(*, target: int, over: Fraction, eligible: int) -> int:
    """min(eligible, ceil(target * over)); over is at least 1."""
    wanted = -((-target * over.numerator) // over.denominator)
    return min(eligible, wanted)


def select(
    eligible: Iterable[str], *, count: int, seed: bytes, job: str, round_: int, attempt: int
) -> tuple[str, ...]:
    """The `count` of `eligible` with the smallest keys, in the order of their keys."""
    keyed = sorted(
        (selection_key(seed, job=job, round_=round_, attempt=attempt, proplet=one), one)
        for one in set(eligible)
    )
    return tuple(one for _, one in keyed[:count])


def selection_key(seed: bytes, *, job: str, round_: int, attempt: int, proplet: str) -> bytes:
    """32 bytes. The parts are joined by `|`, which no proplet id holds."""
    return hmac.digest(seed, f"{job}|{round_}|{attempt}|{proplet}".encode(), "sha256")


def training_seed(seed: bytes, *, job: str, round_: int, attempt: int, proplet: str) -> str:
    """16 hex digits from which a trainer draws: the same for a repeated run of an assignment."""
    text = f"train|{job}|{round_}|{attempt}|{proplet}".encode()
    return hmac.digest(seed, text, "sha256").hex()[:16]
