"""Secrets are files on this machine, read when they are needed and never shown.

An `Alert` names a file of one folder, never a path: whoever writes specs must not be able to have
any file of the machine sent somewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from propeller.errors import Unavailable

MAX_SECRET: Final = 64 << 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def read_secret(path: Path, what: str) -> str:
    """The text in `path` without the line break at its end.

    what: how messages call it. Raises Unavailable when it cannot be read, is empty or not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET + 1)
    except OSError as error:
        raise Unavailable(f"{what}: {path.name}: {error.strerror}") from error
    if len(data) > MAX_SECRET:
        raise Unavailable(f"{what}: {path.name} is larger than {MAX_SECRET} bytes")
    try:
        text = data.decode().strip("\r\n")
    except UnicodeDecodeError as error:
        raise Unavailable(f"{what}: {path.name} must be UTF-8") from error
    if not text.strip():
        raise Unavailable(f"{what}: {path.name} is empty")
    return text


class Secrets:
    """The secrets of one folder, by file name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """Raises Unavailable when there is none of that name."""
        if _NAME.match(name) is None:
            raise Unavailable(f"secret {name!r} is no file name")
        return read_secret(self._folder / name, "secret")
