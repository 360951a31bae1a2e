"""Ten thousand proplets with ten tasks each: passes, single reports, memory, starting.

`big_fleet` does the work in processes of its own, so that what is weighed is one control plane.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rows import Row, p50, percentile

NAME = "scale"


def measure(*, quick: bool) -> Iterator[Row]:
    """Everything at the size of the budgets, or at forty proplets."""
    proplets, tasks, reports = (40, 3, 5) if quick else (10_000, 10, 500)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        built = _child("build", folder, str(proplets), str(tasks))
        seen = _child("measure", folder, str(reports))
    passes = seen["full_pass_seconds"]
    yield Row("scale.proplets", proplets, "")
    yield Row("scale.tasks", proplets * tasks, "")
    yield Row("scale.full_pass", p50(passes) * 1000, "ms")
    yield Row("scale.full_pass.cpu", p50(seen["full_pass_cpu"]) * 1000, "ms")
    for name, key in (("heartbeat", "heartbeat"), ("report", "changed")):
        took = [seconds * 1000 for seconds in seen[f"{key}_seconds"]]
        yield Row(f"scale.{name}.p50", p50(took), "ms")
        yield Row(f"scale.{name}.p99", percentile(took, 0.99), "ms")
        busy = [seconds * 1000 for seconds in seen[f"{key}_cpu"]]
        yield Row(f"scale.{name}.cpu.p99", percentile(busy, 0.99), "ms")
        yield Row(f"scale.{name}.cpu.max", max(busy), "ms")
    lazy = [seconds * 1000 for seconds in seen["changed_lazy_seconds"]]
    yield Row("scale.lazy_statuses", sum(lazy), "ms")
    yield Row("scale.lazy_statuses.longest_turn", max(lazy), "ms")
    yield Row("scale.all_statuses", seen["statuses_seconds"] * 1000, "ms")
    yield Row("scale.memory", seen["rss_mb"], "MB")
    yield Row("scale.memory.empty", seen["empty_rss_mb"], "MB")
    yield Row("scale.start.store", seen["load_seconds"], "s")
    yield Row("scale.start.specs", seen["read_seconds"], "s")
    yield Row("scale.start.fleet", seen["settle_seconds"], "s")
    yield Row("hear.hellos", built["hellos_per_second"], "1/s")
    yield Row("hear.reports.first", built["reports_per_second"], "1/s")
    beats = seen["heartbeat_batch_per_second"]
    yield Row("hear.heartbeats.batched", beats, "1/s")


def _child(*words: str) -> dict[str, Any]:
    """What a `big_fleet` process said."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.big_fleet", *words],
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    told: dict[str, Any] = {}
    for row in done.stdout.splitlines():
        told |= json.loads(row)
    return told
