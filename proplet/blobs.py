"""Blobs on the device's disk: modules coming down, results going up.

One directory, one owner (the agent's thread). A blob is complete and verified under its digest,
or it is a part file that goes on where it was, after a reboot as well. What nothing uses any more
stays as a cache until the quota needs its room, or until there are many of it: each round of
training brings a model that nobody asks for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.errors import DigestMismatch, Unavailable
from propeller.wire.messages import BlobRef
from proplet.disk import make_directory, sync_directory, write_file

if TYPE_CHECKING:
    from hashlib import _Hash


CACHED = 32
"""Blobs that nothing uses and that are kept all the same, the newest ones."""


class Blobs:
    """See the module. `quota`: bytes of everything kept here."""

    def __init__(self, directory: Path, *, quota: int) -> None:
        self._whole = directory / "blobs"
        self._parts = directory / "parts"
        self.quota = quota
        self._pulls = directory / "pulls"
        for each in (self._whole, self._parts, self._pulls):
            make_directory(each)
        for leftover in self._pulls.iterdir():
            leftover.unlink()
        self._hashes: dict[str, tuple[int, _Hash]] = {}
        self._spared: frozenset[str] = frozenset()
        self._sizes: dict[str, int] = {}
        """Bytes of every complete blob by digest, the oldest first."""
        for path in sorted(self._whole.iterdir(), key=lambda path: path.stat().st_mtime):
            self._sizes[f"sha256:{path.name}"] = path.stat().st_size

    def path(self, digest: str) -> Path:
        """Where the complete blob is or would be."""
        return self._whole / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether all of it is here."""
        return self.path(digest).is_file()

    def digests(self) -> list[str]:
        """Every blob that is complete."""
        return list(self._sizes)

    def read(self, digest: str, off: int = 0, length: int = -1) -> bytes:
        """Bytes of a complete blob. Raises FileNotFoundError."""
        with self.path(digest).open("rb") as stream:
            stream.seek(off)
            return stream.read(length)

    def part(self, digest: str) -> Path:
        """Where the blob grows."""
        return self._parts / digest.removeprefix("sha256:")

    def have(self, digest: str) -> int:
        """Bytes of an incomplete blob so far."""
        try:
            return self.part(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def room_for(self, size: int) -> None:
        """Make room by evicting what nobody uses, oldest first. Raises Unavailable."""
        used = self.used()
        if used + size <= self.quota:
            return
        for digest in self._unused():
            used -= self._remove(digest)
            if used + size <= self.quota:
                return
        raise Unavailable(f"storage is full: needs {size} bytes, {self.quota - used} are left")

    def _unused(self) -> list[str]:
        """The oldest first."""
        return [digest for digest in self._sizes if digest not in self._spared]

    def _remove(self, digest: str) -> int:
        """The bytes that are free now."""
        self.path(digest).unlink(missing_ok=True)
        return self._sizes.pop(digest, 0)

    def spare(self, digests: frozenset[str]) -> None:
        """Never evict these; parts of all others go, and so do most blobs that nothing uses."""
        self._spared = digests
        for digest in self._unused()[:-CACHED]:
            self._remove(digest)
        for path in list(self._parts.iterdir()):
            if f"sha256:{path.name}" not in digests:
                path.unlink(missing_ok=True)
                self._hashes.pop(f"sha256:{path.name}", None)

    def write(self, digest: str, off: int, total: int, data: bytes) -> bool:
        """Append `data` at `off`. True when the blob is now complete and verified.

        Raises DigestMismatch (the part is dropped) and Unavailable (disk or quota full).
        """
        part = self.part(digest)
        have = self.have(digest)
        if off != have:
            raise Unavailable(f"{digest}: bytes at {off} came, {have} are here")
        try:
            with part.open("ab") as stream:
                stream.write(data)
                stream.flush()
                if off + len(data) >= total:
                    os.fsync(stream.fileno())
        except OSError as error:
            raise Unavailable(f"{part}: {error.strerror or error}") from error
        self._hash(digest, off, data)
        if off + len(data) < total:
            return False
        self.complete(digest)
        return True

    def _hash(self, digest: str, off: int, data: bytes) -> None:
        at, state = self._hashes.get(digest, (0, hashlib.sha256()))
        if at != off:  # the first piece after a reboot: hash what was here before
            state, at = hashlib.sha256(), 0
            with self.part(digest).open("rb") as stream:
                while at < off and (piece := stream.read(min(1 << 20, off - at))):
                    state.update(piece)
                    at += len(piece)
        state.update(data)
        self._hashes[digest] = (off + len(data), state)

    def complete(self, digest: str) -> None:
        """Verify the whole part and give it its name. Raises DigestMismatch and drops it."""
        part = self.part(digest)
        known = self._hashes.pop(digest, None)
        if known is not None and known[0] == part.stat().st_size:
            seen = known[1].hexdigest()
        else:
            with part.open("rb") as stream:
                seen = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != f"sha256:{seen}":
            part.unlink()
            raise DigestMismatch(digest, f"sha256:{seen}", where="downloaded blob")
        size = part.stat().st_size
        part.replace(self.path(digest))
        sync_directory(self._whole)
        self._sizes[digest] = size

    def pulled(self, digest: str) -> Path:
        """Where a direct pull puts its bytes."""
        return self._pulls / digest.removeprefix("sha256:")

    def adopt(self, digest: str) -> None:
        """Take what a direct pull got, in place of any part. Raises DigestMismatch, OSError."""
        self.pulled(digest).replace(self.part(digest))
        self._hashes.pop(digest, None)
        with self.part(digest).open("rb") as stream:
            os.fsync(stream.fileno())
        self.complete(digest)

    def keep(self, data: bytes) -> BlobRef:
        """Store bytes of our own, durably. Raises Unavailable."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            self.room_for(len(data))
            write_file(self.path(digest), data)
            self._sizes[digest] = len(data)
        self._spared |= {digest}
        return BlobRef(digest=digest, size=len(data))

    def free(self, digest: str) -> None:
        """An upload is over; the bytes go unless something else uses them."""
        if digest not in self._spared:
            self._remove(digest)

    def used(self) -> int:
        """Bytes of everything here."""
        total = sum(self._sizes.values())
        for path in self._parts.iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def left(self) -> int:
        """Bytes that more may take: of the quota, and of the disk."""
        free = shutil.disk_usage(self._whole).free
        return max(0, min(self.quota - self.used(), free))
