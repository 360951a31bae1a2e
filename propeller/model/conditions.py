"""Conditions: what is true of an object, since when, and why, in words a person understands.

The shape is that of Kubernetes' `metav1.Condition`. `status` rows hold them, `plan.conditions`
makes them, the command line and the status files show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum


class ConditionStatus(StrEnum):
    """Unknown is said as such and never dressed as one of the others."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition. reason: one CamelCase word. transition: when `status` changed (Unix ms)."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    transition: int

    def mapping(self) -> dict[str, object]:
        """As it stands in a status document, `lastTransitionTime` in RFC 3339."""
        return {
            "type": self.type,
            "status": str(self.status),
            "observedGeneration": self.observed_generation,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": moment(self.transition),
        }

    @staticmethod
    def from_mapping(row: Mapping[str, object]) -> Condition:
        """The inverse of `mapping`. Raises KeyError or ValueError for what it did not write."""
        generation = row["observedGeneration"]
        if not isinstance(generation, int):
            raise ValueError(f"observedGeneration: {generation!r} is not an integer")
        when = datetime.fromisoformat(str(row["lastTransitionTime"]))
        return Condition(
            type=str(row["type"]),
            status=ConditionStatus(str(row["status"])),
            reason=str(row["reason"]),
            message=str(row["message"]),
            observed_generation=generation,
            transition=round(when.timestamp() * 1000),
        )


def moment(at: int) -> str:
    """Unix ms as `2026-11-24T07:00:00Z`, milliseconds only where there are any."""
    when = datetime.fromtimestamp(at // 1000, tz=UTC).replace(microsecond=at % 1000 * 1000)
    text = when.isoformat(timespec="milliseconds" if at % 1000 else "seconds")
    return text.replace("+00:00", "Z")


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, None where it is not present."""
    return next((condition for condition in conditions if condition.type == type_), None)


def carried_over(
    fresh: Iterable[Condition], previous: Iterable[Condition]
) -> tuple[Condition, ...]:
    """`fresh`, with the old transition time wherever the status did not change."""
    before = {condition.type: condition for condition in previous}
    kept = []
    for condition in fresh:
        old = before.get(condition.type)
        if old is not None and old.status is condition.status:
            condition = replace(condition, transition=old.transition)  # noqa: PLW2901 - same one, older
        kept.append(condition)
    return tuple(kept)
