"""Whether a proplet can run a module at all, before anything is sent.

Called by `placement`. Looks at what a proplet is, never at what else it holds (that is capacity)
nor at whether it is there now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from propeller.capabilities import (
    AUTONOMY,
    EXTERNAL,
    GUEST,
    MODELS,
    POINT_READ,
    POINT_WRITE,
    PUBLISH,
    RECEIVE,
    SLOTS,
    TIMED,
    TOPICS,
    engines,
    needs,
    offered_by,
    unversioned,
)
from propeller.components import CLIENT, calls_out
from propeller.deviceslots import device_slots
from propeller.model.module import Import, Module
from propeller.model.seen import Box, Facts
from propeller.model.specs import (
    Access,
    Function,
    HttpGrant,
    Modular,
    Mount,
    PointGrant,
    RunSpec,
    Timed,
    TopicGrant,
    Workload,
)
from propeller.outgoing import HTTP_WORD, covered, rules_in
from propeller.wire.point_messages import OUTPUT
from propeller.wire.timed_messages import MOST_KEPT_SMALL

NOT_HEARD = "has not said hello yet"

NO_KEY = "no key for secrets: "
"""How every reason begins for which secrets cannot be sealed to a proplet."""


def fit(obj: Workload, module: Module, facts: Facts | None, memory: int | None) -> str | None:
    """Why a proplet with these facts cannot run this, in words with numbers; None when it can.

    memory: bytes for guests after spec and hello were weighed; None or 0 where nobody says.
    """
    if facts is None:
        return NOT_HEARD
    engine = obj.run.external
    if engine and f"{EXTERNAL}{engine}" not in facts.imports:
        there = ", ".join(engines(facts.imports)) or "none"
        return f'has no external engine "{engine}" (it has {there})'
    if engine and (module.component or module.plain is not None):
        what = "a component" if module.component else "an encrypted module"
        return f"is given {what}, gives external engines plain core modules"
    if module.plain is not None and "age" not in facts.encodings:
        return "opens no encrypted modules"
    if module.component and not facts.components:
        return "is given a component, runs only core modules"
    if facts.max_module and module.size > facts.max_module:
        return f"module is {size_text(module.size)}, takes at most {size_text(facts.max_module)}"
    return (
        lacks_grant(module.imports, obj.run.capabilities)
        or lacks_topic(module.imports, obj.run.topics)
        or lacks_point(module.imports, obj.run.points)
        or lacks_requests(module.imports, obj.run)
        or _lacks_origins(obj.run.http, facts.imports)
        or _lacks_imports(module.imports, _offered(engine, facts.imports))
        or _lacks_memory(module.memory_min, obj.limits.memory, memory)
        or _lacks_memory_for_calls(obj, module, memory)
        or _lacks_mounts(obj.run.mounts, facts.mounts)
        or _lacks_models(obj, facts.imports)
        or _lacks_topics(obj, facts.imports)
        or _lacks_points(obj.run.points, facts.points)
        or _lacks_autonomy(obj, facts.imports)
        or _lacks_clock(obj, facts.imports)
    )


def lacks_grant(wanted: Iterable[Import], granted: Collection[str] | None) -> str | None:
    """What a module imports and its spec does not grant, None when it has all it needs."""
    if granted is None:
        return None
    for item in wanted:
        for word in needs(item.module, item.name):
            if word not in granted:
                name = item.name or item.module
                return f"imports {name}, which needs {word} in run.capabilities"
    return None


def lacks_topic(wanted: Iterable[Import], granted: Collection[TopicGrant]) -> str | None:
    """Whether a module publishes or hears without a topic for it in its spec, None when not."""
    names = {item.name for item in wanted if item.module == GUEST}
    if PUBLISH in names and not any(one.publish for one in granted):
        return f"imports {GUEST}.{PUBLISH}, which needs a topic with publish in run.topics"
    hears = sorted(names & RECEIVE)
    if hears and not any(one.subscribe for one in granted):
        return f"imports {GUEST}.{hears[0]}, which needs a topic with subscribe in run.topics"
    return None


def lacks_point(wanted: Iterable[Import], granted: Collection[PointGrant]) -> str | None:
    """Whether a module reads or writes points and its spec grants none, None when not."""
    names = {item.name for item in wanted if item.module == GUEST}
    if POINT_READ in names and not any(one.read for one in granted):
        return f"imports {GUEST}.{POINT_READ}, which needs a point with read in run.points"
    if POINT_WRITE in names and not any(one.write for one in granted):
        return f"imports {GUEST}.{POINT_WRITE}, which needs a point with write in run.points"
    return None


def lacks_requests(wanted: Iterable[Import], run: RunSpec) -> str | None:
    """Whether a component sends HTTP requests and its spec grants it none."""
    if run.http is not None or not calls_out(item.module for item in wanted):
        return None
    return f"imports {CLIENT}, which needs run.http"


def lacks_box(obj: Workload, box: Box) -> str | None:
    """Why the secrets of `obj` cannot be sealed to a proplet, None when they can or it has none."""
    if not obj.run.secrets or box.believed:
        return None
    return NO_KEY + (box.trouble or "it announces no encryption key")


def memory_need(obj: Modular, module: Module | None) -> int:
    """Bytes to set aside for one copy: what all the instances that it may have at once need."""
    each = instance_need(obj, module)
    return each * obj.calls.concurrency if isinstance(obj, Function) else each


def instance_need(obj: Modular, module: Module | None) -> int:
    """Bytes of one instance: its limit, or less where the module cannot grow that far."""
    limit = obj.limits.memory
    if module is None:
        return limit or 0
    if limit is None:
        return module.memory_max if module.memory_max is not None else module.memory_min
    return limit if module.memory_max is None else min(limit, module.memory_max)


def lacks_room_for_two(
    old: tuple[Workload, Module], new: tuple[Workload, Module], memory: int | None, tasks: int
) -> str | None:
    """Why a proplet cannot have the old copy and the new one at once, None when it can.

    memory: bytes for guests, tasks: guests at once; None or 0 where nobody says.
    """
    if tasks == 1:
        return "runs one guest at a time"
    before, after = memory_need(*old), memory_need(*new)
    if memory and before + after > memory:
        return f"needs {size_text(before)} and {size_text(after)}, has {size_text(memory)}"
    return None


def _offered(engine: str, imports: frozenset[str]) -> frozenset[str]:
    return offered_by(engine, imports) if engine else imports


def _lacks_imports(wanted: Iterable[Import], offered: frozenset[str]) -> str | None:
    missing = sorted(
        {
            f"{item.module}.{item.name}".removesuffix(".")
            for item in wanted
            if unversioned(item.module) not in offered
            and f"{item.module}.{item.name}" not in offered
        }
    )
    if not missing:
        return None
    rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"does not provide import {missing[0]}{rest}"


def _lacks_memory(needed: int, limit: int | None, memory: int | None) -> str | None:
    if limit is not None and needed > limit:
        return f"needs {size_text(needed)} of linear memory, limit is {size_text(limit)}"
    if memory and needed > memory:
        return f"needs {size_text(needed)} of linear memory, has {size_text(memory)}"
    return None


def _lacks_memory_for_calls(obj: Workload, module: Module, memory: int | None) -> str | None:
    if not isinstance(obj, Function) or not memory:
        return None
    most, needed = obj.calls.concurrency, memory_need(obj, module)
    if needed <= memory:
        return None
    return f"needs {size_text(needed)} for {most} calls at a time, has {size_text(memory)}"


def _lacks_mounts(wanted: Iterable[Mount], offered: frozenset[str]) -> str | None:
    for mount in wanted:
        writable = f"{mount.name}:rw" in offered
        if mount.access is Access.READ_WRITE and not writable:
            if mount.name in offered:
                return f'offers mount "{mount.name}" read-only'
            return f'does not offer mount "{mount.name}"'
        if not writable and mount.name not in offered:
            return f'does not offer mount "{mount.name}"'
    return None


def _lacks_models(obj: Workload, offered: frozenset[str]) -> str | None:
    """A device that does not know of models would start the guest without them."""
    if not obj.run.models or MODELS in offered:
        return None
    return "does not hand models to guests (run.models)"


def _lacks_topics(obj: Workload, offered: frozenset[str]) -> str | None:
    """A device that does not know of topics would start the guest without them."""
    if not obj.run.topics or TOPICS in offered:
        return None
    return "carries no messages for guests (run.topics)"


def _lacks_points(wanted: Iterable[PointGrant], offered: frozenset[str]) -> str | None:
    """Sensors and outputs are facts about a device, as its mounts are."""
    for point in wanted:
        if point.read is not None and point.read not in offered:
            return f'has no sensor "{point.read}"'
        if point.write is not None and f"{point.write}{OUTPUT}" not in offered:
            return f'has no output "{point.write}"'
    return None


def _lacks_origins(grant: HttpGrant | None, offered: frozenset[str]) -> str | None:
    """Whether the owner of a device forbids some of what a guest is granted."""
    if grant is None:
        return None
    if HTTP_WORD not in offered:
        return "lets no guest send HTTP requests (httpAllow)"
    there = rules_in(offered)
    for rule in grant.allow:
        if not covered(rule, there):
            return f"does not let out {rule} (httpAllow)"
    return None


def _lacks_autonomy(obj: Workload, offered: frozenset[str]) -> str | None:
    """A device that does not know of budgets would go on for ever."""
    if obj.placement.autonomy is None or AUTONOMY in offered:
        return None
    return "keeps no autonomy budget (placement.autonomy)"


def _lacks_clock(obj: Workload, offered: frozenset[str]) -> str | None:
    """A device that does not know of schedules would take it for something else."""
    if not isinstance(obj, Timed) or TIMED in offered:
        return None
    if SLOTS in offered:
        told = device_slots(obj.schedule.cron, obj.schedule.time_zone)
        if obj.history > MOST_KEPT_SMALL:
            return f"holds at most {MOST_KEPT_SMALL} results of a schedule (history)"
        return told if isinstance(told, str) else None
    return "keeps no schedules (schedule.runOn: Proplet)"


def size_text(size: int) -> str:
    """Bytes for people: exact in the largest binary unit that divides, else one decimal."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            whole, rest = divmod(size, unit)
            return f"{whole} {name}" if rest == 0 else f"{size / unit:.1f} {name}"
    return f"{size} B"
