"""What a parsed document is made of: plain dicts, lists and scalars that know their lines.

`yamltext` and `jsontext` build them through one `Build`, which bounds depth and size and collects
faults instead of stopping at the first. Everything after it sees ordinary Python values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Path: TypeAlias = "tuple[str | int, ...]"

MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
MAX_DOCUMENTS: Final = 10_000
_PLAIN_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,16})\Z")


class Map(dict[str, Any]):
    """A mapping with the line of each key. `line` is where it begins."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Seq(list[Any]):
    """A list with the line of each item."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


class Number(str):
    """An unquoted number that is not a plain whole one (`0.01`, `1e3`, `012`, `0x1F`), as written.

    Where text is wanted it is that text; where a whole number is wanted it is refused by name.
    """

    __slots__ = ()


class Plain(str):
    """Unquoted text with a `${` in it: read again as a scalar once its variables are known."""

    __slots__ = ()


class Place(int):
    """A line that knows more than its number: the file it is in, and a note for who reads it.

    Only values that an overlay brought into a document have one.
    """

    file: str
    note: str

    def __new__(cls, line: int, file: str, note: str) -> Place:
        """`line` of `file`; `note` is shown after a message about it."""
        made = super().__new__(cls, line)
        made.file, made.note = file, note
        return made


@dataclass(frozen=True, slots=True)
class Flaw:
    """A fault that does not know its file yet. Files with equal bytes share parsed results."""

    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Parsed:
    """One document: its value, its first line and what is wrong with it as text."""

    line: int
    value: Any
    flaws: list[Flaw] = field(default_factory=list)


class UnreadableError(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.flaw = Flaw(line, (), message)


def whole_number(text: str) -> int | None:
    """The one spelling of whole numbers that all readers agree on; None for any other text."""
    return int(text) if _PLAIN_INTEGER.match(text) else None


def printable(text: str) -> str:
    """`text` with everything a terminal could take for a command escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def dotted(path: Path) -> str:
    """`("spec", "args", 1)` as `spec.args[1]`, printable."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return printable(text)


def line_of(value: Any, path: Path, default: int) -> int:
    """The line of the deepest step of `path` that is there."""
    line = default
    for step in path:
        if isinstance(value, Map) and isinstance(step, str):
            if step not in value:
                break
            line = value.lines.get(step, line)
            value = value[step]
        elif isinstance(value, Seq) and isinstance(step, int) and step < len(value):
            line = value.lines[step]
            value = value[step]
        else:
            break
    return line


class Build:
    """Puts one file's nodes together, with its bounds. One instance a file."""

    def __init__(self) -> None:
        self.documents: list[Parsed] = []
        self._stack: list[tuple[Map | Seq, list[str | None]]] = []
        self.nodes = 0

    @property
    def depth(self) -> int:
        """How many collections are open."""
        return len(self._stack)

    @property
    def top(self) -> Map | Seq:
        """The innermost open collection."""
        return self._stack[-1][0]

    def begin(self, line: int) -> None:
        """A document starts."""
        if len(self.documents) == MAX_DOCUMENTS:
            raise UnreadableError(
                line, f"more than {MAX_DOCUMENTS} documents in one file; split it"
            )
        self.documents.append(Parsed(line, None))

    def flaw(self, line: int, message: str, key: str | None = None) -> None:
        """Something wrong at this place; reading goes on."""
        path: list[str | int] = []
        for holder, pending in self._stack:
            if isinstance(holder, Seq):
                path.append(len(holder))
            elif pending[0] is not None:
                path.append(pending[0])
        if key is not None:
            path.append(key)
        self.documents[-1].flaws.append(Flaw(line, tuple(path), message))

    def open(self, holder: Map | Seq) -> None:
        """A mapping or list starts."""
        if len(self._stack) == MAX_DEPTH:
            raise UnreadableError(
                holder.line, f"more than {MAX_DEPTH} levels deep; nothing needs that"
            )
        self._stack.append((holder, [None]))

    def close(self) -> Map | Seq:
        """It ends; the caller hands it to `put`."""
        return self._stack.pop()[0]

    @property
    def wants_key(self) -> bool:
        """Whether what comes next is the key of a mapping."""
        if not self._stack:
            return False
        holder, pending = self._stack[-1]
        return isinstance(holder, Map) and pending[0] is None

    def key(self, text: str, line: int) -> None:
        """The key of the value that comes next."""
        self._count(1, line)
        holder, pending = self._stack[-1]
        if not isinstance(holder, Map):
            raise AssertionError("a key outside a mapping")
        if text in holder.lines:
            first = holder.lines[text]
            self.flaw(line, f"duplicate key, first given in line {first}", key=text)
        else:
            holder.lines[text] = line
        pending[0] = text

    def put(self, value: Any, line: int, *, nodes: int = 1) -> None:
        """A whole value, whose place is where the last key or list left off."""
        self._count(nodes, line)
        if not self._stack:
            self.documents[-1].value = value
            return
        holder, pending = self._stack[-1]
        if isinstance(holder, Seq):
            holder.append(value)
            holder.lines.append(line)
        else:
            key = pending[0]
            if key is None:
                raise AssertionError("a value without a key")
            holder[key] = value
            pending[0] = None

    def _count(self, nodes: int, line: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise UnreadableError(
                line, f"more than {MAX_NODES} values, aliases followed; split the file or drop them"
            )
