"""How much longer a fleet takes to converge when the network loses 30 % of all messages.

The real reconciler and the real agents over the in-memory broker, on a fake clock: the same seeds
give the same numbers on every machine. It is the fleet that `propeller simulate` plays.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rows import Row, beside
from propeller.rehearse.fleet import Sim, Weather

NAME = "losses"
TESTS = Path(__file__).parents[1] / "tests" / "scenario"


def measure(*, quick: bool) -> Iterator[Row]:
    """Simulated ms until 99 % of the copies run, lossless and at 30 % loss."""
    proplets, seeds = (6, (1,)) if quick else (100, (1, 2, 3, 4, 5))
    calm = [_converge(proplets, seed, loss=0.0) for seed in seeds]
    rough = [_converge(proplets, seed, loss=0.3) for seed in seeds]
    slow, fast = statistics.median(rough), statistics.median(calm)
    yield beside("loss.converge_99", slow, "ms", "lossless", fast)
    yield Row("loss.converge_99.ratio", slow / fast, "x")


def _converge(proplets: int, seed: int, *, loss: float) -> int:
    """A fleet whose every proplet runs two daemons gets a third; ms until 99 % run it."""
    text = _scenario("specs_text")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        weather = Weather(loss=loss, delay=(5, 50))
        fleet = Sim(Path(folder), seed=seed, weather=weather)
        names = [f"p{index:03d}" for index in range(proplets)]
        fleet.write("m.wat", text.WAT)
        fleet.write("fleet.yaml", text.proplet_yaml(names))
        for number in (1, 2):
            fleet.write(
                f"d{number}.yaml",
                text.daemon_yaml(f"d{number}", "  placement: {perProplet: true}\n"),
            )
        for name in names:
            fleet.add(name)
        fleet.start_manager()
        assert fleet.run(600_000, until=fleet.ready), fleet.what_is_not()[:5]
        began = fleet.now
        fleet.write("d3.yaml", text.daemon_yaml("d3", "  placement: {perProplet: true}\n"))

        def nearly_all() -> bool:
            return _seen_running(fleet, "d3") >= 0.99 * proplets

        assert fleet.run(600_000, until=nearly_all), fleet.what_is_not()[:5]
        took = int(fleet.now - began)
        fleet.kill_manager()
        return took


def _seen_running(fleet: Any, name: str) -> int:
    """Proplets of which the manager knows that the daemon runs there."""
    world = fleet.manager.reconciler.world
    uid = next(
        (uid for uid, held in world.objects.items() if held.object.meta.key.name == name), None
    )
    return sum(
        any(key[0] == uid and run.state == "Running" for key, run in seen.runs.items())
        for seen in world.proplets.values()
    )


def _scenario(name: str) -> Any:
    """A module of the scenario tests."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module(name)
