"""What the owner of this device allows one guest at most, whatever a manager signed. Pure.

Read by `config`, asked by `capacity` for every entry that could start.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.wire.messages import Entry
from proplet.outlets import NONE as NO_OUTLETS
from proplet.outlets import Outlets
from proplet.words import milliseconds, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """None: as much as it wants. memory, output in bytes, timeout (of a once-run or a call) in ms.

    An entry that names no limit is above every ceiling, but for memory: it gets what the ceiling
    leaves. encrypted: only modules that travel encrypted are run here. outlets: where requests may
    go; nowhere, where nothing is said.
    """

    memory: int | None = None
    fuel: int | None = None
    timeout: int | None = None
    output: int | None = None
    encrypted: bool = False
    outlets: Outlets = NO_OUTLETS

    def refusal(self, entry: Entry) -> str:
        """What of the entry is more than this device's owner allows, in words, or ""."""
        if self.encrypted and entry.module.plain is None:
            return "a plain module; this proplet runs encrypted ones only (encrypted: Required)"
        if self.memory is not None and (entry.memory or 0) > self.memory:
            return f"may have {size(self.memory)} of memory here (guestMemory), asks for more"
        if self.output is not None and entry.output > self.output:
            return f"may write {size(self.output)} here (guestOutput), asks for more"
        if self.fuel is not None and (entry.fuel is None or entry.fuel > self.fuel):
            return f"may use {self.fuel} fuel here (guestFuel), asks for more"
        shut = self.outlets.refusal(entry)
        if shut or self.timeout is None or entry.mode == "daemon":
            return shut
        if entry.timeout is None or entry.timeout > self.timeout:
            return f"may run {milliseconds(self.timeout)} here (guestTimeout), asks for more"
        return ""


NONE = Ceilings()
