"""What Propeller owns: objects with a generation, and which proplet holds which run of them.

Nothing leaves the inventory until the device says it is gone (law 4): a removed object is
a tombstone (`deleted_at`), a removed copy is `releasing`, until reports no longer list it.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.specs import Object, Suspend


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object of the inventory. Times are Unix milliseconds.

    generation moves only when the canonical spec moves. hold is a runtime suspension
    (`propeller suspend`), journalled; either it or `spec.suspend` suspends.
    last_slot: the newest cron slot fired (Unix ms), None before the first.
    orphan: it left the source but is not pruned (`prune: Never`, `protect`): what runs stays.
    """

    uid: Uid
    object: Object
    generation: int
    revision: str
    created_at: int
    changed_at: int
    deleted_at: int | None = None
    hold: Suspend | None = None
    last_slot: int | None = None
    orphan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One copy of one object on one proplet.

    cause: `once`, `daemon` or `cron:<slot as Unix ms>`, with `#<attempt>` from the second attempt.
    releasing: no longer wanted there; kept until the device confirms.
    version: what the copy runs (`model.versions`), "" where it follows the spec of its object.
    """

    uid: Uid
    proplet: PropletId
    run: RunId
    cause: str
    attempt: int = 1
    assigned_at: int
    releasing: bool = False
    version: Digest = Digest("")
