"""What fits on this device: what it can never run, and what it cannot run just now. Pure.

Called by `runs` for every entry that could start.
"""

from __future__ import annotations

from collections.abc import Iterable

from propeller.capabilities import EXTERNAL, engines
from propeller.wire.messages import Entry, Free, Hello
from propeller.wire.point_messages import OUTPUT
from proplet.ceilings import Ceilings
from proplet.live import Live
from proplet.switchboard import wrong_grant
from proplet.timetable import wrong_schedule


def need(entry: Entry) -> int:
    """Bytes of memory that its guest may take, or all the guests that it may have at once."""
    return (entry.memory or 0) * (entry.serve.concurrency if entry.serve is not None else 1)


def refusal(live: Live, hello: Hello, ceilings: Ceilings) -> str:
    """Why this device will never run the newest entry of a run as it is, or ""."""
    entry = live.entry
    if entry.mode not in ("once", "daemon", "serve", "timed"):
        return f"mode {entry.mode!r} is not known here"
    if (entry.mode == "serve") != (entry.serve is not None):
        return "an entry says how it takes calls if it is kept ready for calls"
    if entry.mode != live.record.mode:
        return f"the run was listed as {live.record.mode} before: {entry.mode} needs a new run"
    if hello.max_module and entry.module.size > hello.max_module:
        return f"the module is {entry.module.size} bytes, the most here is {hello.max_module}"
    if entry.module.aot is not None:  # a device may: firmware/core/plan.c
        return f"native code for {entry.module.aot.target} is not run here"
    if hello.memory and need(entry) > hello.memory:
        return f"needs {need(entry)} bytes of memory, has {hello.memory}"
    offered = {name.removesuffix(":rw"): name.endswith(":rw") for name in hello.mounts}
    for mount in entry.mounts:
        if mount.name not in offered:
            return f"no mount {mount.name!r} here; offered: {', '.join(offered) or 'none'}"
        if mount.access == "ReadWrite" and not offered[mount.name]:
            return f"mount {mount.name!r} is read-only here"
    for point in entry.points:
        named = point.read if point.read is not None else f"{point.write}{OUTPUT}"
        if named not in hello.points:
            what = "sensor" if point.read is not None else "output"
            there = ", ".join(hello.points) or "none"
            return f"no {what} {point.read or point.write!r} here; offered: {there}"
    if entry.external is not None and f"{EXTERNAL}{entry.external}" not in hello.imports:
        there = ", ".join(engines(hello.imports)) or "none"
        return f"no external engine {entry.external!r} here; there are: {there}"
    if entry.external is not None and (entry.module.plain is not None or entry.serve is not None):
        return "external engines run plain modules of Tasks and Daemons"
    return wrong_grant(entry) or wrong_schedule(entry) or ceilings.refusal(entry)


class Room:
    """Slots and memory left beside the guests that are alive, and objects about to leave."""

    def __init__(self, hello: Hello, runs: Iterable[Live]) -> None:
        self._hello = hello
        self._alive = 0
        self._memory = 0
        self._leaving: set[str] = set()
        for live in runs:
            if live.alive:
                self.take(live.memory)
                if not live.wanted:
                    self._leaving.add(live.record.uid)

    def take(self, memory: int) -> None:
        """One more guest, which may use `memory` bytes."""
        self._alive += 1
        self._memory += memory

    def fits(self, live: Live) -> bool:
        """Whether the guest may start now: beside an older version of its object only to take over
        from it."""
        if live.record.uid in self._leaving and not live.hands_over:
            return False
        if self._hello.tasks and self._alive >= self._hello.tasks:
            return False
        most = self._hello.memory
        return not most or self._memory + need(live.entry) <= most

    def free(self, storage: int) -> Free:
        """What is left for more."""
        return Free(
            memory=max(0, self._hello.memory - self._memory),
            tasks=max(0, self._hello.tasks - self._alive),
            storage=storage,
        )
