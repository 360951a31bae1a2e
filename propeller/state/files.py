"""Writing files so that a power cut leaves the old one or the new one, never half of either.

Called by everything of this room that keeps a plain file. The order is always: write a temporary
file beside the target, fsync it, rename it over the target, fsync the directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from propeller.errors import Unavailable


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` (creations, renames, removals) survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path, *, mode: int = 0o755) -> None:
    """Create `directory` and its parents, durably. `mode` is for `directory` itself.

    One that exists keeps its mode. Raises Unavailable when it cannot be made.
    """
    try:
        missing = [directory]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            if not path.is_dir():
                path.mkdir(mode=mode if path == directory else 0o755, exist_ok=True)
                sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(
            f"{directory}: cannot be created: {error.strerror}",
            hint="check that the place exists, is a directory and may be written to",
        ) from error


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`, whole or not at all, durable before it returns.

    Raises Unavailable when the disk is full or the place cannot be written to; the old file stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(
            f"{path}: cannot be written: {error.strerror}",
            hint="free some space or correct the permissions; the old content still stands",
        ) from error


def write_all(handle: int, data: bytes) -> None:
    """Write every byte of `data` to the file descriptor. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
