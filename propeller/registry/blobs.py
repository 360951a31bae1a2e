"""The content-addressed store: bytes under their SHA-256, complete or not there at all.

Files are `sha256/ab/cdef...`, written beside and renamed after an fsync, so every process that
sees a name sees whole bytes. Whoever holds references decides what `collect` keeps; nothing here
knows what a blob is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from propeller.errors import Unavailable, WireError
from propeller.model.ids import Digest, is_digest, sha256_digest
from propeller.registry.durable import CHUNK, DRAFT, draft, move_into_place, told_apart
from propeller.registry.verify import verified

DEFAULT_LIMIT = 256 << 20
"""Bytes of the largest blob taken when nobody says otherwise."""


class BlobStore:
    """Blobs in one directory, safe for several processes. `quota`: bytes over all, None: no cap."""

    def __init__(self, directory: Path, *, quota: int | None = None) -> None:
        self.directory = directory
        self.quota = quota
        self._temporary = directory / "tmp"
        self._used: int | None = None

    def path(self, digest: str) -> Path:
        """Where the blob is or would be. Raises WireError for what is no digest."""
        if not is_digest(digest):
            raise WireError("bad_digest", repr(digest[:100]))
        name = digest.removeprefix("sha256:")
        return self.directory / "sha256" / name[:2] / name[2:]

    def has(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Bytes of the blob. Raises FileNotFoundError."""
        return self.path(digest).stat().st_size

    def open(self, digest: str) -> BufferedReader:
        """The blob for reading from its start. Raises FileNotFoundError."""
        return self.path(digest).open("rb")

    def read(self, digest: str, off: int = 0, length: int = -1) -> bytes:
        """Bytes from `off`, at most `length` (-1: to the end). Raises FileNotFoundError."""
        with self.open(digest) as stream:
            stream.seek(off)
            return stream.read(length)

    def put(self, data: bytes) -> Digest:
        """Keep `data`. Raises Unavailable when disk or quota is full."""
        digest = sha256_digest(data)
        return self.put_stream([data], digest, limit=len(data))

    def put_stream(
        self,
        chunks: Iterable[bytes],
        expected: str | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        size: int | None = None,
        where: str = "blob",
    ) -> Digest:
        """Keep what `chunks` give, verified while it comes; nothing stays behind on an error.

        expected: refuse other bytes (DigestMismatch). limit, size: bytes, as in `verify.verified`.
        Raises WireError, DigestMismatch, Unavailable, and whatever `chunks` raises.
        """
        if expected is not None and self._touch(self.path(expected)):
            return Digest(expected)
        taken, total = hashlib.sha256(), 0
        with draft(self._temporary) as new:
            for chunk in verified(chunks, digest=expected, limit=limit, size=size, where=where):
                total += len(chunk)
                self._room(total)
                taken.update(chunk)
                new.write(chunk)
            digest = Digest("sha256:" + taken.hexdigest())
            new.become(self.path(digest))
        self._count(total)
        return digest

    def adopt(self, file: Path, digest: str, *, where: str = "blob") -> None:
        """Take over a file of the same file system, by renaming it, once it proved to be `digest`.

        Raises DigestMismatch and leaves the file.
        """
        with told_apart(file):
            with file.open("rb") as stream:
                pieces = iter(lambda: stream.read(CHUNK), b"")
                total = sum(
                    len(piece)
                    for piece in verified(pieces, digest=digest, limit=1 << 62, where=where)
                )
                os.fsync(stream.fileno())
            self._room(total)
            move_into_place(file, self.path(digest))
        self._count(total)

    def verify(self, digest: str) -> bool:
        """Whether the stored bytes still are the blob; a rotten one is deleted. False if absent."""
        try:
            with self.open(digest) as stream:
                seen = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            return False
        if digest == f"sha256:{seen}":
            return True
        self.delete(digest)
        return False

    def delete(self, digest: str) -> bool:
        """Forget the blob. False when it was not here."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        self._used = None
        return True

    def digests(self) -> Iterator[Digest]:
        """Every blob, sorted."""
        for path in sorted(self.directory.glob("sha256/??/*")):
            digest = f"sha256:{path.parent.name}{path.name}"
            if is_digest(digest):
                yield Digest(digest)

    def used(self) -> int:
        """Bytes of all blobs."""
        if self._used is None:
            self._used = sum(self.size(digest) for digest in self.digests())
        return self._used

    def collect(
        self, keep: Collection[str], *, now: float, grace: float = 3600.0
    ) -> tuple[Digest, ...]:
        """Delete blobs that are neither kept nor younger than `grace` and return their digests.

        now: seconds since the epoch, as file times are. The grace protects what was stored a moment
        ago by somebody whose reference is not committed yet; leftovers of crashes go the same way.
        """
        gone = []
        for digest in self.digests():
            path = self.path(digest)
            with contextlib.suppress(FileNotFoundError):
                if digest not in keep and now - path.stat().st_mtime > grace:
                    path.unlink()
                    gone.append(digest)
        for leftover in self._temporary.glob(f"{DRAFT}*"):
            with contextlib.suppress(FileNotFoundError):
                if now - leftover.stat().st_mtime > grace:
                    leftover.unlink()
        self._used = None
        return tuple(gone)

    def _touch(self, path: Path) -> bool:
        """Make a blob that is here young again, so that `collect` gives its new user time."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError:  # read-only, or not a directory: then the file itself decides
            return path.is_file()
        return True

    def _room(self, more: int) -> None:
        if self.quota is None or self.used() + more <= self.quota:
            return
        self._used = None  # another process may have deleted some
        if self.used() + more > self.quota:
            raise Unavailable(
                f"{self.directory}: the quota of {self.quota} bytes is full",
                hint="raise the quota or remove what uses it",
            )

    def _count(self, more: int) -> None:
        if self._used is not None:
            self._used += more
