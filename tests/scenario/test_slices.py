"""A revision that is too much for one turn: worked off in slices, with the same end."""

from __future__ import annotations

import json
from pathlib import Path

from plants import until_ready
from specs_text import WAT, daemon_yaml, proplet_yaml

from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import SECOND, Sim

MANY = 12


class SlowSim(Sim):
    """A machine so slow that each look at the clock within a step finds 6 ms gone."""

    slow = False
    _gone = 0

    def clock(self) -> int:
        """Now, and later with every look."""
        if self.slow:
            self._gone += 6
        return self.now + self._gone

    def _step(self, end: int) -> None:
        self._gone = 0
        super()._step(end)


def world(folder: Path, kind: type[Sim]) -> Sim:
    """Two proplets and a dozen Daemons that are Ready."""
    sim = kind(folder)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml("ab"))
    for n in range(MANY):
        sim.write(f"d{n}.yaml", daemon_yaml(f"d{n:02d}"))
    for name in "ab":
        sim.add(name)
    sim.start_manager()
    until_ready(sim)
    return sim


def edit(sim: Sim) -> None:
    """Every Daemon gets other arguments."""
    for n in range(MANY):
        sim.write(f"d{n}.yaml", daemon_yaml(f"d{n:02d}", "  run: {args: [again]}\n"))


def generations(sim: Sim) -> dict[str, tuple[int, str]]:
    """What rows say of each Daemon: generation and Ready."""
    found = {}
    for row in sim.manager.store.statuses():
        if row.key.kind == "Daemon":
            found[row.key.name] = (json.loads(row.document)["metadata"]["generation"], row.ready)
    return found


def test_a_slow_machine_ends_where_a_quick_one_does(tmp_path: Path) -> None:
    """Rows, files and copies are the same in the end, whatever the slices were."""
    quick, slow = world(tmp_path / "quick", Sim), world(tmp_path / "slow", SlowSim)
    slow.slow = True  # type: ignore[attr-defined]
    for sim in (quick, slow):
        edit(sim)
        until_ready(sim)
        sim.run(5 * SECOND)
        assert generations(sim) == {f"d{n:02d}": (2, "True") for n in range(MANY)}
        files = sorted((sim.state.status / "default" / "Daemon").glob("*.yaml"))
        assert len(files) == MANY
        assert all("generation: 2" in file.read_text() for file in files)
    assert slow.started("d00").keys() == quick.started("d00").keys()


def test_a_slow_turn_does_a_little_and_says_that_it_is_behind(tmp_path: Path) -> None:
    """Between slices nobody is told what was true of an older spec: what is behind is pending."""
    sim = world(tmp_path, SlowSim)
    sim.slow = True  # type: ignore[attr-defined]
    edit(sim)
    behind = 0
    for _ in range(400):
        sim.run(5)
        told = {name: ready for name, (generation, ready) in generations(sim).items()}
        stale = [name for name, (generation, _) in generations(sim).items() if generation == 1]
        world_ = sim.manager.reconciler.world
        moved = {h.object.meta.key.name for h in world_.objects.values() if h.generation == 2}
        late = sorted(set(stale) & moved)
        pending = {key.name for key, _ in of_reconciler(sim.manager.reconciler).pending}
        assert set(late) <= pending
        behind = max(behind, len(late))
        if not late and moved and set(told.values()) == {"True"}:
            break
    assert behind > 1, "the slices were never seen: this test shows nothing"
    until_ready(sim)


def test_a_copy_from_before_an_edit_is_not_ready_for_it(tmp_path: Path) -> None:
    """Other limits keep the run: that it was ready with the old ones does not count until
    its device runs it with the new ones."""
    sim = world(tmp_path, Sim)
    for one in sim.proplets.values():
        one.kill()
    sim.write("d0.yaml", daemon_yaml("d00", "  limits: {output: 1KiB}\n"))
    sim.run(SECOND)
    standing = of_reconciler(sim.manager.reconciler)
    told = {key.name: why for key, why in standing.pending}
    assert "still runs what was asked before" in told["d00"]
    for one in sim.proplets.values():
        one.boot()
    until_ready(sim)
