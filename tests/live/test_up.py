"""`propeller up` as people type it: exit codes, what is left behind, what `diff` says after."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from propeller.transport.broker import which

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
ADD = {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}}


def _up(fleet: Any, *arguments: str, proplets: int = 1) -> Any:
    count = str(proplets)
    return fleet.run(
        "up", "specs", "--state", "state", "--proplets", count, "--until-ready", *arguments
    )


def test_the_sample_plant_then_an_edit_then_a_typo(fleet: Any):
    """0 once all is Ready; `diff` 0 after it, 1 after an edit, 2 and a line after a typo."""
    shutil.copytree(ROOT / "specs", fleet.specs, dirs_exist_ok=True)
    done = _up(fleet, proplets=2)
    assert done.code == 0, done.err
    assert fleet.copies("Task/plant-a/add")[0]["result"] == "42"
    assert {copy["result"] for copy in fleet.copies("Task/quality/baseline")} == {
        "23416728348467685"
    }
    assert len(fleet.copies("Daemon/plant-a/heartbeat")) == 2
    same = fleet.on("diff", "specs")
    assert same.code == 0, same.out + same.err
    file = fleet.specs / "plant-a" / "add.yaml"
    text = file.read_text()
    file.write_text(text.replace('"40"', '"41"'))
    edited = fleet.on("diff", "specs")
    assert edited.code == 1, edited.out + edited.err
    assert "Task/plant-a/add" in edited.out
    assert '"40" -> "41"' in edited.out
    file.write_text(text.replace("module:", "modul:"))
    typo = fleet.on("diff", "specs")
    assert typo.code == 2, typo.out
    assert "plant-a/add.yaml:8: spec.modul: unknown field" in typo.err


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
@pytest.mark.parametrize("mqtt", ["3.1.1", "5"])
def test_each_broker_and_each_mqtt(fleet: Any, broker: str, mqtt: str):
    """The same round by the embedded broker and mosquitto, over both versions."""
    if broker == "mosquitto" and which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    fleet.module("add/add.wat", "heartbeat/heartbeat.wat")
    fleet.spec("Task", "add", ADD)
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    done = _up(fleet, "--broker", broker, "--mqtt", mqtt)
    assert done.code == 0, done.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"


def test_a_task_that_fails_is_three_and_says_why(fleet: Any):
    """Others go on; the two that failed are named in words with their exit."""
    fleet.module("add/add.wat", "misbehave/exit3.wat", "misbehave/trap.wat")
    fleet.spec("Task", "add", ADD)
    fleet.spec("Task", "three", {"module": {"file": "exit3.wat"}})
    fleet.spec("Task", "trap", {"module": {"file": "trap.wat"}})
    done = _up(fleet)
    assert done.code == 3, done.err
    assert "failed   Task/default/three: " in done.err
    assert "local-1: failed: exit 3" in done.err
    assert "failed   Task/default/trap: " in done.err
    assert "unreachable" in done.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"


def test_what_finds_no_place_is_four_when_the_time_is_over(fleet: Any):
    """It says which proplets were looked at and why none will do."""
    fleet.module("add/add.wat")
    elsewhere = {"selector": {"matchLabels": {"board": "none-such"}}}
    fleet.spec("Task", "add", {**ADD, "placement": elsewhere})
    done = _up(fleet, "--timeout", "2s")
    assert done.code == 4, done.err
    assert "pending  Task/default/add: " in done.err


def test_bad_specs_are_two_and_start_nothing(fleet: Any):
    """Every fault with its file and line, before a broker or a proplet is started."""
    fleet.spec("Task", "add", {**ADD, "replcias": 2})
    fleet.write("b.yaml", "apiVersion: propeller.dev/v1alpha1\nkind: Task\nkind: Task\n")
    done = _up(fleet)
    assert done.code == 2
    assert "task-add.yaml:" in done.err
    assert "replcias: unknown field" in done.err
    assert "b.yaml:3:" in done.err
    assert not list((fleet.state / "logs").glob("*.log"))


def test_ready_is_said_of_proplets_that_speak_now(fleet: Any):
    """A second `up` on the same state waits for its own proplets: an old report is no proof."""
    fleet.module("heartbeat/heartbeat.wat")
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    assert _up(fleet).code == 0
    log = fleet.state / "logs" / "local-1.log"
    first = log.read_text()
    done = _up(fleet)
    assert done.code == 0, done.err
    assert "connected" in log.read_text()[len(first) :]
    (copy,) = fleet.copies("Daemon/default/beat")
    assert copy["state"] == "Running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_it_leaves_in_good_order(fleet: Any, number: signal.Signals):
    """Asked to leave, `up` drains its proplets and is gone: no process, no socket."""
    fleet.module("heartbeat/heartbeat.wat")
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    up = fleet.up(proplets=1)
    fleet.ready("Daemon/default/beat")
    assert fleet.guests()
    assert up.end(number) == 0
    assert fleet.guests() == []
    assert not (fleet.state / "run" / "api.sock").exists()
    assert "Traceback" not in up.said


def test_killed_with_nine_it_leaves_nothing_running_and_goes_on(fleet: Any):
    """Broker, proplets and guests die with `up`; the next one finds everything where it was."""
    fleet.module("add/add.wat", "heartbeat/heartbeat.wat")
    fleet.spec("Task", "add", ADD)
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    up = fleet.up(proplets=1)
    fleet.ready("Daemon/default/beat")
    fleet.ready("Task/default/add")
    (before,) = fleet.copies("Task/default/add")
    up.kill()
    fleet.until(lambda: not fleet.guests(), lambda: f"all gone, yet {fleet.guests()}")
    done = _up(fleet)
    assert done.code == 0, done.err
    (after,) = fleet.copies("Task/default/add")
    assert (after["run"], after["started"]) == (before["run"], before["started"])
