"""The `propeller` imports for messages: publish to a name, take the next message of a name.

Given to the linker of a worker. Sizes and the pace are looked at here, so that the guest is told;
the agent has the last word (`switchboard`). docs/reference/guest.md is the page for people.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from wasmtime import Caller, FuncType, Linker, ValType

from propeller.capabilities import GUEST
from proplet.runtime.talk import Words
from proplet.runtime.virtual import Refusal, peek, poke

TAKEN = 0
ABSENT, TOO_LONG, TOO_FAST, NOTHING = -1, -2, -3, -4
MAX_NAME = 128
MAX_WAIT = 60_000
"""Ms a guest may wait for a message in one call."""


@dataclass(slots=True)
class _Out:
    """size: bytes. rate: messages a second; tokens: those it may publish now."""

    size: int
    rate: int
    tokens: float
    at: float


@dataclass(slots=True)
class _In:
    """message: topic and bytes, once one came."""

    message: tuple[str, bytes] | None = None


@dataclass(slots=True)
class Topics:
    """See the module. rows: name, way (`publish`, `subscribe`), size and rate of each topic.

    send: hands a message to the agent; any thread.
    """

    send: Callable[[Words], None]
    rows: Sequence[Sequence[object]]
    clock: Callable[[], float] = time.monotonic
    _out: dict[str, _Out] = field(default_factory=dict)
    _in: dict[str, _In] = field(default_factory=dict)
    _came: threading.Condition = field(default_factory=threading.Condition)
    _topic: str = ""

    def __post_init__(self) -> None:
        for name, way, size, rate in cast("Sequence[tuple[str, str, int, int]]", self.rows):
            if way == "publish":
                self._out[name] = _Out(size, rate, float(rate), self.clock())
            else:
                self._in[name] = _In()

    def link(self, linker: Linker) -> None:
        """Offer them."""
        i32 = ValType.i32()
        for name, count, function in (
            ("publish", 4, self._publish),
            ("receive", 5, self._receive),
            ("receive_topic", 2, self._received),
        ):
            call = cast("Callable[..., object]", function)
            kind = FuncType([i32] * count, [i32])
            linker.define_func(GUEST, name, kind, call, access_caller=True)
        for name in self._in:
            self._ask(name)

    def _ask(self, name: str) -> None:
        """One message is always on its way: a guest that does not wait finds it."""
        self.send({"event": "receive", "name": name})

    def put(self, message: Words) -> None:
        """The agent hands over what was asked for. Any thread but the guest's."""
        one = self._in.get(str(message.get("name")))
        if one is None:
            return
        data = base64.b64decode(str(message.get("data", "")))
        with self._came:
            one.message = (str(message.get("topic", "")), data)
            self._came.notify_all()

    def _publish(self, caller: Caller, at: int, length: int, data: int, count: int) -> int:
        name = _name(caller, at, length)
        one, count = self._out.get(name), count & 0xFFFFFFFF
        if one is None:
            return ABSENT
        if count > one.size:
            return TOO_LONG
        payload = peek(caller, data, count)
        now = self.clock()
        one.tokens = min(float(one.rate), one.tokens + (now - one.at) * one.rate)
        one.at = now
        if one.tokens < 1:
            return TOO_FAST
        one.tokens -= 1
        text = base64.b64encode(payload).decode("ascii")
        self.send({"event": "publish", "name": name, "data": text})
        return TAKEN

    def _receive(self, caller: Caller, *given: int) -> int:
        at, length, to, most, wait = given
        name = _name(caller, at, length)
        one = self._in.get(name)
        if one is None:
            return ABSENT
        if wait > MAX_WAIT:
            raise Refusal(f"it may wait {MAX_WAIT} ms for a message, not {wait}")
        with self._came:
            self._came.wait_for(lambda: one.message is not None, max(0, wait) / 1000)
            if one.message is None:
                return NOTHING
            topic, payload = one.message
            if len(payload) > most & 0xFFFFFFFF:
                return len(payload)  # it stays until there is room for it
            one.message = None
        self._ask(name)
        self._topic = topic
        poke(caller, to, payload)
        return len(payload)

    def _received(self, caller: Caller, to: int, most: int) -> int:
        data = self._topic.encode()
        poke(caller, to, data[: most & 0xFFFFFFFF])
        return len(data)


def _name(caller: Caller, at: int, length: int) -> str:
    if not 0 <= length <= MAX_NAME:
        raise Refusal(f"a name has at most {MAX_NAME} bytes")
    return peek(caller, at, length).decode("utf-8", "replace")


def rows_of(job: Mapping[str, object]) -> Sequence[Sequence[object]]:
    """What a job says of topics."""
    return cast("Sequence[Sequence[object]]", job.get("topics") or ())
