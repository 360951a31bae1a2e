"""How a new version is brought to the copies of an object, as its spec says it.

Durations are milliseconds, shares are `Amount`s. What is decided with it stands in `plan.rollout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from propeller.model.checks import Check


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of copies, or a share of all of them in percent."""

    number: int
    percent: bool = False

    @staticmethod
    def parse(text: str) -> Amount:
        """`"3"` or `"10%"`. Raises ValueError."""
        return Amount(int(text.removesuffix("%")), text.endswith("%"))

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)

    def up(self, total: int) -> int:
        """How many of `total`, a part of one counted as one; never more than `total`."""
        number = -(-total * self.number // 100) if self.percent else self.number
        return min(total, number)

    def down(self, total: int) -> int:
        """How many of `total`, a part of one left out; never more than `total`."""
        number = total * self.number // 100 if self.percent else self.number
        return min(total, number)


class OfflinePolicy(StrEnum):
    """What a silent proplet means to a rollout."""

    COUNT = "Count"  # it is one of all, and a step waits for it
    EXCLUDE = "Exclude"  # it is left out, and gets the version once that is accepted
    EXCLUDE_AFTER = "ExcludeAfter"  # the first for a while, then the second


class OnFailure(StrEnum):
    """What follows when a version fails."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"


class Update(StrEnum):
    """How a device goes from one copy of a Daemon to the next."""

    DOWNLOAD_THEN_KILL = "DownloadThenKill"  # the old one goes when the new one could start
    KILL_THEN_DOWNLOAD = "KillThenDownload"  # the old one goes before anything is fetched
    HAND_OVER = "HandOver"  # the old one goes when the new one is ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """How many copies of a version may fail. max: of those that were given it.

    min: how many must have come to an end, well or not, before the share is judged while others are
    still on their way; when none is, it is judged in any case.
    """

    max: Amount = Amount(0, percent=True)
    min: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Waves of one rollout, and what stops it.

    steps: how many copies have the version after each step; the last one is always all.
    soak: ms a step must have been good before the next begins. success: percent of the copies that
    have not failed which must be ready for a step to be good. deadline: ms after a step last gave
    the version to a copy until those that are not ready have failed, None never. offline_after: ms,
    for ExcludeAfter. update: on each device. checks: what each step is judged by besides.
    """

    steps: tuple[Amount, ...]
    soak: int
    max_unavailable: Amount
    offline: OfflinePolicy
    offline_after: int
    on_failure: OnFailure
    errors: Errors = Errors()
    success: int = 100
    deadline: int | None = None
    update: Update = Update.DOWNLOAD_THEN_KILL
    checks: tuple[Check, ...] = ()

    @property
    def waves(self) -> tuple[Amount, ...]:
        """The steps with the last one, which is all."""
        everything = Amount(100, percent=True)
        return self.steps if self.steps[-1:] == (everything,) else (*self.steps, everything)
