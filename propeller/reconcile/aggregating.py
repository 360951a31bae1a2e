"""One round in an aggregator module, in a process of its own: `python -m` this, by `aggregator`.

Stdin: a line of JSON (`aggregator.head`), the module, each update and at last the base as
little-endian f32. Stdout: `{"ok": true}`, a line end and the new model, or `{"why": words}`. The
process reads nothing else and writes nothing else; the guest gets two functions and no WASI.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from wasmtime import (
    Caller,
    Config,
    Engine,
    Func,
    FuncType,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
)

from propeller.fl.aggregators import EXPORTS, SPACE

_TILE: Final = 1 << 20
_ROOM: Final = 192 << 20
"""Bytes of private memory besides the guest's."""
_NAME: Final = 256
"""Bytes of a parameter's name or of a reason."""


class _Refused(Exception):
    """What stops the round, in words."""


def main() -> None:
    """See the module."""
    given, out = sys.stdin.buffer, sys.stdout.buffer
    head = json.loads(given.readline())
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, head["memory"]),
        (resource.RLIMIT_DATA, head["memory"] + _ROOM),
        (resource.RLIMIT_CPU, head["processor"]),
    ):
        resource.setrlimit(what, (most, most))
    try:
        model = _computed(given, head)
    except _Refused as error:
        out.write(json.dumps({"why": str(error)}).encode() + b"\n")
    except Trap as error:
        out.write(json.dumps({"why": _trapped(error, head)}).encode() + b"\n")
    except (WasmtimeError, MemoryError) as error:
        out.write(json.dumps({"why": _last_line(str(error))}).encode() + b"\n")
    else:
        out.write(b'{"ok": true}\n')
        out.write(model)
    out.flush()


def engine() -> Engine:
    """No bit of a result depends on the processor: what a NaN looks like, relaxed vectors."""
    config = Config()
    config.epoch_interruption = True
    config.consume_fuel = True
    config.wasm_threads = False
    config.parallel_compilation = False  # its threads would count as memory
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    return Engine(config)


def _computed(given: BinaryIO, head: Mapping[str, Any]) -> bytes:
    made = engine()
    module = Module(made, _exactly(given, head["module"]))
    store = Store(made)
    store.set_limits(memory_size=head["memory"], memories=1, tables=8, table_elements=100_000)
    store.set_fuel(head["fuel"])
    store.set_epoch_deadline(1)
    clock = threading.Timer(head["seconds"], made.increment_epoch)
    clock.daemon = True
    clock.start()
    guest = _Guest(_linker(made, head["parameters"]).instantiate(store, module), store)
    numbers, samples = head["numbers"], head["samples"]
    at = guest.call("begin", numbers, len(samples))
    for weight in samples:
        guest.fill(given, at, 4 * numbers)
        guest.call("update", float(weight))
    guest.fill(given, at, 4 * numbers)
    return guest.read(guest.call("finish"), 4 * numbers)


class _Guest:
    """The instance. Raises _Refused for what it lacks and for addresses outside of its memory."""

    def __init__(self, instance: Instance, store: Store) -> None:
        self._store = store
        self._exports = instance.exports(store)
        memory = self._exports.get("memory")
        if not isinstance(memory, Memory):
            raise _Refused("exports no memory")
        self._memory = memory

    def call(self, name: str, *values: float) -> int:
        function = self._exports.get(name)
        if not isinstance(function, Func):
            raise _Refused(f"exports no function {name}")
        kind = function.type(self._store)
        types = (tuple(map(str, kind.params)), tuple(map(str, kind.results)))
        if types != EXPORTS[name]:
            raise _Refused(f"{name} has other types than it should")
        found = function(self._store, *values)
        return found & 0xFFFFFFFF if isinstance(found, int) else 0

    def fill(self, given: BinaryIO, at: int, size: int) -> None:
        """The next `size` bytes of what is given, to address `at`."""
        self._within(at, size)
        for start in range(0, size, _TILE):
            data = _exactly(given, min(_TILE, size - start))
            self._memory.write(self._store, bytearray(data), at + start)

    def read(self, at: int, size: int) -> bytes:
        self._within(at, size)
        return bytes(self._memory.read(self._store, at, at + size))

    def _within(self, at: int, size: int) -> None:
        if at + size > self._memory.data_len(self._store):
            raise _Refused(f"{size} bytes at {at} are not inside its memory")


def _linker(made: Engine, parameters: Mapping[str, float]) -> Linker:
    linker = Linker(made)
    i32, f64 = ValType.i32(), ValType.f64()

    def parameter(caller: Caller, at: int, size: int, default: float) -> float:
        return float(parameters.get(_text(caller, at, size), default))

    def refuse(caller: Caller, at: int, size: int) -> None:
        words = _text(caller, at, size)
        raise _Refused("says: " + "".join(one if one.isprintable() else "?" for one in words))

    kind = FuncType([i32, i32, f64], [f64])
    linker.define_func(SPACE, "parameter", kind, parameter, access_caller=True)
    linker.define_func(SPACE, "refuse", FuncType([i32, i32], []), refuse, access_caller=True)
    return linker


def _text(caller: Caller, at: int, size: int) -> str:
    memory = caller.get("memory")
    at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
    if not isinstance(memory, Memory) or at + size > memory.data_len(caller):
        raise _Refused("a text it hands out is not inside its memory")
    return bytes(memory.read(caller, at, at + min(size, _NAME))).decode("utf-8", "replace")


def _exactly(given: BinaryIO, size: int) -> bytes:
    data = given.read(size)
    if len(data) != size:
        raise _Refused("what it is given ended early")
    return data


def _trapped(trap: Trap, head: Mapping[str, Any]) -> str:
    match trap.trap_code:
        case TrapCode.OUT_OF_FUEL:
            return f"used up its fuel of {head['fuel']}"
        case TrapCode.INTERRUPT:
            return f"was not done after {head['seconds']} s"
        case TrapCode.MEMORY_OUT_OF_BOUNDS:
            return "trapped: access outside of its memory"
        case code:
            return f"trapped: {code.name.lower().replace('_', ' ') if code else 'unknown'}"


def _last_line(text: str) -> str:
    caused = text.partition("Caused by:")[2] or text
    lines = [line.strip() for line in caused.splitlines() if line.strip()]
    return lines[0][:200] if lines else "cannot be run"


if __name__ == "__main__":
    main()
