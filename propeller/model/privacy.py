"""What a FederatedTask asks for so that single updates tell less, and what that has cost.

Decimal text as it was written; whoever counts with it makes floats of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Central differential privacy. multiplier: standard deviation in clipping norms. delta, most:
    of the budget, which is an epsilon."""

    multiplier: str
    delta: str
    most: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapt:
    """A clipping norm that follows: by which rate, until which share of updates is not clipped."""

    rate: str
    quantile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What the device does before anything leaves it. multiplier: of `norm`, "" for no noise."""

    norm: str
    multiplier: str = ""


@dataclass(frozen=True, slots=True)
class Purse:
    """What one object has spent. why: what forbids one more round, "" when nothing does."""

    why: str = ""


def noise_of(privacy: Mapping[str, Any]) -> Noise | None:
    """`spec.privacy.noise` in canonical form."""
    given = privacy.get("noise")
    if given is None:
        return None
    return Noise(multiplier=given["multiplier"], delta=given["delta"], most=given["maxEpsilon"])


def adapt_of(privacy: Mapping[str, Any]) -> Adapt | None:
    """`spec.privacy.clipping.adapt` in canonical form."""
    given = privacy.get("clipping", {}).get("adapt")
    return None if given is None else Adapt(rate=given["rate"], quantile=given["quantile"])


def local_of(privacy: Mapping[str, Any]) -> Local | None:
    """`spec.privacy.local` in canonical form."""
    given = privacy.get("local")
    if given is None:
        return None
    return Local(norm=given["norm"], multiplier=given.get("multiplier", ""))
