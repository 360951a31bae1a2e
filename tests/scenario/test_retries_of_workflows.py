"""A failed run of a Workflow goes on from the steps that failed, whatever is lost meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plants import plant, until_ready
from test_workflows import (
    DIAMOND,
    flow,
    guests,
    lose,
    over,
    ready,
    states,
    traps,
    workflow_yaml,
    writes,
)

from propeller.model.ids import Key
from propeller.reconcile.events import RetryFlow
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.state.database import COMMITTED, STATEMENT
from propeller.state.failpoints import At, arm, disarm

KEY = Key("Workflow", "default", "report")


def retry(sim: Sim, key: Key = KEY) -> list[Any]:
    """Ask for it; the answers come with the next turn."""
    answers = sim.manager.ask(lambda reply: RetryFlow(key=key, by="ana", reply=reply))
    sim.run(SECOND)
    return answers


def mended(sim: Sim) -> None:
    """Guests trap no more."""
    for device in sim.proplets.values():
        device.guests = replace(device.guests, traps=lambda _entry: False)


def counts(sim: Sim, *steps: str) -> list[int]:
    return [sum(sim.started(f"report-{step}").values()) for step in steps]


@pytest.fixture
def failed(tmp_path: Path) -> Sim:
    """`right` trapped, so `join` was skipped; `read` and `left` succeeded."""
    sim = plant(tmp_path)
    told = writes(read="7", left="l(@)", right="r(@)", join="j(@)")
    guests(sim, traps=traps("right"), writes=told, run_ms=(2_000, 2_000))
    sim.write("flow.yaml", workflow_yaml(DIAMOND))
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    assert states(sim) == {
        "read": "Succeeded",
        "left": "Succeeded",
        "right": "Failed",
        "join": "Skipped",
    }
    return sim


def test_what_succeeded_is_not_run_again(failed: Sim) -> None:
    """The step that failed runs anew with the results there are; what waited for it follows."""
    began = flow(failed).began
    mended(failed)
    (words,) = retry(failed)
    assert words["steps"] == ["right", "join"]
    until_ready(failed)
    assert flow(failed).results["join"] == "j(l(7)[R=r(7)])"
    assert counts(failed, "read", "left", "right", "join") == [1, 1, 2, 1]
    assert not failed.started_twice()
    assert flow(failed).began > began
    assert "WorkflowResumed" in failed.manager.reasons()


def test_it_may_fail_and_be_resumed_again(failed: Sim) -> None:
    """Each time is another run of that step, and each failure is told."""
    for times in (2, 3):
        retry(failed)
        assert failed.run(2 * MINUTE, until=lambda: over(failed))
        assert ready(failed)[1] == "Failed"
        assert counts(failed, "read", "right") == [1, times]
    mended(failed)
    retry(failed)
    until_ready(failed)
    assert counts(failed, "read", "left", "right", "join") == [1, 1, 4, 1]


@pytest.mark.parametrize("lost", ["reconciler", "database", "device", "broker"])
def test_a_crash_of_anything_runs_nothing_twice(failed: Sim, lost: str) -> None:
    """Lost again and again while it goes on: the same result; only the device's own loss may cost
    another resumption, because a step that was interrupted has failed."""
    mended(failed)
    retry(failed)
    for _ in range(4):
        failed.run(1_100)
        lose(failed, lost)
    if lost == "device":
        while failed.run(2 * MINUTE, until=lambda: over(failed)) and ready(failed)[1] == "Failed":
            retry(failed)
    until_ready(failed, 5 * MINUTE)
    assert flow(failed).results["join"] == "j(l(7)[R=r(7)])"
    assert counts(failed, "read", "left") == [1, 1]
    if lost != "device":
        assert counts(failed, "right", "join") == [2, 1]
    assert not failed.started_twice()


def test_asked_twice_it_goes_on_once(failed: Sim) -> None:
    """As after a crash before the answer: the second is told that a run is under way."""
    mended(failed)
    first = failed.manager.ask(lambda reply: RetryFlow(key=KEY, by="ana", reply=reply))
    second = failed.manager.ask(lambda reply: RetryFlow(key=KEY, by="ana", reply=reply))
    failed.run(SECOND)
    assert first[0]["steps"] == ["right", "join"]
    assert "is under way" in second[0]["error"]
    until_ready(failed)
    assert counts(failed, "right") == [2]


class KilledError(Exception):
    """What stands for kill -9 in the middle of a turn."""


@pytest.mark.parametrize("point", [STATEMENT, COMMITTED])
def test_killed_between_any_two_statements_it_is_asked_for_or_not(failed: Sim, point: str) -> None:
    """Before the commit nothing was asked, after it all of it was; it goes on once in the end."""

    def killed() -> None:
        raise KilledError

    mended(failed)
    died = 0
    for hit in range(1, 100):
        arm(point, At(hit, killed))
        try:
            answers = retry(failed)
        except KilledError:
            died += 1
            disarm()
            failed.restart_manager()
            if flow(failed).resumed:
                break
            assert "WorkflowResumed" not in failed.manager.reasons()
            assert counts(failed, "right") == [1]
            continue
        finally:
            disarm()
        assert "steps" in answers[0]
        break
    assert died >= (5 if point == STATEMENT else 1)
    until_ready(failed)
    assert failed.manager.reasons().count("WorkflowResumed") == 1
    assert counts(failed, "read", "left", "right", "join") == [1, 1, 2, 1]
    assert not failed.started_twice()


def test_what_cannot_go_on_is_said(failed: Sim) -> None:
    """Nothing there, no Workflow, edited since, succeeded."""
    assert "not in the inventory" in retry(failed, Key("Workflow", "default", "gone"))[0]["error"]
    assert "is no Workflow" in retry(failed, Key("Task", "default", "report-read"))[0]["error"]
    failed.write("flow.yaml", workflow_yaml(DIAMOND, '  runKey: "2"\n'))
    mended(failed)
    failed.run(SECOND)
    assert "is under way" in retry(failed)[0]["error"]
    until_ready(failed)
    assert "succeeded; another runKey" in retry(failed)[0]["error"]


def test_a_run_whose_time_was_over_has_its_time_again(tmp_path: Path) -> None:
    """The timeout counts from the resumption; what was cut off and what never began are run."""
    sim = plant(tmp_path)
    guests(sim, run_ms=(60 * MINUTE, 60 * MINUTE))
    sim.write("flow.yaml", workflow_yaml("read\nclean: , after: [read]", "  timeout: 30s\n"))
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    assert sim.run(MINUTE, until=lambda: not sim.running())
    guests(sim, run_ms=(1_000, 1_000))
    retry(sim)
    until_ready(sim)
    assert states(sim) == {"read": "Succeeded", "clean": "Succeeded"}
    assert not sim.started_twice()


def test_a_slot_of_a_schedule_goes_on_too(tmp_path: Path) -> None:
    """The slot stays what it is, and the next one is whole."""
    sim = plant(tmp_path)
    guests(sim, traps=traps("clean"))
    steps, often = "read\nclean: , after: [read]", '  schedule: {cron: "*/5 * * * *"}\n'
    sim.write("flow.yaml", workflow_yaml(steps, often))
    assert sim.run(6 * MINUTE, until=lambda: over(sim))
    slot = flow(sim).base
    mended(sim)
    retry(sim)
    assert sim.run(MINUTE, until=lambda: states(sim)["clean"] == "Succeeded")
    assert flow(sim).base == slot
    assert counts(sim, "read", "clean") == [1, 2]
    assert sim.run(6 * MINUTE, until=lambda: flow(sim).base != slot and over(sim))
    assert counts(sim, "read", "clean") == [2, 3]
    assert flow(sim).resumed == 0
    assert not sim.started_twice()
