"""The links of one copy: placed, asked, at its device, delivered, run, result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from propeller.cli.clock import ago, span
from propeller.cli.links import BROKEN, OK, WAITS, Link
from propeller.cli.names import short_digest
from propeller.cli.planlink import delivered_link, published_link
from propeller.model.module import Module
from propeller.model.seen import Presence, RunState
from propeller.model.specs import Daemon, Modular, Task

if TYPE_CHECKING:
    from propeller.cli.chainfacts import Facts
    from propeller.model.ids import PropletId
    from propeller.model.inventory import Assignment, Held
    from propeller.model.seen import Seen, SeenRun

SHOWN = 200
"""Characters of a device's error that make two stories two."""


def copy_links(facts: Facts, held: Held, assignment: Assignment, *, full: bool) -> Iterator[Link]:
    """From the planner to the result. full: with what is looked up for each copy alone."""
    proplet = assignment.proplet
    why = facts.why_placed(held.object.meta.key, proplet) if full else ""
    yield _placed(assignment, why, facts.now)
    seen = facts.fleet.get(proplet)
    yield from device_links(facts, proplet, assigned_at=assignment.assigned_at)
    yield from _native(facts, held, assignment, seen)
    yield from run_links(held, assignment, seen, facts.now)
    yield from _autonomy(held, assignment, seen, facts.now)


def _native(facts: Facts, held: Held, copy: Assignment, seen: Seen | None) -> Iterator[Link]:
    """Whether it runs native code, where its spec allows that."""
    thing = held.object
    if not isinstance(thing, Modular) or not thing.module.aot:
        return
    from propeller.plan.aot import choose
    from propeller.reconcile.documents import entries_of

    module = facts.modules.get(thing.module)
    if not isinstance(module, Module):
        return
    body = facts.store.asked_body(copy.proplet)
    told = next(
        (
            one.module.aot
            for one in (entries_of(body, lambda _: None) if body else ())
            if one.uid == held.uid and one.module.aot is not None
        ),
        None,
    )
    if told is not None:
        words = f"native code for {told.target}, {told.size} bytes, {short_digest(told.digest)}"
        yield Link("build", OK, words, like=told.digest)
        return
    known = None if seen is None else seen.facts
    found = choose(module, known, fuel=thing.limits.fuel, released=None)
    why = found.why if found.aot is None else "its native build is on no release list"
    yield Link("build", OK, f"the Wasm: {why}", like=why)


def device_links(facts: Facts, proplet: PropletId, *, assigned_at: int = 0) -> Iterator[Link]:
    """What was asked of a proplet, whether it is there, and what it holds."""
    seen = facts.fleet.get(proplet)
    yield _asked(facts, proplet, assigned_at)
    yield from published_link(facts, proplet)
    yield _device(proplet, seen, facts.now)
    yield delivered_link(facts, proplet)


def _placed(assignment: Assignment, why: str, now: int) -> Link:
    words = f"run {assignment.run[:12]} ({assignment.cause}), {ago(assignment.assigned_at, now)}"
    if assignment.attempt > 1:
        words += f", attempt {assignment.attempt}"
    if assignment.version:
        words += f", version {short_digest(assignment.version)}"
    if why:
        words += f": {why}"
    return Link("placed", OK, words, at=assignment.assigned_at, like=assignment.version)


def _asked(facts: Facts, proplet: PropletId, assigned_at: int) -> Link:
    asked = facts.asked.get(proplet)
    if asked is None:
        return Link("asked", WAITS, "nothing was asked of it yet (it never said hello)")
    words = f"document {asked.fence}.{asked.gen}, {ago(asked.asked_at, facts.now)}"
    if asked.attempts > 1:
        words += f", {asked.attempts} times"
    late = asked.asked_at < assigned_at and asked.due <= facts.now
    return Link("asked", WAITS if late else OK, words, at=asked.asked_at)


def _device(proplet: PropletId, seen: Seen | None, now: int) -> Link:
    if seen is None or seen.presence is Presence.UNKNOWN:
        do = f"start the agent of {proplet}; it says why if it cannot reach the broker"
        return Link("device", WAITS, "never heard", do=do, rule="NeverHeard")
    if seen.quarantine:
        return Link(
            "device",
            BROKEN,
            f"quarantined: {seen.quarantine}",
            at=seen.last_heard,
            do=f"`propeller events --for proplet/{proplet}` says how it came to that",
            rule=seen.quarantine,
        )
    if seen.presence is Presence.OFFLINE:
        since = seen.offline_since or seen.last_heard
        do = f"see that {proplet} has power and network; it goes on by itself"
        words = f"offline, silent for {span(now - since)}"
        return Link("device", WAITS, words, at=since, do=do, rule="Offline")
    return Link("device", OK, f"online, heard {ago(seen.last_heard, now)}", at=seen.last_heard)


def run_links(held: Held, assignment: Assignment, seen: Seen | None, now: int) -> Iterator[Link]:
    """How the run is, and what came of it."""
    key = held.object.meta.key
    run = seen.runs.get((held.uid, assignment.run)) if seen is not None else None
    heard = seen is not None and seen.presence is Presence.ONLINE
    if assignment.releasing:
        words = "taken off; the device has not confirmed that it is gone"
        yield Link("run", WAITS, words, rule="Releasing")
        return
    if run is None:
        yield Link("run", WAITS, "the device has not reported it yet", rule="NotReported")
        return
    daemon = isinstance(held.object, Daemon)
    good = run.ready if daemon else run.state is RunState.SUCCEEDED
    failed = run.state.ended and not good
    sure = heard or run.state.ended
    do = (
        f"`propeller logs {key} --proplet {assignment.proplet}` shows what it wrote"
        if failed
        else ""
    )
    if run.state is RunState.REFUSED:
        do = "the device cannot run it: change what it needs, or where it is placed"
    yield Link(
        "run",
        BROKEN if failed else OK if good and sure else WAITS,
        _run_words(run, now, heard=heard),
        at=run.ended or run.started,
        do=do,
        rule=str(run.state),
        like=f"{run.exit}",
    )
    if run.error:
        state = BROKEN if failed else WAITS
        yield Link("error", state, run.error, at=run.ended, do=do, like=run.error[:SHOWN])
    elif run.state.ended:
        yield _result(run)


def _autonomy(held: Held, assignment: Assignment, seen: Seen | None, now: int) -> Iterator[Link]:
    """How long its device goes on alone, or that it stopped by itself once."""
    thing = held.object
    budget = thing.placement.autonomy if isinstance(thing, Task | Daemon) else None
    if seen is None or budget is None:
        return
    run = seen.runs.get((held.uid, assignment.run))
    if seen.presence is Presence.OFFLINE and run is not None and not run.state.ended:
        # The device counts from its last word of us, which is not before ours of it.
        until = (seen.offline_since or seen.last_heard) + budget
        left = f"for {span(until - now)} more" if until > now else "and has stopped it by now"
        yield Link("autonomy", WAITS, f"its device goes on alone for {span(budget)}, {left}")
    elif run is not None and run.spent:
        words = f"stopped on its device {ago(run.spent, now)}: {span(budget)} without the manager"
        if run.started > run.spent and not run.state.ended:
            words += f"; started again {ago(run.started, now)}"
        yield Link("autonomy", OK, words, at=run.spent, rule="AutonomySpent")


def _run_words(run: SeenRun, now: int, *, heard: bool) -> str:
    words = str(run.state)
    if not heard and not run.state.ended:
        words += " when it was last heard"
    if run.started:
        words += f", started {ago(run.started, now)}"
    if run.ended:
        words += f", ended {ago(run.ended, now)}"
    if run.restarts:
        words += f", {run.restarts} restarts"
    return words


def _result(run: SeenRun) -> Link:
    result = run.result.strip() if run.result is not None else ""
    if run.result_digest is not None:
        result = f"{run.result_size} bytes, {short_digest(run.result_digest)}"
    status = f"exit {run.exit}, " if run.exit is not None else ""
    words = f"{status}{result}" if result else status.rstrip(", ") or "none"
    return Link("result", OK, words, at=run.ended)
