"""A guest's stdout and stderr on disk, bounded. Written by the worker, read by the agent.

A stream is kept in pieces named by the offset of their first byte (`stdout.0`, `stdout.32768`).
As a ring it holds at most two pieces of half the limit each, so the newest bytes survive;
otherwise it holds the first `limit` bytes and says that there were more.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

STREAMS = ("stdout", "stderr")


def pieces(directory: Path, stream: str) -> list[tuple[int, Path]]:
    """The pieces of a stream in order, each with the offset of its first byte."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in directory.iterdir():
            name, _, offset = path.name.partition(".")
            if name == stream and offset.isdecimal():
                found.append((int(offset), path))
    return sorted(found)


def end_of(directory: Path, stream: str) -> int:
    """Bytes the stream has had in all."""
    found = pieces(directory, stream)
    return found[-1][0] + found[-1][1].stat().st_size if found else 0


def dropped_of(directory: Path, stream: str) -> int:
    """Bytes of the stream that are not kept any more."""
    found = pieces(directory, stream)
    return found[0][0] if found else 0


def read(directory: Path, stream: str, start: int, most: int) -> tuple[int, bytes]:
    """Up to `most` bytes from `start` on, and where they begin (later, if older are gone)."""
    data, begin = b"", start
    for offset, path in pieces(directory, stream):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if not data and offset > begin:
                begin = offset
            if offset + os.fstat(file.fileno()).st_size <= begin + len(data):
                continue
            file.seek(begin + len(data) - offset)
            data += file.read(most - len(data))
        if len(data) >= most:
            break
    return begin, data


class Capture:
    """One stream being written. `total` counts from the first incarnation of the run."""

    def __init__(self, directory: Path, stream: str, *, limit: int, ring: bool) -> None:
        self._directory = directory
        self._stream = stream
        self._limit = limit
        self._ring = ring
        self._piece = max(1, limit // 2) if ring else max(1, limit)
        found = pieces(directory, stream)
        start = found[-1][0] if found else 0
        self._file = (directory / f"{stream}.{start}").open("ab", buffering=0)
        self._in_piece = os.fstat(self._file.fileno()).st_size
        self.total = start + self._in_piece

    def write(self, data: bytes) -> bool:
        """Keep what fits. False once a stream that is no ring has had more than its limit."""
        if not self._ring:
            fits = data[: max(0, self._limit - self.total)]
            self._file.write(fits)
            self.total += len(fits)
            return len(fits) == len(data)
        view = memoryview(data)
        while view:
            if self._in_piece >= self._piece:
                self._turn()
            wrote = self._file.write(view[: self._piece - self._in_piece]) or 0
            self._in_piece += wrote
            self.total += wrote
            view = view[wrote:]
        return True

    def _turn(self) -> None:
        self._file.close()
        self._file = (self._directory / f"{self._stream}.{self.total}").open("ab", buffering=0)
        self._in_piece = 0
        for _, path in pieces(self._directory, self._stream)[:-2]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Done."""
        self._file.close()
