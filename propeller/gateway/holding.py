"""Calls that wait for the first copy of a Function that may have none: how many, and their bytes.

Whoever waits takes memory, and a Function without a copy makes everybody wait: so each has a bound
of its own (`Route.most`), and all together have one of bytes. Used by `desk` only.
"""

from __future__ import annotations

from propeller.gateway.calls import Outcome, Route, come_again

MOST_HELD = 256
"""Calls of one Function that wait for its first copy, at most (`Route.most`)."""
MOST_HELD_BYTES = 32 << 20


class Holding:
    """See the module."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._bytes = 0

    def take(self, route: Route, size: int) -> Outcome | None:
        """Let one of so many bytes wait; or why there is no room for it."""
        if self._held.get(route.name, 0) >= route.most:
            return come_again(f"{route.most} calls wait for its first copy already")
        if self._bytes + size > MOST_HELD_BYTES:
            return come_again("calls that wait for a first copy take all the room there is")
        self._held[route.name] = self._held.get(route.name, 0) + 1
        self._bytes += size
        return None

    def leave(self, name: str, size: int) -> None:
        """One that `take` let wait does so no more."""
        self._bytes -= size
        left = self._held.get(name, 0) - 1
        if left > 0:
            self._held[name] = left
        else:
            self._held.pop(name, None)
