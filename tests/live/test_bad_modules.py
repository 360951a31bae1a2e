"""Whatever a module does, its task says so in words, the proplet lives and others go on."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.live

MISBEHAVING = {
    # name: (limits, words of its failure)
    "trap": ({}, "trapped: unreachable was reached"),
    "exit3": ({}, "exit 3"),
    "spin": ({"timeout": "500ms"}, "ran longer than its limit of 500ms"),
    "sleep": ({"timeout": "500ms"}, "ran longer than its limit of 500ms"),
    "hog": ({"memory": "4MiB"}, "it had 4MiB of 4MiB memory"),
}


def test_each_is_told_in_words_and_the_proplet_lives(fleet: Any):
    """Traps, exits, spins, sleeps, hogs, floods, and what cannot even start; one proplet."""
    fleet.module("heartbeat/heartbeat.wat", *(f"misbehave/{n}.wat" for n in MISBEHAVING))
    fleet.module("misbehave/flood.wat", "misbehave/missing-import.wat")
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    for name, (limits, _) in MISBEHAVING.items():
        fleet.spec("Task", name, {"module": {"file": f"{name}.wat"}, "limits": limits})
    burnt = {"module": {"file": "spin.wat"}, "limits": {"fuel": 100_000}}
    fleet.spec("Task", "burnt", burnt)
    fleet.spec("Task", "flood", {"module": {"file": "flood.wat"}, "limits": {"output": "64KiB"}})
    fleet.spec("Task", "valve", {"module": {"file": "missing-import.wat"}})
    looped = {"module": {"file": "exit3.wat"}, "restart": {"backoff": {"base": "100ms"}}}
    fleet.spec("Daemon", "looped", {**looped, "health": {"maxRestarts": 2}})
    up = fleet.up(proplets=1)
    beat = fleet.ready("Daemon/default/beat")["status"]["copies"][0]

    def ended() -> bool:
        wanted = [*(f"Task/default/{n}" for n in (*MISBEHAVING, "burnt")), "Daemon/default/looped"]
        return all(fleet.condition(thing, "Stalled") for thing in wanted)

    fleet.until(ended, lambda: f"every failure told: {up.said[-2000:]}")
    for name, (_, words) in MISBEHAVING.items():
        message = fleet.condition(f"Task/default/{name}", "Ready")["message"]
        assert words in message
    assert "fuel" in fleet.condition("Task/default/burnt", "Ready")["message"]
    assert "exit 3" in fleet.condition("Daemon/default/looped", "Ready")["message"]
    assert fleet.copies("Daemon/default/looped")[0]["restarts"] == 2

    # Refused before anything is sent, naming the import and the proplet that lacks it.
    valve = fleet.condition("Task/default/valve", "Ready")
    assert valve["status"] == "False"
    assert "plant.open_valve" in valve["message"]
    assert fleet.copies("Task/default/valve") == []

    # The flood ends well or is cut, as the proplet does it, but keeps only its limit.
    fleet.until(
        lambda: fleet.copies("Task/default/flood")[0].get("ended"), "the flood over", timeout=90
    )
    kept = sum(f.stat().st_size for f in fleet.state.glob("proplets/*/runs/**/*") if f.is_file())
    assert kept < 4 << 20
    now = fleet.copies("Daemon/default/beat")[0]
    assert (now["run"], now["state"]) == (beat["run"], "Running")
    assert "restarts" not in now
    assert "ended (" not in up.said


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ({"file": "gone.wasm"}, "gone.wasm"),
        ({"file": "text.wasm"}, "text.wasm"),
        ({"file": "../outside.wasm"}, "inside the spec tree"),
        ({"file": "add.wat", "digest": "sha256:" + "0" * 64}, "digest"),
        ({"url": "http://127.0.0.1:1/a.wasm"}, "digest"),
    ],
    ids=["missing-file", "not-wasm", "outside", "wrong-digest", "url-without-digest"],
)
def test_what_can_be_seen_in_the_tree_is_refused_with_it(fleet: Any, module: Any, words: str):
    """A revision with a module that cannot be is not taken: exit 2, file, line and words."""
    fleet.module("add/add.wat")
    fleet.write("text.wasm", "hello\n")
    fleet.spec("Task", "bad", {"module": module, "run": {"entrypoint": "add", "args": ["1", "2"]}})
    done = fleet.run("validate", "specs")
    assert done.code == 2
    said = done.out + done.err
    assert "task-bad.yaml:" in said
    assert words in said
