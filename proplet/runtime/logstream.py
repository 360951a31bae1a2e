"""What the guest of a call logs, told while it runs. Runs in workers only.

Owned by `serving`, which calls every method with its lock held: the clock thread tells what came,
the thread of the guest tells the rest before the answer.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from propeller.wire.call_messages import MAX_FOLLOW, MAX_PIECE
from proplet.runtime.pipes import Pipe
from proplet.runtime.talk import Words

EVERY = 0.1
"""Seconds between two pieces."""


class LogStream:
    """See the module. source: what the guest writes to. send: tells the agent."""

    def __init__(self, source: Pipe, send: Callable[[Words], None]) -> None:
        self._source = source
        self._send = send
        self._left: int | None = None
        """Bytes that may still be told; None where nobody follows."""
        self._told = 0
        self._at = 0.0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def begin(self, most: int) -> None:
        """From now on what the guest logs is told, at most so many bytes; 0: nobody follows."""
        self._left = min(most, MAX_FOLLOW) if most > 0 else None
        self._told, self._at = self._source.total, 0.0
        self._decoder.reset()

    def look(self, call: str) -> None:
        """Tell what came since, not too often."""
        if self._left is not None and time.monotonic() - self._at >= EVERY:
            self._at = time.monotonic()
            self._tell(call, self._left)

    def end(self, call: str) -> None:
        """The guest is over: tell the rest, and how much more there was."""
        if self._left is None:
            return
        self._source.empty()
        while self._tell(call, self._left, last=True):
            pass
        self._left = None

    def _tell(self, call: str, left: int, *, last: bool = False) -> bool:
        """One piece. last: there will be no more to come. Whether it had bytes."""
        data, lost = self._source.since(self._told, min(MAX_PIECE, left))
        if last and not left:
            lost = self._source.total - self._told
        self._told += len(data) + lost
        self._left = left - len(data)
        text = self._decoder.decode(data, final=last and not data)
        if text or lost:
            self._send({"event": "logged", "id": call, "text": text, "lost": lost})
        return bool(data)
