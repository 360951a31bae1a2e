"""How far one run of a Workflow is: a row, so that a crash of anything loses nothing.

What a step gave is kept here and not asked of its device again, which may be gone by the time the
next step needs it. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ids import Uid


class StepState(StrEnum):
    """Where a step stands in one run of its Workflow."""

    WAITING = "Waiting"
    RUNNING = "Running"  # it may: what its Task does says more
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def over(self) -> bool:
        """Whether it will not move any more in this run."""
        return self in (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step. result: what it gave, None where it gave nothing. why: words for a person. again:
    with which resumption of the run it began anew, 0 for its first time."""

    name: str
    state: StepState = StepState.WAITING
    result: str | None = None
    why: str = ""
    began: int = 0
    ended: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One run of a Workflow. base: `once` or `cron:<slot>`. key: what was to be run
    (`specs.Workflow.key`); another one is another run. ended: 0 while it goes on. resumed: how
    often it went on after it had failed."""

    uid: Uid
    base: str
    key: str
    steps: tuple[StepRow, ...]
    began: int
    ended: int = 0
    timed_out: bool = False
    resumed: int = 0

    def step(self, name: str) -> StepRow | None:
        """The row of that step."""
        return next((one for one in self.steps if one.name == name), None)

    @property
    def results(self) -> Mapping[str, str]:
        """What steps gave, by name."""
        return {one.name: one.result for one in self.steps if one.result is not None}
