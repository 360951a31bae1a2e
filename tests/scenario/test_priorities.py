"""Priorities on the whole product: what makes room, what comes back, and that it is told."""

from __future__ import annotations

from pathlib import Path

from plants import bare, until_ready
from specs_text import daemon_yaml

from propeller.model.ids import Key
from propeller.rehearse.fleet import MINUTE, SECOND

ONE_EACH = "".join(
    f"---\napiVersion: propeller.dev/v1alpha1\nkind: Proplet\nmetadata: {{name: {name}}}\n"
    "spec: {heartbeat: 10s, capacity: {tasks: 1}}\n"
    for name in "ab"
)


def copies(sim, name: str) -> int:
    return len(sim.running().get(f"Daemon/default/{name}", ()))


def test_what_matters_more_gets_room_and_what_made_it_comes_back(tmp_path: Path) -> None:
    """A full fleet: one copy goes for it, is told as an event with the reason, waits with a word,
    and is there again when the other leaves. Nothing is ever started twice."""
    sim = bare(tmp_path, "ab")
    sim.write("fleet.yaml", ONE_EACH)
    for name in "ab":
        sim.add(name)
    sim.start_manager()
    sim.write("low.yaml", daemon_yaml("low", "  placement: {replicas: 2}\n"))
    until_ready(sim)
    high = "  placement: {replicas: 1, priority: 100, preemption: LowerPriority}\n"
    sim.write("high.yaml", daemon_yaml("high", high))
    sim.run(30 * SECOND)
    assert (copies(sim, "low"), copies(sim, "high")) == (1, 1)
    reconciler = sim.manager.reconciler
    told = [one for one in reconciler.store.events() if one.reason == "Preempted"]
    assert [one.key for one in told] == [Key("Daemon", "default", "low")]
    assert "makes room for Daemon/default/high, whose priority is 100" in told[0].message
    held = reconciler.world.find(Key("Daemon", "default", "low"))
    assert reconciler.blocked[held.uid].reason == "NoCapacity"
    sim.run(10 * MINUTE)
    assert (copies(sim, "low"), copies(sim, "high")) == (1, 1)
    assert len([one for one in reconciler.store.events() if one.reason == "Preempted"]) == 1
    assert sim.manager.left_to_do() == ()
    sim.remove("high.yaml")
    until_ready(sim)
    assert copies(sim, "low") == 2
    assert not sim.started_twice()
