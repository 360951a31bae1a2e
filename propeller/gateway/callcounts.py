"""What happened to calls since this process began: `carrier` counts, pages and metrics show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from propeller.gateway.calls import Outcome


@dataclass(slots=True)
class FirstCalls:
    """Calls that waited for a first copy and got it. total, longest: ms."""

    count: int = 0
    total: int = 0
    longest: int = 0


@dataclass(slots=True)
class Counts:
    """What happened to calls since this process began, by Function."""

    calls: dict[str, int] = field(default_factory=dict)
    ends: dict[tuple[str, str], int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, FirstCalls] = field(default_factory=dict)

    def began(self, name: str) -> None:
        """A Function was called."""
        self.calls[name] = self.calls.get(name, 0) + 1

    def ended(self, name: str, outcome: Outcome) -> None:
        """So it ended."""
        end = (name, str(outcome.end.value))
        self.ends[end] = self.ends.get(end, 0) + 1
        if outcome.held is not None:
            first = self.first.setdefault(name, FirstCalls())
            first.count += 1
            first.total += outcome.held
            first.longest = max(first.longest, outcome.held)

    def lost(self, reject: str) -> None:
        """A message that could not be believed, by why."""
        self.dropped[reject] = self.dropped.get(reject, 0) + 1
