"""Asking the loop: what it needs of the reconciler process, and one answer per request.

Handlers post an event with a reply; the loop calls that from its own thread, after the turn that
did it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from propeller.gateway.problem import Problem
from propeller.model.revision import Revision
from propeller.reconcile.events import Event, Reply, SourceSilent, SpecsRefused, SpecsTaken

PATIENCE = 30.0
"""Seconds a request waits for the loop."""


class Loop(Protocol):
    """What the API needs of the reconciler process."""

    def post(self, event: Event) -> None:
        """Hand over to the loop."""

    def look(self) -> None:
        """Look at the source now."""

    def apply(
        self, path: str, expect: str = "", overlay: str = ""
    ) -> SpecsTaken | SpecsRefused | SourceSilent:
        """Read `path` as the source, post it and follow it from now on.

        Raises Conflict when the plan approved as `expect` is not what it means.
        """

    def load(self, files: Mapping[str, bytes]) -> Revision:
        """Load a small tree that came with a request. Raises SpecError."""

    def keep(self, data: bytes) -> str:
        """Keep bytes; their digest."""

    def kept(self, digest: str) -> bytes:
        """Bytes that were kept. Raises UsageError where there are none."""

    def health(self) -> Mapping[str, object]:
        """Numbers about the process."""


class Answers:
    """The replies of the loop's thread, for the API's event loop. One per request."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    @property
    def reply(self) -> Reply:
        """What the loop calls, from its own thread."""
        queue = self._queue
        return lambda words: _hand_over(self._loop, queue, words)

    async def next(self, timeout: float) -> Mapping[str, object]:
        """The next reply; an error when the loop does not answer in `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except TimeoutError:
            return {
                "done": True,
                "late": True,
                "error": "the reconciler did not answer in time",
                "exit": 4,
            }


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    queue: asyncio.Queue[Mapping[str, object]],
    words: Mapping[str, object],
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, words)


async def ask(loop: Loop, make: Callable[[Reply], Event]) -> Mapping[str, object]:
    """Post what `make` makes of a reply; returns what the loop said. Raises Problem when it says
    no (409), or says nothing (504)."""
    answers = Answers()
    loop.post(make(answers.reply))
    words = await answers.next(PATIENCE)
    if "error" in words:
        raise refusal(words)
    return words


def refusal(words: Mapping[str, object]) -> Problem:
    """What the loop said no with."""
    code = words.get("exit")
    status = 504 if words.get("late") else 404 if words.get("missing") else 409
    return Problem(status, str(words["error"]), exit=code if isinstance(code, int) else 2)
