"""The loop and the agents together, in calm weather: what a user sees first."""

from __future__ import annotations

from pathlib import Path

from specs_text import WAT, daemon_yaml, proplet_yaml, task_yaml

from propeller.rehearse.fleet import Sim


def _plant(tmp_path: Path, *, seed: int = 1) -> Sim:
    sim = Sim(tmp_path, seed=seed)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a", "b"]))
    for name in ("a", "b"):
        sim.add(name)
    sim.start_manager()
    return sim


def test_a_task_runs_and_its_result_is_in_the_status(tmp_path: Path) -> None:
    """Commit -> running -> status file."""
    sim = _plant(tmp_path)
    sim.write("t.yaml", task_yaml("once"))
    assert sim.run(20_000, until=sim.ready), sim.what_is_not()
    text = (sim.state.status / "default" / "Task" / "once.yaml").read_text()
    assert "result: ran on" in text
    assert sim.started_twice() == []


def test_a_daemon_is_replaced_when_edited_and_gone_when_deleted(tmp_path: Path) -> None:
    """Edit -> replaced; delete -> gone from the device and from the inventory."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", "  placement: {perProplet: true}\n"))
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    before = {key for one in sim.proplets.values() for key in one.running}
    sim.write(
        "d.yaml",
        daemon_yaml("d", '  placement: {perProplet: true}\n  run: {args: ["x"]}\n'),
    )
    sim.run(1_000)
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    after = {key for one in sim.proplets.values() for key in one.running}
    assert before.isdisjoint(after)
    sim.remove("d.yaml")
    sim.run(20_000)
    assert sim.running() == {}
    assert sim.manager is not None
    world = sim.manager.reconciler.world
    assert [str(held.object.meta.key) for held in world.objects.values()] == [
        "Proplet/default/a",
        "Proplet/default/b",
    ]
    assert not (sim.state.status / "default" / "Daemon" / "d.yaml").exists()
