"""How much the objects of one namespace may have at a time, all of them together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """None: any number. copies: of Tasks, Daemons and Functions. memory: bytes set aside for them.
    calls: that their Functions may run at once (`calls.concurrency` of each copy)."""

    copies: int | None = None
    memory: int | None = None
    calls: int | None = None
