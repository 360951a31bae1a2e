"""A small plot of a metric over rounds, in characters every terminal has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"


def plot(points: Sequence[tuple[int, float]], *, width: int = 60, height: int = 6) -> list[str]:
    """Lines of a plot, none for fewer than two points.

    points: (round, value), by round. More rounds than columns are drawn as means of neighbours.
    """
    if len(points) < 2 or width < 1 or height < 1:
        return []
    columns = _columns([value for _, value in points], width)
    low, high = min(columns), max(columns)
    steps = height * len(BARS)
    span = high - low
    heights = [
        steps // 2 if span <= 0 else 1 + round((value - low) / span * (steps - 1))
        for value in columns
    ]
    labels = {0: f"{high:.4g}", height - 1: f"{low:.4g}"}
    margin = max(len(label) for label in labels.values())
    lines = []
    for row in range(height):
        floor = (height - 1 - row) * len(BARS)
        cells = "".join(_cell(tall - floor) for tall in heights).rstrip()
        lines.append(f"{labels.get(row, ''):>{margin}} | {cells}".rstrip())
    first, last = str(points[0][0]), str(points[-1][0])
    gap = max(1, len(columns) - len(first) - len(last))
    lines.append(f"{'':>{margin}}   {first}{' ' * gap}{last}")
    return lines


def _columns(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    edges = [number * len(values) // width for number in range(width + 1)]
    cells = [values[start:end] for start, end in pairwise(edges)]
    return [sum(cell) / len(cell) for cell in cells]


def _cell(tall: int) -> str:
    if tall <= 0:
        return " "
    return BARS[min(tall, len(BARS)) - 1]
