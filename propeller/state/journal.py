"""The journal: what neither the source nor the fleet can tell again, kept outside the database.

One line an entry, appended and fsynced before the caller goes on:

    {"entry":{...},"kind":"hold","n":17,"sum":"<16 hex>"}

`n` counts from 1 without gaps, `sum` is over the rest of the line. A power cut can only spoil the
line being written, which is the last: that one is dropped. Anything else that does not fit is
damage, and reading stops with the line's number instead of guessing.

The reconciler appends; after a lost database it reads everything back. When the file holds many
superseded entries it is rewritten with the newest entry of each key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from propeller.errors import Unavailable, WireError
from propeller.model.canonical import canonical_bytes
from propeller.state.files import make_directory, replace_file, sync_directory, write_all

KEYS: Mapping[str, str] = {
    "hold": "uid",
    "propletHold": "proplet",
    "slot": "uid",
    "confirm": "what",
    "reject": "what",
    "good": "uid",
    "steer": "uid",
    "window": "uid",
    "round": "uid",
    "spend": "uid",
    "flow": "uid",
}
"""By kind, the field that says what an entry replaces. Entries of other kinds replace nothing."""

NAME = "journal.jsonl"
_LINE_LIMIT = 64 * 1024
_COMPACT_FROM = 4_096

Entry = tuple[str, Mapping[str, object]]


class FileJournal:
    """See `base.Journal`. One appender at a time (the holder of the lease); readers at any time."""

    def __init__(self, directory: Path, *, compact_from: int = _COMPACT_FROM) -> None:
        """Touches nothing. `compact_from`: entries from which a rewrite is worth its cost."""
        self._path = directory / NAME
        self._compact_from = compact_from
        self._handle: int | None = None
        self._size = 0
        self._lines = 0
        self._live: set[tuple[str, object]] = set()
        self._loose = 0  # entries that replace nothing

    def append(self, kind: str, entry: Mapping[str, object]) -> None:
        """Durable before it returns. Raises Unavailable when it cannot be written."""
        handle = self._open()
        line = _line(self._lines + 1, kind, entry)
        if len(line) > _LINE_LIMIT:
            raise ValueError(f"a journal entry of {len(line)} bytes; at most {_LINE_LIMIT}")
        try:
            write_all(handle, line)
            os.fsync(handle)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(handle, self._size)  # it was not taken: nobody should read it later
            self.close()
            raise Unavailable(
                f"{self._path}: cannot be written: {error.strerror}",
                hint="free some space; nothing that needs the journal happens before that",
            ) from error
        self._size += len(line)
        self._count(kind, entry)
        if self._lines >= self._compact_from and self._lines > 2 * (len(self._live) + self._loose):
            self.compact()

    def read(self) -> Iterator[Entry]:
        """Every entry in order. A torn last line is dropped; other damage raises WireError."""
        for kind, entry, _ in _read(self._path):
            yield kind, entry

    def compact(self) -> None:
        """Rewrite the file with the newest entry of each key, in one piece."""
        newest: dict[tuple[str, object], Entry] = {}
        for place, (kind, entry) in enumerate(self.read()):
            key = _key(kind, entry) or ("", place)
            newest.pop(key, None)  # the newest stands where it was written
            newest[key] = kind, entry
        lines = [
            _line(number, kind, entry) for number, (kind, entry) in enumerate(newest.values(), 1)
        ]
        self.close()
        replace_file(self._path, b"".join(lines), mode=0o600)

    def close(self) -> None:
        """Give the file back; `append` opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        """The file ready for the next line, with a torn last line cut off."""
        if self._handle is not None:
            return self._handle
        self._lines = self._size = self._loose = 0
        self._live.clear()
        for kind, entry, end in _read(self._path):
            self._count(kind, entry)
            self._size = end
        make_directory(self._path.parent, mode=0o700)
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(handle).st_size > self._size:
                    os.ftruncate(handle, self._size)
                # Also when nothing was cut: what we just read and go on from may be in no more
                # than the page cache, and the name of the file with it.
                os.fsync(handle)
                sync_directory(self._path.parent)
            except OSError:
                os.close(handle)
                raise
        except OSError as error:
            raise Unavailable(
                f"{self._path}: cannot be opened: {error.strerror}",
                hint="check the disk and that the file may be written to",
            ) from error
        self._handle = handle
        return handle

    def _count(self, kind: str, entry: Mapping[str, object]) -> None:
        self._lines += 1
        key = _key(kind, entry)
        if key is None:
            self._loose += 1
        else:
            self._live.add(key)


def _key(kind: str, entry: Mapping[str, object]) -> tuple[str, object] | None:
    field = KEYS.get(kind)
    return None if field is None or field not in entry else (kind, entry[field])


def _line(number: int, kind: str, entry: Mapping[str, object]) -> bytes:
    body: dict[str, object] = {"entry": dict(entry), "kind": kind, "n": number}
    return canonical_bytes({**body, "sum": _sum(body)}) + b"\n"


def _sum(body: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical_bytes(body)).hexdigest()[:16]


def _read(path: Path) -> Iterator[tuple[str, Mapping[str, object], int]]:
    """(kind, entry, offset of the byte after its line) of each line."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        end = 0
        bad: tuple[int, str] | None = None
        for number, line in enumerate(iter(lambda: file.readline(_LINE_LIMIT + 1), b""), 1):
            if bad is not None:
                raise _damaged(path, *bad)  # it was not the last
            end += len(line)
            found = _parse(line, number)
            if isinstance(found, str):
                bad = number, found
            else:
                yield *found, end


def _parse(line: bytes, number: int) -> Entry | str:
    """The entry of a line, or what is wrong with it."""
    if not line.endswith(b"\n"):
        return "has no end"
    try:
        body: Any = json.loads(line)
        said = body.pop("sum")
        kind, entry = body["kind"], body["entry"]
        right = said == _sum(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "is not a journal entry"
    if not right or not isinstance(kind, str) or not isinstance(entry, dict):
        return "does not match its checksum"
    if body["n"] != number:
        return f"is entry {body['n']}, not {number}"
    return kind, entry


def _damaged(path: Path, number: int, problem: str) -> WireError:
    return WireError(
        "journal_damaged",
        f"{path}:{number}: {problem}",
        hint="restore the file from the status branch or a backup, or delete from that line on"
        " and suspend again what should stand still",
    )
