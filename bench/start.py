"""How long a command takes to start, beside a bare interpreter.

Medians of many runs, in turns, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.rows import Row, beside, p50
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore

NAME = "start"


def measure(*, quick: bool) -> Iterator[Row]:
    """`--help` and `get` as installed, and the same interpreter doing nothing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = StateDir(Path(folder) / "state")
        state.create()
        SqliteStore.open(state.database).close()
        installed = Path(sys.executable).with_name("propeller")
        ours = [str(installed)] if installed.exists() else [sys.executable, "-m", "propeller.cli"]
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "help": [*ours, "--help"],
            "get": [*ours, "get", "--state", str(state.path)],
        }
        took: dict[str, list[float]] = {name: [] for name in commands}
        busy: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(3 if quick else 40):
            for name, command in commands.items():
                wall, cpu = _run(command)
                took[name].append(wall)
                busy[name].append(cpu)
    bare = p50(took["bare"])
    for name in ("help", "get"):
        yield beside(f"start.{name}", p50(took[name]), "ms", "bare interpreter", bare)
        yield Row(f"start.{name}.min", min(took[name]), "ms")
        yield Row(f"start.{name}.cpu", min(busy[name]), "ms")


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor ms."""
    null = subprocess.DEVNULL
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=null, stdout=null, stderr=null)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, cpu * 1000
