"""What a measurement is, and how measurements are written down.

A row is one number with its unit; `peer` says what it was measured beside, `ratio` is ours over the
peer's. Budgets stand here, next to the names they are for, so that the table shows both.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BUDGETS: dict[str, float] = {
    "edit.saved_to_running.p50": 60,
    "edit.saved_to_running.p99": 250,
    "scale.full_pass": 1000,
    "scale.report.p50": 2,
    "scale.report.p99": 2,
    "scale.memory": 300,
    "autoscale.steps_back": 0,
    "start.help": 60,
    "start.get": 100,
    "guest.warm.first_instruction": 1000,
    "guest.warm.instantiate": 100,
    "function.hot.p50": 5,
    "function.overhead": 1000,
    "idle.agent.rss": 45,
    "idle.bytes_per_day": 50,
    "loss.converge_99.ratio": 5,
    "fl.fold.large": 150,
    "fl.fold.large.memory": 10,
    "fl.fold.small": 5,
    "fl.simulate": 120,
    "fl.round": 100,
}
"""At most this much, in the row's unit (architecture, Budgets)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `peer`: what it was measured beside, None for nothing."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None

    @property
    def budget(self) -> float | None:
        """At most this much; None where none was set."""
        return BUDGETS.get(self.name)

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None where there is none."""
        return None if self.budget is None else self.value <= self.budget


def beside(name: str, value: float, unit: str, peer: str, theirs: float) -> Row:
    """A row with the peer's own value in the same unit."""
    told = f"{peer}: {_short(theirs)} {unit}"
    return Row(name, value, unit, told, round(value / theirs, 3) if theirs else None)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0..1) of `values` lie; the nearest one measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def p50(values: Sequence[float]) -> float:
    """The middle."""
    return statistics.median(values)


def machine() -> str:
    """Where it was measured, in words."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{os.cpu_count()} x {model}, {platform.system()}, Python {python}, load {load:.1f}"


def write(rows: Sequence[Row], out: Path, *, where: str) -> None:
    """One JSON list of `{name, value, unit, peer, ratio, machine}`."""
    items = [
        {
            "name": row.name,
            "value": round(row.value, 4),
            "unit": row.unit,
            "peer": row.peer,
            "ratio": row.ratio,
            "machine": where,
        }
        for row in rows
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(items, indent=1) + "\n")


def line(row: Row) -> str:
    """One line of the table."""
    budget = "" if row.budget is None else f"<= {_short(row.budget)}"
    mark = {None: "", True: "ok", False: "MISSED"}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:g}x"
    peer = row.peer or ""
    value = f"{_short(row.value)} {row.unit}"
    return f"{row.name:<34} {value:>18} {budget:>10} {mark:<6} {ratio:>8}  {peer}".rstrip()


HEAD = f"{'what':<34} {'measured':>18} {'budget':>10} {'':<6} {'ratio':>8}  beside"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
