"""Brokers, registries, reconcilers, proplets and stores that go away: the fleet settles.

Guests append to a file that their proplet mounts for them: what a file holds is how often a run
was really started.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from propeller.registry.oci import OciClient
from propeller.registry.reference import Reference

pytestmark = pytest.mark.live

APPEND = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{name}")
  (data (i32.const 64) "x")
  (func $append (export "_start")
    ;; create, write, append
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const {length})
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 80))
      (then (unreachable)))
    (i32.store (i32.const 96) (i32.const 64))
    (i32.store (i32.const 100) (i32.const 1))
    (if (call $fd_write (i32.load (i32.const 80)) (i32.const 96) (i32.const 1) (i32.const 112))
      (then (unreachable)))
    ;; sleep
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.const {nanoseconds}))
    (drop (call $poll_oneoff (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 240)))))
"""


class Counted:
    """Tasks whose starts are counted, in a fleet with mosquitto and `serve`."""

    def __init__(self, fleet: Any) -> None:
        self.fleet = fleet
        fleet.module("heartbeat/heartbeat.wat")
        fleet.broker()

    def task(self, name: str, seconds: float = 0, *, kind: str = "Task", **spec: Any) -> None:
        """A guest that marks its start and sleeps."""
        nanoseconds = int(seconds * 1_000_000_000) or 1
        text = APPEND.format(name=name, length=len(name), nanoseconds=nanoseconds)
        self.fleet.write(f"{name}.wat", text)
        mounts = [{"name": "data", "access": "ReadWrite"}]
        self.fleet.spec(
            kind, name, {"module": {"file": f"{name}.wat"}, "run": {"mounts": mounts}, **spec}
        )

    def device(self, name: str) -> Any:
        """A proplet with the mount, declared so that its absence is noticed."""
        folder = self.fleet.place / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        return self.fleet.proplet(name, "--mount", f"data={folder}:rw")

    def starts(self) -> Counter[str]:
        """How often each task was started, on all devices."""
        found: Counter[str] = Counter()
        for file in (self.fleet.place / "data").glob("*/*"):
            found[file.name] += file.stat().st_size
        return found


def declare(fleet: Any, *names: str) -> None:
    """Proplets that are known before they are heard."""
    for name in names:
        fleet.spec("Proplet", name, {"heartbeat": "2s"})


def test_a_proplet_killed_with_nine_runs_nothing_twice(fleet: Any):
    """Daemons come back; a run cut short is Interrupted, and tried again only where retries say."""
    counted = Counted(fleet)
    counted.task("done")
    counted.task("never", 3600)
    counted.task("again", 3600, retries={"limit": 1, "backoff": {"base": "100ms"}})
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}})
    fleet.serve()
    press = counted.device("press")
    fleet.ready("Task/default/done")
    fleet.ready("Daemon/default/beat")
    everything = {"done": 1, "never": 1, "again": 1}
    fleet.until(lambda: counted.starts() == everything, lambda: f"{counted.starts()}")
    pid = fleet.copies("Daemon/default/beat")[0]["run"]
    press.kill()
    fleet.until(lambda: not fleet.guests(), "guests die with their proplet")
    counted.device("press")
    failed = fleet.until(
        lambda: fleet.condition("Task/default/never", "Stalled"), "an interruption told"
    )
    assert "was interrupted" in failed["message"]
    fleet.until(lambda: counted.starts()["again"] == 2, "the second attempt")
    fleet.ready("Daemon/default/beat")
    assert fleet.copies("Daemon/default/beat")[0]["run"] == pid
    assert counted.starts() == {"done": 1, "never": 1, "again": 2}
    fleet.ready("Task/default/done")


def test_a_reconciler_killed_with_nine_goes_on_where_it_was(fleet: Any):
    """Guests do not notice; the next one follows edits; nothing runs twice. Then without its
    database: the fleet tells it again what ran, and results are not lost."""
    counted = Counted(fleet)
    counted.task("done")
    counted.task("long", 3600)
    serve = fleet.serve()
    counted.device("press")
    before = fleet.ready("Task/default/done")["status"]["copies"][0]
    fleet.until(lambda: counted.starts()["long"] == 1, "a guest at work")
    serve.kill()
    counted.task("late")
    serve = fleet.serve()
    fleet.ready("Task/default/late")
    assert counted.starts() == {"done": 1, "long": 1, "late": 1}
    serve.kill()
    for file in fleet.state.glob("propeller.db*"):
        file.unlink()
    shutil.rmtree(fleet.state / "status")
    counted.task("later")
    fleet.serve()
    fleet.ready("Task/default/later")
    after = fleet.ready("Task/default/done")["status"]["copies"][0]
    assert (after["run"], after["started"]) == (before["run"], before["started"])
    assert fleet.copies("Task/default/long")[0]["state"] == "Running"
    assert counted.starts() == {"done": 1, "long": 1, "late": 1, "later": 1}


@pytest.mark.parametrize("ends", ["heard", "confirmed"])
def test_store_and_broker_lost_together_with_a_proplet_away(fleet: Any, ends: str):
    """Nothing starts or moves until the absent one was heard, or somebody says to go on without
    it; then all is as it was, and nothing runs twice."""
    counted = Counted(fleet)
    declare(fleet, "press", "oven")
    # Confirming says that what only the absent one knows may run again: so pinned there.
    pinned = [{"proplets": [name]} for name in ("press", "press", "oven", "oven")]
    for number in range(4):
        place = {"replicas": 1} if ends == "heard" else pinned[number]
        counted.task(f"once{number}", placement=place)
    counted.task("each", placement={"perProplet": True})
    serve = fleet.serve()
    counted.device("press")
    oven = counted.device("oven")
    for number in range(4):
        fleet.ready(f"Task/default/once{number}")
    fleet.ready("Task/default/each")
    once = {**{f"once{number}": 1 for number in range(4)}, "each": 2}
    assert counted.starts() == once
    oven.kill()
    serve.kill()
    fleet.broker().kill()
    for file in (fleet.place / "broker").glob("retained.db*"):
        file.unlink()
    for file in fleet.state.glob("propeller.db*"):
        file.unlink()
    shutil.rmtree(fleet.state / "status")
    fleet.broker().start()
    counted.task("fresh")
    serve = fleet.serve()
    fleet.until(lambda: "waiting for oven" in serve.said, "the reason why nothing starts")
    fleet.until(
        lambda: fleet.condition("Proplet/default/press", "Ready").get("status") == "True",
        "the other one heard",
    )
    assert counted.starts() == once
    assert fleet.copies("Task/default/fresh") == []
    if ends == "confirmed":
        assert fleet.on("confirm", "fleet").code == 0
        fleet.ready("Task/default/fresh")
    counted.device("oven")
    fleet.ready("Task/default/fresh")
    for number in range(4):
        fleet.ready(f"Task/default/once{number}")
    assert len(fleet.ready("Task/default/each")["status"]["copies"]) == 2
    assert counted.starts() == {**once, "fresh": 1}


def test_a_broker_that_comes_late_restarts_and_forgets(fleet: Any):
    """Away at the start; then restarted; then with empty hands: each time the fleet follows."""
    counted = Counted(fleet)
    counted.task("first")
    broker = fleet.broker()
    broker.stop()
    serve = fleet.serve()
    press = counted.device("press")
    for one in (serve, press):
        fleet.until(lambda one=one: "is not connected" in one.said, "it says so")
    broker.start()
    fleet.ready("Task/default/first")
    broker.stop()
    broker.start()
    counted.task("second")
    fleet.ready("Task/default/second")
    broker.kill()
    for file in (fleet.place / "broker").glob("retained.db*"):
        file.unlink()
    broker.start()
    counted.task("third")
    fleet.ready("Task/default/third")
    # What was lost was published again: a new proplet process holds on to what it has.
    press.kill()
    counted.device("press")
    counted.task("fourth")
    fleet.ready("Task/default/fourth")
    assert counted.starts() == {"first": 1, "second": 1, "third": 1, "fourth": 1}
    assert serve.alive()


def test_a_registry_down_then_up(fleet: Any, basic_registry: Any, tmp_path: Path):
    """While it is down the task waits, in words; once it is up the module is pinned and run.
    What the registry has under another digest than the spec's is refused in words."""
    import wasmtime

    from propeller.registry.credentials import Login

    add = """(module (func (export "add") (param i32 i32) (result i32)
      local.get 0 local.get 1 i32.add))"""
    ref = Reference(basic_registry.host, "live/fleet-add", "1")
    with OciClient(
        plain_http=[basic_registry.host],
        credentials={basic_registry.host: Login("fleet", "kept secret")}.get,
    ) as client:
        client.push(ref, bytes(wasmtime.wat2wasm(add)))
    docker = fleet.place / ".docker"
    docker.mkdir()
    login = {"username": "fleet", "password": "kept secret"}
    (docker / "config.json").write_text(json.dumps({"auths": {basic_registry.host: login}}))
    fleet.write(
        "propeller.yaml", f'registries: {{"{basic_registry.host}": {{plainHttp: Allowed}}}}\n'
    )
    run = {"entrypoint": "add", "args": ["40", "2"]}
    fleet.spec("Task", "add", {"module": {"image": f"oci://{ref}"}, "run": run})
    wrong = {"image": f"oci://{ref}", "digest": "sha256:" + "0" * 64}
    fleet.spec("Task", "wrong", {"module": wrong, "run": run})
    basic_registry.stop()
    try:
        up = fleet.up(proplets=1)
        blocked = fleet.until(
            lambda: fleet.condition("Task/default/add", "Blocked"), "the wait for the registry"
        )
        assert basic_registry.host in blocked["message"]
    finally:
        basic_registry.start()
    (copy,) = fleet.ready("Task/default/add")["status"]["copies"]
    assert copy["result"] == "42"
    refused = fleet.until(
        lambda: fleet.condition("Task/default/wrong", "Stalled"), "the wrong digest told"
    )
    assert "sha256:0000" in refused["message"]
    assert up.alive()
