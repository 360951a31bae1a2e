"""Every measurement runs at a tiny size and gives well-formed rows. No assertion on speed."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import pytest

from bench.__main__ import MODULES, main
from bench.rows import BUDGETS, Row, beside, line, percentile

LIVE = {"autoscale", "edits", "functions", "idle", "throughput", "fl_rounds"}
BUDGETED = {
    "start": {"start.help", "start.get"},
    "guests": {"guest.warm.first_instruction", "guest.warm.instantiate"},
    "functions": {"function.hot.p50", "function.overhead"},
    "edits": {"edit.saved_to_running.p50", "edit.saved_to_running.p99"},
    "fl_rounds": {"fl.round"},
    "idle": {"idle.agent.rss", "idle.bytes_per_day"},
    "throughput": set(),
    "scale": {"scale.full_pass", "scale.report.p50", "scale.report.p99", "scale.memory"},
    "autoscale": {"autoscale.steps_back"},
    "gitops": set(),
    "losses": {"loss.converge_99.ratio"},
    "fl": {"fl.fold.large", "fl.fold.large.memory", "fl.fold.small", "fl.simulate"},
}
"""Which module measures what a budget was set for."""

ALL = [
    pytest.param(name, marks=[pytest.mark.live, pytest.mark.slow] if name in LIVE else [])
    for name in MODULES
]


@pytest.mark.parametrize("name", ALL)
def test_each_measurement_gives_its_rows(name: str) -> None:
    """Names are unique, values are finite numbers, and what has a budget is among them."""
    rows = list(importlib.import_module(f"bench.{name}").measure(quick=True))
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    assert all(math.isfinite(row.value) and row.value >= 0 for row in rows)
    assert BUDGETED[name] <= set(names)


def test_every_budget_is_measured_somewhere() -> None:
    """A budget that nobody measures would always look met."""
    assert set().union(*BUDGETED.values()) == set(BUDGETS)
    assert set(BUDGETED) == set(MODULES)


def test_the_file_is_a_list_of_rows(tmp_path: Path) -> None:
    """One JSON list, each row with the fields that are promised."""
    out = tmp_path / "deep" / "bench.json"
    assert main(["--quick", "--only", "start", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert rows
    for row in rows:
        assert set(row) == {"name", "value", "unit", "peer", "ratio", "machine"}
        assert isinstance(row["value"], float | int)
        assert "Python" in row["machine"]


def test_the_table_shows_the_budget_and_whether_it_is_met() -> None:
    """Beside the value: at most how much, and a word that says so."""
    assert "<= 60 ok" in " ".join(line(Row("start.help", 40, "ms")).split())
    assert "<= 60 MISSED" in " ".join(line(Row("start.help", 61, "ms")).split())
    assert "MISSED" not in line(Row("nobody.asked", 61, "ms"))


def test_a_peer_is_named_with_its_own_value() -> None:
    """The ratio is ours over theirs."""
    row = beside("start.get", 50, "ms", "bare interpreter", 20)
    assert (row.ratio, row.peer) == (2.5, "bare interpreter: 20 ms")


def test_percentiles_are_values_that_were_measured() -> None:
    """The nearest rank, from the smallest to the largest."""
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.99) == 99
    assert percentile(values, 0.5) == 50
    assert percentile([7.0], 0.99) == 7
