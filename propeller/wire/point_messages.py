"""What an entry grants its guest of the device: sensors to read, outputs to drive. Pure data.

A guest knows a point by the name its spec gave it; the device's own configuration says what is
behind it. docs/reference/guest.md.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_POINTS = 16
"""Points of one guest."""

MAX_OFFERED = 64
"""Points a device may say it has."""

MAX_POINT_RATE = 1000
"""Reads or writes a second that a grant may allow."""

OUTPUT = ":w"
"""How the name of an output ends in a hello; a sensor's is bare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePoint:
    """One name. Exactly one of read (a sensor of the device) and write (an output of it).

    rate: reads or writes a second at most.
    """

    name: str
    read: str | None = None
    write: str | None = None
    rate: int = 10
