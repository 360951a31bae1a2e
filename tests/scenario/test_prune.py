"""Prune that cannot hurt: what is kept, what is given up, what comes back."""

from __future__ import annotations

from pathlib import Path

from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml

from propeller.model.ids import Key
from propeller.reconcile.events import GiveUp
from propeller.rehearse.fleet import MINUTE, SECOND

D = Key("Daemon", "default", "d")


def protected(spec: str = "") -> str:
    """A Daemon on each proplet that no revision may delete."""
    text = daemon_yaml("d", EVERYWHERE + spec)
    return text.replace("{name: d}", "{name: d, protect: true}")


def give_up(sim, key=D):
    """What `propeller forget` does."""
    answers = sim.manager.ask(lambda reply: GiveUp(key=key, by="ana", reason="old", reply=reply))
    sim.run(SECOND)
    return answers[0]


def test_a_protected_object_outlives_its_spec(tmp_path: Path) -> None:
    """It goes on running, through a restart, and is the same when it comes back."""
    sim = plant(tmp_path)
    sim.write("d.yaml", protected())
    until_ready(sim)
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    sim.restart_manager()
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    sim.write("d.yaml", protected())
    until_ready(sim)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts


def test_what_was_kept_is_pruned_when_somebody_lets_go(tmp_path: Path) -> None:
    """Online proplets confirm as always; then it leaves the inventory."""
    sim = plant(tmp_path)
    sim.write("d.yaml", protected())
    until_ready(sim)
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert give_up(sim) == {"done": True, "unheard": []}
    sim.run(20 * SECOND)
    assert sim.running() == {}
    assert sim.manager.reconciler.world.find(D) is None
    assert "GivenUp" in sim.manager.reasons()


def test_a_silent_proplet_holds_a_tombstone_until_it_is_given_up(tmp_path: Path) -> None:
    """The device still stops its copy when it is back: only the waiting ends."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.broker.cut("b")
    sim.run(5 * MINUTE)
    sim.remove("d.yaml")
    sim.run(5 * MINUTE)
    assert sim.manager.reconciler.world.find(D) is not None
    assert give_up(sim) == {"done": True, "unheard": ["b"]}
    sim.run(20 * SECOND)
    assert sim.manager.reconciler.world.find(D) is None
    sim.broker.heal("b")
    sim.run(MINUTE)
    assert sim.running() == {}


def test_what_is_wanted_cannot_be_given_up(tmp_path: Path) -> None:
    """Its spec is the place to say it."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    assert give_up(sim)["exit"] == 2
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def test_a_rename_with_moved_is_noticed_by_no_device(tmp_path: Path) -> None:
    """Same runs, another name: in the status, too; and the entry may go afterwards."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}
    moved = daemon_yaml("e", EVERYWHERE).replace("{name: e}", "{name: e, moved: [{name: d}]}")
    sim.write("d.yaml", moved)
    sim.run(20 * SECOND)
    until_ready(sim)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts
    assert sim.manager.reconciler.world.find(D) is None
    assert (sim.state.status / "default/Daemon/e.yaml").exists()
    assert not (sim.state.status / "default/Daemon/d.yaml").exists()
    sim.write("d.yaml", daemon_yaml("e", EVERYWHERE))
    sim.restart_manager(away=SECOND)
    until_ready(sim)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts
    assert sim.manager.left_to_do() == ()


def test_half_the_files_renamed_is_no_change(tmp_path: Path) -> None:
    """Names are in the specs, not in the names of files."""
    sim = plant(tmp_path)
    for number in range(4):
        sim.write(f"d{number}.yaml", daemon_yaml(f"d{number}", EVERYWHERE))
    until_ready(sim)
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}
    for number in range(2):
        (sim.specs / f"d{number}.yaml").rename(sim.specs / f"other-{number}.yaml")
    sim.write("note.txt", "renamed")
    sim.run(20 * SECOND)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts
    assert len(sim.running()) == 4
