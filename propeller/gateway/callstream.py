"""A call that is followed: what its guest logs as server-sent events, its answer as the last one.

Used by `functions`. The carrier's threads hand pieces over and go on; a caller that reads slowly
loses pieces, never holds anybody up, and is told how much is missing.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Final, Protocol

from starlette.requests import Request as HttpRequest

from propeller.gateway.calls import Outcome

MOST_PIECES: Final = 256
"""Pieces that wait for a slow reader."""
MOST_BYTES: Final = 1 << 20
"""Bytes of log of one call that go out: a proplet tells less."""
ALIVE: Final = 15.0
"""Seconds of silence after which a comment says that the call is still waited for."""

Tell = Callable[[str, Outcome], dict[str, object]]


class Watch(Protocol):
    """Told once that somebody follows, and once that it is over.

    left: whoever followed went away before the answer.
    """

    def begun(self) -> None: ...
    def over(self, *, left: bool) -> None: ...


def as_events(http: HttpRequest) -> bool:
    """Whether the caller wants the log of its call, and takes nothing else."""
    return http.headers.get("accept", "").partition(";")[0].strip().lower() == "text/event-stream"


class CallStream:
    """Pieces of one call's log on their way from any thread to whoever follows."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pieces: deque[tuple[str, int]] = deque()
        self._more = asyncio.Event()
        self._lost = 0
        self._size = 0

    def hear(self, text: str, lost: int) -> None:
        """The carrier's `Listen`. Any thread."""
        self.loop.call_soon_threadsafe(self._take, text, lost)

    def _take(self, text: str, lost: int) -> None:
        size = len(text.encode())
        self._lost += lost
        if len(self._pieces) >= MOST_PIECES or self._size + size > MOST_BYTES:
            self._lost += size
            return
        self._size += size
        self._pieces.append((text, self._lost))
        self._lost = 0
        self._more.set()

    async def events(
        self, id_: str, future: Future[Outcome], tell: Tell, watch: Watch
    ) -> AsyncIterator[str]:
        """`log` for each piece, and `result` at the end."""
        watch.begun()
        ended = asyncio.wrap_future(future)
        ended.add_done_callback(lambda _: self._more.set())
        left = True
        try:
            while True:
                while self._pieces:
                    yield _log(*self._pieces.popleft())
                if ended.done():
                    break
                self._more.clear()
                try:
                    await asyncio.wait_for(self._more.wait(), ALIVE)
                except TimeoutError:
                    yield ": it runs\n\n"
            if self._lost:
                yield _log("", self._lost)
            left = False
            yield _event("result", tell(id_, ended.result()))
        finally:
            watch.over(left=left)


def _log(text: str, lost: int) -> str:
    return _event("log", {"text": text, "lost": lost} if lost else {"text": text})


def _event(name: str, data: dict[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
