"""What `up` and `apply` wait for: the standing, as the narrator keeps it from turn to turn."""

from __future__ import annotations

from pathlib import Path

from specs_text import WAT, proplet_yaml, task_yaml

from propeller.cli.running import Narrator
from propeller.rehearse.fleet import Sim


def test_an_object_that_a_turn_had_no_time_for_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Until it was looked at again it is on its way; that nothing about it moved is no reason to
    go on saying so."""
    sim = Sim(tmp_path, seed=1)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a"]))
    sim.add("a")
    sim.start_manager()
    sim.write("t.yaml", task_yaml("once"))
    assert sim.run(20_000, until=sim.ready), sim.what_is_not()
    assert sim.manager is not None
    reconciler, narrator = sim.manager.reconciler, Narrator(quiet=True)
    assert narrator.look(reconciler).settled
    (uid,) = [
        one.uid for one in reconciler.world.objects.values() if one.object.meta.key.kind == "Task"
    ]
    reconciler.projection._queue[uid] = None  # what a slow turn leaves
    reconciler.projection.moved.add(uid)
    assert not narrator.look(reconciler).settled
    sim.run(5_000)
    assert not reconciler.projection.moved
    assert narrator.look(reconciler).settled
