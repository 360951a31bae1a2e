"""What is done about a device that does not hold what it said it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ids import PropletId, Uid
from propeller.model.selector import Selector


class Drift(StrEnum):
    """Correct asks the device anew, Detect only says so, Ignore does not even that."""

    CORRECT = "Correct"
    DETECT = "Detect"
    IGNORE = "Ignore"


class DriftReason(StrEnum):
    """How a device differs from the document that it says it took."""

    MISSING = "RunMissing"  # a run that is listed there is not reported
    DIFFERS = "RunDiffers"  # it runs from another entry than the one listed
    STRAY = "RunStray"  # it reports a run that is not listed


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreDrift:
    """Drift that is left alone. reasons, proplets: None for any. All that is given must fit."""

    reasons: frozenset[DriftReason] | None = None
    proplets: frozenset[PropletId] | None = None
    selector: Selector = Selector()

    def covers(self, reason: DriftReason, proplet: PropletId, labels: Mapping[str, str]) -> bool:
        """Whether that is to be left alone on a proplet with these labels."""
        return (
            (self.reasons is None or reason in self.reasons)
            and (self.proplets is None or proplet in self.proplets)
            and self.selector.matches(labels)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Of one object at one generation. times: Unix ms, within the last hour, oldest first.

    flapping: there were too many; no more are made.
    """

    uid: Uid
    generation: int
    times: tuple[int, ...] = ()
    flapping: bool = False
