"""Where the conditions of one object are collected; shared by whoever says how a kind is doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from propeller.model.conditions import Condition, ConditionStatus, carried_over, find
from propeller.model.inventory import Held
from propeller.plan.findings import Finding
from propeller.plan.tally import Devices

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
Row = tuple[ConditionStatus, str, str]

NEEDS_A_PERSON = frozenset(
    {
        "ModuleInvalid",
        "ModuleUnsigned",
        "NotEncrypted",
        "NotReleased",
        "Unfit",
        "RolledBack",
        "RolloutPaused",
        "DriftFlapping",
        "ModelInvalid",
        "BudgetSpent",
    }
)
"""What only an edit, an operator, or another fleet can lift."""
WAITS = frozenset(
    {
        "NotHeard",
        "AllOffline",
        "ModuleUnresolved",
        "Held",
        "DependencyNotReady",
        "TooFewProplets",
        "ModelUnavailable",
        "StepWaiting",
        "PluginPending",
    }
)
"""Blocks that lift by themselves: Ready is Unknown meanwhile, not False."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The status of one object.

    counts: `devices` for workloads, objects by readiness for an App. rollout: how far its versions
    are, None where it just follows its spec. drift: where devices differ from what they took. due:
    when the same facts will mean something else (Unix ms), None when only news can change it.
    """

    conditions: tuple[Condition, ...]
    observed_generation: int
    devices: Devices
    counts: Mapping[str, int]
    rollout: Mapping[str, object] | None = None
    drift: tuple[Finding, ...] = ()
    due: int | None = None

    @property
    def ready(self) -> str:
        """Status of the Ready condition: True, False or Unknown."""
        condition = find(self.conditions, "Ready")
        return str(condition.status) if condition is not None else ""

    @property
    def outcome(self) -> str:
        """One word for the history: the reason of the Ready condition."""
        condition = find(self.conditions, "Ready")
        return condition.reason if condition is not None else ""


class Board:
    """Collects the conditions of one object."""

    def __init__(self, held: Held, now: int) -> None:
        self._held = held
        self._now = now
        self._rows: list[Condition] = []

    def put(self, type_: str, status: ConditionStatus, reason: str, message: str) -> None:
        self._rows.append(
            Condition(
                type=type_,
                status=status,
                reason=reason,
                message=message,
                observed_generation=self._held.generation,
                transition=self._now,
            )
        )

    def summary(
        self,
        previous: Iterable[Condition],
        *,
        counts: Mapping[str, int],
        devices: Devices | None = None,
        rollout: Mapping[str, object] | None = None,
        drift: Iterable[Finding] = (),
        due: int | None = None,
    ) -> Summary:
        return Summary(
            conditions=carried_over(self._rows, previous),
            observed_generation=self._held.generation,
            devices=devices if devices is not None else Devices(),
            counts=counts,
            rollout=rollout,
            drift=tuple(drift),
            due=due,
        )
