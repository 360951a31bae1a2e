"""What the two sides tell each other, and how a pair of keys is bound to its round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from propeller.errors import UsageError
from propeller.fl.errors import Refusal, Why

MODULUS: Final = 1 << 32
"""Of the ring that masked numbers are in."""


def bits_of(members: int) -> int:
    """The most bits of a number, up to 22, so that the sum of so many does not wrap."""
    return min(22, (MODULUS // members).bit_length() - 1)


def threshold_of(members: int) -> int:
    """How many of so many must be there to the end: more than two thirds, at least 3.

    Above one half no two sets of survivors can be opened; above two thirds not even by a server
    that tells different devices of different ones.
    """
    return max(3, 2 * members // 3 + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Of one round. threshold: how many must be there to the end, more than half of `cohort`.

    count: ring elements of a masked vector, P + 1; 0 where that is not known.
    """

    job: str
    round: int
    attempt: int
    cohort: tuple[str, ...]
    threshold: int
    count: int = 0

    def __post_init__(self) -> None:
        if len(set(self.cohort)) != len(self.cohort) or tuple(sorted(self.cohort)) != self.cohort:
            raise UsageError("secure aggregation: a cohort is sorted and names nobody twice")
        if not len(self.cohort) < 2 * self.threshold <= 2 * len(self.cohort):
            raise UsageError(
                f"secure aggregation: a threshold of {self.threshold} is not above half of "
                f"{len(self.cohort)}: two halves could be asked for different shares"
            )
        if self.threshold < 3:
            raise UsageError("secure aggregation: fewer than 3 hide nobody among the others")

    def place(self, proplet: str) -> int:
        """The x of a proplet's shares, from 1. Raises Refusal (wrong-job) for a stranger."""
        try:
            return self.cohort.index(proplet) + 1
        except ValueError:
            raise Refusal(Why.WRONG_JOB, f"{proplet[:60]!r} is not of this cohort") from None

    def context(self, use: str, *parties: str) -> bytes:
        """Binds a derived key to its use, round and parties."""
        parts = ("propeller-secagg-v1", use, self.job, str(self.round), str(self.attempt), *parties)
        return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)


def enough(found: int, terms: Terms, what: str) -> None:
    """Raises Refusal (threshold)."""
    if found < terms.threshold:
        raise Refusal(Why.THRESHOLD, f"{found} {what}, needs {terms.threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """R0, client to all: public halves for sealing and for masks, and what its own seed is known
    by."""

    proplet: str
    seal: bytes
    mask: bytes
    seed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """R3, client to server: shares of seeds of those who are in the sum, of mask keys of those who
    fell out. Nobody is in both."""

    proplet: str
    seeds: Mapping[str, bytes]
    keys: Mapping[str, bytes]
