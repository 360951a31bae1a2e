"""How devices go from one version to the next: handed over, or with the old copy gone first."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_plant import CAREFUL, DAEMON, Plant, daemon, wat

from propeller.rehearse.fleet import MINUTE, SECOND

REF = "Daemon/default/d"
ALL_AT_ONCE = 'steps: ["100%"], soak: 0s, maxUnavailable: "100%"'


def _count(plant: Plant, seen: set[int]) -> bool:
    """Note how many copies each proplet runs at this moment; whether everything is Ready."""
    seen.update(len(one.running) for one in plant.sim.proplets.values())
    return plant.sim.ready()


def _blobs(plant: Plant) -> set[str]:
    """What devices have of modules, in part or whole."""
    disks = [one.disk for one in plant.sim.proplets.values()]
    return {digest for disk in disks for digest in (*disk.parts, *disk.blobs)}


@pytest.mark.parametrize(
    ("update", "most_and_least"),
    [("HandOver", {1, 2}), ("DownloadThenKill", {0, 1}), ("KillThenDownload", {0, 1})],
)
def test_how_many_copies_a_device_runs_meanwhile(
    tmp_path: Path, update: str, most_and_least: set[int]
) -> None:
    """Handed over, at no moment none; otherwise at no moment two."""
    plant = Plant(tmp_path, 6)
    plant.sim.write("d.yaml", daemon("v2", f"{ALL_AT_ONCE}, update: {update}"))
    seen: set[int] = set()
    plant.sim.run(5 * SECOND, until=lambda: bool(_count(plant, seen)) and len(seen) > 1, every=1)
    plant.digest("v2")
    assert plant.sim.run(10 * MINUTE, until=lambda: _count(plant, seen), every=1)
    assert len(plant.on("v2")) == 6
    assert seen <= most_and_least
    if update == "HandOver":
        assert 2 in seen


def test_killed_first_the_old_module_is_gone_before_the_new_one_comes(tmp_path: Path) -> None:
    """No device ever has both modules, and all get the new one."""
    plant = Plant(tmp_path, 4)
    old, known = plant.digest("v1"), _blobs(plant)
    plant.sim.write("d.yaml", daemon("v2", f"{ALL_AT_ONCE}, update: KillThenDownload"))
    assert plant.sim.run(SECOND, until=lambda: len(_blobs(plant) - known) > 0, every=1)
    (new,) = _blobs(plant) - known
    both: list[str] = []

    def done() -> bool:
        for one in plant.sim.proplets.values():
            coming = new in one.disk.parts or new in one.disk.blobs
            if old in one.disk.blobs and coming:
                both.append(one.id)
        return plant.sim.ready()

    assert plant.sim.run(10 * MINUTE, until=done, every=1)
    assert both == []
    assert len(plant.on("v2")) == 4


def test_a_bad_version_that_was_handed_to_never_interrupts_the_old_one(tmp_path: Path) -> None:
    """It traps, is rolled back, and every device ran the old copy all the time."""
    plant = Plant(tmp_path, 10)
    started = {one.id: one.refs[REF] for one in plant.sim.proplets.values()}
    good = plant.digest("v1")
    plant.commit("v2", bad=True, rollout=f"{CAREFUL}, update: HandOver")
    sick = plant.sick - set(plant.on("v2"))  # the first copies came before it was bad
    without: set[str] = set()

    def back() -> bool:
        for name in sick:
            running = plant.sim.proplets[name].running.values()
            if all(entry.module.digest != good for entry in running):
                without.add(name)
        return plant.reason() == "RolledBack" and len(plant.on("v1")) == 10

    assert plant.sim.run(20 * MINUTE, until=back, every=20)
    assert without == set()
    plant.sim.run(MINUTE)
    assert len(plant.on("v1")) == 10
    assert plant.on("v2") == []
    tried = {one.id for one in plant.sim.proplets.values() if one.refs[REF] > started[one.id]}
    assert tried & sick, "the bad version was never tried where it traps"


@pytest.mark.parametrize("moment", [100, 400, 800, 1200, 1600, 2500])
def test_a_power_cut_in_the_middle_leaves_exactly_the_new_copy(tmp_path: Path, moment: int) -> None:
    """Whatever a device was at, it runs the listed version and nothing else."""
    plant = Plant(tmp_path, 3)
    plant.sim.write("d.yaml", daemon("v2", f"{ALL_AT_ONCE}, update: HandOver"))
    plant.sim.run(moment)
    for one in plant.sim.proplets.values():
        one.kill()
    plant.sim.run(3 * SECOND)
    for one in plant.sim.proplets.values():
        one.boot()
    plant.digest("v2")
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND), plant.sim.what_is_not()
    plant.sim.run(10 * SECOND)
    assert len(plant.on("v2")) == 3
    assert all(len(one.running) == 1 for one in plant.sim.proplets.values())


def test_no_room_for_two_is_said_and_goes_the_other_way(tmp_path: Path) -> None:
    """Two copies of 600 MiB do not fit into 1 GiB: an event names the devices; it gets there."""
    plant = Plant(tmp_path, 3)
    for name in ("v1", "v2"):
        plant.sim.write(f"{name}.wat", wat(name).replace("(module", "(module (memory 1)"))
    large = "  limits: {memory: 600MiB}\n"
    plant.sim.write("d.yaml", daemon("v1", ALL_AT_ONCE, large))
    plant.sim.run(SECOND)
    assert plant.sim.run(5 * MINUTE, until=plant.sim.ready, every=SECOND)
    plant.sim.write("d.yaml", daemon("v2", f"{ALL_AT_ONCE}, update: HandOver", large))
    seen: set[int] = set()
    plant.sim.run(5 * SECOND, until=lambda: bool(_count(plant, seen)) and len(seen) > 1, every=1)
    assert plant.sim.run(5 * MINUTE, until=lambda: _count(plant, seen), every=5)
    plant.digest("v2")
    assert len(plant.on("v2")) == 3
    assert 2 not in seen
    rows = plant.sim.manager.store.events(key=DAEMON, limit=1000)
    (said,) = [row.message for row in rows if row.reason == "NoRoomForTwo"]
    assert said.startswith("3 of 3 copies cannot be handed over")
    assert "needs 600 MiB and 600 MiB, has 1 GiB" in said


def test_another_way_of_updating_restarts_nothing(tmp_path: Path) -> None:
    """It is no part of a version: devices are told, and go on as they are."""
    plant = Plant(tmp_path, 3)
    starts = {one.id: dict(one.starts) for one in plant.sim.proplets.values()}
    plant.sim.write("d.yaml", daemon("v1", f"{ALL_AT_ONCE}, update: HandOver"))
    plant.sim.run(MINUTE)
    for one in plant.sim.proplets.values():
        assert [entry.update for entry in one.disk.entries] == ["HandOver"]
    assert {one.id: dict(one.starts) for one in plant.sim.proplets.values()} == starts
    assert plant.sim.ready()
