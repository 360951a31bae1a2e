"""The calls of a Function for its page: what is kept of them, and how long they lasted.

Kept are asynchronous calls, those with a key and those of lasting triggers (`state.calls`). Of all
others there are numbers only, since the process that carries them began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from propeller.gateway.callcounts import Counts
from propeller.gateway.calls import End
from propeller.gateway.dashboard.facts import clean
from propeller.state.calls import CallNote

LOOKED_AT: Final = 200
"""The newest so many kept calls are counted and measured."""
SHOWN: Final = 50
STATES: Final = {"taken": "Waiting", "sent": "Running"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLine:
    """One call. state: Waiting, Running, or how it ended. lasted: in words, "" where unknown."""

    id: str
    at: int
    state: str
    why: str
    proplet: str
    lasted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsShown:
    """states: how many of the kept are in each. p50, p99: of those that are done, "" for none.

    measured: how many those are. since: what became of all calls since the process began.
    """

    lines: tuple[CallLine, ...]
    kept: int
    more: bool
    states: Mapping[str, int]
    p50: str
    p99: str
    measured: int
    since: Mapping[str, int]


def calls_of(notes: Sequence[CallNote], function: str, counts: Counts | None) -> CallsShown:
    """From the newest kept calls of `function` (namespace/name), newest first."""
    done = sorted(one.lasted for one in notes if one.end == End.DONE.value)
    lines = [_line(one) for one in notes]
    return CallsShown(
        lines=tuple(lines[:SHOWN]),
        kept=len(notes),
        more=len(notes) >= LOOKED_AT,
        states=Counter(line.state for line in lines),
        p50=_rank(done, 50),
        p99=_rank(done, 99),
        measured=len(done),
        since=_since(function, counts),
    )


def _line(one: CallNote) -> CallLine:
    return CallLine(
        id=one.id,
        at=one.at,
        state=one.end or STATES.get(one.state, one.state),
        why=clean(one.cause),
        proplet=one.proplet,
        lasted=lasting(one.lasted) if one.end and one.lasted else "",
    )


def _rank(ordered: Sequence[int], percent: int) -> str:
    """The nearest-rank percentile: the smallest value that `percent` of all do not exceed."""
    if not ordered:
        return ""
    return lasting(ordered[-(-len(ordered) * percent // 100) - 1])


def _since(function: str, counts: Counts | None) -> dict[str, int]:
    """Read while another thread counts: by name, never by walking through."""
    if counts is None or not counts.calls.get(function):
        return {}
    ends = {end.value: counts.ends.get((function, end.value), 0) for end in End}
    return {"Begun": counts.calls[function]} | {name: n for name, n in ends.items() if n}


def lasting(micros: int) -> str:
    """Microseconds for people: three figures or so."""
    if micros < 1_000:
        return f"{micros} µs"
    if micros < 999_500:  # what rounds to 1000 ms is a second
        return f"{micros / 1_000:.3g} ms"
    return f"{micros / 1_000_000:.1f} s"
