"""A proplet as planning sees it: what it said, under what is declared and what operators hold.

Pure; called by `World`, by `diff` for a revision that is not taken yet, and at start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import PropletId
from propeller.model.seen import Seen
from propeller.model.specs import Proplet, Scheduling
from propeller.plan.aot import reads
from propeller.state.records import PropletHold

if TYPE_CHECKING:
    from propeller.reconcile.world import World


def what_planning_reads(seen: Seen) -> tuple[object, ...]:
    return (
        seen.declared,
        seen.presence,
        seen.facts,
        seen.labels,
        seen.quarantine,
        seen.cordoned,
        seen.draining,
        seen.memory,
        seen.tasks,
        seen.inst,
        seen.box,
    )


def what_delivery_reads(seen: Seen) -> tuple[object, ...]:
    return (
        seen.inst,
        seen.boot,
        seen.conn,
        seen.presence,
        seen.quarantine,
        seen.observed_fence,
        seen.observed_gen,
        seen.observed_digest,
    )


def entries_differ(before: Seen, after: Seen) -> bool:
    """Whether entries that were made for this proplet may have to be made anew."""
    if before.box.believed != after.box.believed:
        return True
    return before.facts is not after.facts and reads(before.facts) != reads(after.facts)


def resolved_proplet(seen: Seen, *, declared: Proplet | None, hold: PropletHold | None) -> Seen:
    """`seen` with what specs, runtime holds and hello say of it, in that order of weight."""
    facts = seen.facts
    labels = dict(facts.labels) if facts else {}
    scheduling = Scheduling.ENABLED
    if declared is not None:
        labels |= declared.meta.labels
        scheduling = declared.scheduling
    if hold is not None:
        for name, value in hold.labels:
            if value is None:
                labels.pop(name, None)
            else:
                labels[name] = value
        if hold.scheduling is not None:
            scheduling = Scheduling(hold.scheduling)
    memory = facts.memory if facts else None
    tasks = facts.tasks if facts else None
    if declared is not None:
        memory = declared.memory if declared.memory is not None else memory
        tasks = declared.tasks if declared.tasks is not None else tasks
    return replace(
        seen,
        declared=declared is not None,
        labels=labels if labels != seen.labels else seen.labels,
        cordoned=scheduling is not Scheduling.ENABLED,
        draining=scheduling is Scheduling.DRAIN,
        memory=memory or None,
        tasks=tasks or None,
        heartbeat=declared.heartbeat if declared is not None else seen.heartbeat,
        wake=declared.wake if declared is not None else 0,
    )


def known_devices(world: World) -> Iterable[PropletId]:
    """Every proplet to listen for by id, declared ones first, each once, sorted."""
    declared = sorted(PropletId(proplet.meta.key.name) for proplet in world.relations.declared())
    rest = sorted(set(world.proplets) - set(declared))
    return [*declared, *rest]
