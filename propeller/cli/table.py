"""Aligned columns for terminals and for `awk`: upper-case heads, three spaces, no ruling.

Widths are those of the text; colour is put on afterwards, so a coloured table lines up the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = "   "

_CODES = {"": "", "good": "32", "bad": "31", "odd": "33", "dim": "2", "strong": "1"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. tone: good, bad, odd, dim, strong or "" (as it is)."""

    text: str
    tone: str = ""


def paint(text: str, tone: str, *, colour: bool) -> str:
    """`text` in the colour of `tone` where colour is wanted."""
    code = _CODES[tone]
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code and text else text


def render(
    heads: Sequence[str], rows: Sequence[Sequence[str | Cell]], *, colour: bool = False
) -> str:
    """The table, one line a row, without a last line break. Line breaks in cells become spaces."""
    cells = [[_cell(each) for each in row] for row in rows]
    widths = [len(head) for head in heads]
    for row in cells:
        widths = [max(width, len(cell.text)) for width, cell in zip(widths, row, strict=True)]
    lines = [_line([Cell(head) for head in heads], widths, colour=False)]
    lines += [_line(row, widths, colour=colour) for row in cells]
    return "\n".join(lines)


def _cell(value: str | Cell) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(printable(cell.text) or "-", cell.tone)


def printable(text: str) -> str:
    """One line without control characters: what devices say may not steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))


def _line(row: Sequence[Cell], widths: Sequence[int], *, colour: bool) -> str:
    parts = []
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        last = number == len(row) - 1
        pad = "" if last else " " * (width - len(cell.text))
        parts.append(paint(cell.text, cell.tone, colour=colour) + pad)
    return GAP.join(parts).rstrip()
