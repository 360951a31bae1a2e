"""The `propeller` imports for points: read a sensor, drive an output, each by the name of a grant.

Given to the linker of a worker. Files are read and written here, in the guest's own process: a
driver that hangs hangs this guest, whose deadline ends it. docs/reference/guest.md is the page for
people.
"""

from __future__ import annotations

import math
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from wasmtime import Caller, FuncType, Linker, ValType

from propeller.capabilities import GUEST, POINT_READ, POINT_WRITE
from proplet.runtime.pointfiles import Unanswered, read_number, write_number
from proplet.runtime.talk import Words
from proplet.runtime.virtual import Refusal, peek, poke

DONE = 0
ABSENT, BEYOND, TOO_FAST, NOTHING = -1, -2, -3, -4
MAX_NAME = 128
TELL = 1.0
"""Seconds between two words to the agent about calls that were not carried out."""


@dataclass(slots=True)
class _Point:
    """device: its name there. tokens: calls that may be made now."""

    device: str
    file: str
    rate: float
    scale: float
    offset: float
    low: float
    high: float
    tokens: float
    at: float
    driven: bool = False


@dataclass(slots=True)
class PointImports:
    """See the module. rows: what `proplet.points` says of each. send: hands words to the agent."""

    send: Callable[[Words], None]
    rows: Sequence[Sequence[object]]
    clock: Callable[[], float] = time.monotonic
    _read: dict[str, _Point] = field(default_factory=dict)
    _write: dict[str, _Point] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _told: float = -math.inf

    def __post_init__(self) -> None:
        for row in self.rows:
            name, way, device, file = cast("Sequence[str]", row[:4])
            rate, scale, offset, low, high = cast("Sequence[float]", row[4:])
            mine = self._read if way == "read" else self._write
            mine[name] = _Point(device, file, rate, scale, offset, low, high, rate, self.clock())

    def link(self, linker: Linker) -> None:
        """Offer them."""
        i32, f64 = ValType.i32(), ValType.f64()
        read = FuncType([i32, i32, i32], [i32])
        linker.define_func(GUEST, POINT_READ, read, self._reads, access_caller=True)
        write = FuncType([i32, i32, f64], [i32])
        linker.define_func(GUEST, POINT_WRITE, write, self._writes, access_caller=True)

    def _reads(self, caller: Caller, at: int, length: int, to: int) -> int:
        one = self._read.get(_name(caller, at, length))
        code = self._pace(one)
        if one is None or code:
            return code
        poke(caller, to, b"\0" * 8)  # a bad address is the guest's fault, whatever is read
        try:
            value = (read_number(one.file) + one.offset) * one.scale
        except Unanswered:
            return self._refused("pointFailed", NOTHING)
        poke(caller, to, struct.pack("<d", value))
        return DONE

    def _writes(self, caller: Caller, at: int, length: int, value: float) -> int:
        one = self._write.get(_name(caller, at, length))
        code = self._pace(one)
        if one is None or code:
            return code
        if not one.low <= value <= one.high:  # NaN too
            return self._refused("pointDenied", BEYOND)
        if not one.driven:
            one.driven = True
            self.send({"event": "drives", "name": one.device})
        try:
            write_number(one.file, value / one.scale - one.offset)
        except Unanswered:
            return self._refused("pointFailed", NOTHING)
        return DONE

    def _pace(self, one: _Point | None) -> int:
        if one is None:
            return self._refused("pointDenied", ABSENT)
        now = self.clock()
        one.tokens = min(one.rate, one.tokens + (now - one.at) * one.rate)
        one.at = now
        if one.tokens < 1:
            return self._refused("pointFast", TOO_FAST)
        one.tokens -= 1
        return DONE

    def _refused(self, why: str, code: int) -> int:
        """Count it; the agent is told at once, then once a while."""
        self._counts[why] += 1
        now = self.clock()
        if now - self._told >= TELL:
            self._told = now
            self.tell()
        return code

    def tell(self) -> None:
        """Hand over what was counted."""
        if self._counts:
            self.send({"event": "points", **self._counts})
            self._counts.clear()


def _name(caller: Caller, at: int, length: int) -> str:
    if not 0 <= length <= MAX_NAME:
        raise Refusal(f"a name has at most {MAX_NAME} bytes")
    return peek(caller, at, length).decode("utf-8", "replace")


def point_rows(job: Mapping[str, object]) -> Sequence[Sequence[object]]:
    """What a job says of points."""
    return cast("Sequence[Sequence[object]]", job.get("points") or ())
