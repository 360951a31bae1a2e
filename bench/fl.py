"""Folding a round: 100 updates of a million parameters from spool files, and a thousand small ones.

Beside it, numpy's own one pass over a matrix that holds everything at once, which is neither
canonical nor fits a small machine. Memory is the peak of a process of its own. Then the robust
rules, and the simulator's thousand clients.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench.rows import Row, beside, p50
from propeller.fl.fold import Contribution, Held, Spooled, Vector, weighted_mean
from propeller.fl.simulate import Mlp, Recipe, Shard, World, dealt, run
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy

NAME = "fl"
RULES = (
    ("Median", {}),
    ("TrimmedMean", {"beta": "0.2"}),
    ("MultiKrum", {"faulty": "3"}),
    ("NormClip", {}),
)


def measure(*, quick: bool) -> Iterator[Row]:
    """The rows."""
    clients, big, small = (10, 10_000, 50) if quick else (100, 1_000_000, 1000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        _write(path, clients, big)
        ours, whole = _together(path, clients, big, times=1 if quick else 5)
        yield beside("fl.fold.large", ours, "ms", "numpy, all in memory", whole)
        yield Row("fl.fold.large.memory", _memory(path, clients, big), "MB")
        members, close = _spooled(path, clients, big)
        base = np.zeros(big, np.float32)
        for name, asked in RULES:
            chosen = strategy(name, asked)
            took = _timed(partial(chosen.step, Round(base=base, contributions=members)), 1)
            yield Row(f"fl.rule.{name.lower()}", took, "ms")
        close()
    draw = np.random.default_rng(1)
    many = [
        Contribution(
            proplet=f"p{index:04}",
            samples=index + 1,
            deltas=Held(draw.normal(size=650).astype(np.float32)),
        )
        for index in range(small)
    ]
    yield Row("fl.fold.small", _timed(partial(weighted_mean, many, 650), 5), "ms")
    yield Row("fl.simulate", _simulated(*((20, 2) if quick else (1000, 100))), "s")


def _write(path: Path, clients: int, count: int) -> None:
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(clients):
            file.write(draw.standard_normal(count, np.float32).astype("<f4").tobytes())


def _spooled(
    path: Path, clients: int, count: int
) -> tuple[tuple[Contribution, ...], Callable[[], None]]:
    number = os.open(path, os.O_RDONLY)
    read = partial(os.pread, number)
    members = tuple(
        Contribution(
            proplet=f"p{index:04}", samples=index + 1, deltas=Spooled(read, 4 * count * index)
        )
        for index in range(clients)
    )
    return members, partial(os.close, number)


def _together(path: Path, clients: int, count: int, *, times: int) -> tuple[float, float]:
    """ms of ours and of numpy's, one after the other so that both meet the same machine."""
    members, close = _spooled(path, clients, count)
    weights = np.arange(1, clients + 1, dtype=np.float32)
    matrix = np.fromfile(path, "<f4").reshape(clients, count)
    ours, theirs = [], []
    for _ in range(times):
        ours.append(_timed(partial(weighted_mean, members, count), 1))
        theirs.append(_timed(lambda: (weights @ matrix) / weights.sum(), 1))
    close()
    return p50(ours), p50(theirs)


def _memory(path: Path, clients: int, count: int) -> float:
    """MB that a step of FedAvg adds to the peak of a fresh process, its result included."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (path, clients, count))


def _peak(path: Path, clients: int, count: int) -> float:
    members, close = _spooled(path, clients, count)
    base, chosen = np.ones(count, np.float32), strategy("FedAvg", {})
    chosen.step(Round(base=base[:1000], contributions=members[:2]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = _status("VmRSS")
    chosen.step(Round(base=base, contributions=members))
    after = _status("VmHWM")
    close()
    return (after - before) / 1024


def _status(field: str) -> int:
    """KiB, from the kernel."""
    text = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) for row in text.splitlines() if row.startswith(field + ":"))


def _timed(work: Callable[[], object], times: int) -> float:
    """The middle of so many, in ms."""
    out = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        out.append((time.perf_counter() - began) * 1000)
    return p50(out)


def _simulated(clients: int, rounds: int) -> float:
    """Seconds of rounds in which everybody takes part: two records each, 650 parameters."""
    draw = np.random.default_rng(1)
    x: Vector = draw.random((2 * clients, 64), np.float32)
    world = World(
        net=Mlp(64, 0, 10),
        shards=dealt(Shard(x, draw.integers(0, 10, 2 * clients)), clients, alpha=1.0, draw=draw),
        strategy=strategy("FedAvg", {}),
        invited=clients,
        recipe=Recipe(epochs=1),
    )
    began = time.perf_counter()
    run(world, rounds)
    return time.perf_counter() - began
