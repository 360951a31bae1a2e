"""Letting go of what left the source on a person's word, where no device can or should confirm it.

Called by `requests`. Law 4 says that nothing leaves the inventory until the device says it is gone;
here a person says it, and it is written down who. The device still gets a document without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from propeller.model.seen import Presence
from propeller.reconcile.events import GiveUp
from propeller.reconcile.world import World
from propeller.state.records import Event


def give_up(world: World, request: GiveUp, now: int) -> Mapping[str, object]:
    """Prune what was kept and wait for no silent proplet; returns the reply.

    Only what left the source can be given up. Copies on proplets that are online are confirmed by
    them, as always.
    """
    held = world.find(request.key)
    if held is None:
        return _no(f"{request.key} is not in the inventory")
    if held.deleted_at is None:
        origin = held.object.meta.origin
        return _no(f"{request.key} is wanted by {origin.file}:{origin.line}; remove it there first")
    unheard = sorted(
        proplet
        for proplet in world.assignments.get(held.uid, ())
        if (seen := world.proplets.get(proplet)) is None or seen.presence is not Presence.ONLINE
    )
    world.put_held(replace(held, orphan=False))
    for proplet in unheard:
        world.drop_assignment(held.uid, proplet)
    words = f"given up by {request.by}"
    if request.reason:
        words += f": {request.reason}"
    if unheard:
        words += f"; not confirmed by {', '.join(unheard)}"
    world.store.add_event(
        Event(at=now, severity="Warning", reason="GivenUp", message=words, key=request.key)
    )
    return {"done": True, "unheard": unheard}


def _no(why: str) -> Mapping[str, object]:
    return {"done": True, "error": why, "exit": 2}
