"""Files that survive a power cut: the bytes first, then the name, then the directory."""

from __future__ import annotations

import os
from pathlib import Path

from propeller.errors import Unavailable


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make `path` and its parents, for the owner only."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """All of the new bytes, or what was there before. Raises Unavailable."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        fresh.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror or error}", hint="free some space") from error
