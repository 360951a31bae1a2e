"""Drift on a real device: its owner alters what the agent stored."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

BEAT = "Daemon/default/beat"
OVER_A_MINUTE = 150.0


def forget(folder: Path) -> None:
    """The entries and runs are gone; that the document was taken is not."""
    with sqlite3.connect(folder / "agent.db") as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'entries'", (b"[]",))
        db.execute("DELETE FROM run")
    db.close()


def test_a_device_whose_storage_was_altered_is_found_and_put_right(fleet: Any):
    """Detected first, told by every command; once the spec says `Correct` the guest is back."""
    fleet.module("heartbeat/heartbeat.wat")
    fleet.broker()
    fleet.spec("Proplet", "press", {"heartbeat": "2s"})
    beat = {"module": {"file": "heartbeat.wat"}, "placement": {"proplets": ["press"]}}
    fleet.spec("Daemon", "beat", {**beat, "drift": "Detect"})
    fleet.serve()
    press = fleet.proplet("press")
    run = fleet.ready(BEAT)["status"]["copies"][0]["run"]
    press.kill()
    fleet.until(lambda: not fleet.guests(), "guests die with their proplet")
    forget(fleet.place / "press")
    fleet.proplet("press")
    found = fleet.until(
        lambda: fleet.condition(BEAT, "DriftDetected"), "drift told", timeout=OVER_A_MINUTE
    )
    assert (found["status"], found["reason"]) == ("True", "RunMissing")
    document = fleet.status(BEAT)
    assert document["status"]["drift"] == [
        {
            "proplet": "press",
            "reason": "RunMissing",
            "fields": [{"path": "run", "asked": run, "reported": None}],
        }
    ]
    assert "drift: press took the document" in fleet.on("get", BEAT).out
    assert "RunMissing" in fleet.on("describe", BEAT).out
    assert "In the way: drift: RunMissing" in fleet.on("why", BEAT).out
    plan = json.loads(fleet.on("plan", "specs", "-o", "json").out)
    assert [(one["object"], one["proplet"], one["does"]) for one in plan["drift"]] == [
        (BEAT, "press", "left")
    ]
    assert fleet.on("diff", "specs").code == 0
    fleet.spec("Daemon", "beat", {**beat, "drift": "Correct"})
    fleet.ready(BEAT, generation=2)
    fleet.until(lambda: not fleet.condition(BEAT, "DriftDetected"), "nothing to tell any more")
    assert fleet.copies(BEAT)[0]["run"] == run
    assert "DriftCorrected" in fleet.on("events", "--for", BEAT).out
