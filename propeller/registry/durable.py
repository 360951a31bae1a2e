"""Writes that survive a power cut: all of the new bytes or none, and the name only after the bytes.

Used by the blob store, the spool and the layout directory. Nothing here decides anything.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from propeller.errors import Unavailable

CHUNK = 1 << 20
DRAFT = "new-"
"""How unfinished files are called; after a crash they are litter."""


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable (a rename is lost without it)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Create `path` and its parents, each durable, readable by the owner only."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a finished, fsynced file its name. `path` is replaced if it exists."""
    make_directory(path.parent)
    temporary.replace(path)
    sync_directory(path.parent)


class Draft:
    """A file being written that has no name yet."""

    def __init__(self, stream: BinaryIO, temporary: Path) -> None:
        self._stream = stream
        self._temporary = temporary

    def write(self, data: bytes) -> None:
        """Append. Raises Unavailable when the disk is full."""
        with told_apart(self._temporary):
            self._stream.write(data)

    def become(self, path: Path) -> None:
        """Make the bytes durable, then the name. Nothing may be written afterwards."""
        with told_apart(path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            move_into_place(self._temporary, path)


@contextlib.contextmanager
def draft(beside: Path) -> Iterator[Draft]:
    """A draft in the directory `beside`; it vanishes unless it became something."""
    with told_apart(beside):
        make_directory(beside)
        handle, name = tempfile.mkstemp(dir=beside, prefix=DRAFT)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield Draft(stream, Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, at once."""
    with draft(path.parent) as new:
        new.write(data)
        new.become(path)


@contextlib.contextmanager
def told_apart(path: Path) -> Iterator[None]:
    """Turn the machine's trouble (disk full, read-only, no rights) into Unavailable, in words."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path}: {error.strerror or error}", hint="free space or mend the directory"
        ) from error
