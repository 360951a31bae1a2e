"""Apps with sources of their own, guards and confirmations, with real processes and git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

BEAT = (
    "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\nmetadata: {{name: {0}{1}}}\n"
    "spec: {{module: {{file: heartbeat.wat}}}}\n"
)


def git(folder: Path, *words: str) -> str:
    """Run git as Ana."""
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def test_an_app_follows_its_repository_through_a_rename_and_a_guarded_deletion(fleet: Any) -> None:
    """A rename restarts nothing; what deletes too much waits for a trailer in the commit."""
    repository = fleet.place / "line"
    (repository / "specs").mkdir(parents=True)
    fleet.module("heartbeat/heartbeat.wat")
    (fleet.specs / "heartbeat.wat").rename(repository / "specs" / "heartbeat.wat")
    for name in ("one", "two"):
        (repository / "specs" / f"{name}.yaml").write_text(BEAT.format(name, ""))
    git(repository, "init", "--quiet", "--initial-branch", "main")
    commit(repository, "First specs")
    source = {"git": {"url": f"file://{repository}", "ref": "main", "path": "specs"}}
    guards = {"maxDelete": "0%"}
    spec = {"source": source, "interval": "1s", "discovery": "Allow", "guards": guards}
    fleet.spec("App", "line", spec)
    up = fleet.up(proplets=1)
    fleet.ready("Daemon/default/one")
    fleet.ready("Daemon/default/two")
    (before,) = fleet.copies("Daemon/default/one")

    (repository / "specs" / "one.yaml").write_text(BEAT.format("uno", ", moved: [{name: one}]"))
    (repository / "README").write_text("renamed")
    commit(repository, "Another name")
    fleet.ready("Daemon/default/uno")
    (after,) = fleet.copies("Daemon/default/uno")
    assert (after["run"], after["started"]) == (before["run"], before["started"])

    (repository / "specs" / "two.yaml").unlink()
    commit(repository, "Without the second")
    fleet.until(
        lambda: fleet.condition("App/default/line", "Blocked").get("reason") == "GuardTripped",
        lambda: f"paused, yet {fleet.told()}",
    )
    waiting = fleet.on("confirm", "--list")
    assert waiting.code == 0
    digest = waiting.out.split()[0]
    assert len(fleet.copies("Daemon/default/two")) == 1

    message = f"Without the second, indeed\n\nPropeller-Confirm: {digest}"
    git(repository, "commit", "--quiet", "--allow-empty", "--message", message)
    fleet.until(
        lambda: fleet.status("Daemon/default/two") is None,
        lambda: f"deleted, yet {fleet.told()}",
    )
    fleet.ready("App/default/line")
    assert fleet.on("confirm", "--list").out == ""
    assert up.end() == 0
