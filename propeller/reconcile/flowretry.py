"""Going on with a run of a Workflow that failed, as a person asked.

One row is written, and the journal before it; the next plan does the rest. Asked twice, as after a
crash before the answer, the second is told that the run is under way.
"""

from __future__ import annotations

from collections.abc import Mapping

from propeller.plan.resuming import resumed, waiting_again, why_not
from propeller.reconcile.events import RetryFlow
from propeller.reconcile.world import World
from propeller.state.base import Journal
from propeller.state.records import Event


def retry(world: World, journal: Journal, request: RetryFlow, now: int) -> Mapping[str, object]:
    """Inside the turn's transaction; what to answer."""
    held = world.find(request.key)
    if held is None:
        error = f"{request.key} is not in the inventory"
        return {"done": True, "error": error, "exit": 2}
    flow = world.flows.known.get(held.uid)
    error = why_not(held, flow)
    if error or flow is None:
        return {"done": True, "error": error, "exit": 2}
    steps = waiting_again(flow)
    world.put_flow(resumed(flow, now), journal)
    world.store.add_event(
        Event(
            at=now,
            severity="Info",
            reason="WorkflowResumed",
            message=f"by {request.by}, with {', '.join(steps)}",
            key=request.key,
            revision=held.revision,
        )
    )
    return {"done": True, "steps": list(steps)}
