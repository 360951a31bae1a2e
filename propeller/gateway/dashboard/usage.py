"""What the copies of an object take, as devices last reported it, and the lines of an hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from propeller.gateway.dashboard.facts import Document
from propeller.gateway.gallery import Picture
from propeller.gateway.trends import MINUTE, NAMED, POINTS, Point
from propeller.model.quantities import size_text

WIDE: Final = 120
TALL: Final = 24
GAP: Final = 5 * MINUTE
"""Two points further apart are not joined: nobody knows what was between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve. path: of an SVG, "" with less than two points. words: the same for who hears."""

    path: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyUse:
    """One copy. document: its row of the status. cpu, memory, load: in words, "" where it was not
    told. load: calls that ran or waited, on average. at: when it was told (Unix ms), 0 never."""

    document: Document
    cpu: str
    memory: str
    load: str
    at: int
    cpu_line: Line
    memory_line: Line


def copies_of(
    copies: Sequence[Mapping[str, Any]],
    uid: str,
    picture: Picture,
    trends: Mapping[str, Sequence[Point]],
) -> list[CopyUse]:
    """Of the copies in a status document. trends: the last hour of each, by proplet."""
    wanted = {str(one["proplet"]) for one in copies}
    fleet = {str(seen.id): seen for seen in picture.seen if seen.id in wanted}
    mark = uid[:NAMED]
    found = []
    for one in copies:
        seen = fleet.get(str(one["proplet"]))
        told = seen.metrics if seen is not None else {}
        cpu, memory = told.get(f"cpu/{mark}"), told.get(f"rss/{mark}")
        load = told.get(f"calls/{mark}")
        points = trends.get(str(one["proplet"]), ())
        any_told = (cpu, memory, load) != (None, None, None)
        found.append(
            CopyUse(
                document=one,
                cpu="" if cpu is None else percent(cpu),
                memory="" if memory is None else rough(memory),
                load="" if load is None else f"{load / 1000:.1f}",
                at=seen.metrics_at if seen is not None and any_told else 0,
                cpu_line=line("CPU", [(p.at, p.cpu) for p in points], percent, picture.at),
                memory_line=line("memory", [(p.at, p.memory) for p in points], rough, picture.at),
            )
        )
    return found


def line(
    name: str, points: Sequence[tuple[int, int | None]], say: Callable[[int], str], now: int
) -> Line:
    """The last hour up to `now` (Unix ms); the top of the curve is the most there was."""
    known = [(at, value) for at, value in points if value is not None]
    if len(known) < 2:
        return Line(path="", words="")
    low, most = min(value for _, value in known), max(value for _, value in known)
    span = POINTS * MINUTE
    path, before = [], None
    for at, value in known:
        across = max(0.0, min(1.0, 1 - (now - at) / span)) * WIDE
        down = TALL - max(0, value) / (most if most > 0 else 1) * TALL
        joined = before is not None and at - before <= GAP
        path.append(f"{'L' if joined else 'M'}{across:.1f},{down:.1f}")
        before = at
    minutes = max(1, round((known[-1][0] - known[0][0]) / MINUTE))
    words = f"{name} in {minutes} min: from {say(low)} to {say(most)}"
    return Line(path=" ".join(path), words=words)


def percent(permille: int) -> str:
    """Thousandths of a core for people."""
    return f"{permille / 10:.1f}%"


def rough(count: int) -> str:
    """Bytes for people: whole MiB from one on."""
    return f"{count >> 20} MiB" if count >= 1 << 20 else size_text(count)
