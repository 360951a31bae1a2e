"""Modules that compute for us: the engine, the limits of their process, and words for their ends.

Runs in processes of their own only (`sources.hooking`, `reconcile.aggregating`): the same bytes on
every machine, no clock, no chance, no WASI.
"""

from __future__ import annotations

import resource
from typing import BinaryIO, Final

from wasmtime import Caller, Config, Engine, Memory, Trap, TrapCode

ROOM: Final = 192 << 20
"""Bytes of private memory besides the guest's."""


class Refused(Exception):
    """What stops a call, in words."""


def bound(memory: int, processor: int) -> None:
    """What the kernel holds this process to: memory of its guest in bytes, processor seconds."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_DATA, memory + ROOM),
        (resource.RLIMIT_CPU, processor),
    ):
        resource.setrlimit(what, (most, most))


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


def text(caller: Caller, at: int, size: int, most: int) -> str:
    """At most `most` bytes of a text in the guest's memory. Raises Refused for what is outside."""
    memory = caller.get("memory")
    at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
    if not isinstance(memory, Memory) or at + size > memory.data_len(caller):
        raise Refused("a text it hands out is not inside its memory")
    return bytes(memory.read(caller, at, at + min(size, most))).decode("utf-8", "replace")


def exactly(given: BinaryIO, size: int) -> bytes:
    """So many bytes. Raises Refused where there are fewer."""
    data = given.read(size)
    if len(data) != size:
        raise Refused("what it is given ended early")
    return data


def trapped(trap: Trap, *, fuel: int, late: str) -> str:
    """What ended it. late: words for its limit of time."""
    match trap.trap_code:
        case TrapCode.OUT_OF_FUEL:
            return f"used up its fuel of {fuel}"
        case TrapCode.INTERRUPT:
            return f"was not done after {late}"
        case TrapCode.MEMORY_OUT_OF_BOUNDS:
            return "trapped: access outside of its memory"
        case code:
            return f"trapped: {code.name.lower().replace('_', ' ') if code else 'unknown'}"


def last_line(words: str) -> str:
    """The cause in an error of wasmtime."""
    caused = words.partition("Caused by:")[2] or words
    lines = [line.strip() for line in caused.splitlines() if line.strip()]
    return lines[0][:200] if lines else "cannot be run"
