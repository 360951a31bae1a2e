"""The clock, the dice and the waiting of a guest that trains: the same on every run.

Called by `training` in a worker. What a guest learns here depends on the seed of the round and on
what it asked before, never on the machine: time starts at 0 and moves a millisecond a question, a
wait is over at once and moves it on, random bytes are HMAC-SHA256 of the seed.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from typing import cast

from wasmtime import Caller, FuncType, Linker, Memory, ValType

from propeller.capabilities import WASI

STEP_NS = 1_000_000
MAX_WAITS = 1024
MAX_RANDOM = 1 << 20
INVALID = 28
"""WASI's errno for an argument that makes no sense."""
_SUBSCRIPTION, _EVENT = 48, 32


class Refusal(Exception):
    """The guest asked for what it may not have: it ends here, for this reason."""


class Dice:
    """Bytes from a seed: block n is HMAC-SHA256(seed, label, 0, n as u64 little-endian)."""

    def __init__(self, seed: bytes, label: bytes) -> None:
        self._seed, self._label = seed, label
        self._block = 0
        self._left = b""

    def bytes(self, number: int) -> bytes:
        """The next so many."""
        pieces, have = [self._left], len(self._left)
        while have < number:
            text = self._label + b"\0" + struct.pack("<Q", self._block)
            pieces.append(hmac.digest(self._seed, text, "sha256"))
            self._block += 1
            have += 32
        data = b"".join(pieces)
        self._left = data[number:]
        return data[:number]


def memory_of(caller: Caller) -> Memory:
    """The guest's memory. Raises Refusal for a guest that has none to show."""
    memory = caller.get("memory")
    if not isinstance(memory, Memory):
        raise Refusal("rejected: the module exports no memory")
    return memory


def peek(caller: Caller, at: int, length: int) -> bytes:
    """Bytes of the guest. Raises Refusal outside of its memory."""
    at, length = at & 0xFFFFFFFF, length & 0xFFFFFFFF
    memory = memory_of(caller)
    if at + length > memory.data_len(caller):
        raise Refusal("rejected: an address outside of its memory")
    return bytes(memory.read(caller, at, at + length))


def poke(caller: Caller, at: int, data: bytes) -> None:
    """Put bytes into the guest. Raises Refusal outside of its memory."""
    at &= 0xFFFFFFFF
    memory = memory_of(caller)
    if at + len(data) > memory.data_len(caller):
        raise Refusal("rejected: an address outside of its memory")
    memory.write(caller, data, at)


class Virtual:
    """See the module; replaces a few functions of WASI in a linker that has them."""

    def __init__(self, seed: bytes) -> None:
        self._now = 0
        self._dice = Dice(seed, b"propeller-fl-random-v1")

    def link(self, linker: Linker) -> None:
        """Take the place of the real clock and the real randomness."""
        i32, i64 = ValType.i32(), ValType.i64()
        linker.allow_shadowing = True
        for name, params, function in (
            ("clock_time_get", [i32, i64, i32], self._time),
            ("clock_res_get", [i32, i32], self._resolution),
            ("random_get", [i32, i32], self._random),
            ("poll_oneoff", [i32, i32, i32, i32], self._poll),
        ):
            kind = FuncType(params, [i32])
            call = cast("Callable[..., int]", function)
            linker.define_func(WASI, name, kind, call, access_caller=True)
        linker.allow_shadowing = False

    def _time(self, caller: Caller, clock: int, _precision: int, at: int) -> int:
        if not 0 <= clock <= 3:
            return INVALID
        poke(caller, at, struct.pack("<Q", self._now))
        self._now += STEP_NS
        return 0

    @staticmethod
    def _resolution(caller: Caller, clock: int, at: int) -> int:
        if not 0 <= clock <= 3:
            return INVALID
        poke(caller, at, struct.pack("<Q", STEP_NS))
        return 0

    def _random(self, caller: Caller, at: int, length: int) -> int:
        if not 0 <= length <= MAX_RANDOM:
            return INVALID
        poke(caller, at, self._dice.bytes(length))
        return 0

    def _poll(self, caller: Caller, source: int, to: int, number: int, told: int) -> int:
        """Files are ready; else the first timer is, and time is what it waited for."""
        if not 0 < number <= MAX_WAITS:
            return INVALID
        data = peek(caller, source, number * _SUBSCRIPTION)
        ready: list[tuple[int, int]] = []
        timers: list[tuple[int, int]] = []
        for at in range(0, len(data), _SUBSCRIPTION):
            user, tag = struct.unpack_from("<QB", data, at)
            if tag:
                ready.append((user, tag))
                continue
            timeout, _, flags = struct.unpack_from("<QQH", data, at + 24)
            timers.append((timeout if flags & 1 else self._now + timeout, user))
        if not ready:
            self._now = max(self._now, min(due for due, _ in timers))
            ready = [(user, 0) for due, user in timers if due <= self._now]
        events = b"".join(struct.pack("<QHBxxxxxQQ", user, 0, tag, 0, 0) for user, tag in ready)
        assert len(events) == len(ready) * _EVENT
        poke(caller, to, events)
        poke(caller, told, struct.pack("<I", len(ready)))
        return 0
