"""Steps of a rollout that are judged by measurements: of the fleet, and of something outside."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rollout_plant import Plant

from propeller.model.checks import Probe, Reading
from propeller.reconcile.events import SteerVerb
from propeller.rehearse.fleet import MINUTE, SECOND, STORM

HALF = 'steps: ["50%"], soak: 0s, maxUnavailable: "100%"'
CPU = (
    "{name: cpu, metric: cpuPermille, against: Others, success: {atMost: '120'},"
    " failure: {atLeast: '200'}, interval: 30s, count: 2}"
)
ALARMS = (
    "{name: alarms, prometheus: {url: 'http://prom:9090', query: alarms},"
    " success: {atMost: '3'}, failure: {atLeast: '10'}, interval: 20s, count: 2}"
)


def staged(*checks: str) -> str:
    return f"{HALF}, checks: [{', '.join(checks)}]"


def loads(plant: Plant, of: Callable[[str], int]) -> None:
    """Every device reports as much cpu as `of` says for the module it runs."""
    for one in plant.sim.proplets.values():

        def metrics(one: Any = one) -> tuple[tuple[str, int], ...]:
            digests = [entry.module.digest for entry in one.running.values()]
            return (("cpuPermille", max((of(digest) for digest in digests), default=0)),)

        one.metrics = metrics


class Prometheus:
    """A server that the simulation answers for; counts what it was asked."""

    def __init__(self, plant: Plant, value: str | None) -> None:
        self.value = value
        self.asked: list[Probe] = []
        self.silent = False
        plant.sim.outside = self.answer

    def answer(self, probe: Probe) -> Reading | None:
        self.asked.append(probe)
        if self.silent:
            return None
        if self.value is None:
            return Reading(slot=probe.slot, words="prom:9090: no connection")
        return Reading(slot=probe.slot, value=Decimal(self.value), words=f"{self.value} from prom")


def paused(plant: Plant) -> bool:
    return plant.reason() == "RolloutPaused"


# -- of the fleet ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heavy", "ends"), [(110, "Healthy"), (150, "RolloutPaused"), (300, "RolledBack")]
)
def test_the_new_copies_are_compared_with_the_old_ones(
    tmp_path: Path, heavy: int, ends: str
) -> None:
    """110 % of the others' load is fine, 300 % fails the version, 150 % is for a person."""
    plant = Plant(tmp_path, 10)
    good = plant.digest("v1")
    loads(plant, lambda digest: 100 if digest == good else heavy)
    plant.sim.run(MINUTE)
    plant.commit("v2", rollout=staged(CPU))
    assert plant.sim.run(10 * MINUTE, until=lambda: plant.reason() == ends, every=SECOND), (
        plant.status()["rollout"]
    )
    if ends == "Healthy":
        assert len(plant.on("v2")) == 10
    elif ends == "RolledBack":
        assert plant.sim.run(MINUTE, until=lambda: len(plant.on("v1")) == 10, every=SECOND)
        assert (
            "check cpu failed 1 of 1 times: 300% of the others" in plant.status()["rollout"]["why"]
        )
    else:
        plant.sim.run(10 * MINUTE)
        assert len(plant.on("v2")) == 5, "it went on past an inconclusive check"
        assert "check cpu was inconclusive" in plant.status()["rollout"]["why"]
        assert "150% of the others" in plant.status()["rollout"]["why"]


def test_a_step_takes_as_long_as_its_measurements(tmp_path: Path) -> None:
    """Two intervals pass before the second half is given the version, although nothing soaks."""
    plant = Plant(tmp_path, 4)
    loads(plant, lambda _digest: 100)
    plant.sim.run(MINUTE)
    plant.commit("v2", rollout=staged(CPU))
    plant.sim.run(55 * SECOND)
    assert len(plant.on("v2")) == 2
    assert plant.sim.run(2 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 4


def test_a_fact_of_runs_is_a_check_as_well(tmp_path: Path) -> None:
    """Copies that took long to become ready fail a version that is healthy otherwise."""
    check = "{name: slow, run: TimeToReady, over: Max, success: {atMost: '10'}, interval: 1s}"
    plant = Plant(tmp_path, 4)
    plant.commit("v2", rollout=staged(check))
    assert plant.sim.run(5 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert "check slow failed" in plant.status()["rollout"]["why"]


def test_devices_that_tell_nothing_are_no_success(tmp_path: Path) -> None:
    """Without a number the check is inconclusive, and says how many are silent about it."""
    plant = Plant(tmp_path, 4)
    plant.commit("v2", rollout=staged(CPU))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    assert "none of 2 copies has told it" in plant.status()["rollout"]["why"]


# -- outside --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "ends"), [("2", "Healthy"), ("12.5", "RolledBack")])
def test_a_number_from_outside_decides(tmp_path: Path, value: str, ends: str) -> None:
    """Few alarms let it through, many take it back; each measurement is asked for once."""
    plant = Plant(tmp_path, 4)
    prometheus = Prometheus(plant, value)
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(10 * MINUTE, until=lambda: plant.reason() == ends, every=SECOND)
    slots = [probe.slot for probe in prometheus.asked]
    assert len(set(slots)) == len(slots), "a measurement was asked for twice"
    assert len(slots) == (4 if ends == "Healthy" else 1)


def test_inconclusive_waits_for_a_later_success(tmp_path: Path) -> None:
    """The server is away: paused with the reason; it is back: the rollout goes on by itself."""
    plant = Plant(tmp_path, 4)
    prometheus = Prometheus(plant, None)
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    assert "prom:9090: no connection" in plant.status()["rollout"]["why"]
    assert plant.exit_code() == 3
    plant.sim.run(30 * MINUTE)
    assert paused(plant)
    assert len(plant.on("v2")) == 2
    prometheus.value = "0"
    assert plant.sim.run(5 * MINUTE, until=plant.sim.ready, every=SECOND)
    assert len(plant.on("v2")) == 4
    assert "RolloutInconclusive" in plant.events()
    assert plant.events()[-1] == "RolloutComplete"


def test_inconclusive_waits_for_a_person(tmp_path: Path) -> None:
    """Resumed, this step asks no more; the next one is judged anew."""
    plant = Plant(tmp_path, 4)
    prometheus = Prometheus(plant, "5")
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    assert plant.steer(SteerVerb.RESUME)["done"]
    assert plant.sim.run(
        10 * MINUTE, until=lambda: len(plant.on("v2")) == 4 and paused(plant), every=SECOND
    ), plant.status()["rollout"]
    prometheus.value = "1"
    assert plant.sim.run(10 * MINUTE, until=plant.sim.ready, every=SECOND)


def test_a_person_who_resumes_does_not_overrule_a_failure(tmp_path: Path) -> None:
    """What was waived is doubt, not a number that speaks against the version."""
    plant = Plant(tmp_path, 4)
    prometheus = Prometheus(plant, None)
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    prometheus.value = "40"
    plant.steer(SteerVerb.RESUME)
    assert plant.sim.run(10 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert len(plant.on("v2")) <= 2


def test_a_failure_while_paused_rolls_back(tmp_path: Path) -> None:
    """Measuring goes on during the pause, and may end it the other way."""
    plant = Plant(tmp_path, 4)
    prometheus = Prometheus(plant, "5")
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    prometheus.value = "99"
    assert plant.sim.run(5 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert plant.sim.run(MINUTE, until=lambda: len(plant.on("v1")) == 4, every=SECOND)


def test_an_answer_that_never_comes_is_no_value(tmp_path: Path) -> None:
    """After a minute the measurement is inconclusive; the loop never waited for it."""
    plant = Plant(tmp_path, 4)
    Prometheus(plant, "1").silent = True
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(5 * MINUTE, until=lambda: paused(plant), every=SECOND)
    assert "no answer within 1m" in plant.status()["rollout"]["why"]


@pytest.mark.parametrize("moment", [5, 21, 22, 30, 41, 45, 70])
def test_a_restart_at_any_time_loses_no_measurement(tmp_path: Path, moment: int) -> None:
    """What was measured is a row; what was under way is asked for again, and nothing is counted
    twice."""
    plant = Plant(tmp_path, 4)
    check = ALARMS.replace("count: 2", "count: 2, failureLimit: 1")
    prometheus = Prometheus(plant, "50")
    plant.commit("v2", rollout=staged(check))
    plant.sim.run(moment * SECOND)
    before = _failed(plant)
    plant.sim.restart_manager(away=SECOND)
    plant.sim.run(500)
    assert plant.reason() == "RolledBack" or _failed(plant) >= before
    assert plant.sim.run(10 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert "failed 2 of 2 times" in plant.status()["rollout"]["why"]
    assert len({probe.slot for probe in prometheus.asked}) == 2


def _failed(plant: Plant) -> int:
    rows = plant.status()["rollout"].get("checks", [])
    return sum(row["failed"] for row in rows)


def test_checks_hold_in_a_storm(tmp_path: Path) -> None:
    """Messages lost, repeated and out of order: the failed check still takes it back."""
    plant = Plant(tmp_path, 6, weather=STORM)
    Prometheus(plant, "50")
    plant.commit("v2", rollout=staged(ALARMS))
    assert plant.sim.run(60 * MINUTE, until=lambda: plant.reason() == "RolledBack", every=SECOND)
    assert plant.sim.run(10 * MINUTE, until=lambda: len(plant.on("v1")) == 6, every=SECOND)
