"""Rollouts on the whole product: real reconciler, real agents, lossy network, fake clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_plant import CAREFUL, Plant, daemon, wat
from specs_text import proplet_yaml

from propeller.reconcile.events import SteerVerb
from propeller.rehearse.fleet import MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests


def test_a_module_that_traps_on_thirty_percent_is_rolled_back_and_stays_so(tmp_path: Path) -> None:
    """It stops at the threshold, goes back, stays back across a restart, a sync and a lost store;
    and a fixed commit lifts it."""
    plant = Plant(tmp_path, 100)
    sim = plant.sim
    assert len(plant.on("v1")) == 100
    plant.commit("v2", bad=True)
    assert sim.run(20 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    sim.run(MINUTE)
    assert len(plant.on("v1")) == 100
    tried = [one for one in sim.proplets.values() if one.refs["Daemon/default/d"] > 1]
    assert 3 <= len(tried) <= 50, "it went on past the threshold, or was never tried"
    assert "trap" in plant.status()["rollout"]["why"]
    assert plant.exit_code() == 3
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}

    sim.restart_manager(away=5 * SECOND)
    sim.run(5 * MINUTE)
    assert plant.reason() == "RolledBack"

    sim.write("fleet.yaml", proplet_yaml(plant.names, line="one"))  # another commit
    sim.run(5 * MINUTE)
    assert plant.reason() == "RolledBack"

    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    sim.run(5 * MINUTE)
    assert plant.reason() == "RolledBack"
    assert len(plant.on("v1")) == 100
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts

    plant.commit("v3")
    assert sim.run(20 * MINUTE, until=lambda: plant.reason() == "Healthy", every=SECOND), (
        sim.what_is_not()
    )
    assert len(plant.on("v3")) == 100
    assert plant.exit_code() == 0
    assert plant.events()[-1] == "RolloutComplete"


def test_a_good_version_reaches_everybody_step_by_step(tmp_path: Path) -> None:
    """Never more than the step says, and the status tells which one it is."""
    plant = Plant(tmp_path, 20)
    plant.commit("v2")
    seen = set()

    def done() -> bool:
        rollout = plant.status()["rollout"]
        if rollout["phase"] in ("Wave", "Soak"):
            most = [1, 2, 10, 20][rollout["step"] - 1]
            assert rollout["of"] == 4
            assert len(plant.on("v2")) <= most
            seen.add(rollout["step"])
        return plant.reason() == "Healthy" and len(plant.on("v2")) == 20

    assert plant.sim.run(20 * MINUTE, until=done, every=200), plant.sim.what_is_not()
    assert seen == {1, 2, 3, 4}
    assert plant.events()[-1] == "RolloutComplete"


@pytest.mark.parametrize("moment", [3, 9, 15, 21, 27, 33])
def test_a_restart_at_any_time_changes_nothing_about_a_rollout(tmp_path: Path, moment: int) -> None:
    """Where it stands is a row: it goes on from there, and nobody gets the version twice."""
    plant = Plant(tmp_path, 10)
    plant.commit("v2")
    plant.sim.run(moment * SECOND)
    before = plant.status()["rollout"].get("step", 4)
    plant.sim.restart_manager(away=2 * SECOND)
    plant.sim.run(2 * SECOND)
    assert plant.status()["rollout"].get("step", 4) >= before
    assert plant.sim.run(20 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 10
    assert {one.refs["Daemon/default/d"] for one in plant.sim.proplets.values()} == {2}


def test_a_rollout_settles_in_a_storm(tmp_path: Path) -> None:
    """Messages lost, repeated and out of order: the bad version still goes back."""
    plant = Plant(tmp_path, 12, weather=STORM)
    plant.commit("v2", bad=True)
    assert plant.sim.run(60 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert plant.sim.run(10 * MINUTE, until=lambda: len(plant.on("v1")) == 12, every=SECOND)


def test_edited_limits_are_staged_as_well(tmp_path: Path) -> None:
    """The run stays the same one; still only this step's devices are told."""
    plant = Plant(tmp_path, 10)
    plant.sim.write("d.yaml", daemon("v1", CAREFUL, "  limits: {fuel: 1000000}\n"))

    def limited() -> int:
        return sum(
            entry.fuel is not None
            for one in plant.sim.proplets.values()
            for entry in one.running.values()
        )

    plant.sim.run(5 * SECOND)
    assert limited() == 1
    assert plant.sim.run(20 * MINUTE, until=plant.sim.ready, every=SECOND), plant.sim.what_is_not()
    assert limited() == 10
    assert all(len(one.starts) == 1 for one in plant.sim.proplets.values())


def test_a_late_joiner_gets_the_accepted_version(tmp_path: Path) -> None:
    """While v2 is being tried a new device runs v1; when v2 is accepted it follows."""
    plant = Plant(tmp_path, 10)
    plant.commit("v2", rollout='steps: ["1"], soak: 5m')
    plant.sim.run(30 * SECOND)
    plant.sim.add("p900")
    plant.sim.write("late.yaml", proplet_yaml(["p900"]))
    plant.sim.run(30 * SECOND)
    assert "p900" in plant.on("v1")
    assert plant.sim.run(20 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 11


def test_silent_proplets_do_not_hold_up_a_rollout(tmp_path: Path) -> None:
    """They get the version that was accepted when they are back."""
    plant = Plant(tmp_path, 10)
    for name in ("p003", "p004"):
        plant.sim.proplets[name].kill()
    plant.sim.run(MINUTE)
    plant.commit("v2")
    assert plant.sim.run(
        10 * MINUTE, until=lambda: plant.events()[-1:] == ["RolloutComplete"], every=SECOND
    )
    for name in ("p003", "p004"):
        plant.sim.proplets[name].boot()
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 10


# -- operators ------------------------------------------------------------------------------------


def test_pause_and_resume(tmp_path: Path) -> None:
    """Paused, nothing more is given the version, also across a restart; resumed it goes on."""
    plant = Plant(tmp_path, 10)
    plant.commit("v2")
    plant.sim.run(3 * SECOND)
    assert plant.steer(SteerVerb.PAUSE)["done"]
    count = len(plant.on("v2"))
    plant.sim.restart_manager()
    plant.sim.run(5 * MINUTE)
    assert len(plant.on("v2")) == count == 1
    assert plant.reason() == "RolloutPaused"
    assert plant.status()["rollout"]["by"] == "ada"
    assert plant.exit_code() == 3
    plant.steer(SteerVerb.RESUME)
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 10


def test_a_pause_outlives_a_lost_store(tmp_path: Path) -> None:
    """Neither source nor fleet could tell it again: the journal does."""
    plant = Plant(tmp_path, 10)
    plant.commit("v2")
    plant.sim.run(3 * SECOND)
    plant.steer(SteerVerb.PAUSE)
    plant.sim.kill_manager()
    plant.sim.delete_database()
    plant.sim.start_manager()
    plant.sim.run(10 * MINUTE)
    assert plant.reason() == "RolloutPaused"
    assert (len(plant.on("v1")), len(plant.on("v2"))) == (9, 1)


def test_abort_goes_back_and_resume_tries_again(tmp_path: Path) -> None:
    """Aborting rejects the version; resuming lifts that and begins at the first step."""
    plant = Plant(tmp_path, 10)
    plant.commit("v2")
    plant.sim.run(20 * SECOND)
    assert "error" not in plant.steer(SteerVerb.ABORT)
    plant.sim.run(MINUTE)
    assert plant.reason() == "RolledBack"
    assert len(plant.on("v1")) == 10
    assert "error" in plant.steer(SteerVerb.ABORT)
    plant.steer(SteerVerb.RESUME)
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 10


def test_rollback_by_hand_to_an_earlier_generation(tmp_path: Path) -> None:
    """v1, v2, v3 were good; back to the generation of v1, and the next commit lifts it."""
    plant = Plant(tmp_path, 6)
    for module in ("v2", "v3"):
        plant.commit(module)
        assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    answer = plant.steer(SteerVerb.ROLLBACK, generation=1)
    assert "error" not in answer, answer
    assert plant.sim.run(10 * MINUTE, until=lambda: len(plant.on("v1")) == 6, every=SECOND)
    assert plant.reason() == "RolledBack"
    plant.commit("v2")
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 6


def test_rollback_of_an_object_without_a_rollout(tmp_path: Path) -> None:
    """It has versions too: the one that was Ready before this one."""
    plant = Plant(tmp_path, 3)
    plain = daemon("v1").replace(f"  rollout: {{{CAREFUL}}}\n", "")
    plant.sim.write("d.yaml", plain)
    assert plant.sim.run(MINUTE, until=plant.sim.ready, every=SECOND)
    plant.sim.write("d.yaml", plain.replace("v1.wat", "v2.wat"))
    plant.sim.run(2 * SECOND)
    assert plant.sim.run(MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 3
    answer = plant.steer(SteerVerb.ROLLBACK)
    assert "error" not in answer, answer
    assert plant.sim.run(MINUTE, until=lambda: len(plant.on("v1")) == 3, every=SECOND)
    plant.sim.restart_manager()
    plant.sim.run(MINUTE)
    assert len(plant.on("v1")) == 3
    plant.sim.write("d.yaml", plain.replace("v1.wat", "v3.wat"))
    plant.sim.run(2 * SECOND)
    assert plant.sim.run(MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v3")) == 3


def test_a_version_may_be_rejected_before_it_comes_back(tmp_path: Path) -> None:
    """v2 is history; rejected, a commit that brings it back is not rolled out."""
    plant = Plant(tmp_path, 4)
    plant.commit("v2")
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    second = plant.status()["rollout"]["version"]
    plant.commit("v3")
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert "error" not in plant.steer(SteerVerb.REJECT, digest=second)
    plant.commit("v2")
    plant.sim.run(5 * MINUTE)
    assert plant.reason() == "RolledBack"
    assert len(plant.on("v3")) == 4


def test_what_cannot_be_steered_is_told(tmp_path: Path) -> None:
    """No rollout to pause, nothing to resume, no version to go back to: in words, with exit 2."""
    plant = Plant(tmp_path, 2)
    for verb in (SteerVerb.PAUSE, SteerVerb.RESUME, SteerVerb.ABORT, SteerVerb.ROLLBACK):
        answer = plant.steer(verb)
        assert answer["exit"] == 2, verb
        assert "Daemon/default/d" in str(answer["error"])


# -- the first version ----------------------------------------------------------------------------


def test_the_first_version_of_all_pauses_when_it_fails(tmp_path: Path) -> None:
    """There is nothing to go back to: few devices have it, and a person is asked."""
    sim = Sim(tmp_path, files=False)
    names = [f"p{number}" for number in range(8)]
    sim.write("fleet.yaml", proplet_yaml(names))
    sim.write("v1.wat", wat("v1"))
    for name in names:
        sim.add(name, guests=Guests(traps=lambda _entry: True))
    sim.start_manager()
    sim.run(5 * SECOND)
    sim.write("d.yaml", daemon("v1"))
    sim.run(5 * MINUTE)
    started = [one.id for one in sim.proplets.values() if one.refs["Daemon/default/d"]]
    assert len(started) == 1
    assert any("no earlier good version" in line for line in sim.what_is_not())
