"""Running one guest to its end. Runs in a worker, on its main thread.

A guest that trains runs the same way; its `Training` says what it is given instead of what the
entry lists, and makes an update of what it leaves.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from wasmtime import (
    Engine,
    ExitTrap,
    Func,
    FuncType,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    TrapCode,
    WasiConfig,
    WasmtimeError,
)

from propeller.capabilities import GUEST
from proplet.runtime import capture, limits
from proplet.runtime.engine import check_owner
from proplet.runtime.streams import Streams
from proplet.runtime.talk import Words
from proplet.runtime.values import read_args, write_results
from proplet.runtime.virtual import Refusal
from proplet.runtime.watch import Watch
from proplet.words import size

if TYPE_CHECKING:
    from proplet.runtime.training import Training

WORDS = {
    TrapCode.STACK_OVERFLOW: "stack overflow",
    TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    TrapCode.TABLE_OUT_OF_BOUNDS: "out of bounds table access",
    TrapCode.INDIRECT_CALL_TO_NULL: "call of a null function",
    TrapCode.BAD_SIGNATURE: "indirect call with the wrong type",
    TrapCode.INTEGER_OVERFLOW: "integer overflow",
    TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    TrapCode.BAD_CONVERSION_TO_INTEGER: "a float that is no integer",
    TrapCode.UNREACHABLE: "unreachable was reached",
}

INTERRUPTED, FUEL = "wasm trap: interrupt", "wasm trap: all fuel consumed by WebAssembly"
"""How these traps come from a component: wasmtime's package has no code for them there."""


class ReturnedError(Exception):
    """The guest's function came back, and said that it failed. exit: its exit code, or None."""

    def __init__(self, words: str, exit: int | None = None) -> None:
        super().__init__(words)
        self.exit = exit


@dataclass(frozen=True, slots=True)
class Warm:
    """What a worker had ready before its job came. `began`: perf_counter when it came.

    training: for a guest that trains.
    """

    engine: Engine
    linker: Linker
    watch: Watch
    streams: Streams
    connection: socket.socket
    began: float
    training: Training | None = None


def run(job: Mapping[str, object], warm: Warm) -> None:
    """Start the guest, wait for it, tell how it ended."""
    engine, watch, streams, training = warm.engine, warm.watch, warm.streams, warm.training
    memory, directory = cast("int | None", job["memory"]), Path(str(job["dir"]))
    if training is None:
        limits.bound_memory(memory)
    most = cast(int, job["output"]) if training is None else training.output
    store = Store(engine)
    instances: list[Instance] = []

    def go() -> str | None:
        before = time.perf_counter()
        call = make(store)
        made = int((time.perf_counter() - before) * 1e6)
        taken = int((time.perf_counter() - warm.began) * 1e6)
        started = {"event": "started", "us": taken, "instance": made, "pid": os.getpid()}
        warm.watch.send(started)
        return call()

    try:
        streams.open(directory, limit=most, ring=bool(job["ring"]))
        native = Path(str(job["native"]))
        check_owner(native)
        make = _ready(job, native, warm, instances)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=-1 if memory is None else memory,
            memories=limits.MEMORIES,
            tables=limits.TABLES,
            table_elements=limits.TABLE_ELEMENTS,
        )
        if job["fuel"] is not None:
            store.set_fuel(cast(int, job["fuel"]))
        store.set_wasi(_wasi(job, streams, training))
        watch.guard(engine, cast("int | None", job["timeout"]), streams.drain)
        told = _told(go, watch, swollen=lambda: _swollen(instances, store, memory))
    except (WasmtimeError, OSError, ValueError) as error:
        told = {"ok": False, "error": first_line(str(error))}
    except Refusal as error:
        told = {"ok": False, "error": str(error), "refused": True}
    store.close()
    streams.close()
    if training is not None:
        told = training.finish(told, capture.read(directory, "stdout", 0, most)[1])
    watch.tell({"event": "ended", "cause": watch.cause, **told})
    os._exit(0)


def _ready(
    job: Mapping[str, object], native: Path, warm: Warm, instances: list[Instance]
) -> Callable[[Store], Callable[[], str | None]]:
    """What makes an instance and says how it is called. instances: gets it.

    Raises WasmtimeError, OSError, ValueError.
    """
    if job.get("form") == "component":
        from proplet.runtime import component

        return component.ready(warm.engine, native, job)
    if job.get("form") == "caller":
        return _caller(job, native, warm)
    module = Module.deserialize_file(warm.engine, str(native))
    if warm.training is None:
        _link(module, job, warm)

    def make(store: Store) -> Callable[[], str | None]:
        instance = warm.linker.instantiate(store, module)
        instances.append(instance)
        return _entry(instance, store, str(job["entrypoint"]), cast("list[str]", job["args"]))

    return make


def _caller(
    job: Mapping[str, object], native: Path, warm: Warm
) -> Callable[[Store], Callable[[], str | None]]:
    """The same for a component that sends HTTP requests. Raises as `_ready`."""
    from proplet.runtime import component
    from proplet.runtime.proxy_host import Host, terms_from
    from proplet.runtime.proxy_io import Exited

    ends = warm.streams.ends
    env = [(name, value) for name, value in cast("list[list[str]]", job["env"])]
    host = Host(env, _into(ends["stderr"]), _into(ends["stdout"]), terms_from(job))
    command = job["entrypoint"] == "_start"
    args = cast("list[str]", job["args"]) if command else []
    host.io.args = [str(job["name"]), *args]
    host.io.stdin = (cast("str | None", job["stdin"]) or "").encode()
    make = component.ready(warm.engine, native, job, host.linker(warm.engine))

    def start(store: Store) -> Callable[[], str | None]:
        call = make(store)
        host.begin()

        def run() -> str | None:
            try:
                return call()
            except Exited as error:
                if error.failed or not command:
                    raise
                return None

        return run

    return start


def _into(end: int) -> Callable[[bytes], None]:
    """What writes to a pipe, whole."""

    def say(data: bytes) -> None:
        while data:
            data = data[os.write(end, data) :]

    return say


def _link(module: Module, job: Mapping[str, object], warm: Warm) -> None:
    """Offer what the module imports of the guest interface."""
    if all(one.module != GUEST for one in module.imports):
        return
    from proplet.runtime.imports import Imports
    from proplet.runtime.points import PointImports, point_rows
    from proplet.runtime.told import Told
    from proplet.runtime.topics import Topics, rows_of

    say = _into(warm.streams.ends["stderr"])
    topics = Topics(warm.watch.send, rows_of(job))
    warm.watch.heard = topics.put
    env = dict(cast("list[tuple[str, str]]", job["env"]))
    told = Told(warm.watch.send)
    Imports(env, say, told.put).link(warm.linker)
    topics.link(warm.linker)
    points = PointImports(warm.watch.send, point_rows(job))
    warm.watch.ending = [points.tell, told.flush]
    points.link(warm.linker)


def _wasi(job: Mapping[str, object], streams: Streams, training: Training | None) -> WasiConfig:
    """Raises Refusal for a model that does not fit the environment."""
    wasi = WasiConfig()
    args = cast("list[str]", job["args"]) if job["entrypoint"] == "_start" else []
    wasi.argv = [str(job["name"]), *args]
    if training is None:
        wasi.env = cast("list[list[str]]", job["env"])
        mounts = cast("list[tuple[str, str, bool]]", job["mounts"])
    else:
        told = training.environment()
        taken = {name for name, _ in told}
        given = cast("list[list[str]]", job["env"])
        wasi.env = [*(row for row in given if row[0] not in taken), *told]
        mounts = [(host, guest, False) for host, guest in training.directories()]
    stdin = cast("str | None", job["stdin"])
    if stdin:
        handle = os.memfd_create("stdin")
        os.write(handle, stdin.encode())
        wasi.stdin_file = f"/proc/self/fd/{handle}"
    wasi.stdout_file = f"/proc/self/fd/{streams.ends['stdout']}"
    wasi.stderr_file = f"/proc/self/fd/{streams.ends['stderr']}"
    for host, guest, writable in mounts:
        wasi.preopen_dir(host, guest, writable)
    return wasi


def _entry(
    instance: Instance, store: Store, entrypoint: str, args: list[str]
) -> Callable[[], str | None]:
    """The call to make; its text is the result, None where stdout is."""
    exports = instance.exports(store)
    function = exports.get(entrypoint)
    if not isinstance(function, Func):
        raise WasmtimeError(f"exports no function {entrypoint!r}")
    if entrypoint == "_start":

        def start() -> None:
            function(store)

        return start
    kind: FuncType = function.type(store)
    results = [str(result) for result in kind.results]
    values = read_args([str(param) for param in kind.params], args)
    prepare = exports.get("_initialize")

    def call() -> str | None:
        if isinstance(prepare, Func):
            prepare(store)
        returned = function(store, *values)
        if not results:
            return None
        return write_results(results, returned if len(results) > 1 else [returned])

    return call


def _told(call: Callable[[], str | None], watch: Watch, *, swollen: Callable[[], str]) -> Words:
    try:
        try:
            result = call()
        finally:
            watch.came_back()
    except ExitTrap as exit_:
        code = exit_.code
        return {"ok": code == 0, "exit": code, "error": f"exit {code}" if code else ""}
    except Trap as trap:
        return {"ok": False, "error": _trapped(trap, watch) + swollen()}
    except Refusal as error:
        return {"ok": False, "error": str(error), "refused": True}
    except ReturnedError as error:
        return {"ok": False, "exit": error.exit, "error": str(error)}
    except WasmtimeError as error:
        told = first_line(str(error))
        if (told == INTERRUPTED and watch.cause) or told == FUEL:
            return {"ok": False, "error": watch.cause or "used up its fuel"}
        return {"ok": False, "error": told.replace("wasm trap: ", "trapped: ", 1)}
    except ValueError as error:
        return {"ok": False, "error": first_line(str(error))}
    return {"ok": True, "exit": 0, "result": result}


def _trapped(trap: Trap, watch: Watch) -> str:
    code = trap.trap_code
    if code is TrapCode.OUT_OF_FUEL:
        return "used up its fuel"
    if code is TrapCode.INTERRUPT and watch.cause:
        return watch.cause
    return trap_words(trap)


def trap_words(trap: Trap) -> str:
    """What went wrong in the guest, and in which function."""
    code = trap.trap_code
    words = WORDS.get(code) if code is not None else None
    where = next((frame.func_name for frame in trap.frames if frame.func_name), None)
    text = f"trapped: {words or first_line(trap.message)}"
    if where:
        text += f" in {where[:80]}"
    return text


def _swollen(instances: list[Instance], store: Store, limit: int | None) -> str:
    """Words for a guest that ended near its memory limit: it probably could not get more."""
    if limit is None:
        return ""
    taken = sum(
        export.data_len(store)
        for instance in instances
        for export in instance.exports(store).values()
        if isinstance(export, Memory)
    )
    return f"; it had {size(taken)} of {size(limit)} memory" if 2 * taken >= limit else ""


def first_line(text: str) -> str:
    """What went wrong without the backtrace: the last cause of an error chain, if it has one."""
    caused = text.partition("Caused by:")[2]
    lines = [line.strip() for line in (caused or text).splitlines() if line.strip()]
    if not lines:
        return ""
    number, colon, cause = lines[-1 if caused else 0].partition(":")
    return (cause.strip() if colon and number.isdigit() else lines[-1 if caused else 0])[:200]
