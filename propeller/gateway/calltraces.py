"""Calls of Functions as spans, each from when it was taken to its end, and what devices are told.

A caller that sends a `traceparent` finds the call in its own trace; others get a trace of their
own. Used by `carrier`, under its lock. Where nobody listens nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from propeller.gateway.calls import End, Outcome, Request
from propeller.telemetry.spans import Send, Span, SpanKind
from propeller.wire.trace import Context, parse, root

MOST = 4_096
"""Calls under way that are traced; those beyond are carried without."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A call under way. began: Unix microseconds."""

    function: str
    at: Context
    parent: str
    began: int


class CallTraces:
    """See the module. send: None where nobody listens. clock: Unix microseconds."""

    def __init__(self, send: Send | None, clock: Callable[[], int]) -> None:
        self._send = send
        self._clock = clock
        self._taken: dict[str, _Taken] = {}

    def begin(self, id_: str, function: str, request: Request) -> None:
        """A call was taken."""
        if self._send is None or len(self._taken) >= MOST:
            return
        told = next((value for name, value in request.headers if name == "traceparent"), "")
        around = parse(told)
        at = root("call", id_) if around is None else around.child("call", id_)
        parent = "" if around is None else around.span
        self._taken[id_] = _Taken(function, at, parent, self._clock())

    def header(self, id_: str) -> str:
        """What the message to a device carries; "" where the call is not traced."""
        taken = self._taken.get(id_)
        return "" if taken is None else taken.at.header

    def end(self, id_: str, outcome: Outcome) -> None:
        """It is over, whatever became of it."""
        taken = self._taken.pop(id_, None)
        if taken is None or self._send is None:
            return
        words: dict[str, str | int] = {
            "propeller.call": id_,
            "propeller.function": taken.function,
            "propeller.outcome": outcome.end.value,
        }
        if outcome.proplet:
            words["propeller.proplet"] = outcome.proplet
        failed = outcome.error or outcome.cause or outcome.end.value
        self._send(
            Span(
                name=f"call {taken.function}",
                at=taken.at,
                parent=taken.parent,
                start=taken.began,
                end=self._clock(),
                kind=SpanKind.SERVER,
                attributes=words,
                error="" if outcome.end is End.DONE else failed,
            )
        )
