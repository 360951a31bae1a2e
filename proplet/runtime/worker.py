"""What happens in a worker: it warms up, gets one job, does it, and its process ends.

Called by `zygote` in the forked child with a connection to the agent. All that does not depend on
the job happens before it comes: engines, linkers, pipes, threads, and one run of a tiny guest,
after which the pages and caches that a start needs are this process's own.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from pathlib import Path
from typing import cast

from wasmtime import Config, Engine, Func, Linker, Module, Store, WasiConfig

from proplet.runtime import limits
from proplet.runtime.engine import engine
from proplet.runtime.guest import Warm, run
from proplet.runtime.prepare import prepare
from proplet.runtime.streams import Streams
from proplet.runtime.talk import Words, pack
from proplet.runtime.watch import Watch

# (module (memory (export "memory") 1) (func (export "_start")))
_TINY = bytes.fromhex(
    "0061736d01000000010401600000030201000503010001071302066d656d6f7279"
    "0200065f737461727400000a040102000b"
)

REHEARSALS = 12
"""Python makes code fast that it has run some eight times; nobody waits for this."""


def tiny() -> bytes:
    """Native code of a guest that does nothing, made without threads: before any fork."""
    config = Config()
    config.epoch_interruption = True
    config.wasm_threads = False
    config.parallel_compilation = False
    return bytes(Module(Engine(config), _TINY).serialize())


def work(connection: socket.socket, native: bytes) -> None:
    """Never returns. `native`: what `tiny` made."""
    limits.confine()
    sys.setswitchinterval(0.0001)  # the guest's thread waits for the others at most so long
    watch = Watch(connection)
    streams = Streams(lambda: watch.interrupt("output"))
    engines = {fuel: engine(fuel=fuel) for fuel in (False, True)}
    linkers = {fuel: Linker(made) for fuel, made in engines.items()}
    for linker in linkers.values():
        linker.define_wasi()
    for _ in range(REHEARSALS):
        _rehearse(engines[False], linkers[False], native)
    gc.collect()
    gc.disable()
    job = watch.job()
    if job is None:
        os._exit(0)
    began = time.perf_counter()
    if job["do"] == "serve":
        from proplet.runtime.serving import serve

        fuel = job["fuel"] is not None
        serve(job, engines[fuel], linkers[fuel], connection, watch.early())
    elif job["do"] == "prepare":
        limits.bound_processor(cast(int, job["processor"]))
        limits.bound_memory(cast("int | None", job["memory"]))
        connection.sendall(pack({"event": "prepared", **prepare(job)}))
    elif job["do"] == "external":
        from proplet.runtime.external import run as run_external

        run_external(job, watch, streams, connection, began)
    elif job.get("fl") is not None:
        _train(job, watch, streams, connection, began)
    else:
        fuel = job["fuel"] is not None
        run(job, Warm(engines[fuel], linkers[fuel], watch, streams, connection, began))
    os._exit(0)


def _train(
    job: Words, watch: Watch, streams: Streams, connection: socket.socket, began: float
) -> None:
    """Run a guest that trains, with imports and an engine of its own."""
    from propeller.errors import PropellerError
    from proplet.runtime.lesson import read_lesson
    from proplet.runtime.training import Training

    told = cast("Words", job["fl"])
    try:
        memory = cast("int | None", job["memory"])
        limits.bound_memory(None if memory is None else memory + cast(int, told["room"]))
        training = Training(
            read_lesson(told), Path(str(job["dir"])), limit=cast(int, job["output"])
        )
    except (PropellerError, OSError, ValueError) as error:
        words = f"its model or its data cannot be used: {error}"
        watch.tell({"event": "ended", "cause": "", "ok": False, "error": words})
        return
    made = engine(fuel=job["fuel"] is not None, exact=True)
    linker = Linker(made)
    linker.define_wasi()
    training.link(linker)
    run(job, Warm(made, linker, watch, streams, connection, began, training))


def _rehearse(made: Engine, linker: Linker, native: bytes) -> None:
    module = Module.deserialize(made, native)
    store = Store(made)
    store.set_epoch_deadline(1)
    store.set_limits(memory_size=1 << 20)
    wasi = WasiConfig()
    wasi.argv = ["tiny"]
    wasi.env = [("A", "b")]
    wasi.stdout_file = "/dev/null"
    store.set_wasi(wasi)
    function = linker.instantiate(store, module).exports(store)["_start"]
    assert isinstance(function, Func)
    function(store)
    store.close()
