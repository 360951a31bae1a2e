"""Blobs on their way up: results and large reports. Pure.

Called by `agent`. One piece of each is under way at a time; only the manager's `ack` moves it on (a
PUBACK proves the broker, not the manager), and only `stored` frees the bytes. Nothing is ever given
up: the pause between tries grows, and a manager that comes online ends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from propeller.wire.messages import BlobAck, BlobRef
from proplet.effects import Effect, Now, SendChunk

ACTIVE = 2
PATIENCE = 5_000
CAP = 300_000


@dataclass(slots=True)
class _Upload:
    """One blob. `lasting`: survives a reboot (a result); else a report's body."""

    blob: BlobRef
    lasting: bool
    have: int = 0
    attempts: int = 0
    next: int = 0
    waiting: bool = False


class Uploads:
    """Everything the manager must still get, oldest first."""

    def __init__(self, chunk: int, rng: random.Random) -> None:
        self._chunk = chunk
        self._rng = rng
        self._uploads: dict[str, _Upload] = {}

    def add(self, blob: BlobRef, *, lasting: bool) -> bool:
        """Queue a blob. False when it is queued already."""
        known = self._uploads.get(blob.digest)
        if known is not None:
            known.lasting = known.lasting or lasting
            return False
        self._uploads[blob.digest] = _Upload(blob, lasting)
        return True

    def drop_passing(self, *, but: str) -> list[str]:
        """Forget report bodies other than `but`; their digests."""
        gone = [d for d, upload in self._uploads.items() if not upload.lasting and d != but]
        for digest in gone:
            del self._uploads[digest]
        return gone

    def forget(self, digest: str) -> bool:
        """The bytes are gone: nothing to send. Whether it was a lasting one."""
        upload = self._uploads.pop(digest, None)
        return upload is not None and upload.lasting

    def lasting(self, digest: str) -> bool:
        """Whether it is queued and survives a reboot."""
        upload = self._uploads.get(digest)
        return upload is not None and upload.lasting

    def __iter__(self) -> Iterator[str]:
        return iter(self._uploads)

    def reopen(self, now: Now) -> None:
        """A connection or a manager is back: put again at once."""
        for upload in self._uploads.values():
            upload.waiting, upload.attempts, upload.next = False, 0, now.mono

    def hear(self, ack: BlobAck, now: Now) -> bool:
        """Note how far the manager is. True when it has all and the bytes may go."""
        upload = self._uploads.get(ack.digest)
        if upload is None:
            return False
        if ack.state == "stored":
            del self._uploads[ack.digest]
            return True
        if ack.state == "refused":
            self._pause(upload, now)
            upload.waiting = False
        elif 0 <= ack.have <= upload.blob.size:
            moved = ack.have > upload.have
            upload.have = ack.have
            upload.waiting = ack.have == upload.blob.size
            if moved:
                upload.attempts = 0
            upload.next = now.mono + PATIENCE if upload.waiting else now.mono
        return False

    def _pause(self, upload: _Upload, now: Now) -> None:
        upload.attempts += 1
        full = min(CAP, PATIENCE * 2 ** min(upload.attempts - 1, 20))
        upload.next = now.mono + self._rng.randint(full // 2, full)

    def tick(self, now: Now, *, online: bool, out: list[Effect]) -> None:
        """Put what is due. A put with no bytes asks how far the manager is."""
        if not online:
            return
        for upload in list(self._uploads.values())[:ACTIVE]:
            if now.mono < upload.next:
                continue
            left = upload.blob.size - upload.have
            out.append(
                SendChunk(upload.blob.digest, upload.have, min(self._chunk, left), upload.blob.size)
            )
            self._pause(upload, now)
            upload.waiting = True

    def due(self) -> int | None:
        """When `tick` has something to do by the clock alone (monotonic ms)."""
        return min((upload.next for upload in list(self._uploads.values())[:ACTIVE]), default=None)
