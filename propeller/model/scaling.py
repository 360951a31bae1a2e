"""How the number of copies of a Daemon follows what they take: the spec, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ids import Uid


class Gauge(StrEnum):
    """What is measured of each copy."""

    CPU = "Cpu"
    MEMORY = "Memory"
    CALLS = "Calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """least and most copies. target: thousandths of one core (Cpu), of `limits.memory` (Memory)
    or of a call under way (Calls) that each copy is to take. patience: ms for which fewer copies
    must have been enough before one goes."""

    least: int
    most: int
    gauge: Gauge
    target: int
    patience: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many copies there are to be, and what was found to be enough lately.

    votes: (Unix ms, copies), oldest first, within `patience`. said: the measurement in words.
    """

    uid: Uid
    copies: int
    votes: tuple[tuple[int, int], ...] = ()
    looked_at: int = 0
    said: str = ""
