"""Devices without a manager: what goes on, for how long, and what is told afterwards."""

from __future__ import annotations

from pathlib import Path

from specs_text import WAT, daemon_yaml, proplet_yaml, task_yaml

from propeller.cli.chain import chain_of
from propeller.cli.chainfacts import Facts
from propeller.model.ids import PropletId
from propeller.rehearse.fleet import HOUR, MINUTE, Sim

IMPORTS = ("wasi_snapshot_preview1", "propeller:autonomy")
BUDGET = "  placement: {perProplet: true, autonomy: 10m}\n"
D = "Daemon/default/d"


def _plant(tmp_path: Path, *, imports: tuple[str, ...] = IMPORTS) -> Sim:
    sim = Sim(tmp_path, seed=7)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a"]))
    sim.add("a", imports=imports)
    sim.start_manager()
    return sim


def _run(sim: Sim) -> None:
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    sim.run(5_000)


def _spent(sim: Sim) -> list[str]:
    events = sim.manager.store.events(proplet=PropletId("a"), limit=1000)
    return [one.message for one in events if one.reason == "AutonomySpent"]


def test_without_a_budget_a_daemon_goes_on_for_ever(tmp_path: Path) -> None:
    """Hours without a manager; nothing about it is ever written to the disk."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", "  placement: {perProplet: true}\n"))
    _run(sim)
    sim.kill_manager()
    sim.run(4 * HOUR)
    assert sim.running() == {D: ["a"]}
    assert sim.proplets["a"].disk.silence is None


def test_a_budget_is_kept_to_from_the_last_word_of_the_manager(tmp_path: Path) -> None:
    """Ten minutes after the manager is gone the device stops it; with the manager it comes back."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", BUDGET))
    _run(sim)
    sim.run(30 * MINUTE)
    assert sim.running() == {D: ["a"]}, "a manager that has nothing to say is there all the same"
    sim.kill_manager()
    sim.run(9 * MINUTE)
    assert sim.running() == {D: ["a"]}
    sim.run(3 * MINUTE)
    assert sim.running() == {}
    sim.run(HOUR)
    sim.start_manager()
    assert sim.run(5 * MINUTE, until=lambda: sim.running() == {D: ["a"]})
    sim.run(MINUTE)
    (told,) = _spent(sim)
    assert "a stopped it at" in told
    sim.run(30 * MINUTE)
    assert len(_spent(sim)) == 1
    assert sim.running() == {D: ["a"]}


def test_reboots_do_not_renew_a_budget(tmp_path: Path) -> None:
    """Off the network, and its power fails every four minutes."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", BUDGET))
    _run(sim)
    one = sim.proplets["a"]
    sim.broker.cut("a")
    for _ in range(2):
        sim.run(4 * MINUTE)
        one.kill()
        one.boot()
        sim.run(20_000)
        assert sim.running() == {D: ["a"]}
    sim.run(4 * MINUTE)
    assert sim.running() == {}
    one.kill()
    one.boot()
    sim.run(MINUTE)
    assert sim.running() == {}
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: sim.running() == {D: ["a"]})
    sim.run(MINUTE)
    assert len(_spent(sim)) == 1


def test_time_without_power_is_time_without_the_manager(tmp_path: Path) -> None:
    """Switched on an hour later, alone: it starts nothing, for its clock tells how late it is."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", BUDGET))
    _run(sim)
    one = sim.proplets["a"]
    one.kill()
    sim.broker.cut("a")
    sim.run(HOUR)
    one.boot()
    sim.run(MINUTE)
    assert sim.running() == {}
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: sim.running() == {D: ["a"]})


def test_results_of_a_silent_time_are_told_when_the_link_is_back(tmp_path: Path) -> None:
    """A Task that was begun before ends in the dark; its result comes, and it is not run again."""
    sim = _plant(tmp_path)
    sim.write("t.yaml", task_yaml("t", "  placement: {proplets: [a]}\n"))
    one = sim.proplets["a"]
    assert sim.run(60_000, until=lambda: sum(one.starts.values()) == 1, every=10)
    sim.broker.cut("a")
    sim.run(HOUR)
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=sim.ready), sim.what_is_not()
    assert sim.started_twice() == []


def test_a_device_that_keeps_no_budget_is_given_no_copy_with_one(tmp_path: Path) -> None:
    """An agent of before, or firmware, would go on for ever."""
    sim = _plant(tmp_path, imports=IMPORTS[:1])
    sim.write("d.yaml", daemon_yaml("d", BUDGET))
    sim.run(20_000)
    assert sim.running() == {}
    text = (sim.state.status / "default" / "Daemon" / "d.yaml").read_text()
    assert "keeps no autonomy budget (placement.autonomy)" in text


def _why(sim: Sim) -> str:
    facts = Facts(sim.manager.store, sim.now)
    (held,) = [one for one in facts.inventory.values() if one.object.meta.key.name == "d"]
    (group,) = chain_of(facts, held, only=None).groups
    return " ".join(one.words for one in group.links if one.name == "autonomy")


def test_why_tells_what_is_left_of_a_budget_and_that_it_was_spent(tmp_path: Path) -> None:
    """Silent: how long it goes on; later: that it has stopped by now; back: when it stopped."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", BUDGET))
    _run(sim)
    assert _why(sim) == ""
    sim.broker.cut("a")
    sim.run(6 * MINUTE)
    assert "goes on alone for 10m, for" in _why(sim)
    sim.run(10 * MINUTE)
    assert "and has stopped it by now" in _why(sim)
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: sim.running() == {D: ["a"]})
    sim.run(MINUTE)
    assert "stopped on its device" in _why(sim)
    assert "10m without the manager; started again" in _why(sim)
