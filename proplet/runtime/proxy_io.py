"""`wasi:io`, `cli`, `clocks` and `random` for components that answer HTTP requests or send some.

Runs in workers only. wasmtime's package has these as well, but nothing in Python can make one of
its streams, and a body has to be one: so these get all of them from here, and none from there.
Everything it reads and writes is in memory, so a stream is always ready, but for the body of a
response that it asked for itself (`proxy_client`).
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from wasmtime import Engine, StoreContext, WasmtimeError
from wasmtime.component import (
    Linker,
    Record,
    ResourceAny,
    ResourceHost,
    ResourceType,
    Variant,
)

from proplet.runtime.guest import ReturnedError
from proplet.runtime.virtual import Refusal

Call: TypeAlias = Callable[..., object]
Interface: TypeAlias = tuple[tuple[str, ...], Mapping[str, Call]]
T = TypeVar("T")

VERSION = "0.2.0"
"""The linker takes this for any version 0.2 that a component asks for."""
MOST_THINGS = 4096
"""Streams, headers, bodies and timers that one call may have at a time."""
PIECE = 64 * 1024
"""Bytes that are read or written at a time."""
LOOK = 0.25
"""Seconds between two looks at the time of a guest that waits for others."""


class Reading:
    """An input stream over bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def ready(self) -> bool:
        """Whether a read gives something, or the end."""
        return True

    def read(self, most: int) -> bytes | None:
        """None at the end, where WASI says closed; b"" before anything came. Raises Broken."""
        if self._at >= len(self._data):
            return None
        piece = self._data[self._at : self._at + min(most, PIECE)]
        self._at += len(piece)
        return piece


class Writing:
    """An output stream. put: takes what is written, and may raise."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.put = put


class Timer:
    """A pollable. at: monotonic nanoseconds; 0 is ready at once."""

    def __init__(self, at: int = 0) -> None:
        self.at = at

    def ready(self) -> bool:
        return time.monotonic_ns() >= self.at


class Gate:
    """A pollable of what others bring."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self.ready = ready


class Broken(Exception):
    """A stream that failed. code: of `wasi:http`."""

    def __init__(self, code: Variant) -> None:
        super().__init__(code.tag)
        self.code = code


class Exited(ReturnedError):
    """The guest called `exit`. failed: with err."""

    def __init__(self, failed: bool) -> None:
        super().__init__("exit 1" if failed else "exited before it answered", int(failed))
        self.failed = failed


class Things:
    """What a guest has handles of, by number."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._all: dict[int, object] = {}
        self._next = 0

    def clear(self) -> None:
        self._all.clear()

    def kind(self, name: str) -> int:
        """The number of a kind of resource."""
        return self._kinds.setdefault(name, len(self._kinds) + 1)

    def give(self, kind: str, thing: object) -> ResourceHost:
        """A handle for the guest to own."""
        if len(self._all) >= MOST_THINGS:
            raise TooMuch(f"it has more than {MOST_THINGS} handles")
        self._next += 1
        self._all[self._next] = thing
        return ResourceHost.own(self._next, self.kind(kind))

    def get(self, handle: int, kind: type[T]) -> T:
        """What a handle is of, while the guest keeps it."""
        thing = self._all.get(handle)
        if not isinstance(thing, kind):
            raise WasmtimeError("a handle of nothing")
        return thing

    def take(self, handle: int, kind: type[T]) -> T:
        """The same, and the guest has it no more."""
        thing = self.get(handle, kind)
        del self._all[handle]
        return thing

    def dropped(self, _store: StoreContext, handle: int) -> None:
        """The guest let go of it."""
        thing = self._all.pop(handle, None)
        if isinstance(thing, Dropped):
            thing.dropped()


@runtime_checkable
class Dropped(Protocol):
    """What wants to know that the guest let go of it."""

    def dropped(self) -> None: ...


class TooMuch(Refusal):
    """A guest went beyond a limit of its host."""


def link(engine: Engine, things: Things, interfaces: Mapping[str, Interface]) -> Linker:
    """A linker that offers these and nothing else."""
    linker = Linker(engine)
    with linker.root() as root:
        for name, (resources, functions) in interfaces.items():
            with root.add_instance(f"{name}@{VERSION}") as instance:
                for resource in resources:
                    kind = ResourceType.host(things.kind(resource))
                    instance.add_resource(resource, kind, things.dropped)
                for function, call in functions.items():
                    instance.add_func(function, _numbered(call))
    return linker


def _numbered(call: Call) -> Call:
    """The function with handles as their numbers.

    Every one is turned into ours, whether it is looked at or not: wasmtime counts what was lent,
    and ends a call that leaves some of it open.
    """

    def of(store: StoreContext, value: object) -> object:
        if isinstance(value, ResourceAny):
            return value.to_host(store).rep
        if isinstance(value, list):
            return [of(store, one) for one in value]
        return value

    def called(store: StoreContext, *values: object) -> object:
        return call(*(of(store, value) for value in values))

    return called


class Io:
    """See the module. say: takes what the guest writes to stderr, and to stdout where nothing else
    does. bell: rings when a Gate may have opened. env, args, stdin: of the next call."""

    def __init__(
        self,
        things: Things,
        env: list[tuple[str, str]],
        say: Callable[[bytes], None],
        out: Callable[[bytes], None] | None = None,
    ) -> None:
        self._things, self._say, self._out = things, say, out or say
        self.env = env
        self.args: list[str] = []
        self.stdin = b""
        self.bell = threading.Condition()

    def interfaces(self) -> dict[str, Interface]:
        """By name."""
        return {
            "wasi:io/error": (("error",), {"[method]error.to-debug-string": self._told}),
            "wasi:io/poll": (
                ("pollable",),
                {
                    "[method]pollable.ready": self._ready,
                    "[method]pollable.block": self._block,
                    "poll": self._poll,
                },
            ),
            "wasi:io/streams": (("input-stream", "output-stream"), self._streams()),
            "wasi:cli/stdin": ((), {"get-stdin": lambda: self.input(Reading(self.stdin))}),
            "wasi:cli/stdout": ((), {"get-stdout": lambda: self.output(self._out)}),
            "wasi:cli/stderr": ((), {"get-stderr": lambda: self.output(self._say)}),
            "wasi:cli/environment": (
                (),
                {
                    "get-environment": lambda: list(self.env),
                    "get-arguments": lambda: list(self.args),
                    "initial-cwd": _nothing(None),
                },
            ),
            "wasi:cli/exit": ((), {"exit": _exit}),
            "wasi:cli/terminal-input": (("terminal-input",), {}),
            "wasi:cli/terminal-output": (("terminal-output",), {}),
            "wasi:cli/terminal-stdin": ((), {"get-terminal-stdin": _nothing(None)}),
            "wasi:cli/terminal-stdout": ((), {"get-terminal-stdout": _nothing(None)}),
            "wasi:cli/terminal-stderr": ((), {"get-terminal-stderr": _nothing(None)}),
            "wasi:clocks/monotonic-clock": (
                (),
                {
                    "now": time.monotonic_ns,
                    "resolution": _nothing(1),
                    "subscribe-instant": self._timer,
                    "subscribe-duration": lambda wait: self._timer(time.monotonic_ns() + wait),
                },
            ),
            "wasi:clocks/wall-clock": (
                (),
                {"now": lambda: _datetime(time.time_ns()), "resolution": lambda: _datetime(1)},
            ),
            "wasi:random/random": (
                (),
                {"get-random-bytes": _random, "get-random-u64": lambda: secrets.randbits(64)},
            ),
            "wasi:random/insecure": (
                (),
                {
                    "get-insecure-random-bytes": _random,
                    "get-insecure-random-u64": lambda: secrets.randbits(64),
                },
            ),
            "wasi:random/insecure-seed": (
                (),
                {"insecure-seed": lambda: (secrets.randbits(64), secrets.randbits(64))},
            ),
        }

    def input(self, reading: Reading) -> ResourceHost:
        """A stream for the guest to read from."""
        return self._things.give("input-stream", reading)

    def output(self, put: Callable[[bytes], None]) -> ResourceHost:
        """A stream for the guest to write to."""
        return self._things.give("output-stream", Writing(put))

    def ready(self) -> ResourceHost:
        """A pollable of what is there."""
        return self._timer(0)

    def gate(self, ready: Callable[[], bool]) -> ResourceHost:
        """A pollable of what others bring. ready: asked while the bell is held."""
        return self._things.give("pollable", Gate(ready))

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until it is: who brings something rings the bell, and time is looked at now and then."""
        with self.bell:
            while not ready():
                self.bell.wait(LOOK)

    def error(self, code: Variant) -> ResourceHost:
        """An error of a stream."""
        return self._things.give("error", Broken(code))

    def _told(self, handle: int) -> str:
        return self._things.get(handle, Broken).code.tag

    # -- timers ----------------------------------------------------------------------------------

    def _timer(self, at: int) -> ResourceHost:
        return self._things.give("pollable", Timer(at))

    def _ready(self, handle: int) -> bool:
        with self.bell:
            return self._pollable(handle).ready()

    def _block(self, handle: int) -> None:
        self._poll([handle])

    def _poll(self, handles: list[int]) -> list[int]:
        if not handles:
            raise WasmtimeError("poll of nothing")
        all_ = [self._pollable(handle) for handle in handles]
        timers = [one for one in all_ if isinstance(one, Timer)]
        if len(timers) == len(all_):
            _sleep_until(min(timer.at for timer in timers))
        with self.bell:
            while not (there := [index for index, one in enumerate(all_) if one.ready()]):
                soon = min((timer.at for timer in timers), default=None)
                left = LOOK if soon is None else (soon - time.monotonic_ns()) / 1e9
                self.bell.wait(max(0.0, min(LOOK, left)))
        return there

    def _pollable(self, handle: int) -> Timer | Gate:
        thing = self._things.get(handle, object)
        if not isinstance(thing, Timer | Gate):
            raise WasmtimeError("a handle of nothing")
        return thing

    # -- streams ---------------------------------------------------------------------------------

    def _streams(self) -> dict[str, Call]:
        own = "[method]input-stream"
        its = "[method]output-stream"
        return {
            f"{own}.read": self._read,
            f"{own}.blocking-read": self._blocking(self._read),
            f"{own}.skip": self._skip,
            f"{own}.blocking-skip": self._blocking(self._skip),
            f"{own}.subscribe": lambda it: self.gate(self._things.get(it, Reading).ready),
            f"{its}.check-write": lambda _self: PIECE,
            f"{its}.write": self._write,
            f"{its}.blocking-write-and-flush": self._write,
            f"{its}.flush": _nothing(Variant("ok")),
            f"{its}.blocking-flush": _nothing(Variant("ok")),
            f"{its}.subscribe": lambda _self: self.ready(),
            f"{its}.write-zeroes": self._zeroes,
            f"{its}.blocking-write-zeroes-and-flush": self._zeroes,
            f"{its}.splice": self._splice,
            f"{its}.blocking-splice": self._blocking_splice,
        }

    def _blocking(self, call: Call) -> Call:
        """The same once there is something to be had."""

        def blocking(handle: int, most: int) -> object:
            self.wait(self._things.get(handle, Reading).ready)
            return call(handle, most)

        return blocking

    def _read(self, handle: int, most: int) -> bytes | ResourceHost | None:
        reading = self._things.get(handle, Reading)
        try:
            with self.bell:
                return reading.read(most)
        except Broken as error:
            return self.error(error.code)

    def _skip(self, handle: int, most: int) -> int | ResourceHost | None:
        piece = self._read(handle, most)
        return len(piece) if isinstance(piece, bytes) else piece

    def _write(self, handle: int, data: bytes) -> Variant:
        try:
            self._things.get(handle, Writing).put(data)
        except Broken as error:
            return Variant("err", self.error(error.code))
        return Variant("ok")

    def _zeroes(self, handle: int, count: int) -> Variant:
        if count > PIECE:
            raise WasmtimeError("more zeroes than check-write allows")
        return self._write(handle, bytes(count))

    def _splice(self, handle: int, source: int, most: int) -> int | ResourceHost | None:
        piece = self._read(source, most)
        if not isinstance(piece, bytes):
            return piece
        said = self._write(handle, piece)
        return said.payload if said.tag == "err" else len(piece)

    def _blocking_splice(self, handle: int, source: int, most: int) -> object:
        self.wait(self._things.get(source, Reading).ready)
        return self._splice(handle, source, most)


def _nothing(value: object) -> Call:
    return lambda *_: value


def _exit(status: Variant) -> None:
    raise Exited(status.tag == "err")


def _datetime(at: int) -> Record:
    made = Record()
    made.seconds, made.nanoseconds = divmod(at, 1_000_000_000)  # type: ignore[attr-defined]
    return made


def _random(count: int) -> bytes:
    if count > PIECE:
        raise TooMuch(f"random gives at most {PIECE} bytes at a time")
    return os.urandom(count)


def _sleep_until(at: int) -> None:
    """An interrupt does not wake it: the clock thread ends the process then."""
    while (left := at - time.monotonic_ns()) > 0:
        time.sleep(min(left / 1e9, 1.0))
