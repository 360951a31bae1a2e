"""From a job to a guest's first instruction, through the real supervisor and its workers.

Warm: the native code is on disk and a worker is ready, as it always is in a running agent. Cold:
the module is compiled first, in a worker of its own.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.rows import Row, beside, p50, percentile
from propeller.wire import codec
from propeller.wire.messages import Entry, WireModule
from proplet.blobs import Blobs
from proplet.effects import Outcome
from proplet.records import Key
from proplet.runtime.engine import engine
from proplet.supervisor import Supervisor

NAME = "guests"
MODULE = Path(__file__).parents[1] / "examples" / "modules" / "report" / "report.wasm"
"""A command built from Rust, 60 to 100 KB: what a small task really looks like."""
TRIVIAL = '(module (memory (export "memory") 1) (func (export "_start")))'


@dataclass
class Hall:
    """A supervisor and who it answers to."""

    directory: Path
    ready: set[Key] = field(default_factory=set)
    over: dict[Key, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.blobs = Blobs(self.directory, quota=1 << 30)
        self.supervisor = Supervisor(
            self.directory,
            mark=f"bench-{os.getpid()}",
            mounts={},
            blobs=self.blobs,
            answers=self,
            selector=self.selector,
            clock=lambda: time.monotonic_ns() // 1_000_000,
        )

    def prepared(self, key: Key, digest: str) -> None:
        """Part of Answers."""
        self.ready.add(key)

    def unfit(self, key: Key, digest: str, words: str) -> None:
        """Part of Answers."""
        raise AssertionError(f"{key}: {words}")

    def ended(self, key: Key, outcome: Outcome) -> None:
        """Part of Answers."""
        self.over[key] = outcome

    def until(self, met: Callable[[], object]) -> None:
        """Serve the workers until it is so."""
        end = time.monotonic() + 60
        while not met():
            assert time.monotonic() < end, "it did not happen in time"
            for key, _ in self.selector.select(0.02):
                key.data()
            self.supervisor.tick()

    def entry(self, wasm: bytes, number: int) -> Entry:
        """A task that runs `_start` once."""
        ref = self.blobs.keep(wasm)
        entry = Entry(
            uid=f"00000000-0000-0000-0000-{number:012x}",
            ref="Task/default/bench",
            run=f"{number:032x}",
            cause="once",
            mode="once",
            digest="",
            module=WireModule(digest=ref.digest, size=ref.size),
            entrypoint="_start",
            memory=16 << 20,
            timeout=20_000,
        )
        return replace(entry, digest=codec.entry_digest(entry))

    def prepare(self, entry: Entry) -> float:
        """Seconds until the module is checked and its native code is there."""
        began = time.perf_counter()
        self.supervisor.prepare(entry)
        self.until(lambda: (entry.uid, entry.run) in self.ready)
        return time.perf_counter() - began

    def run(self, entry: Entry) -> float:
        """Seconds from the order to the word that it ended."""
        began = time.perf_counter()
        self.supervisor.start(entry)
        self.until(lambda: (entry.uid, entry.run) in self.over)
        return time.perf_counter() - began


def measure(*, quick: bool) -> Iterator[Row]:
    """Warm and cold, and what wasmtime alone takes."""
    from wasmtime import wat2wasm

    runs = 5 if quick else 60
    report = MODULE.read_bytes()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        hall = Hall(Path(folder) / "warm")
        try:
            warm, instance, whole = _warm(hall, bytes(wat2wasm(TRIVIAL)), runs)
            yield Row("guest.warm.first_instruction", p50(warm), "us")
            yield Row("guest.warm.first_instruction.p99", percentile(warm, 0.99), "us")
            yield Row("guest.warm.instantiate", p50(instance), "us")
            yield Row("guest.warm.ordered_to_ended", p50(whole) * 1000, "ms")
            warm, instance, whole = _warm(hall, report, runs)
            yield Row("guest.warm.rust.first_instruction", p50(warm), "us")
            yield Row("guest.warm.rust.instantiate", p50(instance), "us")
            yield Row("guest.warm.rust.ordered_to_ended", p50(whole) * 1000, "ms")
        finally:
            hall.supervisor.close()
        compiled, loaded = _wasmtime(report, 3 if quick else 9)
        cold = [_cold(Path(folder) / f"cold-{n}", report) for n in range(2 if quick else 7)]
        yield beside("guest.cold.prepare", min(cold) * 1000, "ms", "wasmtime compile", compiled)
        yield beside("guest.native.load", loaded * 1000, "us", "wasmtime compile", compiled * 1000)


def _warm(hall: Hall, wasm: bytes, runs: int) -> tuple[list[float], list[float], list[float]]:
    warm, instance, whole = [], [], []
    first = int(hashlib.sha256(wasm).hexdigest()[:6], 16)
    for number in range(first, first + runs + 3):
        entry = hall.entry(wasm, number)
        hall.prepare(entry)
        # The spare worker is ready well before the next start in a running agent.
        end = time.monotonic() + 0.08
        while time.monotonic() < end:
            hall.until(lambda: True)
            time.sleep(0.01)
        took = hall.run(entry)
        if number >= first + 3:
            warm.append(float(hall.supervisor.last_warm_us))
            instance.append(float(hall.supervisor.last_instance_us))
            whole.append(took)
    return warm, instance, whole


def _cold(directory: Path, wasm: bytes) -> float:
    """Checked, compiled and stored, the worker's start included but not the zygote's."""
    hall = Hall(directory)
    try:
        hall.prepare(
            hall.entry(
                b"\0asm\1\0\0\0"
                + bytes.fromhex("01040160000003020100070a01065f737461727400000a040102000b"),
                1,
            )
        )
        return hall.prepare(hall.entry(wasm, 2))
    finally:
        hall.supervisor.close()


def _wasmtime(wasm: bytes, times: int) -> tuple[float, float]:
    """ms to compile and to load native code, with the agent's own configuration."""
    from wasmtime import Module

    made = engine(fuel=False)
    compiled, loaded = [], []
    for _ in range(times):
        began = time.perf_counter()
        native = bytes(Module(made, wasm).serialize())
        compiled.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        Module.deserialize(made, native)
        loaded.append((time.perf_counter() - began) * 1000)
    return min(compiled), statistics.median(loaded)
