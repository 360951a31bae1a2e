"""A Workflow's steps as a drawing: columns by how many steps come before, one row each in a column.

Pure: from the steps of a status document to boxes and lines in a plane of whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WIDE, HIGH, APART, BELOW = 150, 44, 60, 20
"""Of a box, and between boxes."""
MOST: Final = 100
LETTERS: Final = 17
"""Of a name that fit into a box."""


@dataclass(frozen=True, slots=True)
class Box:
    """One step. x, y: its upper left corner."""

    name: str
    state: str
    x: int
    y: int

    @property
    def label(self) -> str:
        """The name, as much of it as fits."""
        return self.name if len(self.name) <= LETTERS else self.name[: LETTERS - 1] + "…"


@dataclass(frozen=True, slots=True)
class Line:
    """From the right side of one box to the left side of a later one."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Graph:
    """All of it, and how much room it takes."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: int
    height: int


def graph_of(steps: Sequence[Mapping[str, Any]]) -> Graph | None:
    """None where there are no steps to draw."""
    rows = {str(one["name"]): one for one in steps[:MOST]}
    if not rows:
        return None
    depth: dict[str, int] = {}

    def column(name: str, way: frozenset[str] = frozenset()) -> int:
        if name not in depth:
            before = [one for one in rows[name].get("after", ()) if one in rows and one not in way]
            depth[name] = 1 + max((column(one, way | {name}) for one in before), default=-1)
        return depth[name]

    columns: dict[int, list[str]] = {}
    for name in rows:
        columns.setdefault(column(name), []).append(name)
    places = {
        name: (place * (WIDE + APART), row * (HIGH + BELOW))
        for place, names in columns.items()
        for row, name in enumerate(names)
    }
    boxes = tuple(Box(name, str(one["state"]), *places[name]) for name, one in rows.items())
    lines = tuple(
        Line(
            places[before][0] + WIDE,
            places[before][1] + HIGH // 2,
            places[name][0],
            places[name][1] + HIGH // 2,
        )
        for name, one in rows.items()
        for before in one.get("after", ())
        if before in places
    )
    return Graph(
        boxes,
        lines,
        width=max(box.x for box in boxes) + WIDE,
        height=max(box.y for box in boxes) + HIGH,
    )
