"""A round of the strategy `Wasm`: its module in a process of its own, fed through a pipe.

Called by a worker for federated jobs, never by the loop. Fuel makes a module end at the same
instruction everywhere; memory, processor time and a clock bound what a compiler or a hostile module
can cost. Whatever goes wrong there is a Refusal here, and the round is without a model.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from propeller.fl.aggregators import MEMORY, fuel_for
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution, piece, tiles
from propeller.fl.strategies.registry import strategy
from propeller.fl.strategies.wasm import Wasm
from propeller.model.federated import Terms
from propeller.model.ids import sha256_digest
from propeller.reconcile.running import Running
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.strategies.base import Strategy, Vector

SECONDS: Final = 60
"""What a module may take, from its start to its model."""
GRACE: Final = 30
"""Seconds more for the process: its own start, and compiling."""
_ANSWER: Final = 4096


def strategy_of(terms: Terms, blobs: BlobStore, running: Running) -> Strategy:
    """The strategy of a round, with its module where it has one. Raises PropellerError, OSError."""
    chosen = strategy(terms.strategy, dict(terms.parameters))
    if not isinstance(chosen, Wasm):
        return chosen
    try:
        wasm = blobs.read(terms.aggregator)
    except FileNotFoundError:
        words = f"the aggregator {terms.aggregator} is not in the blob store"
        raise Refusal(Why.MODEL, words) from None
    if sha256_digest(wasm) != terms.aggregator:
        raise Refusal(Why.MODEL, f"the aggregator {terms.aggregator} has other bytes than its name")
    return replace(chosen, run=partial(aggregate, wasm, running=running))


def aggregate(
    wasm: bytes,
    base: Vector,
    order: tuple[Contribution, ...],
    parameters: Mapping[str, float],
    *,
    seconds: int = SECONDS,
    memory: int = MEMORY,
    fuel: int | None = None,
    running: Running | None = None,
) -> Vector:
    """What the module makes of the updates, in this order. Raises Refusal with its fault."""
    count = len(base)
    head = {
        "module": len(wasm),
        "numbers": count,
        "samples": [one.samples for one in order],
        "parameters": dict(parameters),
        "fuel": fuel_for(count, len(order)) if fuel is None else fuel,
        "memory": memory,
        "seconds": seconds,
        "processor": seconds + GRACE,
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "propeller.reconcile.aggregating"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout is not None
    with (running or Running()).bounded(process, seconds + GRACE), process.stdout as pipe:
        # It reads to the end before it writes, so that neither side waits for the other.
        with suppress(BrokenPipeError):
            _feed(process, head, wasm, base, order)
        answer, data = pipe.readline(_ANSWER), pipe.read(4 * count + 1)
        process.wait()
    return _model(answer, data, count, process.returncode)


def _feed(
    process: subprocess.Popen[bytes],
    head: Mapping[str, object],
    wasm: bytes,
    base: Vector,
    order: tuple[Contribution, ...],
) -> None:
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(head).encode() + b"\n" + wasm)
        for one in order:
            for at, size in tiles(len(base)):
                pipe.write(piece(one, at, size).astype("<f4", copy=False).tobytes())
        for at, size in tiles(len(base)):
            pipe.write(base[at : at + size].astype("<f4", copy=False).tobytes())


def _model(answer: bytes, data: bytes, count: int, code: int) -> Vector:
    try:
        told = json.loads(answer)
    except ValueError:
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        words = f"the aggregator took too much, or was stopped: its process ended by {ended}"
        raise Refusal(Why.MODEL, words) from None
    if "why" in told:
        raise Refusal(Why.MODEL, f"the aggregator {told['why']}")
    if len(data) != 4 * count:
        raise Refusal(Why.MODEL, "the aggregator's model is cut short")
    return np.frombuffer(data, "<f4").astype(np.float32)
