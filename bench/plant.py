"""A real fleet on this machine: `propeller up` on mosquitto with a real proplet, and its specs.

Used by the measurements that go through whole processes. The guests are three-line modules made
here; a second MQTT client of ours can listen to everything, to see when each stage is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from propeller.transport.base import Connected, Received
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport

API = "apiVersion: propeller.dev/v1alpha1"


def daemon_wasm(word: str) -> bytes:
    """A daemon that says `word` once and then sleeps in `poll_oneoff` for good."""
    from wasmtime import wat2wasm

    return bytes(
        wat2wasm(f"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{word}\\n")
  (data (i32.const 64) "\\00\\00\\00\\00\\{len(word) + 1:02x}\\00\\00\\00")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 80)))
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.const 60000000000))
    (loop $again
      (drop (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 320)))
      (br $again))))""")
    )


def daemon_yaml(name: str, module: str) -> str:
    """A Daemon that counts as running as soon as it runs."""
    return (
        f"{API}\nkind: Daemon\nmetadata: {{name: {name}}}\nspec:\n"
        f"  module: {{file: {module}}}\n  placement: {{replicas: 1}}\n"
        "  limits: {memory: 1MiB}\n  health: {readyAfter: 0s}\n"
    )


@dataclass(slots=True)
class Ear:
    """Listens to everything on the broker. `heard`: (monotonic seconds, topic, payload)."""

    heard: list[tuple[float, str, bytes]] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    transport: MqttTransport | None = None

    def start(self, port: int, filters: Sequence[str] = ("#",)) -> None:
        """Connect and subscribe."""
        endpoint = Endpoint(host="127.0.0.1", port=port, client_id="bench-ear")
        transport = self.transport = MqttTransport(endpoint, random.Random())

        def hear(event: object) -> None:
            if isinstance(event, Connected):
                transport.subscribe(filters)
                self.ready.set()
            elif isinstance(event, Received):
                self.heard.append((time.monotonic(), event.topic, event.payload))

        transport.start(hear)
        assert self.ready.wait(10)

    def close(self) -> None:
        """Disconnect."""
        if self.transport is not None:
            self.transport.close()


@dataclass(frozen=True, slots=True)
class Plant:
    """A running fleet. `manager`: the process of `up`; `proplet`: the agent's process id."""

    specs: Path
    state: Path
    manager: subprocess.Popen[bytes]
    port: int

    @property
    def proplet(self) -> int:
        """The process id of the one proplet."""
        found = [
            (rss_mb(pid), pid)
            for pid, words in processes()
            if "proplet" in words and str(self.state / "proplets" / "local-1") in words
        ]
        if found:
            return max(found)[1]  # not the little process that only guards it
        raise AssertionError("the proplet is not there")

    def status(self, kind: str, name: str) -> Path:
        """The status file of an object."""
        return self.state / "status" / "default" / kind / f"{name}.yaml"


@contextlib.contextmanager
def plant(folder: Path, *, proplets: int = 1) -> Iterator[Plant]:
    """`up` on mosquitto with its own proplets; the specs are what `folder/specs` holds."""
    state, specs = folder / "state", folder / "specs"
    log = (folder / "up.log").open("wb")
    manager = subprocess.Popen(
        [
            *(sys.executable, "-m", "propeller.cli", "up", str(specs), "--state", str(state)),
            *("--proplets", str(proplets), "--broker", "mosquitto"),
        ],
        stdout=log,
        stderr=log,
    )
    try:
        wait_for((state / "run" / "ports.json").exists, 30, "the broker")
        port = json.loads((state / "run" / "ports.json").read_text())["broker"]
        yield Plant(specs, state, manager, port)
    finally:
        manager.send_signal(signal.SIGINT)
        try:
            manager.wait(20)
        except subprocess.TimeoutExpired:
            manager.kill()
            manager.wait()
        log.close()


def wait_for(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Look every half a millisecond; the monotonic time at which it was so."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.0005)
    return time.monotonic()


def processes() -> Iterator[tuple[int, list[str]]]:
    """Every process with its command line."""
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                yield int(path.name), words


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("VmRSS:"):
            return int(row.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
