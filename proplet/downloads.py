"""Blobs on their way down, asked for by offset. Pure.

Called by `agent`. Asks for a few pieces at once, hands bytes over in order, backs off with jitter
while nothing comes, and gives up after `ATTEMPTS` fruitless tries with the offset it reached. While
there is no connection, or the manager is known to be away, waiting is not a try.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from propeller.wire.messages import BlobChunk, BlobGet
from proplet.effects import Effect, Now, Publish, WriteChunk

ATTEMPTS = 12
WINDOW = 4
ACTIVE = 2
PATIENCE, PACE, SLOWEST = 400, 64, 60_000
"""Ms without an answer until pieces are asked for again, bytes a ms that a way brings at least, and
the most to wait."""

EVEN = 4
"""Tries after which the wait grows by half each time: a way that loses much costs little, and one
that is slow is waited for in the end."""
BASE, CAP = 500, 60_000

RETRIED = frozenset({"busy"})
"""Errors that only mean later: they cost no attempt."""


@dataclass(slots=True)
class _Transfer:
    """One blob. `have`: bytes handed over; `next`: where the next request begins.

    first: the number of the first request. asked: its number and length, by offset.
    """

    digest: str
    size: int
    have: int
    next: int
    first: int
    asked: dict[int, tuple[int, int]] = field(default_factory=dict)
    early: dict[int, bytes] = field(default_factory=dict)
    attempts: int = 0
    not_before: int = 0
    heard: int = 0
    last_error: str = "no answer"
    checking: bool = False


class Downloads:
    """All transfers; at most `ACTIVE` ask at one time."""

    def __init__(self, id_: str, chunk: int, rng: random.Random) -> None:
        self._id = id_
        self._chunk = chunk
        self._rng = rng
        self._transfers: dict[str, _Transfer] = {}
        self._req = 0

    def begin(self, digest: str, size: int, have: int, now: Now) -> None:
        """Ask for the rest of a blob of which `have` bytes are on disk."""
        have = min(have, size)
        self._transfers[digest] = _Transfer(digest, size, have, have, self._req + 1, heard=now.mono)

    def forget(self, digest: str) -> None:
        """It is here, or no longer wanted."""
        self._transfers.pop(digest, None)

    def keep_only(self, digests: frozenset[str]) -> None:
        """Forget every other one."""
        for digest in [digest for digest in self._transfers if digest not in digests]:
            del self._transfers[digest]

    def reopen(self, now: Now) -> None:
        """A connection or a manager is back: ask again at once, with all attempts."""
        for transfer in self._transfers.values():
            self._rewind(transfer)
            transfer.attempts = 0
            transfer.not_before = now.mono
            transfer.heard = now.mono

    @staticmethod
    def _rewind(transfer: _Transfer) -> None:
        transfer.asked.clear()
        transfer.early.clear()
        transfer.next = transfer.have

    def hear(self, chunk: BlobChunk, now: Now, out: list[Effect]) -> bool:
        """Take a piece or an error. False when nobody asked for it."""
        for transfer in self._transfers.values():
            if chunk.error:
                hit = next((o for o, a in transfer.asked.items() if a[0] == chunk.req), None)
            else:
                asked = transfer.asked.get(chunk.off)
                # An answer to an earlier request is as good: the whole is verified in the end.
                known = asked is not None and transfer.first <= chunk.req <= asked[0]
                hit = chunk.off if known else None
            if hit is not None and transfer.digest.startswith(chunk.digest):
                break
        else:
            return False
        if chunk.error:
            self._fruitless(transfer, chunk.error, now)
            return True
        length = transfer.asked.pop(hit)[1]
        if chunk.total != transfer.size:
            self._fruitless(transfer, f"the server has {chunk.total} bytes", now)
            return True
        if not chunk.data or len(chunk.data) > length:
            self._fruitless(transfer, "a piece of the wrong length", now)
            return True
        if len(chunk.data) < length:
            self._ask(transfer, hit + len(chunk.data), length - len(chunk.data), out)
        transfer.early[hit] = chunk.data
        transfer.attempts = 0
        transfer.heard = now.mono
        self._hand_over(transfer, out)
        return True

    @staticmethod
    def _hand_over(transfer: _Transfer, out: list[Effect]) -> None:
        while (data := transfer.early.pop(transfer.have, None)) is not None:
            out.append(WriteChunk(transfer.digest, transfer.have, transfer.size, data))
            transfer.have += len(data)
            transfer.checking = transfer.have >= transfer.size

    @staticmethod
    def _patience(transfer: _Transfer) -> int:
        patience = PATIENCE + sum(length for _, length in transfer.asked.values()) // PACE
        late = max(0, transfer.attempts - EVEN)
        return min(SLOWEST, int(patience * 1.5**late))

    def _unanswered(self, transfer: _Transfer, now: Now) -> None:
        self._rewind(transfer)
        transfer.last_error = "no answer"
        transfer.attempts += 1
        transfer.not_before = now.mono

    def _fruitless(self, transfer: _Transfer, error: str, now: Now) -> None:
        self._rewind(transfer)
        transfer.last_error = error
        if error not in RETRIED:
            transfer.attempts += 1
        full = min(CAP, BASE * (1 << min(max(transfer.attempts, 1), 20)))
        transfer.not_before = now.mono + self._rng.randint(full // 2, full)

    def tick(self, now: Now, *, online: bool, out: list[Effect]) -> list[tuple[str, str]]:
        """Ask for what is due. Returns (digest, words) of those given up, and forgets them."""
        if not online:
            return []
        given_up = []
        active = 0
        for transfer in list(self._transfers.values()):
            if transfer.checking:
                continue
            if transfer.size <= transfer.have:
                transfer.checking = True
                out.append(WriteChunk(transfer.digest, transfer.have, transfer.size, b""))
                continue
            if transfer.asked and now.mono - transfer.heard >= self._patience(transfer):
                self._unanswered(transfer, now)
            if transfer.attempts >= ATTEMPTS:
                del self._transfers[transfer.digest]
                words = f"{transfer.last_error}, at byte {transfer.have} of {transfer.size}"
                given_up.append((transfer.digest, words))
                continue
            active += 1
            if active <= ACTIVE and now.mono >= transfer.not_before:
                self._fill(transfer, now, out)
        return given_up

    def _fill(self, transfer: _Transfer, now: Now, out: list[Effect]) -> None:
        if not transfer.asked:
            transfer.heard = now.mono
        while len(transfer.asked) + len(transfer.early) < WINDOW and transfer.next < transfer.size:
            length = min(self._chunk, transfer.size - transfer.next)
            self._ask(transfer, transfer.next, length, out)
            transfer.next += length

    def _ask(self, transfer: _Transfer, off: int, length: int, out: list[Effect]) -> None:
        self._req += 1
        transfer.asked[off] = (self._req, length)
        get = BlobGet(id=self._id, digest=transfer.digest, off=off, len=length, req=self._req)
        out.append(Publish(get))

    def due(self) -> int | None:
        """When `tick` has something to do by the clock alone (monotonic ms)."""
        times = []
        for transfer in self._transfers.values():
            if transfer.asked:
                times.append(transfer.heard + self._patience(transfer))
            elif not transfer.checking:
                times.append(transfer.not_before)
        return min(times, default=None)
