"""Uploads from devices: partial files that survive a restart, and what each device has used.

A part is `<proplet>/<hex>.<total>.part`; its size is what we have. Once whole and verified it moves
into the blob store and an empty `<hex>.<total>.stored` stays, so that a repeated put is answered
again and the device's quota goes on counting it until the blob itself is collected. Called by
`serve.receive`; the caller acknowledges only what these methods returned.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from propeller.errors import DigestMismatch, WireError
from propeller.model.ids import Digest, is_digest, is_wire_id
from propeller.registry.blobs import BlobStore
from propeller.registry.durable import make_directory, sync_directory, told_apart

_NAME = re.compile(r"([0-9a-f]{64})\.(0|[1-9][0-9]{0,15})\.(part|stored)\Z")


@dataclass(frozen=True, slots=True, order=True)
class Upload:
    """One upload of one device, in bytes. `stored`: whole, verified and in the blob store."""

    proplet: str
    digest: Digest
    total: int
    have: int
    stored: bool


class Spool:
    """The uploads under one directory, which must be on the file system of the blob store."""

    def __init__(self, directory: Path, blobs: BlobStore) -> None:
        self.directory = directory
        self.blobs = blobs

    def uploads(self, proplet: str | None = None) -> tuple[Upload, ...]:
        """What is open and what was stored, of one device or of all; sorted. For re-acking."""
        if proplet is not None:
            return tuple(sorted(self._of(proplet)))
        if not self.directory.is_dir():
            return ()
        names = sorted(path.name for path in self.directory.iterdir() if is_wire_id(path.name))
        return tuple(upload for name in names for upload in sorted(self._of(name)))

    def find(self, proplet: str, digest: str) -> Upload | None:
        """The device's upload of that blob, if there is one."""
        return next(self._of(proplet, digest), None)

    def have(self, proplet: str, digest: str) -> int:
        """Bytes held, fsynced; 0 when nothing is."""
        upload = self.find(proplet, digest)
        return upload.have if upload else 0

    def append(self, proplet: str, digest: str, *, total: int, off: int, data: bytes) -> int:
        """Add `data` at `off`, fsync, and return what is held now.

        Bytes already held are skipped; a gap adds nothing (the answer says where to go on). Opens
        the upload when there is none. Raises WireError `out_of_range` when it does not fit in
        `total` or another total was promised, Unavailable when the disk is full.
        """
        upload = self.find(proplet, digest)
        if upload is not None and upload.total != total:
            raise WireError("out_of_range", f"{total} bytes where {upload.total} were promised")
        if not 0 <= off <= total or off + len(data) > total:
            raise WireError("out_of_range", f"{len(data)} bytes at {off} of {total}")
        have = upload.have if upload else 0
        if upload is not None and (upload.stored or off > have or off + len(data) <= have):
            return have
        if upload is None and off > 0:
            return 0
        path = self._path(proplet, digest, total, "part")
        with told_apart(path):
            make_directory(path.parent)
            with path.open("ab") as part:
                part.truncate(have)
                part.write(data[have - off :])
                part.flush()
                os.fsync(part.fileno())
            if upload is None:
                sync_directory(path.parent)
        return off + len(data)

    def finish(self, proplet: str, digest: str) -> Digest:
        """Verify a whole upload and move it into the store.

        Raises DigestMismatch, after which the upload is gone and starts again at 0, and KeyError
        when there is no whole upload of that digest.
        """
        upload = self.find(proplet, digest)
        if upload is None or upload.have != upload.total:
            raise KeyError(digest)
        if upload.stored:
            return upload.digest
        part = self._path(proplet, digest, upload.total, "part")
        marker = self._path(proplet, digest, upload.total, "stored")
        try:
            self.blobs.adopt(part, digest, where=f"upload of {proplet}")
        except DigestMismatch:
            part.unlink()
            raise
        with told_apart(marker):
            marker.touch(mode=0o600)
            sync_directory(marker.parent)
        return upload.digest

    def drop(self, proplet: str, digest: str) -> None:
        """Forget the upload; a stored blob stays in the store but counts for nobody."""
        upload = self.find(proplet, digest)
        if upload is not None:
            suffix = "stored" if upload.stored else "part"
            self._path(proplet, digest, upload.total, suffix).unlink(missing_ok=True)

    def used(self, proplet: str) -> int:
        """Bytes promised by open uploads and held by stored ones: what the quota counts."""
        return sum(upload.total for upload in self._of(proplet))

    def collect(self, *, now: float, grace: float = 86400.0) -> int:
        """Remove parts nobody added to for `grace` seconds (now: Unix seconds). How many."""
        gone = 0
        for upload in self.uploads():
            path = self._path(upload.proplet, upload.digest, upload.total, "part")
            with contextlib.suppress(FileNotFoundError):
                if not upload.stored and now - path.stat().st_mtime > grace:
                    path.unlink()
                    gone += 1
        return gone

    def _path(self, proplet: str, digest: str, total: int, suffix: str) -> Path:
        if not is_wire_id(proplet):
            raise WireError("bad_id", repr(proplet[:100]))
        if not is_digest(digest):
            raise WireError("bad_digest", repr(digest[:100]))
        name = digest.removeprefix("sha256:")
        return self.directory / proplet / f"{name}.{total}.{suffix}"

    def _of(self, proplet: str, only: str | None = None) -> Iterator[Upload]:
        if not is_wire_id(proplet):
            raise WireError("bad_id", repr(proplet[:100]))
        if only is not None and not is_digest(only):
            raise WireError("bad_digest", repr(only[:100]))
        folder = self.directory / proplet
        try:
            paths = list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in paths:
            match = _NAME.match(path.name)
            if match is None or (only is not None and match[1] != only[7:]):
                continue
            digest, total = Digest(f"sha256:{match[1]}"), int(match[2])
            if match[3] == "part":
                yield Upload(proplet, digest, total, min(path.stat().st_size, total), False)
            elif self.blobs.has(digest):
                yield Upload(proplet, digest, total, total, True)
            else:  # collected since: nothing is left to count
                path.unlink(missing_ok=True)
