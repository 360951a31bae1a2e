"""Ready-made worlds for scenarios: some declared proplets, a module, a reconciler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specs_text import WAT, proplet_yaml

from propeller.rehearse.fleet import MINUTE, SECOND, Sim


def plant(folder: Path, names: str = "ab", **more: Any) -> Sim:
    """One declared proplet a letter of `names`, all on, and a reconciler that runs."""
    sim = bare(folder, names, **more)
    for name in names:
        sim.add(name)
    sim.start_manager()
    sim.run(2 * SECOND)
    return sim


def bare(folder: Path, names: str = "ab", **more: Any) -> Sim:
    """The specs alone: nothing is switched on."""
    sim = Sim(folder, **more)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(names))
    return sim


def until_ready(sim: Sim, ms: int = 2 * MINUTE) -> None:
    """Everything the specs want is Ready, or the test fails and says what is not."""
    sim.run(SECOND)
    assert sim.run(ms, until=sim.ready, every=200), sim.what_is_not()
