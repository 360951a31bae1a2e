"""Drift on the whole product: a device whose storage forgot what it had taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plants import plant, until_ready
from sim import MINUTE, SECOND, Sim
from specs_text import EVERYWHERE, daemon_yaml, with_args

from propeller.model.ids import Key
from propeller.reconcile.events import SetHold

DAEMON = Key("Daemon", "default", "d")


def _forget(sim: Sim, name: str) -> None:
    """An old backup of the entries is put back under the agent: it still says it took them."""
    one = sim.proplets[name]
    one.kill()
    one.disk.entries = ()
    one.disk.runs.clear()
    one.boot()


def _reasons(sim: Sim) -> dict[str, str]:
    (document,) = [
        json.loads(row.document) for row in sim.manager.store.statuses() if row.key == DAEMON
    ]
    rows: list[dict[str, Any]] = document["status"]["conditions"]
    return {row["type"]: row["reason"] for row in rows}


def _events(sim: Sim) -> list[str]:
    rows = sim.manager.store.events(key=DAEMON, limit=1_000)
    return [row.reason for row in rows if row.reason.startswith("Drift")]


def _plant(folder: Path, more: str = "") -> Sim:
    sim = plant(folder)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + more))
    until_ready(sim)
    sim.run(2 * MINUTE)
    return sim


def test_a_device_that_forgot_is_asked_anew(tmp_path: Path) -> None:
    """It says it holds the document and runs nothing: another one with the same content helps."""
    sim = _plant(tmp_path)
    _forget(sim, "a")
    sim.run(SECOND // 2)
    assert sim.run(3 * MINUTE, until=lambda: len(sim.running()["Daemon/default/d"]) == 2)
    until_ready(sim)
    assert _events(sim) == ["DriftCorrected"]


def test_detected_drift_is_said_and_left(tmp_path: Path) -> None:
    """`Detect`: a person decides."""
    sim = _plant(tmp_path, "  drift: Detect\n")
    _forget(sim, "a")
    sim.run(10 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}
    assert _reasons(sim)["DriftDetected"] == "RunMissing"
    assert _events(sim) == []


def test_a_device_that_forgets_again_and_again_is_flapping(tmp_path: Path) -> None:
    """After ten corrections it is left, across a restart too, until somebody resumes it."""
    sim = _plant(tmp_path)
    for _ in range(11):
        _forget(sim, "a")
        sim.run(2 * MINUTE)
    assert _reasons(sim)["Ready"] == "DriftFlapping"
    sim.restart_manager()
    sim.run(10 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}
    sim.manager.inbox.append(SetHold(key=DAEMON, suspend=None, reply=lambda _words: None))
    sim.run(MINUTE)
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def test_an_edit_ends_flapping(tmp_path: Path) -> None:
    """Another generation is counted from nothing."""
    sim = _plant(tmp_path)
    for _ in range(11):
        _forget(sim, "a")
        sim.run(2 * MINUTE)
    assert _reasons(sim)["Ready"] == "DriftFlapping"
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("2")))
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
