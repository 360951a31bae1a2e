"""How fast the single parts are, each beside the bare thing it stands on.

Spec files beside PyYAML alone, the store beside raw SQLite, our MQTT transport beside bare paho,
and a module of eight megabytes on its way to a device over MQTT.
"""

from __future__ import annotations

import os
import queue
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from bench.plant import API, Ear, daemon_wasm, daemon_yaml, plant, wait_for
from bench.rows import Row, beside, p50
from propeller.model.ids import Key, PropletId
from propeller.registry.blobs import BlobStore
from propeller.registry.wasm import inspect
from propeller.sources.load import Cache, load
from propeller.sources.open import open_source
from propeller.state.records import Event
from propeller.state.sqlite import SqliteStore
from propeller.transport.base import Connected, Received
from propeller.transport.endpoint import Endpoint
from propeller.transport.mosquitto import MosquittoBroker, find_mosquitto
from propeller.transport.mqtt import MqttTransport

NAME = "throughput"


def measure(*, quick: bool) -> Iterator[Row]:
    """All of them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        yield from _specs(folder / "specs", 50 if quick else 5_000)
        yield from _commits(folder, 10 if quick else 200)
        yield from _round_trips(folder / "mqtt", 20 if quick else 500)
        yield from _blob(folder / "blob", 1 << 20 if quick else 8 << 20)


# -- specs ----------------------------------------------------------------------------------------


def _specs(folder: Path, files: int) -> Iterator[Row]:
    folder.mkdir()
    (folder / "pump.wasm").write_bytes(daemon_wasm("one"))
    for n in range(files):
        (folder / f"task-{n:05d}.yaml").write_text(
            f"{API}\nkind: Task\nmetadata:\n  name: t{n}\n  labels: {{zone: z{n % 7}}}\nspec:\n"
            f"  module: {{file: pump.wasm}}\n  run:\n    args: [--number, '{n}']\n"
            "    env: [{name: PLANT, value: plant-a}]\n  limits: {memory: 1MiB, timeout: 30s}\n"
        )
    keep = BlobStore(folder.parent / "blobs").put
    source, cache = open_source(str(folder), cache=folder.parent / "git"), Cache()

    def whole() -> None:
        load(source.read(), domain="d", keep=keep, inspect=inspect, cache=cache)

    began = time.process_time()
    whole()
    took = time.process_time() - began
    texts = [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]
    theirs = _cpu(lambda: [yaml.load(text, yaml.CSafeLoader) for text in texts])
    slow = _cpu(lambda: [yaml.safe_load(text) for text in texts[: max(1, files // 10)]]) * 10
    yield Row("specs.files", files, "")
    yield beside("specs.load", took, "s", "yaml.CSafeLoader", theirs)
    yield beside("specs.load.safe_load", took, "s", "yaml.safe_load", slow)
    time.sleep(2.1)  # times of change are trusted from two seconds on
    whole()
    changed = folder / "task-00007.yaml"
    changed.write_text(changed.read_text().replace("30s", "31s"))
    yield Row("specs.reload_one_changed", _cpu(whole), "s")


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


# -- the store ------------------------------------------------------------------------------------


def _commits(folder: Path, times: int) -> Iterator[Row]:
    store = SqliteStore.open(folder / "ours.db")
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, at INTEGER, message TEXT)")
    for durable, word in ((False, "commit"), (True, "commit.durable")):
        raw.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        ours, theirs = [], []
        for n in range(times):
            event = Event(
                at=n,
                severity="Info",
                reason="Bench",
                message=f"number {n}",
                key=Key("Task", "default", "t"),
                proplet=PropletId("p1"),
            )
            began = time.perf_counter()
            with store.transaction(durable=durable):
                store.add_event(event)
            ours.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("INSERT INTO event (at, message) VALUES (?, ?)", (n, event.message))
            raw.execute("COMMIT")
            theirs.append((time.perf_counter() - began) * 1000)
        yield beside(f"store.{word}", p50(ours), "ms", "raw sqlite3", p50(theirs))
    raw.close()
    store.close()


# -- MQTT -----------------------------------------------------------------------------------------


def _round_trips(folder: Path, times: int) -> Iterator[Row]:
    broker = MosquittoBroker(folder, binary=find_mosquitto())
    address = broker.start()
    try:
        ours = _ours(address.port, times)
        bare = _bare(address.port, times)
    finally:
        broker.stop()
    yield beside("mqtt.round_trip", p50(ours), "ms", "bare paho", p50(bare))


def _ours(port: int, times: int) -> list[float]:
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()
    link = MqttTransport(Endpoint(host="127.0.0.1", port=port, client_id="ours"), random.Random())
    link.start(heard.put)
    assert isinstance(heard.get(timeout=10), Connected)
    link.subscribe(["trip/ours"])
    time.sleep(0.2)

    def trip() -> None:
        link.publish("trip/ours", b"x" * 200)
        assert isinstance(heard.get(timeout=10), Received)

    took = [_wall(trip) for _ in range(times)]
    link.close()
    return took


def _bare(port: int, times: int) -> list[float]:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    heard: queue.SimpleQueue[object] = queue.SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, client_id="bare")
    client.on_message = lambda _client, _data, message: heard.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("trip/bare", 1)
    time.sleep(0.2)

    def trip() -> None:
        client.publish("trip/bare", b"x" * 200, qos=1)
        heard.get(timeout=10)

    took = [_wall(trip) for _ in range(times)]
    client.disconnect()
    client.loop_stop()
    return took


def _wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


# -- a module on its way --------------------------------------------------------------------------


def _blob(folder: Path, size: int) -> Iterator[Row]:
    specs = folder / "specs"
    specs.mkdir(parents=True)
    (specs / "small.wasm").write_bytes(daemon_wasm("one"))
    (specs / "large.wasm").write_bytes(_padded(daemon_wasm("two"), size))
    spec = specs / "pump.yaml"
    spec.write_text(daemon_yaml("pump", "small.wasm"))
    with plant(folder) as running:
        status = running.status("Daemon", "pump")
        wait_for(lambda: _runs(status), 60, "the first start")
        ear = Ear()
        ear.start(running.port, ["+/+/+/+/control/proplet/+/blob/get"])
        try:
            ear.heard.clear()
            spec.write_text(daemon_yaml("pump", "large.wasm"))
            began = time.monotonic()
            wait_for(lambda: len(ear.heard) > 0 and _still(ear), 120, "the large module")
        finally:
            ear.close()
        gets = [at for at, _, _ in ear.heard]
    took = max(gets) - min(gets)
    # The last request is for the last piece: what it brings is neither timed nor counted.
    done = size * (1 - 1 / len(gets)) if len(gets) > 1 else size
    yield Row("blob.over_mqtt", done / 1e6 / max(took, 1e-6), "MB/s")
    yield Row("blob.requests", len(gets), "")
    yield Row("blob.first_request", (min(gets) - began) * 1000, "ms")


def _runs(status: Path) -> bool:
    return status.exists() and "Running" in status.read_text()


def _still(ear: Ear) -> bool:
    return time.monotonic() - ear.heard[-1][0] > 1.5


def _padded(wasm: bytes, size: int) -> bytes:
    """The module with a custom section of noise: as long as asked, and nothing to compress."""
    noise = os.urandom(size)
    body = b"\x03pad" + noise
    length = bytearray()
    left = len(body)
    while True:
        length.append(left & 0x7F | (0x80 if left > 0x7F else 0))
        left >>= 7
        if not left:
            break
    return wasm + b"\0" + bytes(length) + body
