"""What devices measured over time: numbers of a minute, and of an hour once that is over."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from propeller.model.ids import PropletId

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
NAMED: Final = 8
"""Digits of a uid in a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The numbers of one proplet in one minute or hour.

    span: MINUTE or HOUR (ms). at: when that began (Unix ms). mean: by name, as reports have them
    (`cpu/1a2b3c4d`); most: where the highest was another one.
    """

    proplet: PropletId
    span: int
    at: int
    mean: Mapping[str, int]
    most: Mapping[str, int] = field(default_factory=dict)

    def highest(self, name: str) -> int | None:
        """The most there was; None where it was not told."""
        return self.most.get(name, self.mean.get(name))

    def of_guest(self, uid: str) -> Sample | None:
        """Only what is about the guest of that object, by the first word alone (`cpu`), what it
        tells itself as `g/NAME`; None where nothing is."""
        mark = uid[:NAMED]

        def mine(numbers: Mapping[str, int]) -> dict[str, int]:
            found = {}
            for name, value in numbers.items():
                word, _, rest = name.partition("/")
                whose, _, own = rest.partition("/")
                if whose == mark:
                    found[f"{word}/{own}" if own else word] = value
            return found

        mean = mine(self.mean)
        return replace(self, mean=mean, most=mine(self.most)) if mean else None

    def only(self, marks: Container[str]) -> Sample:
        """Of guests only these (the first digits of their uids), and what is about none."""

        def kept(numbers: Mapping[str, int]) -> dict[str, int]:
            return {
                name: value
                for name, value in numbers.items()
                if "/" not in name or name.split("/", 2)[1] in marks
            }

        return replace(self, mean=kept(self.mean), most=kept(self.most))


def span_of(since: int, now: int) -> int:
    """Which samples tell of the time from `since` to now (Unix ms)."""
    return MINUTE if now - since <= DAY else HOUR


def of_an_hour(proplet: PropletId, at: int, minutes: Iterable[Sample]) -> Sample:
    """One sample of those of an hour that began then; each name over the minutes that have it."""
    sums: dict[str, tuple[int, int, int]] = {}
    for one in minutes:
        for name, value in one.mean.items():
            total, count, most = sums.get(name, (0, 0, value))
            sums[name] = (total + value, count + 1, max(most, one.most.get(name, value)))
    mean = {name: total // count for name, (total, count, _) in sums.items()}
    high = {name: most for name, (_, _, most) in sums.items() if most != mean[name]}
    return Sample(proplet=proplet, span=HOUR, at=at, mean=mean, most=high)
