"""What a guest may be granted beyond its own memory, by name, and the imports behind each. Pure.

`plan` and `sources` check what a module imports against what its spec is granted; `proplet` leaves
out what its owner denies. Files are granted by mounts and variables by `env`, so neither is here;
sockets are granted to nobody: a proplet gives a guest none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

WASI: Final = "wasi_snapshot_preview1"

MODELS: Final = "propeller:models"
"""What an agent lists among its imports that hands `run.models` to guests."""

EXTERNAL: Final = "external:"
"""What an agent lists among its imports begins so for each engine besides its own: `external:NAME`,
and `external:NAME:MODULE` for each import module that this engine offers besides WASI."""

WASI_NN: Final = "wasi_ephemeral_nn"
"""The import module of wasi-nn; wasmtime's Python package has none."""

AOT: Final = "aot:"
"""What an agent lists among its imports begins so for each target whose native code it runs:
`aot:ARCH/RUNTIME-VERSION`, for instance `aot:thumbv7/wamr-6`."""

TOPICS: Final = "propeller:topics"
"""What an agent lists that carries messages between guests and the topics of `run.topics`."""

AUTONOMY: Final = "propeller:autonomy"
"""What an agent lists that obeys `placement.autonomy`."""

TIMED: Final = "propeller:timed"
"""What an agent lists that keeps schedules by its own clock (`schedule.runOn: Proplet`)."""

SLOTS: Final = "propeller:slots"
"""What an agent lists that keeps schedules told as slots: it knows neither cron's language nor
time zones, and holds few results."""

GUEST: Final = "propeller"
"""The module whose functions are the guest interface (docs/reference/guest.md)."""

PUBLISH: Final = "publish"
RECEIVE: Final = frozenset({"receive", "receive_topic"})
"""Functions of the guest interface that need a topic to publish to, or one to hear."""

POINT_READ: Final = "point_read"
POINT_WRITE: Final = "point_write"
"""Functions of the guest interface that need a sensor to read, or an output to write."""

CAPABILITIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Clock": frozenset({"clock_res_get", "clock_time_get"}),
        "Random": frozenset({"random_get"}),
        "Sleep": frozenset({"poll_oneoff"}),
    }
)
"""Functions of WASI preview 1 by capability; all others need none."""

COMPONENT_WASI: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "wasi:cli/environment": (),
        "wasi:cli/exit": (),
        "wasi:cli/stdin": (),
        "wasi:cli/stdout": (),
        "wasi:cli/stderr": (),
        "wasi:cli/terminal-input": (),
        "wasi:cli/terminal-output": (),
        "wasi:cli/terminal-stdin": (),
        "wasi:cli/terminal-stdout": (),
        "wasi:cli/terminal-stderr": (),
        "wasi:clocks/monotonic-clock": ("Clock", "Sleep"),
        "wasi:clocks/wall-clock": ("Clock",),
        "wasi:filesystem/preopens": (),
        "wasi:filesystem/types": (),
        "wasi:http/outgoing-handler": (),
        "wasi:http/types": (),
        "wasi:io/error": (),
        "wasi:io/poll": (),
        "wasi:io/streams": (),
        "wasi:random/insecure": ("Random",),
        "wasi:random/insecure-seed": ("Random",),
        "wasi:random/random": ("Random",),
    }
)
"""Interfaces of WASI preview 2 that a component may import, and the capabilities each needs.

A pollable of a timer comes from the monotonic clock alone, so that is what Sleep stands for.
"""

_NEEDS: Final = {name: word for word, names in CAPABILITIES.items() for name in names}
_PREVIEW_2: Final = re.compile(r"(wasi:[a-z0-9-]+/[a-z0-9-]+)@0\.2\.[0-9]{1,4}")

_GUEST_NEEDS: Final = {"now_ms": "Clock", "random": "Random"}
"""The same of the guest interface: a clock is a clock, whatever it is called."""


def needs(module: str, name: str) -> tuple[str, ...]:
    """The capabilities that an import needs. Of a component's import `name` is "".

    >>> needs("wasi:clocks/wall-clock@0.2.3", "")
    ('Clock',)
    """
    if module == GUEST:
        return (_GUEST_NEEDS[name],) if name in _GUEST_NEEDS else ()
    if module == WASI:
        return (_NEEDS[name],) if name in _NEEDS else ()
    return COMPONENT_WASI.get(unversioned(module), ())


def unversioned(interface: str) -> str:
    """An interface of WASI 0.2 by its name alone, for all its versions are one; others unchanged.

    >>> unversioned("wasi:cli/run@0.2.6")
    'wasi:cli/run'
    """
    found = _PREVIEW_2.fullmatch(interface)
    return found[1] if found else interface


def left_without(denied: Collection[str], module: str = WASI) -> frozenset[str]:
    """Names of functions of `module` that are not there when these capabilities are denied."""
    if module == GUEST:
        return frozenset(name for name, word in _GUEST_NEEDS.items() if word in denied)
    return frozenset().union(*(CAPABILITIES[word] for word in denied))


def engines(offered: Iterable[str]) -> tuple[str, ...]:
    """Names of the external engines among what an agent lists, sorted."""
    return tuple(
        sorted(
            word.removeprefix(EXTERNAL)
            for word in offered
            if word.startswith(EXTERNAL) and word.count(":") == 1
        )
    )


def offered_by(engine: str, offered: Iterable[str]) -> frozenset[str]:
    """What guests of an external engine may import: WASI as the agent lists it, and what that
    engine is said to have besides."""
    own = f"{EXTERNAL}{engine}:"
    return frozenset(
        word.removeprefix(own)
        for word in offered
        if word.startswith(own) or word.partition(".")[0] == WASI
    )


def interfaces_without(denied: Collection[str]) -> tuple[str, ...]:
    """What is left of `COMPONENT_WASI` when these capabilities are denied, sorted."""
    return tuple(
        name for name, words in sorted(COMPONENT_WASI.items()) if not set(words) & set(denied)
    )
