"""What a Linux proplet costs while nothing happens: memory, and bytes on its link.

A real agent on mosquitto through a relay that counts every byte both ways. The heartbeat is set to
seconds for the measurement; a day is then 96 heartbeats (one every 15 minutes) plus the pings of
the connection's keepalive. The first row counts what MQTT itself sends, TCP and IP headers are told
apart: they depend on the link.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.plant import Ear, daemon_wasm, daemon_yaml, plant, processes, rss_mb, wait_for
from bench.rows import Row
from propeller.state.keys import Keys
from propeller.transport.mosquitto import MosquittoBroker, find_mosquitto

NAME = "idle"
BEATS_A_DAY = 96
HEADERS = 40
"""Bytes of IPv4 and TCP headers of a segment without options."""


@dataclass(slots=True)
class Relay:
    """A TCP relay of one connection that counts. `seen`: (monotonic seconds, bytes)."""

    port: int
    to: int
    seen: list[tuple[float, int]] = field(default_factory=list)

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        """One direction, until it ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.seen.append((time.monotonic(), len(data)))
                sink.sendall(data)

    def total(self, since: float = 0.0) -> tuple[int, int]:
        """Bytes and pieces since then, both ways."""
        chosen = [size for at, size in self.seen if at >= since]
        return sum(chosen), len(chosen)


@contextlib.contextmanager
def relay(to: int) -> Iterator[Relay]:
    """Listen on a free port and relay the first connection to `to`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Relay(server.getsockname()[1], to)

        def work() -> None:
            with contextlib.suppress(OSError):
                while True:
                    here, _ = server.accept()
                    there = socket.create_connection(("127.0.0.1", to))
                    for pair in ((here, there), (there, here)):
                        threading.Thread(target=made.pump, args=pair, daemon=True).start()

        threading.Thread(target=work, daemon=True).start()
        yield made
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def measure(*, quick: bool) -> Iterator[Row]:
    """Memory with and without a guest, bytes of a day."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from _memory(Path(folder) / "memory")
        yield from _bytes(Path(folder) / "bytes", beats=3 if quick else 12)


def _memory(folder: Path) -> Iterator[Row]:
    specs = folder / "specs"
    specs.mkdir(parents=True)
    (specs / "one.wasm").write_bytes(daemon_wasm("one"))
    (specs / "pump.yaml").write_text(daemon_yaml("pump", "one.wasm"))
    with plant(folder) as running:
        status = running.status("Daemon", "pump")
        wait_for(lambda: status.exists() and "Running" in status.read_text(), 60, "the daemon")
        time.sleep(1.0)
        agent = running.proplet
        others = sorted(_children(agent, str(running.state / "proplets" / "local-1")))
        yield Row("idle.agent.rss", rss_mb(agent), "MB")
        yield Row("idle.workers.rss.each", max(map(rss_mb, others), default=0.0), "MB")
        yield Row("idle.workers.own", sum(map(_own_mb, others)), "MB")
        yield Row("idle.workers.count", len(others), "processes")
        yield Row("idle.manager.rss", rss_mb(running.manager.pid), "MB")


def _children(agent: int, mark: str) -> Iterator[int]:
    del mark
    for pid, words in processes():
        if "proplet.runtime.zygote" in words and str(agent) in words:
            yield pid


def _own_mb(pid: int) -> float:
    """Memory that only this process holds: what it really adds."""
    total = 0
    with contextlib.suppress(OSError):
        for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if row.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(row.split()[1]) * 1024
    return total / 1e6


def _bytes(folder: Path, *, beats: int) -> Iterator[Row]:
    keys = Keys(folder / "keys")
    keys.trust_frame()
    keys.device("p1")
    broker = MosquittoBroker(folder, binary=find_mosquitto())
    address = broker.start()
    ear = Ear()
    try:
        ear.start(address.port)
        with relay(address.port) as link, _agent(folder, link.port):
            yield from _count(link, ear, beats)
    finally:
        ear.close()
        broker.stop()


def _count(link: Relay, ear: Ear, beats: int) -> Iterator[Row]:
    wait_for(lambda: any(t.endswith("/report") for _, t, _ in ear.heard), 30, "the first report")
    time.sleep(0.5)
    began = time.monotonic()
    connect, _ = link.total()
    wait_for(
        lambda: sum(t.endswith("/report") and at > began for at, t, _ in ear.heard) >= beats,
        10 + 2 * beats,
        "heartbeats",
    )
    time.sleep(0.3)
    whole, pieces = link.total(began)
    hellos = [len(body) for at, topic, body in ear.heard if at > began and topic.endswith("/hello")]
    reports = [
        len(body) for at, topic, body in ear.heard if at > began and topic.endswith("/report")
    ]
    beat = whole / len(reports)
    pings = 86_400 / 900
    day = beat * BEATS_A_DAY + pings * 4
    yield Row("idle.heartbeat.payload", sum(reports) / len(reports), "bytes")
    yield Row("idle.heartbeat.on_link", beat, "bytes")
    yield Row("idle.bytes_per_day", day / 1000, "KB")
    segments = pieces / len(reports) * BEATS_A_DAY + pings * 2
    yield Row("idle.bytes_per_day.with_tcp", (day + 2 * HEADERS * segments) / 1000, "KB")
    thirty = beat * BEATS_A_DAY + 86_400 / 30 * 4
    yield Row("idle.bytes_per_day.keepalive_30s", thirty / 1000, "KB")
    yield Row("idle.connect", connect / 1000, "KB")
    yield Row("idle.hellos_per_heartbeat", len(hellos) / len(reports), "")


@contextlib.contextmanager
def _agent(folder: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "proplet", "--id", "p1", "--broker", f"127.0.0.1:{port}"),
            *("--domain", "propeller", "--channel", "fleet", "--data", str(folder / "data")),
            *("--trust", str(folder / "keys" / "root.pub")),
            *("--key", str(folder / "keys" / "devices" / "p1.pem"), "--heartbeat", "1s"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)
