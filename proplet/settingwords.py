"""How the texts of single settings are read: files, mounts, labels, addresses of services.

Each takes a text and answers a value, or raises ValueError with what is wrong in words.
"""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def read_label(text: str) -> tuple[str, str]:
    """`name=value`."""
    name, equals, value = text.partition("=")
    if not equals or not name or len(name) > 128 or len(value.encode()) > 256:
        raise ValueError(f"{text[:80]!r} is not name=value")
    return name, value


def read_mount(text: str) -> tuple[str, tuple[Path, bool]]:
    """`name=directory` or `name=directory:rw`: the name, and the directory with whether it may be
    written to."""
    name, equals, rest = text.partition("=")
    if not equals or _NAME.fullmatch(name) is None or not rest:
        raise ValueError(f"{text[:80]!r} is not name=directory or name=directory:rw")
    writable = rest.endswith(":rw")
    path = Path(rest.removesuffix(":rw").removesuffix(":ro")).expanduser().absolute()
    if not path.is_dir():
        raise ValueError(f"mount {name}: {path} is not a directory")
    return name, (path, writable)


def existing_file(text: str) -> Path:
    """A file that is there."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError(f"{text[:200]}: no such file")
    return path


def read_secret(text: str) -> str:
    """What a file holds."""
    return existing_file(text).read_text().strip()


def read_path(text: str) -> Path:
    """A path, whether or not anything is there."""
    return Path(text).expanduser()


def read_directory(text: str) -> Path:
    """A directory that is there."""
    path = read_path(text)
    if not path.is_dir():
        raise ValueError(f"{text[:200]}: no such directory")
    return path


def read_url(text: str) -> str:
    """An address of the web, without a login."""
    if not re.fullmatch(r"https?://[^\s@?#]+", text):
        raise ValueError("an http:// or https:// address is wanted")
    return text


def read_attester(text: str) -> tuple[str, str]:
    """`TEE:COMMAND`."""
    tee, colon, command = text.partition(":")
    if not colon or not re.fullmatch(r"[a-z0-9-]{1,32}", tee) or not Path(command).is_file():
        raise ValueError("TEE:COMMAND is wanted, where COMMAND is a file")
    return tee, command
