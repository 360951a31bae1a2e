"""Calls of Functions: through one proplet's pool, and the whole way over HTTP, gateway and MQTT.

Cold: nothing is compiled. Warm: compiled, and no process waits. Hot: a process waits. Beside them
is what wasmtime's Python package takes for an instance and a call with nothing around it.
"""

from __future__ import annotations

import http.client
import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench.guests import Hall
from bench.plant import API, Plant, plant, wait_for
from bench.rows import Row, beside, p50, percentile
from propeller.transport.base import Connected, Received
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport
from propeller.wire import codec
from propeller.wire.call_messages import WireServe
from propeller.wire.messages import Entry
from proplet.pending import Pending, Result
from proplet.pool import Pool

NAME = "functions"

ADD = """(module (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""
BODY = "WzQwLDJd"  # [40,2]
THREADS = 8


def measure(*, quick: bool) -> Iterator[Row]:
    """All of them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "hall").mkdir(mode=0o700)
        yield from _pool(folder / "hall", 20 if quick else 2_000)
        (folder / "plant" / "specs").mkdir(parents=True)
        yield from _whole_way(folder / "plant", 10 if quick else 600)


# -- one proplet's pool -----------------------------------------------------------------------


def _pool(folder: Path, calls: int) -> Iterator[Row]:
    from wasmtime import Config, Engine, Func, Instance, Module, Store, wat2wasm

    wasm = bytes(wat2wasm(ADD))
    config = Config()
    config.epoch_interruption = True
    engine = Engine(config)
    module = Module(engine, wasm)

    def bare() -> None:
        store = Store(engine)
        store.set_epoch_deadline(1)
        function = Instance(store, module, []).exports(store)["add"]
        assert isinstance(function, Func)
        function(store, 40, 2)
        store.close()

    alone = [_timed(bare) for _ in range(calls)]
    hall = Hall(folder)
    try:
        pool = _open(hall, wasm, concurrency=2, invocations=1)
        took: list[float] = []
        ours = [_one(hall, pool, took) for _ in range(calls)]
        yield beside("function.pool.p50", p50(ours), "us", "wasmtime alone", p50(alone))
        yield Row("function.pool.p99", percentile(ours, 0.99), "us")
        yield beside("function.worker.p50", p50(took), "us", "wasmtime alone", p50(alone))
        yield Row("function.overhead", max(0.0, p50(ours) - p50(alone)), "us")
        yield Row("function.instances_per_second", _rate(hall, pool, calls), "1/s")
        kept = _open(hall, wasm, concurrency=2, invocations=1_000_000, number=2)
        yield Row("function.kept_instances_per_second", _rate(hall, kept, calls), "1/s")
        yield Row("function.worker.memory", _worker_mb(hall), "MB")
    finally:
        hall.supervisor.close()


def _open(hall: Hall, wasm: bytes, *, concurrency: int, invocations: int, number: int = 1) -> Pool:
    serve = WireServe(
        interface="Values",
        concurrency=concurrency,
        queue=64,
        ready=concurrency,
        invocations=invocations,
    )
    entry: Entry = replace(
        hall.entry(wasm, number), mode="serve", entrypoint="add", serve=serve, digest=""
    )
    entry = replace(entry, digest=codec.entry_digest(entry))
    key = (entry.uid, entry.run)
    hall.supervisor.prepare(entry)
    hall.until(lambda: key in hall.ready)
    hall.supervisor.start(entry)
    pool = hall.supervisor.pools.find(key)
    assert pool is not None
    for _ in range(16):  # until every process has answered a few
        _one(hall, pool, [])
    return pool


def _submit(pool: Pool, answer: Callable[[Result], None]) -> None:
    now = time.monotonic_ns() // 1_000_000
    request = {"method": "POST", "path": "", "query": "", "headers": (), "body": BODY}
    pool.submit(Pending(id="c", request=request, came=now, ends=now + 20_000, answer=answer))


def _one(hall: Hall, pool: Pool, took: list[float]) -> float:
    done: list[Result] = []
    began = time.perf_counter()
    _submit(pool, done.append)
    hall.until(lambda: done)
    took.append(done[0].took)
    assert done[0].state == "done", done[0]
    return (time.perf_counter() - began) * 1e6


def _rate(hall: Hall, pool: Pool, calls: int) -> float:
    done: list[Result] = []
    began, sent = time.perf_counter(), 0
    while len(done) < calls:
        while sent < calls and sent - len(done) < 32:
            _submit(pool, done.append)
            sent += 1
        before = len(done)
        hall.until(lambda: len(done) > before)  # noqa: B023  looked at within the turn
    return calls / (time.perf_counter() - began)


def _worker_mb(hall: Hall) -> float:
    """Proportional memory of one worker that has answered calls."""
    sizes = []
    zygote = hall.supervisor._zygote
    assert zygote is not None
    children = Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text().split()
    for child in children:
        for line in Path(f"/proc/{child}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                sizes.append(int(line.split()[1]) / 1024)
    return p50(sizes)


# -- the whole way ----------------------------------------------------------------------------


def _spec(name: str, *, ready: int = 2, more: str = "") -> str:
    return (
        f"{API}\nkind: Function\nmetadata: {{name: {name}}}\nspec:\n"
        f"  module: {{file: {name}.wat}}\n  interface: Values\n  run: {{entrypoint: add}}\n"
        f"  limits: {{memory: 1MiB}}\n  calls: {{concurrency: 2, queue: 200}}\n"
        f"  instances: {{ready: {ready}}}\n{more}"
    )


def _module(number: int) -> str:
    """Each another module, so that none is compiled already."""
    return ADD.replace("(memory", f'(global (export "n") i32 (i32.const {number})) (memory')


class Caller:
    """One connection to the gateway."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def call(self, name: str) -> bool:
        """Whether it was answered."""
        try:
            self._connection.request("POST", f"/fn/default/{name}", b"[40,2]", self._headers)
            answer = self._connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            self._connection.close()  # the gateway ends connections that nobody used for a while
            return self.call(name)
        return answer.read() == b"42" and answer.status == 200


def _whole_way(folder: Path, calls: int) -> Iterator[Row]:
    specs = folder / "specs"
    trigger = "  triggers: [{name: m, mqtt: {topic: bench/in, answer: bench/out}}]\n"
    (specs / "hot.wat").write_text(_module(0))
    (specs / "hot.yaml").write_text(_spec("hot", more=trigger))
    first = 3 if calls < 100 else 8
    for number in range(first):
        (specs / f"warm{number}.wat").write_text(_module(100 + number))
        (specs / f"warm{number}.yaml").write_text(_spec(f"warm{number}", ready=0))
    with plant(folder, proplets=1) as running, closing(_caller(running)) as caller:
        wait_for(lambda: caller.call("hot"), 60, "the first answer")
        names = [f"warm{number}" for number in range(first)]
        wait_for(lambda: all(_is_ready(running, name) for name in names), 60, "all are ready")
        warm = [_timed(lambda name=name: _must(caller, name)) / 1000 for name in names]  # type: ignore[misc]
        for _ in range(20):
            _must(caller, "hot")
        hot = [_timed(lambda: _must(caller, "hot")) / 1000 for _ in range(calls)]
        yield Row("function.hot.p50", p50(hot), "ms")
        yield Row("function.hot.p99", percentile(hot, 0.99), "ms")
        yield Row("function.warm.p50", p50(warm), "ms")
        yield Row("function.warm.max", max(warm), "ms")
        yield Row("function.http_per_second", _http_rate(running, calls), "1/s")
        yield from _by_message(running.port, calls)
        cold = [_cold(running, caller, number) for number in range(first)]
        yield Row("function.cold.p50", p50(cold), "ms")
        yield Row("function.cold.max", max(cold), "ms")


def _caller(running: Plant) -> Caller:
    ports = running.state / "run" / "ports.json"
    wait_for(lambda: "dashboard" in json.loads(ports.read_text()), 30, "the gateway")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "propeller.cli", "token", "create", f"bench-{random.random()}"),
            *("--role", "operator", "--state", str(running.state)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return Caller(json.loads(ports.read_text())["dashboard"], done.stdout.strip().splitlines()[-1])


def _must(caller: Caller, name: str) -> None:
    """The gateway looks for news every 50 ms, so the first call may come before it knows."""
    began = time.perf_counter()
    while not caller.call(name):
        assert time.perf_counter() - began < 5, f"{name} was not answered"
        time.sleep(0.001)


def _is_ready(running: Plant, name: str) -> bool:
    path = running.status("Function", name)
    return path.exists() and "1 of 1 ready" in path.read_text()


def _cold(running: Plant, caller: Caller, number: int) -> float:
    """ms from a saved spec to the first answer: read, planned, told, fetched, compiled, called."""
    name = f"cold{number}"
    (running.specs / f"{name}.wat").write_text(_module(1_000 + number))
    began = time.perf_counter()
    (running.specs / f"{name}.yaml").write_text(_spec(name))
    while not caller.call(name):
        assert time.perf_counter() - began < 60, "no answer in time"
        time.sleep(0.001)
    return (time.perf_counter() - began) * 1000


def _http_rate(running: Plant, calls: int) -> float:
    """Answers a second over so many connections at a time."""
    callers = [_caller(running) for _ in range(THREADS)]
    each = max(1, calls // THREADS)

    def work(caller: Caller) -> None:
        for _ in range(each):
            _must(caller, "hot")

    threads = [threading.Thread(target=work, args=(caller,)) for caller in callers]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    for caller in callers:
        caller.close()
    return each * THREADS / took


def _by_message(port: int, calls: int) -> Iterator[Row]:
    base = "m/propeller/c/fleet/bench/"
    answers: queue.SimpleQueue[float] = queue.SimpleQueue()
    up = threading.Event()
    endpoint = Endpoint(host="127.0.0.1", port=port, client_id="bench-sensor")
    transport = MqttTransport(endpoint, random.Random())

    def hear(event: object) -> None:
        if isinstance(event, Connected):
            transport.subscribe([f"{base}out"])
            up.set()
        elif isinstance(event, Received):
            answers.put(time.perf_counter())

    transport.start(hear)
    assert up.wait(10)

    def one() -> None:
        transport.publish(f"{base}in", b"[40,2]")
        answers.get(timeout=10)

    for _ in range(10):
        one()
    took = [_timed(one) / 1000 for _ in range(calls)]
    yield Row("function.message.p50", p50(took), "ms")
    yield Row("function.message.p99", percentile(took, 0.99), "ms")
    began, sent, heard = time.perf_counter(), 0, 0
    while heard < calls:
        while sent < calls and sent - heard < 32:
            transport.publish(f"{base}in", b"[40,2]")
            sent += 1
        answers.get(timeout=10)
        heard += 1
    yield Row("function.messages_per_second", calls / (time.perf_counter() - began), "1/s")
    transport.close()


def _timed(what: Callable[[], None]) -> float:
    """Microseconds."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1e6
