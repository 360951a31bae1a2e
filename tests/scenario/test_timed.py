"""Schedules that devices keep by their own clocks: with no manager, over reboots, in order."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from specs_text import WAT, proplet_yaml, task_yaml

from propeller.cli.results import _chosen
from propeller.rehearse.fleet import HOUR, MINUTE, SECOND, STORM, Sim, Weather
from propeller.rehearse.guests import Guests
from propeller.state.records import RunRecord

IMPORTS = ("wasi_snapshot_preview1", "propeller:timed", "propeller:autonomy")
T = "Task/default/t"


def _spec(more: str = "", placement: str = "perProplet: true") -> str:
    return (
        f"  placement: {{{placement}}}\n  retries: {{limit: 0}}\n"
        f'  schedule: {{cron: "*/10 * * * *", runOn: Proplet{more}}}\n'
    )


def _plant(
    tmp_path: Path,
    spec: str,
    *,
    guests: Guests = Guests(),
    imports: tuple[str, ...] = IMPORTS,
    weather: Weather | None = None,
) -> Sim:
    sim = Sim(tmp_path, seed=11)
    if weather is not None:
        sim.set_weather(weather)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a"]))
    sim.add("a", imports=imports, guests=guests)
    sim.start_manager()
    sim.write("t.yaml", task_yaml("t", spec))
    return sim


def _runs(sim: Sim) -> list[RunRecord]:
    """What the history has of the schedule's runs, the oldest slot first."""
    (uid,) = [
        held.uid
        for held in sim.manager.reconciler.world.objects.values()
        if str(held.object.meta.key) == T
    ]
    found = [one for one in sim.manager.store.runs(uid, 1000) if one.cause.startswith("cron:")]
    return sorted(found, key=lambda one: (one.assigned_at, one.attempt))


def _slots(sim: Sim) -> list[int]:
    return [one.assigned_at for one in _runs(sim)]


def _events(sim: Sim, reason: str) -> list[str]:
    """Oldest first."""
    events = sim.manager.store.events(limit=1000)
    return [one.message for one in reversed(events) if one.reason == reason]


def test_a_device_runs_at_its_times_and_each_is_told_once(tmp_path: Path) -> None:
    """Every ten minutes; the object is ready as long as the schedule is kept."""
    sim = _plant(tmp_path, _spec())
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    sim.run(HOUR + MINUTE)
    slots = _slots(sim)
    assert len(slots) == 6
    assert all(slot % (10 * MINUTE) == 0 for slot in slots)
    assert {one.state for one in _runs(sim)} == {"Succeeded"}
    assert len(_events(sim, "Succeeded")) == 6
    args = argparse.Namespace(proplet=None, all=False)
    assert _chosen(sim.manager.store, _runs(sim)[0].uid, args) == _runs(sim)[-1:]
    assert all(0 <= one.started - one.assigned_at < 2 * SECOND for one in _runs(sim))


def test_without_a_manager_it_goes_on_and_all_is_told_in_order_afterwards(tmp_path: Path) -> None:
    """Two hours off the network, with a reboot: twelve times, none missed, none twice, in order."""
    sim = _plant(tmp_path, _spec())
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    one = sim.proplets["a"]
    sim.broker.cut("a")
    sim.run(65 * MINUTE)
    one.kill()
    one.boot()
    sim.run(55 * MINUTE)
    assert _runs(sim) == []
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: len(_runs(sim)) >= 12)
    slots = _slots(sim)
    assert slots == list(range(slots[0], slots[0] + len(slots) * 10 * MINUTE, 10 * MINUTE))
    assert {run.state for run in _runs(sim)} == {"Succeeded"}
    told = _events(sim, "Succeeded")
    assert told == sorted(told)
    assert sim.started_twice() == []
    sim.restart_manager(away=SECOND)
    sim.run(2 * MINUTE)
    assert len(_events(sim, "Succeeded")) == len(told)


def test_what_is_more_than_may_be_held_makes_way_and_is_counted(tmp_path: Path) -> None:
    """`history: 3` and an hour in the dark: the newest three, and how many were lost."""
    sim = _plant(tmp_path, _spec(", history: 3"))
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    sim.broker.cut("a")
    sim.run(70 * MINUTE)
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: len(_runs(sim)) >= 3)
    held = len(_runs(sim))
    assert held == 3
    (words,) = _events(sim, "ResultsLost")
    assert "results on a made way for newer ones" in words
    assert int(words.split()[0]) + held == sim.proplets["a"].refs[T]


def test_times_missed_without_power_are_made_up_for_once_or_not_at_all(tmp_path: Path) -> None:
    """Off for more than forty minutes: `RunLatest` runs the newest missed one, `Skip` runs none."""
    for missed, made_up in (("RunLatest", 1), ("Skip", 0)):
        folder = tmp_path / missed
        folder.mkdir()
        sim = _plant(folder, _spec(f", missed: {missed}, startingDeadline: 1m"))
        assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
        sim.run(11 * MINUTE)
        before = len(_runs(sim))
        sim.proplets["a"].kill()
        sim.run(40 * MINUTE + (5 * MINUTE - sim.now) % (10 * MINUTE))  # five past a time
        sim.proplets["a"].boot()
        sim.run(MINUTE)
        assert len(_runs(sim)) == before + made_up, missed


def test_a_time_that_comes_during_a_run_is_skipped_or_takes_its_place(tmp_path: Path) -> None:
    """Runs of 15 minutes every ten: `Forbid` lets each end, `Replace` cuts it short."""
    slow = Guests(run_ms=(15 * MINUTE, 15 * MINUTE))
    for overlap in ("Forbid", "Replace"):
        folder = tmp_path / overlap
        folder.mkdir()
        sim = _plant(folder, _spec(f", overlap: {overlap}"), guests=slow)
        assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
        sim.run(HOUR)
        states = {one.state for one in _runs(sim)}
        assert states == ({"Succeeded"} if overlap == "Forbid" else {"Interrupted"})
        gaps = {after - before for before, after in zip(_slots(sim), _slots(sim)[1:], strict=False)}
        assert gaps == ({20 * MINUTE} if overlap == "Forbid" else {10 * MINUTE})


def test_a_run_that_fails_is_tried_again_on_the_device(tmp_path: Path) -> None:
    """Twice more, each told; then it waits for its next time."""
    spec = _spec().replace("limit: 0", "limit: 2, backoff: {base: 1s, cap: 10s}")
    sim = _plant(tmp_path, spec, guests=Guests(failing=1.0))
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    sim.run(11 * MINUTE)
    assert [(one.attempt, one.state) for one in _runs(sim)] == [
        (1, "Failed"),
        (2, "Failed"),
        (3, "Failed"),
    ]


def test_a_run_that_a_power_cut_ends_is_told_as_interrupted_and_begun_once(tmp_path: Path) -> None:
    """At most once each attempt; with `retries: {limit: 0}` it is not tried again."""
    sim = _plant(tmp_path, _spec(), guests=Guests(run_ms=(MINUTE, MINUTE)))
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    one = sim.proplets["a"]
    assert sim.run(11 * MINUTE, until=lambda: one.refs[T] == 1, every=10)
    one.kill()
    one.boot()
    sim.run(2 * MINUTE)
    (run,) = _runs(sim)
    assert (run.state, one.refs[T]) == ("Interrupted", 1)
    assert "the proplet went down" in run.error
    assert sim.started_twice() == []


def test_an_edit_of_the_times_waits_for_the_run_and_deletion_ends_it(tmp_path: Path) -> None:
    """Every ten minutes, then at five past; taken away, nothing runs and nothing is kept."""
    sim = _plant(tmp_path, _spec())
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    sim.run(15 * MINUTE)
    one = sim.proplets["a"]
    sim.write("t.yaml", task_yaml("t", _spec().replace("*/10", "5")))
    sim.run(2 * MINUTE)
    before = len(_slots(sim))
    sim.run(HOUR)
    new = _slots(sim)[before:]
    assert [slot % HOUR for slot in new] == [5 * MINUTE]
    sim.remove("t.yaml")
    sim.run(2 * MINUTE)
    started = one.refs[T]
    sim.run(61 * MINUTE)
    assert one.refs[T] == started
    assert one.disk.times == {}


def test_a_spent_autonomy_stops_the_clock_until_the_manager_is_back(tmp_path: Path) -> None:
    """Half an hour alone and no more; then the newest missed time is made up for."""
    sim = _plant(tmp_path, _spec(placement="perProplet: true, autonomy: 30m"))
    assert sim.run(MINUTE, until=sim.ready), sim.what_is_not()
    one = sim.proplets["a"]
    sim.broker.cut("a")
    sim.run(35 * MINUTE)
    alone = one.refs[T]
    assert 2 <= alone <= 4
    sim.run(2 * HOUR)
    assert one.refs[T] == alone
    sim.broker.heal("a")
    assert sim.run(5 * MINUTE, until=lambda: one.refs[T] == alone + 1)
    sim.run(MINUTE)
    assert len(_events(sim, "AutonomySpent")) == 1


def test_a_storm_costs_no_time_and_tells_none_twice(tmp_path: Path) -> None:
    """Messages get lost, come twice and late: six times an hour, each once in the history."""
    sim = _plant(tmp_path, _spec(), weather=STORM)
    assert sim.run(5 * MINUTE, until=lambda: bool(sim.proplets["a"].disk.times))
    sim.run(2 * HOUR)
    sim.set_weather(Weather())
    sim.run(5 * MINUTE)
    slots = _slots(sim)
    assert len(slots) == len(set(slots)) >= 12
    assert len(slots) == sim.proplets["a"].refs[T]
    assert sim.started_twice() == []


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (", timeZone: Europe/Belgrade", ""),
        (
            ", timeZone: Africa/Casablanca",
            "knows no time zones whose changes follow no yearly rule",
        ),
        (", history: 48", "holds at most 16 results of a schedule (history)"),
        (', cron: "0 4 * * 1#2"', "has no weekdays by number"),
    ],
)
def test_a_device_that_reads_slots_is_given_what_slots_can_say(
    tmp_path: Path, more: str, why: str
) -> None:
    """Firmware: neither cron's language nor time zones; what cannot be said so is said in words."""
    cron = "" if "cron" in more else ', cron: "*/10 * * * *"'
    spec = (
        _spec()
        .replace(", runOn: Proplet", "")
        .replace('cron: "*/10 * * * *"', f"runOn: Proplet{more}{cron}")
    )
    sim = _plant(tmp_path, spec, imports=(*IMPORTS[:1], "propeller:slots"))
    sim.run(20_000)
    text = (sim.state.status / "default" / "Task" / "t.yaml").read_text()
    assert ("proplet: a" in text) == (not why), text
    assert why in text


def test_a_device_that_keeps_no_schedules_is_given_none(tmp_path: Path) -> None:
    """An agent of before, or firmware."""
    sim = _plant(tmp_path, _spec(), imports=IMPORTS[:1])
    sim.run(20_000)
    assert sim.running() == {}
    text = (sim.state.status / "default" / "Task" / "t.yaml").read_text()
    assert "keeps no schedules (schedule.runOn: Proplet)" in text
