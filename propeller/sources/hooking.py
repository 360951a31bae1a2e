"""Questions to one plugin, in a process of its own: `python -m` this, by `hooks`.

Stdin: a line of JSON (`hooks.head`), the module, then each question with its length before it (32
bits, big-endian). Stdout: a line of JSON for each, as `model.plugins.answer_of` reads it. Each
question has an instance of its own, so that no answer depends on the one before. A module may
import what is here and nothing else; a Python plugin is trusted as the package it came with is.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from wasmtime import (
    Caller,
    Engine,
    Func,
    FuncType,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
)

from propeller.sources.sandbox import Refused, bound, engine, exactly, last_line, text, trapped

GROUP: Final = "propeller.plugins"
SPACE: Final = "propeller"
_TICK: Final = 0.005
_SIZE: Final = struct.Struct(">I")
_MOST: Final = 64
"""Things of one kind that an answer may say; whoever reads it takes fewer."""
_WORDS: Final = 256
_VALUE: Final = 1025
"""One byte more than may be, so that what is too long is seen to be."""

Ask = Callable[[bytes], Mapping[str, Any]]


def main() -> None:
    """See the module."""
    given = sys.stdin.buffer
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a Python plugin prints is no answer
    head = json.loads(given.readline())
    bound(head["memory"], head["processor"])
    try:
        ask = (
            _package(head) if head["python"] else _Sandbox(head, exactly(given, head["module"])).ask
        )
    except (Refused, WasmtimeError, MemoryError) as error:
        why = str(error) if isinstance(error, Refused) else last_line(str(error))
        ask = _never(why)
    for _ in range(head["questions"]):
        (size,) = _SIZE.unpack(exactly(given, _SIZE.size))
        out.write(json.dumps(ask(exactly(given, size))).encode() + b"\n")
        out.flush()


def _never(why: str) -> Ask:
    return lambda _: {"failed": why}


# -- modules --------------------------------------------------------------------------------------


class _Sandbox:
    """One module, compiled once. Raises Refused and WasmtimeError for one that is of no use."""

    def __init__(self, head: Mapping[str, Any], wasm: bytes) -> None:
        self._hook, self._fuel = head["hook"].lower(), head["fuel"]
        self._memory, self._timeout = head["memory"], head["timeout"]
        self._engine = engine()
        self._module = Module(self._engine, wasm)
        threading.Thread(target=_tick, args=(self._engine,), daemon=True).start()

    def ask(self, question: bytes) -> Mapping[str, Any]:
        """What it says to this."""
        told: dict[str, Any] = {}
        store = Store(self._engine)
        store.set_limits(memory_size=self._memory, memories=1, tables=8, table_elements=100_000)
        store.set_fuel(self._fuel)
        store.set_epoch_deadline(1 + max(1, int(self._timeout / 1000 / _TICK)))
        try:
            self._answer(store, question, told)
        except _Enough:
            pass
        except Refused as error:
            return {"failed": str(error)}
        except Trap as error:
            words = trapped(error, fuel=self._fuel, late=f"{self._timeout} ms")
            return {"failed": words, "again": error.trap_code is TrapCode.INTERRUPT}
        except (WasmtimeError, MemoryError) as error:
            return {"failed": last_line(str(error))}
        finally:
            store.close()
        return told

    def _answer(self, store: Store, question: bytes, told: dict[str, Any]) -> None:
        exports = (
            _linker(self._engine, self._hook, told).instantiate(store, self._module).exports(store)
        )
        memory = exports.get("memory")
        if not isinstance(memory, Memory):
            raise Refused("exports no memory")

        def call(name: str, kind: tuple[tuple[str, ...], tuple[str, ...]], *values: int) -> int:
            function = exports.get(name)
            if not isinstance(function, Func):
                raise Refused(f"exports no function {name}")
            found = function.type(store)
            if (tuple(map(str, found.params)), tuple(map(str, found.results))) != kind:
                raise Refused(f"{name} has other types than it should")
            answer = function(store, *values)
            return answer if isinstance(answer, int) else 0

        at = call("input", (("i32",), ("i32",)), len(question)) & 0xFFFFFFFF
        if at + len(question) > memory.data_len(store):
            raise Refused(f"{len(question)} bytes at {at} are not inside its memory")
        memory.write(store, bytearray(question), at)
        results = ("i64",) if self._hook == "place" else ()
        told["score"] = call(self._hook, ((), results))


class _Enough(Exception):
    """It has refused: there is nothing more to say."""


def _tick(made: Engine) -> None:
    while True:
        time.sleep(_TICK)
        made.increment_epoch()


def _linker(made: Engine, hook: str, told: dict[str, Any]) -> Linker:
    linker = Linker(made)
    i32 = ValType.i32()

    def refuse(caller: Caller, at: int, size: int) -> None:
        told["refused"] = text(caller, at, size, _WORDS) or "no reason given"
        raise _Enough

    def warn(caller: Caller, at: int, size: int) -> None:
        if len(told.setdefault("warnings", [])) < _MOST:
            told["warnings"].append(text(caller, at, size, _WORDS))

    def add(what: str) -> Callable[[Caller, int, int, int, int], None]:
        def adds(caller: Caller, at: int, size: int, value: int, length: int) -> None:
            if len(told.setdefault(what, {})) < _MOST:
                name = text(caller, at, size, _VALUE)
                told[what][name] = text(caller, value, length, _VALUE)

        return adds

    def ignore(*_: int) -> None:
        """Said in answer to another hook: a module has the same imports for all of them."""

    two, four = FuncType([i32, i32], []), FuncType([i32, i32, i32, i32], [])
    linker.define_func(SPACE, "warn", two, warn, access_caller=True)
    if hook == "admit":
        linker.define_func(SPACE, "refuse", two, refuse, access_caller=True)
    else:
        linker.define_func(SPACE, "refuse", two, ignore)
    for name, what in (("label", "labels"), ("annotation", "annotations"), ("env", "env")):
        if hook == "enrich":
            linker.define_func(SPACE, name, four, add(what), access_caller=True)
        else:
            linker.define_func(SPACE, name, four, ignore)
    return linker


# -- Python ---------------------------------------------------------------------------------------


def _package(head: Mapping[str, Any]) -> Ask:
    """What an installed package offers. Raises Refused where there is none."""
    points = list(entry_points(group=GROUP, name=head["python"]))
    if len(points) != 1:
        raise Refused(f"{len(points)} installed packages offer {head['python']} in {GROUP}")
    hook = head["hook"].lower()
    try:
        function = getattr(points[0].load(), hook, None)
    except Exception as error:
        raise Refused(
            f"{head['python']} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise Refused(f"{head['python']} has no function {hook}")

    def ask(question: bytes) -> Mapping[str, Any]:
        try:
            found = function(json.loads(question))
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"}
        if hook == "place":
            return {"score": found}
        if hook == "admit" and isinstance(found, str):
            return {"refused": found}
        return found if isinstance(found, dict) else {}

    return ask


if __name__ == "__main__":
    main()
