"""The record files a trainer reads through `data_next`: a header, then records of one length.

Called by `training` in a worker. A file is little-endian:

    0  4  magic "PFR1"
    4  4  features: f32 values of a record (u32)
    8  4  labels: i32 values of a record, after its features (u32)
   12  4  zero
   16  8  records (u64)
   24  8  zero
   32  .  the records, each 4 * (features + labels) bytes

Of a directory, `train` reads every `*.pfr` in order of name but those called `test*`; `evaluate`
reads the `test*` ones, or all there are if none is called so. Nothing here follows a link.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEAD = struct.Struct("<4sIIIQQ")
MAGIC = b"PFR1"
MAX_FILES = 256
MAX_VALUES = 1 << 20
"""Values of one record."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What every record of a device looks like; `records` in all."""

    features: int = 0
    labels: int = 0
    records: int = 0

    @property
    def size(self) -> int:
        """Bytes of one record."""
        return 4 * (self.features + self.labels)


def header(features: int, labels: int, records: int) -> bytes:
    """The first 32 bytes of a file."""
    return HEAD.pack(MAGIC, features, labels, 0, records, 0)


def files_of(directory: Path, step: str) -> tuple[Path, ...]:
    """The record files for a step, in the order they are read."""
    found = sorted(path for path in directory.glob("*.pfr"))[:MAX_FILES]
    tests = tuple(path for path in found if path.name.startswith("test"))
    if step == "evaluate":
        return tests or tuple(found)
    return tuple(path for path in found if path not in tests)


class Samples:
    """A stream over record files that begins again after its end. Raises ValueError, OSError."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._handles: list[tuple[int, int]] = []
        shapes = []
        for path in files:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            shape = _shape(handle, path.name)
            shapes.append(shape)
            self._handles.append((handle, shape.records * shape.size))
        if len({(shape.features, shape.labels) for shape in shapes}) > 1:
            raise ValueError("its record files do not all have the same features and labels")
        first = shapes[0] if shapes else Shape()
        self.shape = Shape(first.features, first.labels, sum(shape.records for shape in shapes))
        self._file, self._at = 0, 0

    def next(self, most: int) -> bytes:
        """As many whole records as fit in `most` bytes; none at the end, then from the start on.

        Raises ValueError when not even one fits.
        """
        size = self.shape.size
        if size and most < size:
            raise ValueError(f"data_next: room for {most} bytes, a record has {size}")
        taken: list[bytes] = []
        room = most - most % size if size else 0
        while room and self._file < len(self._handles):
            handle, end = self._handles[self._file]
            piece = os.pread(handle, min(room, end - self._at), HEAD.size + self._at)
            if not piece:
                self._file, self._at = self._file + 1, 0
                continue
            taken.append(piece)
            self._at += len(piece)
            room -= len(piece)
        if not taken:
            self._file, self._at = 0, 0
        return b"".join(taken)

    def close(self) -> None:
        """Done."""
        for handle, _ in self._handles:
            os.close(handle)
        self._handles.clear()


def _shape(handle: int, name: str) -> Shape:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{name} is not a file")
    head = os.pread(handle, HEAD.size, 0)
    if len(head) < HEAD.size:
        raise ValueError(f"{name} is too short for a record file")
    magic, features, labels, zero, records, more = HEAD.unpack(head)
    if magic != MAGIC or zero or more:
        raise ValueError(f"{name} does not begin like a record file (PFR1)")
    if not 0 < features + labels <= MAX_VALUES:
        raise ValueError(f"{name} says its records have {features + labels} values")
    shape = Shape(features, labels, records)
    if found.st_size != HEAD.size + records * shape.size:
        raise ValueError(f"{name} has {found.st_size} bytes, its header says otherwise")
    return shape


def count(directory: Path, step: str) -> int | None:
    """How many records there are for a step; None where there are no such files, or broken ones."""
    files = files_of(directory, step)
    if not files:
        return None
    try:
        samples = Samples(files)
    except (OSError, ValueError):
        return None
    samples.close()
    return samples.shape.records
