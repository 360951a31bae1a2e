"""What is done about a device that does not hold what it said it took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ids import Uid


class Drift(StrEnum):
    """Correct asks the device anew, Detect only says so, Ignore does not even that."""

    CORRECT = "Correct"
    DETECT = "Detect"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Of one object at one generation. times: Unix ms, within the last hour, oldest first.

    flapping: there were too many; no more are made.
    """

    uid: Uid
    generation: int
    times: tuple[int, ...] = ()
    flapping: bool = False
