"""Commits are the only thing anybody does: git, mosquitto, `serve` and two proplets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

ADD = {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}}
BEAT = {"module": {"file": "heartbeat.wat"}, "placement": {"perProplet": True}}


class Repository:
    """A git repository whose work tree is the fleet's `specs/`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        """`git ARGUMENTS`; what it printed."""
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
        done = subprocess.run(
            ["git", "-C", str(self.place), *who, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Everything as it is; the new commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


def test_the_fleet_follows_the_commits(fleet: Any):
    """Commit, edit, delete, revert and a typo, each seen on the devices and in status files."""
    repository = Repository(fleet.specs)
    fleet.module("add/add.wat", "heartbeat/heartbeat.wat")
    fleet.spec("Task", "add", ADD)
    fleet.spec("Daemon", "beat", BEAT)
    for name in ("press", "oven"):
        fleet.spec("Proplet", name, {"heartbeat": "2s"})
    first = repository.commit("what should run")
    fleet.broker()
    serve = fleet.serve(source=f"git+file://{fleet.specs}?ref=main")
    for name in ("press", "oven"):
        fleet.proplet(name)

    def guests(name: str) -> int:
        # A guest is a worker that its proplet's zygote forked; it has the run's folder open.
        return len(list((fleet.place / name / "runs").glob("*/")))

    # commit -> running -> status file
    document = fleet.ready("Daemon/default/beat")
    assert document["status"]["lastAppliedRevision"].endswith(first)
    assert {c["proplet"] for c in document["status"]["copies"]} == {"press", "oven"}
    (copy,) = fleet.ready("Task/default/add")["status"]["copies"]
    assert copy["result"] == "42"

    # edit -> replaced
    before = {copy["proplet"]: copy["run"] for copy in fleet.copies("Daemon/default/beat")}
    fleet.spec("Task", "add", {**ADD, "run": {"entrypoint": "add", "args": ["40", "3"]}})
    fleet.spec("Daemon", "beat", {**BEAT, "run": {"env": [{"name": "RATE", "value": "2"}]}})
    second = repository.commit("three, and a rate")
    document = fleet.ready("Task/default/add", generation=2)
    assert document["status"]["copies"][0]["result"] == "43"
    assert document["status"]["lastAppliedRevision"].endswith(second)
    document = fleet.ready("Daemon/default/beat", generation=2)
    after = {copy["proplet"]: copy["run"] for copy in document["status"]["copies"]}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())

    # delete -> gone from the device and from the inventory
    (fleet.specs / "daemon-beat.yaml").unlink()
    (fleet.specs / "task-add.yaml").unlink()
    repository.commit("no work")
    fleet.until(lambda: fleet.status("Daemon/default/beat") is None, "the daemon's status gone")
    fleet.until(lambda: fleet.status("Task/default/add") is None, "the task's status gone")
    fleet.until(lambda: guests("press") + guests("oven") == 0, "nothing left on the devices")
    listed = fleet.on("get", "-o", "name")
    assert listed.code == 0
    assert "beat" not in listed.out
    assert "add" not in listed.out

    # revert -> back
    repository.git("revert", "--no-edit", "HEAD")
    document = fleet.ready("Daemon/default/beat")
    assert len(document["status"]["copies"]) == 2
    assert fleet.ready("Task/default/add")["status"]["copies"][0]["result"] == "43"

    # a typo -> nothing changes and the fault is named
    running = {copy["proplet"]: copy["run"] for copy in fleet.copies("Daemon/default/beat")}
    good = fleet.status("Daemon/default/beat")["status"]["lastAppliedRevision"]
    fleet.spec("Daemon", "beat", {**BEAT, "restrat": {"policy": "Always"}})
    bad = repository.commit("a typo")
    where = "daemon-beat.yaml:"
    what = 'spec.restrat: unknown field, did you mean "restart"?'
    fleet.until(lambda: what in serve.said, "the fault on stderr")
    assert where in serve.said

    def attempted() -> bool:
        return fleet.status("Daemon/default/beat")["status"]["lastAttemptedRevision"].endswith(bad)

    fleet.until(attempted, "the attempt in the status file")
    status = fleet.status("Daemon/default/beat")["status"]
    assert status["lastAppliedRevision"] == good
    assert {copy["proplet"]: copy["run"] for copy in status["copies"]} == running
    events = fleet.on("events")
    assert where in events.out
    assert what in events.out


def test_a_repository_that_goes_away_takes_nothing_away(fleet: Any):
    """Moved aside it is missed in words and what runs stays; back, it is followed. By MQTT 5."""
    repository = Repository(fleet.specs)
    fleet.module("heartbeat/heartbeat.wat")
    fleet.spec("Daemon", "beat", BEAT)
    repository.commit("a daemon")
    fleet.broker()
    serve = fleet.serve("--mqtt", "5", source=f"git+file://{fleet.specs}?ref=main")
    fleet.proplet("press", "--mqtt", "5")
    fleet.ready("Daemon/default/beat")
    aside = fleet.place / "aside"
    shutil.move(fleet.specs, aside)
    fleet.until(lambda: "stands" in serve.said, "the repository is missed")
    (copy,) = fleet.copies("Daemon/default/beat")
    assert copy["state"] == "Running"
    shutil.move(aside, fleet.specs)
    fleet.spec("Daemon", "beat", {**BEAT, "run": {"env": [{"name": "RATE", "value": "2"}]}})
    repository.commit("a rate")
    fleet.ready("Daemon/default/beat", generation=2)
    assert serve.alive()
