"""Federated rounds of a real fleet: four proplets, a Wasm trainer, 10,000 parameters, mosquitto.

Each round is all of it: the cohort chosen and told, the model fetched over MQTT by every proplet, a
guest started in its sandbox, the update signed and sent up, looked at, folded and committed, the
round's file. Times are those of the round files; the first round, in which the module is compiled,
is left out.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import yaml

from bench.plant import API, Plant, cpu_seconds, plant, processes, wait_for
from bench.rows import Row, p50

NAME = "fl_rounds"
COUNT = 10_000
PROPLETS = 4


def trainer_wat() -> str:
    """Reads the model, moves each parameter by the same step, submits it."""
    return """(module
  (import "propeller_fl" "model_len" (func $len (result i32)))
  (import "propeller_fl" "model_read" (func $read (param i32 i32 i32)))
  (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
  (memory (export "memory") 2)
  (func (export "train") (local $i i32) (local $end i32)
    (local.set $end (call $len))
    (call $read (i32.const 0) (i32.const 0) (local.get $end))
    (loop $next
      (f32.store (local.get $i)
        (f32.add (f32.load (local.get $i)) (f32.const 0.001)))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $end))))
    (call $submit (i32.const 2) (i32.const 0) (local.get $end) (i64.const 10))))
"""


def trainer_yaml(rounds: int, proplets: int, count: int = COUNT) -> str:
    """The job."""
    return (
        f"{API}\nkind: FederatedTask\nmetadata: {{name: speed}}\nspec:\n"
        "  module: {file: trainer.wat}\n  run: {entrypoint: train}\n"
        f"  model: {{initial: Zeros, layout: [{{name: w, shape: [{count}]}}]}}\n"
        f"  rounds: {rounds}\n  guest: {{model: Imports}}\n  updateFormat: f32-delta\n"
        f"  cohort: {{clientsPerRound: {proplets}, overProvision: 1, close: Cohort}}\n"
        "  roundDeadline: 1m\n  limits: {memory: 1MiB}\n"
    )


def measure(*, quick: bool) -> Iterator[Row]:
    """The rows."""
    rounds = 4 if quick else 60
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        (folder / "specs").mkdir()
        (folder / "specs" / "trainer.wat").write_text(trainer_wat())
        (folder / "specs" / "speed.yaml").write_text(trainer_yaml(rounds, PROPLETS))
        with plant(folder, proplets=PROPLETS) as fleet:
            files = fleet.state / "status" / "default" / "FederatedTask" / "speed" / "rounds"
            last = files / f"{rounds:04}.yaml"
            wait_for(lambda: last.exists() and _is_over(last), 120, f"round {rounds}")
            told = [yaml.safe_load(path.read_text()) for path in sorted(files.iterdir())]
            manager, agents = _processor_time(fleet)
    ends = [_ms(one["finished"]) for one in told]
    took = [after - before for before, after in itertools.pairwise(ends)]
    middle = p50(took)
    yield Row("fl.rounds.per_second", 1000 / middle if middle else math.inf, "1/s")
    yield Row("fl.round", middle, "ms")
    for name, start, end in (
        ("selecting", "selected", "started"),
        ("collecting", "started", "closed"),
        ("folding", "closed", "finished"),
    ):
        yield Row(f"fl.round.{name}", p50([_ms(r[end]) - _ms(r[start]) for r in told[1:]]), "ms")
    yield Row("fl.round.cpu.manager", manager * 1000 / rounds, "ms")
    yield Row("fl.round.cpu.proplet", agents * 1000 / rounds / PROPLETS, "ms")


def _is_over(path: Path) -> bool:
    return "outcome: Committed" in path.read_text()


def _ms(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000


def _processor_time(fleet: Plant) -> tuple[float, float]:
    """Seconds of the reconciler and of all agents, their compiling and starting included."""
    agents = sum(
        cpu_seconds(pid)
        for pid, words in processes()
        if "proplet" in words and any(str(fleet.state) in word for word in words)
    )
    return cpu_seconds(fleet.manager.pid), agents
