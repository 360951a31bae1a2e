"""`autoscale` on the whole product: copies follow the load, and nothing else moves them."""

from __future__ import annotations

from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import daemon_yaml

from propeller.model.ids import Key
from propeller.rehearse.fleet import MINUTE, SECOND

AUTO = (
    "  placement: {{replicas: {first}}}\n  autoscale: {{min: 1, max: 8, target: '0.5', {more}}}\n"
)
QUICK = "scaleDownAfter: 2m"


class Load:
    """So many thousandths of a core in all, shared by the copies that run."""

    def __init__(self, sim, name: str = "busy") -> None:
        self.sim, self.name, self.whole, self.silent = sim, name, 0, False
        for device in sim.proplets.values():
            device.metrics = lambda device=device: self.of(device)

    def of(self, device) -> tuple[tuple[str, int], ...]:
        copies = max(1, self.copies)
        return tuple(
            (f"cpu/{entry.uid[:8]}", self.whole // copies)
            for entry in device.running.values()
            if not self.silent
        )

    @property
    def copies(self) -> int:
        return len(self.sim.running().get(f"Daemon/default/{self.name}", ()))


def scaled(tmp_path: Path, first: int = 1, more: str = QUICK):
    sim = plant(tmp_path, "abcdefgh")
    sim.write("busy.yaml", daemon_yaml("busy", AUTO.format(first=first, more=more)))
    load = Load(sim)
    until_ready(sim)
    return sim, load


def events(sim, reason: str) -> list[str]:
    return [one.message for one in sim.manager.reconciler.store.events() if one.reason == reason]


def test_copies_follow_a_load_that_doubles(tmp_path: Path) -> None:
    """Up with each doubling, as many as bring each copy to its target, and never down meanwhile."""
    sim, load = scaled(tmp_path)
    seen = [load.copies]
    for whole in (500, 1_000, 2_000, 4_000):
        load.whole = whole
        sim.run(3 * MINUTE)
        seen.append(load.copies)
    assert seen == [1, 1, 2, 4, 8]
    assert not sim.started_twice()
    assert events(sim, "Rescaled")[-1].startswith("from 1 to 2 copies: Cpu 1.00 a copy, target 0.5")


def test_fewer_copies_only_when_fewer_were_enough_for_long(tmp_path: Path) -> None:
    """A dip shorter than `scaleDownAfter` takes nothing away; a lasting one does, to `min`."""
    sim, load = scaled(tmp_path, first=4)
    load.whole = 2_000
    sim.run(3 * MINUTE)
    assert load.copies == 4
    load.whole = 100
    sim.run(70 * SECOND)
    assert load.copies == 4
    load.whole = 2_000
    sim.run(3 * MINUTE)
    assert load.copies == 4
    load.whole = 100
    sim.run(6 * MINUTE)
    assert load.copies == 1


def test_a_load_that_swings_moves_nothing(tmp_path: Path) -> None:
    """Within a tenth of the target, and swings shorter than `scaleDownAfter`: no flapping."""
    sim, load = scaled(tmp_path, first=4)
    for whole in (1_900, 2_150, 1_850, 2_100, 1_950) * 4:
        load.whole = whole
        sim.run(30 * SECOND)
    assert load.copies == 4
    assert events(sim, "Rescaled") == []


def test_what_nobody_measures_is_not_scaled(tmp_path: Path) -> None:
    """Silence is no load of zero."""
    sim, load = scaled(tmp_path, first=3)
    load.silent = True
    sim.run(15 * MINUTE)
    assert load.copies == 3


@pytest.mark.parametrize("lost", ["reconciler", "database"])
def test_a_crash_changes_no_number(tmp_path: Path, lost: str) -> None:
    """What was decided is a row; without the row, what is there counts."""
    sim, load = scaled(tmp_path)
    load.whole = 2_000
    sim.run(4 * MINUTE)
    assert load.copies == 4
    sim.kill_manager()
    if lost == "database":
        sim.delete_database()
    sim.start_manager()
    for _ in range(20):
        sim.run(5 * SECOND)
        assert load.copies == 4
    assert not sim.started_twice()


def test_status_says_how_many_there_are_to_be(tmp_path: Path) -> None:
    """Ready counts against the number decided, not against the number written."""
    sim, load = scaled(tmp_path)
    load.whole = 2_000
    sim.run(4 * MINUTE)
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(Key("Daemon", "default", "busy"))
    ready = next(one for one in reconciler.projection.conditions(held.uid) if one.type == "Ready")
    assert ready.message == "4 of 4 ready"


def test_copies_of_a_function_follow_its_calls(tmp_path: Path) -> None:
    """Calls that run or wait on each copy, in place of processor time; back to one when it is
    quiet."""
    sim = plant(tmp_path, "abcd")
    sim.write(
        "fn.yaml",
        "apiVersion: propeller.dev/v1alpha1\nkind: Function\nmetadata: {name: fn}\nspec:\n"
        "  module: {file: busy.wat}\n  placement: {replicas: 1}\n  limits: {memory: 1MiB}\n"
        "  autoscale: {max: 4, target: '2', scaleDownAfter: 2m}\n",
    )
    sim.write("busy.wat", '(module (memory 1) (func (export "_start")))')
    calls = 0

    def copies() -> int:
        return len(sim.running().get("Function/default/fn", ()))

    for device in sim.proplets.values():
        device.metrics = lambda device=device: tuple(
            (f"calls/{entry.uid[:8]}", calls * 1000 // max(1, copies()))
            for entry in device.running.values()
        )
    until_ready(sim)
    seen = [copies()]
    for calls in (2, 4, 8, 0):
        sim.run(3 * MINUTE if calls else 8 * MINUTE)
        seen.append(copies())
    assert seen == [1, 1, 2, 4, 1]
    assert events(sim, "Rescaled")[-1].startswith("from")
