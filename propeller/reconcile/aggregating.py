"""One round in an aggregator module, in a process of its own: `python -m` this, by `aggregator`.

Stdin: a line of JSON (`aggregator.head`), the module, each update and at last the base as
little-endian f32. Stdout: `{"ok": true}`, a line end and the new model, or `{"why": words}`. The
process reads nothing else and writes nothing else; the guest gets two functions and no WASI.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from wasmtime import (
    Caller,
    Engine,
    Func,
    FuncType,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    ValType,
    WasmtimeError,
)

from propeller.fl.aggregators import EXPORTS, SPACE
from propeller.sources.sandbox import Refused, bound, engine, exactly, last_line, text, trapped

_TILE: Final = 1 << 20
_NAME: Final = 256
"""Bytes of a parameter's name or of a reason."""


def main() -> None:
    """See the module."""
    given, out = sys.stdin.buffer, sys.stdout.buffer
    head = json.loads(given.readline())
    bound(head["memory"], head["processor"])
    try:
        model = _computed(given, head)
    except Refused as error:
        out.write(_why(str(error)))
    except Trap as error:
        out.write(_why(trapped(error, fuel=head["fuel"], late=f"{head['seconds']} s")))
    except (WasmtimeError, MemoryError) as error:
        out.write(_why(last_line(str(error))))
    else:
        out.write(b'{"ok": true}\n')
        out.write(model)
    out.flush()


def _why(words: str) -> bytes:
    return json.dumps({"why": words}).encode() + b"\n"


def _computed(given: BinaryIO, head: Mapping[str, Any]) -> bytes:
    made = engine()
    module = Module(made, exactly(given, head["module"]))
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
    """The instance. Raises Refused for what it lacks and for addresses outside of its memory."""

    def __init__(self, instance: Instance, store: Store) -> None:
        self._store = store
        self._exports = instance.exports(store)
        memory = self._exports.get("memory")
        if not isinstance(memory, Memory):
            raise Refused("exports no memory")
        self._memory = memory

    def call(self, name: str, *values: float) -> int:
        function = self._exports.get(name)
        if not isinstance(function, Func):
            raise Refused(f"exports no function {name}")
        kind = function.type(self._store)
        types = (tuple(map(str, kind.params)), tuple(map(str, kind.results)))
        if types != EXPORTS[name]:
            raise Refused(f"{name} has other types than it should")
        found = function(self._store, *values)
        return found & 0xFFFFFFFF if isinstance(found, int) else 0

    def fill(self, given: BinaryIO, at: int, size: int) -> None:
        """The next `size` bytes of what is given, to address `at`."""
        self._within(at, size)
        for start in range(0, size, _TILE):
            data = exactly(given, min(_TILE, size - start))
            self._memory.write(self._store, bytearray(data), at + start)

    def read(self, at: int, size: int) -> bytes:
        self._within(at, size)
        return bytes(self._memory.read(self._store, at, at + size))

    def _within(self, at: int, size: int) -> None:
        if at + size > self._memory.data_len(self._store):
            raise Refused(f"{size} bytes at {at} are not inside its memory")


def _linker(made: Engine, parameters: Mapping[str, float]) -> Linker:
    linker = Linker(made)
    i32, f64 = ValType.i32(), ValType.f64()

    def parameter(caller: Caller, at: int, size: int, default: float) -> float:
        return float(parameters.get(text(caller, at, size, _NAME), default))

    def refuse(caller: Caller, at: int, size: int) -> None:
        words = text(caller, at, size, _NAME)
        raise Refused("says: " + "".join(one if one.isprintable() else "?" for one in words))

    kind = FuncType([i32, i32, f64], [f64])
    linker.define_func(SPACE, "parameter", kind, parameter, access_caller=True)
    linker.define_func(SPACE, "refuse", FuncType([i32, i32], []), refuse, access_caller=True)
    return linker


if __name__ == "__main__":
    main()
