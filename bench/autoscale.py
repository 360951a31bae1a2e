"""Copies that follow a load which doubles every ten seconds; the first call of a Function at zero.

The load is simulated: the real reconciler and the real agents on a fake clock, so the numbers are
the same on every machine. The first calls go over HTTP to a real proplet.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.functions import ADD, Caller, _caller
from bench.plant import API, Plant, plant, wait_for
from bench.rows import Row, p50
from propeller.rehearse.fleet import Sim

NAME = "autoscale"
SECOND, MINUTE = 1_000, 60_000
TARGET = 2
"""Calls under way that each copy is to have."""
FUNCTION = "Function/default/busy"


def measure(*, quick: bool) -> Iterator[Row]:
    """The doublings, then the first calls."""
    yield from _doublings(3 if quick else 7)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield from _first_calls(Path(name), 2 if quick else 8)


# -- copies under a load -----------------------------------------------------------------------


class Load:
    """So many calls under way in all, shared by the copies there are."""

    def __init__(self, sim: Sim) -> None:
        self.sim, self.calls = sim, 0
        for device in sim.proplets.values():
            device.metrics = lambda device=device: tuple(  # type: ignore[misc]  # bound now
                row for entry in device.running.values() for row in self.told(entry.uid)
            )

    def told(self, uid: str) -> list[tuple[str, int]]:
        """What one copy says."""
        each = self.calls * 1000 // max(1, self.copies)
        return [(f"calls/{uid[:8]}", each), (f"idle/{uid[:8]}", 0 if self.calls else MINUTE)]

    @property
    def copies(self) -> int:
        """How many run."""
        return len(self.sim.running().get(FUNCTION, ()))


def _doublings(steps: int) -> Iterator[Row]:
    most = 2**steps // TARGET
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        sim = Sim(Path(folder))
        names = [f"p{index:03d}" for index in range(most)]
        sim.write("m.wat", ADD)
        sim.write("fleet.yaml", "".join(_proplet(name) for name in names))
        sim.write(
            "busy.yaml",
            f"{API}\nkind: Function\nmetadata: {{name: busy}}\nspec:\n  module: {{file: m.wat}}\n"
            "  interface: Values\n  run: {entrypoint: add}\n  limits: {memory: 1MiB}\n"
            f"  placement: {{replicas: 1}}\n  autoscale: {{min: 0, max: {most},"
            f" target: '{TARGET}', scaleDownAfter: 1m}}\n",
        )
        for name in names:
            sim.add(name)
        load = Load(sim)
        load.calls = 1
        sim.start_manager()
        assert sim.run(10 * MINUTE, until=sim.ready), sim.what_is_not()[:5]
        shares = []
        for step in range(1, steps + 1):
            load.calls = 2**step
            wanted = -(-load.calls // TARGET)
            sim.run(10 * SECOND)
            shares.append(100 * load.copies / wanted)
            yield Row(f"autoscale.load_{load.calls}.copies", load.copies, "")
        began = sim.now
        assert sim.run(5 * MINUTE, until=lambda: load.copies >= most, every=100), load.copies
        caught_up = sim.now
        sim.run(5 * MINUTE)
        up = _counts(sim)
        yield Row("autoscale.load_end.copies", load.copies, "")
        yield Row("autoscale.followed.p50", p50(shares), "%")
        yield Row("autoscale.lag.end", (caught_up - began) / 1000, "s")
        yield Row("autoscale.steps_back", sum(b < a for a, b in up), "")
        load.calls = 0
        assert sim.run(10 * MINUTE, until=lambda: load.copies == 0, every=100), load.copies
        down = _counts(sim)[len(up) :]
        yield Row("autoscale.steps_to_zero", len(down), "")
        yield Row("autoscale.steps_up_again", sum(b > a for a, b in down), "")
        sim.kill_manager()


def _proplet(name: str) -> str:
    return f"---\n{API}\nkind: Proplet\nmetadata: {{name: {name}}}\nspec: {{heartbeat: 5s}}\n"


def _counts(sim: Sim) -> list[tuple[int, int]]:
    """Every decision, as the events tell it: copies before and after, oldest first."""
    told = sim.manager.reconciler.store.events(limit=1_000)
    words = [one.message.split() for one in told if one.reason == "Rescaled"]
    return [(int(one[1]), int(one[3])) for one in reversed(words)]


# -- the first call ----------------------------------------------------------------------------


def _first_calls(folder: Path, count: int) -> Iterator[Row]:
    specs = folder / "specs"
    specs.mkdir()
    (specs / "add.wat").write_text(ADD)
    names = [f"zero{number}" for number in range(count)]
    for name in names:
        (specs / f"{name}.yaml").write_text(
            f"{API}\nkind: Function\nmetadata: {{name: {name}}}\nspec:\n"
            "  module: {file: add.wat}\n  interface: Values\n  run: {entrypoint: add}\n"
            "  limits: {memory: 1MiB}\n  placement: {replicas: 0}\n"
            "  autoscale: {min: 0, max: 1, target: '2'}\n"
        )
    with plant(folder, proplets=1) as running, closing(_caller(running)) as caller:
        wait_for(lambda: all(_is_idle(running, name) for name in names), 60, "all are idle")
        time.sleep(0.2)  # the gateway has looked since
        first, *others = [_timed(caller, name) for name in names]
        yield Row("autoscale.first_call.new_module", first, "ms")
        yield Row("autoscale.first_call.p50", p50(others), "ms")
        yield Row("autoscale.first_call.max", max(others), "ms")


def _is_idle(running: Plant, name: str) -> bool:
    path = running.status("Function", name)
    return path.exists() and "Idle" in path.read_text()


def _timed(caller: Caller, name: str) -> float:
    began = time.perf_counter()
    assert caller.call(name), f"{name} was not answered"
    return (time.perf_counter() - began) * 1000
