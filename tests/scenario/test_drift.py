"""Drift on the whole product: a device whose storage forgot what it had taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, with_args

from propeller.model.ids import Key
from propeller.reconcile.events import SetHold
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.wire.codec import entry_digest

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


def _alter(sim: Sim, name: str, *, extra: bool = False) -> None:
    """The owner edits what the agent stored: other arguments, or a second run beside the first."""
    one = sim.proplets[name]
    one.kill()
    (entry,) = one.disk.entries
    changed = replace(entry, args=("--by-hand",), run="f" * 32 if extra else entry.run)
    changed = replace(changed, digest=entry_digest(changed))
    one.disk.entries = (entry, changed) if extra else (changed,)
    if not extra:
        one.disk.runs.clear()
    one.boot()


def _arguments(sim: Sim, name: str) -> list[tuple[str, ...]]:
    return sorted(entry.args for entry in sim.proplets[name].running.values())


def _drift(sim: Sim) -> list[dict[str, Any]]:
    (document,) = [
        json.loads(row.document) for row in sim.manager.store.statuses() if row.key == DAEMON
    ]
    found: list[dict[str, Any]] = document["status"].get("drift", [])
    return found


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


def test_other_arguments_than_asked_are_put_right(tmp_path: Path) -> None:
    """The device runs what its owner wrote; within the hour it runs what was asked for."""
    sim = _plant(tmp_path)
    _alter(sim, "a")
    sim.run(MINUTE)
    assert _arguments(sim, "a") == [("--by-hand",)]
    sim.run(70 * MINUTE)
    assert _events(sim) == ["DriftCorrected"]
    assert _arguments(sim, "a") == [()]
    until_ready(sim)
    assert "DriftDetected" not in _reasons(sim)


def test_other_arguments_than_asked_are_told_with_both_entries(tmp_path: Path) -> None:
    """`Detect`: the status says which entry was asked for and which one runs."""
    sim = _plant(tmp_path, "  drift: Detect\n")
    (asked,) = sim.proplets["a"].disk.entries
    _alter(sim, "a")
    (altered,) = sim.proplets["a"].disk.entries
    sim.run(70 * MINUTE)
    assert _arguments(sim, "a") == [("--by-hand",)]
    assert _reasons(sim)["DriftDetected"] == "RunDiffers"
    assert _drift(sim) == [
        {
            "proplet": "a",
            "reason": "RunDiffers",
            "fields": [{"path": "entry", "asked": asked.digest, "reported": altered.digest}],
        }
    ]


def test_a_stray_copy_is_taken_off(tmp_path: Path) -> None:
    """A second guest of the same Daemon that nobody asked for ends; the first one goes on."""
    sim = _plant(tmp_path)
    _alter(sim, "a", extra=True)
    sim.run(MINUTE)
    assert _arguments(sim, "a") == [(), ("--by-hand",)]
    sim.run(70 * MINUTE)
    assert _events(sim) == ["DriftCorrected"]
    assert _arguments(sim, "a") == [()]


def test_a_copy_where_none_should_be_is_taken_off_in_minutes(tmp_path: Path) -> None:
    """The Daemon is for a alone; b's owner wants one too."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", "  placement: {proplets: [a]}\n"))
    sim.write("e.yaml", daemon_yaml("e", "  placement: {proplets: [b]}\n"))
    until_ready(sim)
    sim.run(2 * MINUTE)
    one = sim.proplets["b"]
    (theirs,) = sim.proplets["a"].disk.entries
    one.kill()
    stray = replace(theirs, run="f" * 32)
    stray = replace(stray, digest=entry_digest(stray))
    one.disk.entries = (*one.disk.entries, stray)
    one.boot()
    assert sim.run(MINUTE, until=lambda: len(sim.running()["Daemon/default/d"]) == 2)
    sim.run(3 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a"], "Daemon/default/e": ["b"]}
    assert _events(sim) == ["DriftCorrected"]


def test_ignored_drift_is_left_and_not_said(tmp_path: Path) -> None:
    """The rule is for one device: on the other one the same is put right."""
    rule = "  ignoreDrift: [{reasons: [RunMissing], proplets: [a]}]\n"
    sim = _plant(tmp_path, rule)
    _forget(sim, "a")
    _forget(sim, "b")
    sim.run(10 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}
    assert _events(sim) == ["DriftCorrected"]
    assert "DriftDetected" not in _reasons(sim)
    sim.restart_manager()
    sim.run(10 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}


def test_a_stray_is_found_by_a_manager_that_was_started_later(tmp_path: Path) -> None:
    """It came while nobody was listening; reports are all that is needed."""
    sim = _plant(tmp_path)
    sim.kill_manager()
    _alter(sim, "a", extra=True)
    sim.run(MINUTE)
    sim.start_manager()
    sim.run(70 * MINUTE)
    assert _arguments(sim, "a") == [()]
    assert _events(sim) == ["DriftCorrected"]


def test_an_edit_of_the_mode_alone_is_enough(tmp_path: Path) -> None:
    """The document stays the same and no report comes for it: still the device is asked anew."""
    sim = _plant(tmp_path, "  drift: Detect\n")
    _forget(sim, "a")
    sim.run(5 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + "  drift: Correct\n"))
    sim.run(10 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    assert _events(sim) == ["DriftCorrected"]
