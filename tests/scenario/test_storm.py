"""200 proplets, 1,000 tasks, 30 % loss, duplicates, reordering, random kills: it settles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sim import WAT, Sim, Weather, daemon_yaml, proplet_yaml, task_yaml
from simproplet import Guests

STORM = Weather(loss=0.3, duplicate=0.1, reorder=0.1, delay=(1, 80))


def _storm(folder: Path, *, seed: int, proplets: int, tasks: int, kills: int) -> Sim:
    sim = Sim(folder, seed=seed, weather=STORM)
    names = [f"p{index:03d}" for index in range(proplets)]
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(names))
    daemons = tasks // proplets // 2
    for index in range(daemons):
        sim.write(f"d{index}.yaml", daemon_yaml(f"d{index}", "  placement: {perProplet: true}\n"))
    sim.write(
        "tasks.yaml",
        "".join(task_yaml(f"t{index:04d}") for index in range(tasks - daemons * proplets)),
    )
    for name in names:
        sim.add(name, guests=Guests(dying=0.02))
    sim.start_manager()
    for _ in range(kills):
        sim.run(sim.rng.randint(200, 4_000))
        victim = sim.rng.choice([*names, "manager", "broker"])
        if victim == "manager":
            sim.kill_manager()
            sim.run(sim.rng.randint(1, 2_000))
            sim.start_manager()
        elif victim == "broker":
            sim.broker.restart(keep_retained=True)
        else:
            _reboot(sim, victim)
    return sim


def _reboot(sim: Sim, name: str) -> None:
    proplet = sim.proplets[name]
    proplet.kill()
    sim.after(sim.rng.randint(1, 5_000), proplet.boot)


@pytest.mark.slow
def test_a_storm_settles_and_nothing_ran_twice(tmp_path: Path) -> None:
    """Every object is Ready in the end, every daemon runs where it should, no run ran twice."""
    sim = _storm(tmp_path, seed=7, proplets=200, tasks=1_000, kills=40)
    assert sim.run(900_000, until=sim.settled), sim.what_is_not()[:20]
    assert sim.started_twice() == []
    running = sim.running()
    assert {ref: len(where) for ref, where in running.items()} == {
        "Daemon/default/d0": 200,
        "Daemon/default/d1": 200,
    }


def test_the_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    """A failure can be replayed: the whole conversation is a function of the seed."""
    digests = set()
    for attempt in ("one", "two"):
        sim = _storm(tmp_path / attempt, seed=3, proplets=12, tasks=60, kills=6)
        sim.run(120_000)
        digests.add(hashlib.sha256(repr(sim.trace).encode()).hexdigest())
    assert len(digests) == 1
