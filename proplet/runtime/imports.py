"""The `propeller` imports: what a guest may ask of its host besides WASI.

Given to the linker once a worker; `begin` says which call they are about. docs/reference/guest.md
is the page for people. An address outside of the guest's memory, or a call against a limit, ends
the guest with a reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import cast

from wasmtime import Caller, FuncType, Linker, ValType

from propeller.wire.call_messages import MAX_BODY
from proplet.runtime.exchange import Asked
from proplet.runtime.fit import PROPELLER
from proplet.runtime.virtual import Refusal, peek, poke

ABSENT = -1
MAX_RANDOM = 1 << 16
MAX_NAME = 128
MAX_LOG = 4096
MAX_METRICS = 64
LEVELS = ("error", "warning", "info", "debug")

_NOBODY = Asked("", "", "", (), b"")


class Imports:
    """See the module. log: gets what the guest says, as bytes of a line. told: gets numbers outside
    of calls."""

    def __init__(
        self,
        config: Mapping[str, str],
        log: Callable[[bytes], None],
        told: Callable[[str, float], None] | None = None,
    ) -> None:
        self._told = told
        self._config = config
        self._log = log
        self._asked = _NOBODY
        self._headers: dict[str, str] = {}
        self.output = bytearray()
        self.status = 200
        self.kind = "application/octet-stream"
        self.metrics: dict[str, float] = {}

    def begin(self, asked: Asked) -> None:
        """The call that everything is about from now on."""
        self._asked = asked
        self._headers = dict(asked.headers)
        self.output, self.status, self.metrics = bytearray(), 200, {}
        self.kind = "application/octet-stream"

    def link(self, linker: Linker) -> None:
        """Offer them all: whether a module may have what is about a call, `fit` has said."""
        i32, i64, f64 = ValType.i32(), ValType.i64(), ValType.f64()
        for name, (params, results, function) in {
            "input_len": ([], [i32], self._input_len),
            "input_read": ([i32, i32, i32], [i32], self._input_read),
            "output_write": ([i32, i32], [], self._output_write),
            "output_status": ([i32], [], self._output_status),
            "output_type": ([i32, i32], [], self._output_type),
            "request_get": ([i32, i32, i32, i32], [i32], self._request_get),
            "config_get": ([i32, i32, i32, i32], [i32], self._config_get),
            "log": ([i32, i32, i32], [], self._say),
            "metric": ([i32, i32, f64], [], self._metric),
            "now_ms": ([], [i64], self._now),
            "random": ([i32, i32], [], self._random),
        }.items():
            call = cast("Callable[..., object]", function)
            linker.define_func(PROPELLER, name, FuncType(params, results), call, access_caller=True)

    def _input_len(self, _caller: Caller) -> int:
        return len(self._asked.body)

    def _input_read(self, caller: Caller, at: int, off: int, most: int) -> int:
        off, most = off & 0xFFFFFFFF, most & 0xFFFFFFFF
        data = self._asked.body[off : off + most]
        poke(caller, at, data)
        return len(data)

    def _output_write(self, caller: Caller, at: int, length: int) -> None:
        length &= 0xFFFFFFFF
        if len(self.output) + length > MAX_BODY:
            raise Refusal(f"its answer is more than {MAX_BODY} bytes")
        self.output += peek(caller, at, length)

    def _output_status(self, _caller: Caller, status: int) -> None:
        if not 200 <= status <= 599:
            raise Refusal(f"it answered with status {status}")
        self.status = status

    def _output_type(self, caller: Caller, at: int, length: int) -> None:
        kind = self._name(caller, at, length)
        if not kind.isascii() or not kind.isprintable() or not kind:
            raise Refusal("it answered with a content type that is none")
        self.kind = kind

    def _request_get(self, caller: Caller, at: int, length: int, to: int, most: int) -> int:
        name = self._name(caller, at, length)
        asked = self._asked
        known = {"method": asked.method, "path": asked.path, "query": asked.query}
        if name.startswith("header:"):
            return _give(caller, self._headers.get(name[7:].lower()), to, most)
        return _give(caller, known.get(name), to, most)

    def _config_get(self, caller: Caller, at: int, length: int, to: int, most: int) -> int:
        return _give(caller, self._config.get(self._name(caller, at, length)), to, most)

    def _say(self, caller: Caller, level: int, at: int, length: int) -> None:
        text = peek(caller, at, min(length & 0xFFFFFFFF, MAX_LOG))
        word = LEVELS[level] if 0 <= level < len(LEVELS) else LEVELS[2]
        self._log(word.encode() + b": " + text.replace(b"\n", b" ") + b"\n")

    def _metric(self, caller: Caller, at: int, length: int, value: float) -> None:
        name = self._name(caller, at, length)
        if self._told is not None:
            self._told(name, value)
            return
        if name in self.metrics or len(self.metrics) < MAX_METRICS:
            self.metrics[name] = value

    @staticmethod
    def _now(_caller: Caller) -> int:
        return time.time_ns() // 1_000_000

    @staticmethod
    def _random(caller: Caller, at: int, length: int) -> None:
        if not 0 <= length <= MAX_RANDOM:
            raise Refusal(f"random gives at most {MAX_RANDOM} bytes at a time")
        poke(caller, at, os.urandom(length))

    @staticmethod
    def _name(caller: Caller, at: int, length: int) -> str:
        if not 0 <= length <= MAX_NAME:
            raise Refusal(f"a name has at most {MAX_NAME} bytes")
        return peek(caller, at, length).decode("utf-8", "replace")


def _give(caller: Caller, value: str | None, to: int, most: int) -> int:
    """Copy as much of the value as fits; its length, or ABSENT."""
    if value is None:
        return ABSENT
    data = value.encode()
    poke(caller, to, data[: most & 0xFFFFFFFF])
    return len(data)
