"""What a Linux proplet costs while nothing happens: memory, and bytes on its link.

A real agent on mosquitto through a relay that counts every byte both ways, so that topic, framing
and acknowledgement are what they are; a day is 96 heartbeats (one every 15 minutes) and the hellos
between them. TCP and IP headers are told apart: they depend on the link.
"""

from __future__ import annotations

import contextlib
import math
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
from propeller.wire.messages import Free, Observed, Report
from propeller.wire.signing import SigningKey
from proplet.reporting import HELLO_EVERY
from proplet.seals import sealed

NAME = "idle"
BEATS_A_DAY = 96
HEADERS, SEGMENTS = 40, 3
"""Bytes of IPv4 and TCP headers; segments of one message: itself, its PUBACK, the ACK of that."""
PING = 4
"""Bytes of a PINGREQ and its answer."""


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

    def total(self, since: float = 0.0, until: float = math.inf) -> int:
        """Bytes between two moments, both ways."""
        return sum(size for at, size in list(self.seen) if since <= at <= until)


@contextlib.contextmanager
def relay(to: int) -> Iterator[Relay]:
    """Listen on a free port and relay the first connection to `to`."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as ends:
        made = Relay(server.getsockname()[1], to)

        def work() -> None:
            with contextlib.suppress(OSError):
                while True:
                    here = ends.enter_context(server.accept()[0])
                    there = ends.enter_context(socket.create_connection(("127.0.0.1", to)))
                    for pair in ((here, there), (there, here)):
                        threading.Thread(target=made.pump, args=pair, daemon=True).start()

        taker = threading.Thread(target=work, daemon=True)
        taker.start()
        yield made
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        taker.join(5)


def measure(*, quick: bool) -> Iterator[Row]:
    """Memory with and without a guest, bytes of a day."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from _memory(Path(folder) / "memory")
        yield from _bytes(Path(folder) / "bytes", beats=2 if quick else 6)


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
    """What MQTT adds to a payload is counted; the payload is that of a device with work to do."""
    wait_for(lambda: _reports(ear) > 0, 30, "the first report")
    connect = link.total()
    end = wait_for(lambda: _beats(ear) >= beats and _calm(ear), 30 + 2 * beats, "heartbeats")
    heard = [(at, topic, body) for at, topic, body in ear.heard if at < end]
    hello = next(body for _, topic, body in heard if topic.endswith("/hello"))
    last = max(at for at, topic, _ in heard if topic.endswith("/hello"))
    quiet = [body for at, topic, body in heard if at > last + 0.5 and topic.endswith("/report")]
    whole = link.total(last + 0.5, end)
    overhead = whole / len(quiet) - sum(map(len, quiet)) / len(quiet)
    beat = len(_heartbeat()) + overhead
    greeting = len(hello) + overhead
    messages = BEATS_A_DAY * (1 + 1 / HELLO_EVERY)
    day = BEATS_A_DAY * (beat + greeting / HELLO_EVERY)
    yield Row("idle.heartbeat.payload", len(_heartbeat()), "bytes")
    yield Row("idle.heartbeat.on_link", beat, "bytes")
    yield Row("idle.hello.on_link", greeting, "bytes")
    yield Row("idle.connect", connect / 1000, "KB")
    # With a keepalive above the heartbeat no ping is ever due.
    yield Row("idle.bytes_per_day", day / 1000, "KB")
    yield Row("idle.bytes_per_day.with_tcp", (day + messages * SEGMENTS * HEADERS) / 1000, "KB")
    pings = 86_400 / 30
    yield Row("idle.bytes_per_day.keepalive_30s", (day + pings * PING) / 1000, "KB")


def _reports(ear: Ear) -> int:
    return sum(topic.endswith("/report") for _, topic, _ in ear.heard)


def _calm(ear: Ear) -> bool:
    """Whether nothing more comes with the last message: an acknowledgement, a hello."""
    return time.monotonic() - ear.heard[-1][0] > 0.2


def _beats(ear: Ear) -> int:
    """Heartbeats since the third of the connection, which is the last for long with a hello."""
    hellos = [at for at, topic, _ in ear.heard if topic.endswith("/hello")]
    after = max(hellos, default=0.0) + 0.5
    return sum(at > after and topic.endswith("/report") for at, topic, _ in ear.heard)


def _heartbeat() -> bytes:
    """The payload of a device that holds a document and runs something."""
    words = Report(
        id="gateway-1",
        inst="b5a0a896f4e1518dce64dbf5f1d65b0f",
        boot=12,
        seq=1234,
        conn=3,
        observed=Observed(fence=1_795_506_561_979, gen=17, digest="sha256:" + "a" * 64),
        inventory="sha256:" + "b" * 64,
        tasks=None,
        refused=None,
        free=Free(memory=1 << 29, tasks=54, storage=1 << 29),
        metrics=(("cpuPermille", 1), ("rssBytes", 39_845_888), ("blobBytes", 123_456)),
        clock="Synced",
    )
    return sealed(words, SigningKey.from_seed(bytes(32)))


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
