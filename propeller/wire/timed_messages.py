"""A schedule that a device keeps by its own clock, and what became of its times. Pure data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MOST_KEPT = 64
"""Results of one schedule that a device holds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSchedule:
    """When the module of an entry of mode `timed` is run.

    missed: RunLatest | Skip, a time that is more than `deadline` ms late. overlap: Forbid |
    Replace, a time that comes while a run has not ended. jitter: ms that a run may begin later.
    keep: results held.
    """

    cron: str
    zone: str = "UTC"
    missed: str = "RunLatest"
    overlap: str = "Forbid"
    deadline: int = 600_000
    jitter: int = 0
    keep: int = 16


def slot_run(run: str, slot: int, attempt: int) -> str:
    """The run of one time of a schedule, as manager and device both name it. run: the entry's."""
    return hashlib.sha256(f"{run}|{slot}|{attempt}".encode()).hexdigest()[:32]
