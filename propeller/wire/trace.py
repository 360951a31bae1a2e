"""Where a message stands in a trace: W3C's traceparent, and ids that anybody can find again. Pure.

A trace is a courtesy and never state: nothing waits for it, and what cannot be read is no trace.
Ids come from the words they are about, not from chance, so that a manager that starts again goes on
with the same trace (https://www.w3.org/TR/trace-context/).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Context:
    """One span. trace: 32 hex digits, span: 16, neither all zeros. sampled: somebody keeps it."""

    trace: str
    span: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """As it travels."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"

    def child(self, *words: object) -> Context:
        """The span of the same trace that is about `words`."""
        return Context(self.trace, _hex(self.trace, *words)[:16], self.sampled)


def root(*words: object) -> Context:
    """The first span of the trace that is about `words`."""
    return Context(_hex("trace", *words)[:32], _hex("root", *words)[:16])


def parse(text: str) -> Context | None:
    """What a traceparent says; None for one that says nothing. Never raises.

    A later version may have more at its end, which is not looked at; `ff` is no version.
    """
    found = _PARENT.fullmatch(text.strip(" \t")) if len(text) <= 256 else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = found[2], found[3]
    if not trace.strip("0") or not span.strip("0"):
        return None
    return Context(trace, span, bool(int(found[4], 16) & 1))


def _hex(*words: object) -> str:
    """All zeros has a chance of 2^-64, and is then the id of a span that nobody sees."""
    return hashlib.sha256("\0".join(str(word) for word in words).encode()).hexdigest()
