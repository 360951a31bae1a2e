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
    QUEUE = "Queue"
    GUEST = "Guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """least and most copies. target: thousandths of one core (Cpu), of `limits.memory` (Memory),
    of a call under way (Calls) or waiting (Queue), or of what the guest tells as `named` (Guest)
    that each copy is to take. patience: ms for which fewer copies must have been enough before one
    goes. hold: ms a call that finds no copy waits for the first; least is 0 for Functions only."""

    least: int
    most: int
    gauge: Gauge
    target: int
    patience: int
    named: str = ""
    hold: int = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many copies there are to be, and what was found to be enough lately.

    votes: (Unix ms, copies), oldest first: those within `patience` and the one before. Of a long
    patience several looks share a vote, the largest. said: the measurement in words.
    """

    uid: Uid
    copies: int
    votes: tuple[tuple[int, int], ...] = ()
    looked_at: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Called:
    """Calls wait at a gateway and no copy is there. at: when it said so (Unix ms); its word holds
    for a moment and is repeated. calls: how many wait."""

    at: int
    calls: int
