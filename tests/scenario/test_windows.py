"""Windows on the whole product: edits wait for the night, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plants import bare, plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, with_args

from propeller.model.ids import Key
from propeller.reconcile.events import OpenWindow
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import HOUR, MINUTE, SECOND, START, Sim

DAEMON = Key("Daemon", "default", "d")


def window(sim_hour: int) -> str:
    """An Allow window of one hour that opens `sim_hour` hours after the simulation began.

    START is 2027-01-15T08:00:00Z.
    """
    return f'  windows: [{{kind: Allow, cron: "0 {(8 + sim_hour) % 24} * * *", duration: 1h}}]\n'


def _status(sim: Sim) -> Mapping[str, Any]:
    rows = [json.loads(row.document) for row in sim.manager.store.statuses() if row.key == DAEMON]
    assert isinstance(rows[0], dict)
    return rows[0]


def _ready(sim: Sim) -> str:
    found = {row["type"]: row["reason"] for row in _status(sim)["status"]["conditions"]}
    return str(found["Ready"])


def _args(sim: Sim) -> set[tuple[str, ...]]:
    return {entry.args for one in sim.proplets.values() for entry in one.running.values()}


def _plant(folder: Path, more: str = "") -> Sim:
    """v1 runs, and the window opens an hour after the start."""
    assert START == 1_800_000_000_000
    sim = plant(folder)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("1")))
    until_ready(sim)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("1") + more))
    until_ready(sim)  # no device sees the windows, so they wait for nothing
    return sim


def test_an_edit_waits_for_its_window_and_outlives_a_restart(tmp_path: Path) -> None:
    """Ready says so meanwhile; when the window opens everybody gets it."""
    sim = _plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("2") + window(1)))
    sim.run(MINUTE)
    assert _args(sim) == {("1",)}
    assert _ready(sim) == "WindowClosed"
    assert of_reconciler(sim.manager.reconciler).exit_code == 4
    sim.restart_manager(away=5 * SECOND)
    sim.run(20 * MINUTE)
    assert _args(sim) == {("1",)}
    assert sim.run(2 * HOUR, until=lambda: _args(sim) == {("2",)}, every=SECOND)
    assert sim.now >= START + HOUR
    until_ready(sim)


def test_a_deletion_waits_and_a_suspension_does_not(tmp_path: Path) -> None:
    """Removed in the day, gone in the night; `suspend` is there for what cannot wait."""
    sim = _plant(tmp_path, window(1))
    sim.remove("d.yaml")
    sim.run(5 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    assert sim.run(2 * HOUR, until=lambda: sim.running() == {}, every=SECOND)
    assert sim.now >= START + HOUR


def test_somebody_lets_an_edit_through(tmp_path: Path) -> None:
    """Once: it is an event, it is in the journal, and the next edit waits again."""
    sim = _plant(tmp_path, window(5))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("2") + window(5)))
    sim.run(MINUTE)
    assert _args(sim) == {("1",)}
    answers: list[Mapping[str, object]] = []
    sim.manager.inbox.append(
        OpenWindow(key=DAEMON, by="ada", reason="line 3 stands", reply=answers.append)
    )
    assert sim.run(MINUTE, until=lambda: _args(sim) == {("2",)}, every=SECOND)
    assert answers == [{"done": True, "objects": ["Daemon/default/d"]}]
    events = sim.manager.store.events(key=DAEMON, limit=1_000)
    (event,) = [one for one in events if one.reason == "WindowOverridden"]
    assert "ada: line 3 stands" in event.message
    journal = (sim.state.journal / "journal.jsonl").read_text()
    assert '"kind":"window"' in journal
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("3") + window(5)))
    sim.run(5 * MINUTE)
    assert _args(sim) == {("2",)}


def test_what_has_no_windows_cannot_be_let_through(tmp_path: Path) -> None:
    """In words, with exit 2."""
    sim = _plant(tmp_path)
    answers: list[Mapping[str, object]] = []
    sim.manager.inbox.append(OpenWindow(key=DAEMON, by="a", reason="b", reply=answers.append))
    sim.run(SECOND)
    assert answers[0]["exit"] == 2
    assert "has no windows" in str(answers[0]["error"])


def test_taking_back_what_waits_leaves_nothing_waiting(tmp_path: Path) -> None:
    """`git revert` before the window opens: the object is what it was, and Ready."""
    sim = _plant(tmp_path, window(5))
    text = daemon_yaml("d", EVERYWHERE + with_args("1") + window(5))
    sim.write("d.yaml", text.replace('"1"', '"2"'))
    sim.run(MINUTE)
    sim.write("d.yaml", text)
    until_ready(sim)
    assert all(sum(one.starts.values()) == 1 for one in sim.proplets.values())


def test_the_first_revision_of_a_store_waits_for_nothing(tmp_path: Path) -> None:
    """Nothing was let in before: also after a lost store, when what is written is what runs."""
    sim = bare(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("1") + window(5)))
    for name in "ab":
        sim.add(name)
    sim.start_manager()
    until_ready(sim)
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    until_ready(sim)
    assert all(sum(one.starts.values()) == 1 for one in sim.proplets.values())


def test_the_window_of_an_app_is_that_of_its_objects(tmp_path: Path) -> None:
    """Written once for a whole folder."""
    sim = plant(tmp_path)
    app = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: line}\n"
        "spec:\n  source: {path: line}\n  discovery: Allow\n"
    )
    sim.write("line/m.wat", (sim.specs / "m.wat").read_text())
    sim.write("line/d.yaml", daemon_yaml("d", EVERYWHERE + with_args("1")))
    sim.write("app.yaml", app)
    until_ready(sim)
    sim.write("app.yaml", app + window(1))
    sim.write("line/d.yaml", daemon_yaml("d", EVERYWHERE + with_args("2")))
    sim.run(5 * MINUTE)
    assert _args(sim) == {("1",)}
    assert sim.run(2 * HOUR, until=lambda: _args(sim) == {("2",)}, every=SECOND)
