"""Cron slots on the reconciler's clock: `propeller.slots` for a `Schedule` of a spec.

Called by `lifecycle`, `workflow` and whoever tells when something comes.
"""

from __future__ import annotations

from propeller import slots
from propeller.model.ids import Uid
from propeller.model.specs import Schedule
from propeller.slots import slot_after, slot_before

__all__ = ["due_at", "latest_slot", "newest_due", "next_slot", "slot_after", "slot_before"]


def next_slot(schedule: Schedule, after: int) -> int | None:
    """The first slot later than `after` (Unix ms); None when there is none within 50 years."""
    return slot_after(schedule.cron, schedule.time_zone, after)


def latest_slot(schedule: Schedule, now: int) -> int | None:
    """The last slot not later than `now` (Unix ms)."""
    return slot_before(schedule.cron, schedule.time_zone, now)


def due_at(schedule: Schedule, uid: Uid, slot: int) -> int:
    """When a slot is to be fired: up to `jitter` ms after it, always the same for one object."""
    return slots.fires_at(slot, schedule.jitter, uid)


def newest_due(schedule: Schedule, uid: Uid, now: int) -> int | None:
    """The last slot whose time has come by `now`."""
    return slots.newest_due(
        schedule.cron, schedule.time_zone, jitter=schedule.jitter, name=uid, now=now
    )
