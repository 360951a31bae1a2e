"""What a step of a rollout is judged by beside its copies' health, and what was measured so far.

Durations are milliseconds, limits and values are decimals. What is decided with it stands in
`plan.checks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class RunFact(StrEnum):
    """A number that every report tells of a run."""

    RESTARTS = "Restarts"  # how often its guest was started again
    TIME_TO_READY = "TimeToReady"  # ms from when it was asked for until it was ready
    RESULT = "Result"  # what it answered, where that is a number


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that devices report of themselves, by its name (`cpuPermille`, `rssBytes`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A query of a Prometheus server that answers one number."""

    url: str
    query: str


@dataclass(frozen=True, slots=True)
class Http:
    """A JSON document; the number is where the pointer (RFC 6901) says."""

    url: str
    pointer: str


Outside = Prometheus | Http
Source = Metric | RunFact | Outside


class Over(StrEnum):
    """What many copies' numbers become."""

    MEAN = "Mean"
    MAX = "Max"
    MIN = "Min"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between these, None where there is no bound."""

    at_least: Decimal | None = None
    at_most: Decimal | None = None

    def holds(self, value: Decimal) -> bool:
        """Whether `value` is within."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of every step.

    others: the value is percent of what the copies without the new version have. success: values
    that speak for the version. failure: values that speak against it, None: all others; what is
    neither is inconclusive, as is no value. interval: ms between measurements. count: of them.
    failure_limit, inconclusive_limit: so many of them are borne.
    """

    name: str
    source: Source
    over: Over = Over.MEAN
    others: bool = False
    success: Bounds
    failure: Bounds | None = None
    interval: int = 30_000
    count: int = 3
    failure_limit: int = 0
    inconclusive_limit: int = 0


class Verdict(StrEnum):
    """What is known of a measurement, or of a check in one step."""

    RUNNING = "Running"  # of a check only: not all was measured yet
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How the measurements of one check in the present step came out.

    last: Unix ms of the newest one (of the step's beginning before the first). said: its words.
    """

    name: str
    last: int
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    said: str = ""

    @property
    def taken(self) -> int:
        return self.successful + self.failed + self.inconclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was measured outside. slot: Unix ms it was due at; it answers that measurement only.

    value: None where there was none; words say why then.
    """

    slot: int
    value: Decimal | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A measurement to be made outside, for the object with that uid."""

    uid: str
    name: str
    slot: int
    source: Outside


DIGITS = 40
"""Characters of the longest number that is believed."""


def number(text: str) -> Decimal | None:
    """A finite decimal of a believable size, None for anything else."""
    text = text.strip()
    if not text or len(text) > DIGITS:
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:
        return None
    if not value.is_finite() or abs(value.adjusted()) > DIGITS:
        return None
    return value
