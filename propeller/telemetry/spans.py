"""A span as data: what was done, from when to when, and what it was part of.

Made by whoever did it, once it is over; `otlp` takes spans to a collector. Times are Unix
microseconds of this machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.wire.trace import Context


class SpanKind(StrEnum):
    """OpenTelemetry's words for who waits for whom."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """See the module. parent: the id of the span around it, "" for the first of a trace.

    error: why it did not come to what it was for, in words; "" where it did.
    """

    name: str
    at: Context
    parent: str
    start: int
    end: int
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""


Send = Callable[[Span], None]
"""Takes a span and returns at once; what cannot be sent is dropped."""
