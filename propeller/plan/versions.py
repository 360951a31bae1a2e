"""What makes a version of an object, and an object as one of its versions has it.

Called by the planner and by whoever turns a copy into what its device is told. Knows nothing of
steps or of copies.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.canonical import canonical_digest
from propeller.model.functions import Calls
from propeller.model.ids import Digest
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.specs import Daemon, Function, Task, Workload
from propeller.model.versions import Version
from propeller.plan.runs import run_digest, run_key


def version_digest(obj: Workload, module: Module) -> Digest:
    """Over what a device is told of `obj`, its names and the run left out.

    Placement, pruning, suspension and the rollout itself are no part of a version: editing them
    is not a new one. Limits and restarts are, although they rerun nothing. Of Secrets the names
    count and not the values: a changed one reaches all copies at once.
    """
    limits = obj.limits
    told: dict[str, object] = {
        "run": run_digest(obj, module),
        "runKey": run_key(obj),
        "secrets": [[one.name, one.secret, one.key] for one in obj.run.secrets],
        "limits": [limits.memory, limits.fuel, limits.timeout, limits.output],
    }
    if module.aot:
        told["aot"] = [[one.target, one.digest] for one in module.aot]
    match obj:
        case Task():
            told["backoff"] = [obj.retries.backoff.base, obj.retries.backoff.cap]
        case Daemon():
            told["restart"] = [str(obj.restart), obj.backoff.base, obj.backoff.cap]
            told["health"] = [obj.ready_after, obj.max_restarts]
            if isinstance(obj, Function):
                told["calls"] = told_calls(obj.calls)
    return Digest(canonical_digest(told))


def version_of(held: Held, module: Module) -> Version:
    """The version that the spec of `held`, a Task or Daemon, means now."""
    obj = held.object
    assert isinstance(obj, Task | Daemon)
    return Version(
        digest=version_digest(obj, module),
        generation=held.generation,
        revision=held.revision,
        object=obj,
        module=module,
    )


def graft(head: Workload, version: Version) -> Workload:
    """`head` with what a device is told taken from `version`: names and placement stay."""
    old = version.object
    if isinstance(head, Task) and isinstance(old, Task):
        return replace(
            head,
            module=old.module,
            run=old.run,
            limits=old.limits,
            run_key=old.run_key,
            retries=replace(head.retries, backoff=old.retries.backoff),
        )
    assert isinstance(head, Daemon) and isinstance(old, Daemon)
    told = replace(
        head,
        module=old.module,
        run=old.run,
        limits=old.limits,
        restart=old.restart,
        backoff=old.backoff,
        ready_after=old.ready_after,
        max_restarts=old.max_restarts,
    )
    if isinstance(told, Function) and isinstance(old, Function):
        return replace(told, calls=old.calls)
    return told


def told_calls(calls: Calls) -> list[object]:
    """What a device is told of how a Function is called."""
    told = (calls.concurrency, calls.queue, calls.ready, calls.max_invocations)
    return [str(calls.interface), *told]


def usable(version: Version | None, head: Workload) -> bool:
    """Whether `head` can be run as that version: they are of one kind."""
    return version is not None and type(version.object) is type(head)


def short(digest: Digest) -> str:
    """Enough of a digest to tell versions of one object apart."""
    return digest[:19]
