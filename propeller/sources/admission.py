"""What one object may not ask for: of its module, of its App, of whoever grants it something.

Called by `load` for every object that runs a module, with what is known of the module where the
tree has it. A module from a registry is held to its grants by the planner (`plan.fit`), once its
bytes were seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from propeller.model.ceilings import Ceilings, beyond
from propeller.model.module import Module
from propeller.model.quantities import size_text
from propeller.model.specs import Modular
from propeller.plan.fit import lacks_grant, lacks_point, lacks_requests, lacks_topic
from propeller.sources.apps import Claim
from propeller.sources.function_rules import calling_problem
from propeller.sources.nodes import Path


def refusals(
    made: Modular, module: Module | None, ceilings: Ceilings, owner: Claim
) -> Iterator[tuple[Path, str]]:
    """(field below `spec`, message) of everything that stands against taking it."""
    for field, message in beyond(made.meta.key.kind, made.run, made.limits, ceilings):
        yield field, f'{message}: spec.ceilings of App "{owner.name}"'
    if module is None:
        return
    called = calling_problem(made, module)
    if called is not None:
        yield called
    most = made.limits.memory
    if most is not None and module.memory_min > most:
        needs = size_text(module.memory_min)
        yield ("limits", "memory"), f"must be at least {needs}: {made.module} needs that to start"
    denied = lacks_grant(module.imports, made.run.capabilities)
    if denied is not None:
        yield ("run", "capabilities"), f"{made.module} {denied}"
    mute = lacks_requests(module.imports, made.run)
    if mute is not None:
        yield ("run", "http"), f"{made.module} {mute}"
    deaf = lacks_topic(module.imports, made.run.topics)
    if deaf is not None:
        yield ("run", "topics"), f"{made.module} {deaf}"
    blind = lacks_point(module.imports, made.run.points)
    if blind is not None:
        yield ("run", "points"), f"{made.module} {blind}"
