"""The verbs on a fleet that runs, and on none."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.live

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  local.get 0 local.get 1 i32.add))
"""
BEAT = {"module": {"file": "heartbeat.wat"}}


def test_run_with_no_fleet(fleet: Any):
    """`run` brings up a proplet for it, prints the result and leaves nothing; its exit codes."""
    (fleet.place / "add.wat").write_text(ADD)
    done = fleet.run("run", "add.wat", "--entrypoint", "add", "40", "2")
    assert (done.code, done.out) == (0, "42\n"), done.err
    assert fleet.guests() == []
    (fleet.place / "trap.wat").write_text('(module (func (export "_start") unreachable))')
    done = fleet.run("run", "trap.wat")
    assert done.code == 3
    assert done.out == ""
    assert "unreachable" in done.err
    for bad in (
        ["gone.wat"],
        ["add.wat", "--entrypoint", "sub", "1", "2"],
        ["add.wat", "--env", "x"],
    ):
        done = fleet.run("run", *bad)
        assert done.code == 2, done.err


def test_a_day_with_a_running_fleet(fleet: Any):
    """apply, run, suspend, resume, logs, cordon and drain, one after the other."""
    fleet.module("heartbeat/heartbeat.wat")
    (fleet.place / "add.wat").write_text(ADD)
    fleet.spec("Daemon", "beat", BEAT)
    up = fleet.up(proplets=2)
    fleet.ready("Daemon/default/beat")

    # run
    done = fleet.on("run", "add.wat", "40", "2", "--entrypoint", "add")
    assert (done.code, done.out) == (0, "42\n"), done.err
    assert "run-" not in fleet.on("get", "-o", "name").out

    # logs
    logs = fleet.on("logs", "beat")
    assert logs.code == 0, logs.err
    assert "beat" in logs.out

    # suspend and resume
    done = fleet.on("suspend", "beat", "--reason", "bearing replaced")
    assert done.code == 0, done.err
    fleet.until(
        lambda: (
            fleet.condition("Daemon/default/beat", "Ready").get("reason") == "Suspended"
            and not fleet.copies("Daemon/default/beat")
        ),
        "suspended",
    )
    assert "bearing replaced" in fleet.condition("Daemon/default/beat", "Ready")["message"]
    assert fleet.on("resume", "beat").code == 0
    fleet.ready("Daemon/default/beat")

    # cordon keeps what runs, drain moves it
    (copy,) = fleet.copies("Daemon/default/beat")
    here = copy["proplet"]
    assert fleet.on("proplets", "cordon", here).code == 0
    assert fleet.copies("Daemon/default/beat") == [copy]
    assert fleet.on("proplets", "drain", here).code == 0
    fleet.until(
        lambda: [c["proplet"] for c in fleet.copies("Daemon/default/beat")] not in ([], [here]),
        "the copy moved",
    )
    fleet.ready("Daemon/default/beat")
    listed = json.loads(fleet.on("proplets", "list", "-o", "json").out)
    assert len(listed if isinstance(listed, list) else listed["items"]) == 2

    # apply another tree: what it leaves out goes
    other = fleet.place / "other"
    other.mkdir()
    (other / "add.wat").write_text(ADD)
    task = {"apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "add"}}
    spec = {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}}
    (other / "add.json").write_text(json.dumps({**task, "spec": spec}))
    done = fleet.on("apply", "other")
    assert done.code == 0, done.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"
    fleet.until(lambda: fleet.status("Daemon/default/beat") is None, "the daemon gone")
    (other / "add.json").write_text(json.dumps({**task, "spek": spec}))
    bad = fleet.on("apply", "other")
    assert bad.code == 2
    assert "spek: unknown field" in bad.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"
    assert up.end() == 0


def test_apply_with_no_reconciler_is_one_itself(fleet: Any):
    """Against the configured broker, until all is as wanted; and what it says when it is not."""
    fleet.write("add.wat", ADD)
    run = {"entrypoint": "add", "args": ["40", "2"]}
    fleet.spec("Task", "add", {"module": {"file": "add.wat"}, "run": run})
    fleet.broker()
    missing = fleet.on("apply", "specs")
    assert missing.code == 2
    assert "--broker" in missing.err
    alone = fleet.run("apply", "specs", "--state", "state", *fleet.to_broker, "--timeout", "500ms")
    assert alone.code == 4, alone.err
    fleet.proplet("press")
    done = fleet.run("apply", "specs", "--state", "state", *fleet.to_broker)
    assert done.code == 0, done.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"


def test_who_comes_second_is_told(fleet: Any):
    """A second `up` or `serve` on the same state: 2, and who holds it; the first goes on."""
    fleet.module("heartbeat/heartbeat.wat")
    fleet.spec("Daemon", "beat", BEAT)
    fleet.up(proplets=1)
    fleet.ready("Daemon/default/beat")
    for second in (["up", "specs"], ["serve", "specs", "--broker", "127.0.0.1:1"]):
        done = fleet.on(*second)
        assert done.code == 2, done.err
        assert "`propeller up` (process" in done.err
    assert fleet.copies("Daemon/default/beat")[0]["state"] == "Running"
