"""The last hour of a guest for a curve, from what the store keeps of its proplet's reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from propeller.model.samples import HOUR, MINUTE, NAMED, Sample

__all__ = ["LONG", "MINUTE", "NAMED", "POINTS", "Point", "points_of"]

LONG: Final = HOUR
POINTS: Final = LONG // MINUTE


@dataclass(frozen=True, slots=True)
class Point:
    """One minute. at: Unix ms. cpu: thousandths of a core, memory: bytes; None: not told."""

    at: int
    cpu: int | None
    memory: int | None


def points_of(past: Iterable[Sample], uid: str) -> tuple[Point, ...]:
    """Of the guest of that object, oldest first."""
    mine = (one.of_guest(uid) for one in past)
    return tuple(
        Point(one.at, one.mean.get("cpu"), one.mean.get("rss"))
        for one in mine
        if one is not None and one.mean.keys() & {"cpu", "rss"}
    )
