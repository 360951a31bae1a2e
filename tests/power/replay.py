"""What a disk may hold after a power cut: the log of `recorder.c`, played up to a point.

Two kinds of truth are kept apart. What was synced is there: the bytes of a file as of its last
fsync, the names of a directory as of its last fsync. What was not is anybody's guess, and a `Crash`
makes one guess:

    dropped      nothing unsynced survived: the strictest reading of POSIX
    kept         all of it survived, as after kill -9
    scattered    names: the first few unsynced changes, in order, as journalling file systems do;
                 bytes: any subset of the 512-byte pieces of unsynced writes and truncations

Bytes never written read as zeros. A directory that was not synced takes what is below it along.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TypeAlias

_HEADER = struct.Struct("<IIQQII")
_MAGIC = 0x50575231
_SECTOR = 512


class Kind(IntEnum):
    """The kinds of record, as numbered in `recorder.c`."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    RENAME = 4
    LINK = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    SYNC = 9
    MARK = 10


@dataclass(frozen=True, slots=True)
class Op:
    """One record. Paths are relative to the root; "" is the root itself."""

    kind: Kind
    path: str
    other: str
    offset: int
    data: bytes


def read_log(log: Path, root: Path) -> list[Op]:
    """Every record of the log, in order."""
    data = log.read_bytes() if log.exists() else b""
    ops: list[Op] = []
    at = 0
    while at < len(data):
        magic, kind, offset, length, path_length, other_length = _HEADER.unpack_from(data, at)
        assert magic == _MAGIC, f"no record at byte {at} of the log"
        at += _HEADER.size
        path = data[at : at + path_length].decode()
        at += path_length
        other = data[at : at + other_length].decode()
        at += other_length
        body = data[at : at + length]
        at += length
        ops.append(Op(Kind(kind), _below(root, path), _below(root, other), offset, body))
    return ops


def _below(root: Path, path: str) -> str:
    return path[len(str(root)) :].lstrip("/")


@dataclass(slots=True, eq=False)
class File:
    """Bytes as of the last sync, and what happened to them since."""

    synced: bytes = b""
    since: list[Op] = field(default_factory=list)

    def content(self, keep: random.Random | None, share: float) -> bytes:
        """The synced bytes with `share` of what came since; all of it when `keep` is None."""
        data = bytearray(self.synced)
        for op in self.since:
            if op.kind is Kind.TRUNCATE:
                if keep is None or keep.random() < share:
                    _resize(data, op.offset)
                continue
            at = 0
            while at < len(op.data):
                piece = min(len(op.data) - at, _SECTOR - (op.offset + at) % _SECTOR)
                if keep is None or keep.random() < share:
                    begin = op.offset + at
                    _resize(data, max(len(data), begin + piece))
                    data[begin : begin + piece] = op.data[at : at + piece]
                at += piece
        return bytes(data)


def _resize(data: bytearray, length: int) -> None:
    if length < len(data):
        del data[length:]
    else:
        data.extend(bytes(length - len(data)))


@dataclass(slots=True, eq=False)
class Folder:
    """Names as the process sees them, and as they were synced."""

    live: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)


Node: TypeAlias = File | Folder
Entries: TypeAlias = Callable[[Folder], dict[str, Node]]
Tree: TypeAlias = dict[str, File | None]
"""Path to file; None is a directory. The root is not in it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of names: `node` appears at `into`, or leaves `out_of`, or both."""

    node: Node
    out_of: tuple[Folder, str] | None = None
    into: tuple[Folder, str] | None = None

    def folders(self) -> list[Folder]:
        """The directories it touches."""
        return [place[0] for place in (self.out_of, self.into) if place is not None]

    def do(self, entries: Entries) -> None:
        """Make it in one picture of the directories."""
        if self.out_of is not None:
            folder, name = self.out_of
            entries(folder).pop(name, None)
        if self.into is not None:
            folder, name = self.into
            entries(folder)[name] = self.node


class Disk:
    """A directory tree under the log's operations."""

    def __init__(self) -> None:
        self._root = Folder()
        self.since: list[Change] = []
        """Changes of names that are not synced."""

    def apply(self, op: Op) -> None:
        """Let the operation happen."""
        match op.kind:
            case Kind.WRITE | Kind.TRUNCATE:
                file = self._find(op.path)
                assert isinstance(file, File), f"{op.kind.name} of {op.path}, which is no file"
                file.since.append(op)
            case Kind.SYNC:
                self._sync(self._find(op.path))
            case Kind.MARK:
                pass
            case _:
                change = self._change(op)
                change.do(lambda folder: folder.live)
                self.since.append(change)

    def _change(self, op: Op) -> Change:
        place = self._place(op.path)
        match op.kind:
            case Kind.CREATE:
                return Change(File(), into=place)
            case Kind.MKDIR:
                return Change(Folder(), into=place)
            case Kind.UNLINK | Kind.RMDIR:
                return Change(self._find(op.path), out_of=place)
            case Kind.LINK:
                return Change(self._find(op.path), into=self._place(op.other))
            case Kind.RENAME:
                return Change(self._find(op.path), out_of=place, into=self._place(op.other))
            case _:
                raise AssertionError(f"{op.kind.name} changes no name")

    def _sync(self, node: Node) -> None:
        if isinstance(node, File):
            node.synced = node.content(None, 1.0)
            node.since.clear()
            return
        # What this directory needs, and what a rename into or out of it needs of the other one.
        touched, needed, waiting = [node], [], []
        for change in reversed(self.since):
            if any(folder in touched for folder in change.folders()):
                touched += change.folders()
                needed.append(change)
            else:
                waiting.append(change)
        for change in reversed(needed):
            change.do(lambda folder: folder.synced)
        self.since = waiting[::-1]

    def tree(self, kept: int) -> Tree:
        """The synced names and the first `kept` changes since."""
        picture: dict[int, dict[str, Node]] = {}

        def entries(folder: Folder) -> dict[str, Node]:
            return picture.setdefault(id(folder), dict(folder.synced))

        for change in self.since[:kept]:
            change.do(entries)
        found: Tree = {}
        waiting: list[tuple[str, Folder]] = [("", self._root)]
        while waiting:
            above, folder = waiting.pop()
            for name, node in entries(folder).items():
                found[above + name] = node if isinstance(node, File) else None
                if isinstance(node, Folder):
                    waiting.append((f"{above}{name}/", node))
        return found

    def _find(self, path: str) -> Node:
        node: Node = self._root
        for part in path.split("/") if path else []:
            assert isinstance(node, Folder), f"{path}: below a file"
            node = node.live[part]
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._find(above)
        assert isinstance(folder, Folder), f"{path}: below a file"
        return folder, name


@dataclass(frozen=True, slots=True)
class Crash:
    """One guess at one point. `marks` are those written before it, oldest first."""

    point: int
    guess: str
    marks: tuple[str, ...]
    tree: dict[str, bytes | None]

    def materialise(self, directory: Path) -> None:
        """Write the tree into `directory`, which is created."""
        directory.mkdir()
        for path in sorted(self.tree):
            content = self.tree[path]
            if content is None:
                (directory / path).mkdir(mode=0o700)
            else:
                (directory / path).write_bytes(content)

    def __str__(self) -> str:
        return f"power cut after operation {self.point}, unsynced writes {self.guess}"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a program did below the root, from an empty directory on."""

    ops: tuple[Op, ...]

    def crashes(self, *, between: int = 2, scattered: int = 2, seed: int = 1) -> Iterator[Crash]:
        """Guesses around each sync and mark, and at `between` points from one to the next.

        At each point: dropped, kept, and `scattered` random ones. Equal ones come once.
        """
        chance = random.Random(seed)
        points = self._points(between, chance)
        disk = Disk()
        marks: list[str] = []
        seen: set[bytes] = set()
        for number, op in enumerate(self.ops, 1):
            disk.apply(op)
            if op.kind is Kind.MARK:
                marks.append(op.data.decode())
            if number not in points:
                continue
            for guess, tree in _guesses(disk, scattered, chance):
                crash = Crash(number, guess, tuple(marks), tree)
                name = _fingerprint(crash)
                if name not in seen:
                    seen.add(name)
                    yield crash

    def at(self, point: int | None = None, *, guess: str = "kept") -> Crash:
        """What is there after the first `point` operations, or all of them: `kept` or `dropped`."""
        disk = Disk()
        done = self.ops[:point]
        for op in done:
            disk.apply(op)
        marks = tuple(op.data.decode() for op in done if op.kind is Kind.MARK)
        trees = dict(_guesses(disk, 0, random.Random(0)))
        return Crash(len(done), guess, marks, trees[guess])

    def _points(self, between: int, chance: random.Random) -> set[int]:
        edges = [
            number
            for number, op in enumerate(self.ops, 1)
            if op.kind is Kind.SYNC or op.kind is Kind.MARK
        ]
        points = set(edges) | {edge - 1 for edge in edges if edge > 1} | {len(self.ops)}
        for begin, end in zip([0, *edges], [*edges, len(self.ops) + 1], strict=True):
            inside = range(begin + 1, end)
            points.update(chance.sample(inside, min(between, len(inside))))
        return points


def _guesses(
    disk: Disk, scattered: int, chance: random.Random
) -> Iterator[tuple[str, dict[str, bytes | None]]]:
    for name, kept, share in [
        ("dropped", 0, 0.0),
        ("kept", len(disk.since), 1.0),
        *(
            ("scattered", chance.randint(0, len(disk.since)), chance.choice([0.1, 0.5, 0.9]))
            for _ in range(scattered)
        ),
    ]:
        names = disk.tree(kept)
        contents: dict[int, bytes] = {}  # one content for all names of a file
        tree: dict[str, bytes | None] = {}
        for path in sorted(names):
            file = names[path]
            if file is not None and id(file) not in contents:
                contents[id(file)] = file.content(None if share == 1.0 else chance, share)
            tree[path] = None if file is None else contents[id(file)]
        yield name, tree


def _fingerprint(crash: Crash) -> bytes:
    digest = hashlib.sha256(repr(crash.marks).encode())
    for path, content in sorted(crash.tree.items()):
        digest.update(repr((path, content is None, len(content or b""))).encode())
        digest.update(content or b"")
    return digest.digest()
