"""What was asked of the gateway: who, what, from where, with what outcome; one line each, chained.

Every line has the hash of the one before in its own, so a line that is altered, taken out or put
in breaks the chain at its place. Whoever can write the file can also write a new chain: note the
newest hash elsewhere (`propeller audit --head`) and give it to `verify`. Writes and refused
requests are kept, looks are not. Nothing of a query, a body or a header is kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from propeller.errors import Unavailable
from propeller.model.canonical import canonical_bytes
from propeller.state.files import make_directory

START: Final = "0" * 64
ROTATE: Final = 32 << 20
MAX_LINE: Final = 16 << 10
MOST_TEXT: Final = 256
FILE: Final = "audit.jsonl"
_TOKENS: Final = re.compile(r"ppl_[A-Za-z0-9_-]{8,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One request. at: Unix ms. who: of the principal. origin: the address it came from.

    what: method and path. outcome: the HTTP status. note: more, for people.
    """

    at: int
    who: str
    via: str
    origin: str
    what: str
    outcome: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """Where the chain does not hold. line counts from 1 in `file`."""

    file: str
    line: int
    why: str


class Audit:
    """The log of one state. Several processes may append: each takes a lock and reads the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Before something is done: whether it can be written down. Raises Unavailable."""
        try:
            make_directory(self._folder, mode=0o700)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                free = os.fstatvfs(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._bad(error) from error
        if free.f_bavail * free.f_frsize < 1 << 20:
            raise Unavailable(
                f"{self._path}: less than 1 MiB is free, so nothing is done that must be recorded",
                hint="free some space",
            )

    def note(self, deed: Deed) -> None:
        """Append one line, durable before it returns. Raises Unavailable."""
        body = {
            "at": deed.at,
            "who": _clean(deed.who),
            "via": deed.via,
            "from": _clean(deed.origin),
            "what": _clean(deed.what),
            "outcome": deed.outcome,
        }
        if deed.note:
            body["note"] = _clean(deed.note)
        with self._lock:
            try:
                self._append(body)
            except OSError as error:
                raise self._bad(error) from error

    def _append(self, body: Mapping[str, Any]) -> None:
        make_directory(self._folder, mode=0o700)
        with self._locked():
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                number, before = self._end(handle)
                line = {"n": number + 1, "prev": before, **body}
                line["hash"] = _hash(line)
                data = canonical_bytes(line) + b"\n"
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    data = b"\n" + data  # a power cut tore the last line: it stays, and is told
                os.write(handle, data)
                os.fsync(handle)
                full = os.fstat(handle).st_size > ROTATE
            finally:
                os.close(handle)
            if full:
                self._path.rename(self._folder / f"audit.{number + 1:012}.jsonl")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _end(self, handle: int) -> tuple[int, str]:
        """Number and hash of the newest line; of an earlier file when this one is new."""
        size = os.fstat(handle).st_size
        data = os.pread(handle, 2 * MAX_LINE, max(0, size - 2 * MAX_LINE))
        found = _last(data)
        if found is None:
            for path in reversed(self.files()[:-1]):
                with path.open("rb") as file:
                    file.seek(max(0, path.stat().st_size - 2 * MAX_LINE))
                    found = _last(file.read())
                if found is not None:
                    break
        return found or (0, START)

    def files(self) -> list[Path]:
        """Every file of the log, the oldest first; the last is the one that grows."""
        return [*sorted(self._folder.glob("audit.*.jsonl")), self._path]

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Every line that can be read, the oldest first."""
        for _, _, line in self._raw():
            if isinstance(line, dict):
                yield line

    def head(self) -> tuple[int, str]:
        """Number and hash of the newest line, (0, zeros) for none."""
        newest = (0, START)
        for line in self.lines():
            newest = (int(line.get("n", 0)), str(line.get("hash", "")))
        return newest

    def verify(self, head: str = "") -> tuple[int, Broken | None]:
        """How many lines hold, and the first that does not.

        head: a hash noted earlier, which must still be in the chain. Without it a file that was cut
        at its end, or written anew as a whole, cannot be told from one that is shorter.
        """
        number, before, count, met = 0, START, 0, not head
        for file, at, line in self._raw():
            why = _wrong(line, number, before)
            if why:
                return count, Broken(file.name, at, why)
            assert isinstance(line, dict)
            number, before, count = line["n"], line["hash"], count + 1
            met = met or before == head
        if not met:
            return count, Broken(FILE, 0, f"the hash {head} is not in the chain any more")
        return count, None

    def _raw(self) -> Iterator[tuple[Path, int, object]]:
        """(file, line number, what stands there); text that is no JSON comes as None."""
        for path in self.files():
            try:
                with path.open("rb") as file:
                    at = 0
                    while data := file.readline(MAX_LINE + 1):
                        at += 1
                        try:
                            yield path, at, json.loads(data)
                        except ValueError:
                            yield path, at, None
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._bad(error) from error

    def _bad(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self._path}: {error.strerror or error}")


def _wrong(line: object, number: int, before: str) -> str:
    if not isinstance(line, dict):
        return "is no line of the log"
    if line.get("n") != number + 1:
        return f"has number {line.get('n')} where {number + 1} belongs: lines were taken or put in"
    if line.get("prev") != before:
        return "does not follow the line before it"
    try:
        own = _hash({name: one for name, one in line.items() if name != "hash"})
    except ValueError:
        return "was altered"
    if line.get("hash") != own:
        return "was altered"
    return ""


def _hash(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_bytes(dict(line))).hexdigest()


def _last(data: bytes) -> tuple[int, str] | None:
    for text in reversed(data.split(b"\n")):
        try:
            line = json.loads(text)
            return int(line["n"]), str(line["hash"])
        except (ValueError, KeyError, TypeError):
            continue
    return None


def _clean(text: str) -> str:
    """Printable, short, and without a token that somebody pasted where none belongs."""
    words = "".join(one if one.isprintable() else "?" for one in text)
    words = _TOKENS.sub("ppl_***", words)
    return words if len(words) <= MOST_TEXT else words[: MOST_TEXT - 1] + "…"
