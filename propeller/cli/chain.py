"""The chain from commit to device for one object: what `why` prints.

Every link says what is known, when, and whether the chain goes on behind it. The first one that
does not is what blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import ago, span
from propeller.cli.names import short_digest, short_revision
from propeller.model.drift import Drift
from propeller.model.ids import PropletId
from propeller.model.module import ModuleProblem
from propeller.model.seen import Presence, RunState
from propeller.model.specs import Daemon, Task

if TYPE_CHECKING:
    from propeller.model.inventory import Assignment, Held
    from propeller.model.seen import Seen, SeenRun
    from propeller.state.base import Asked
    from propeller.state.sqlite import SqliteStore

OK, WAITS, BROKEN = "ok", "waits", "broken"


@dataclass(frozen=True, slots=True)
class Link:
    """One step. state: ok, waits (it may come by itself) or broken (it will not)."""

    name: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Links every copy shares, those of each proplet, and what is in the way ("" for nothing)."""

    object: str
    ready: str
    message: str
    links: tuple[Link, ...]
    copies: Mapping[str, tuple[Link, ...]]
    blocked: str
    refused: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": "Why",
            "object": self.object,
            "ready": self.ready,
            "message": self.message,
            "links": [asdict(link) for link in self.links],
            "copies": {
                proplet: [asdict(link) for link in links] for proplet, links in self.copies.items()
            },
            "blocked": self.blocked or None,
        }


def chain_of(
    store: SqliteStore,
    held: Held,
    conditions: Mapping[str, Mapping[str, Any]],
    *,
    only: PropletId | None,
    now: int,
) -> Chain:
    """The chain of `held`, for one proplet or for all that have it. conditions: by type."""
    links = tuple(_shared(store, held, conditions, now))
    copies = {
        str(assignment.proplet): tuple(_copy(store, held, assignment, now))
        for assignment in store.assignments()
        if assignment.uid == held.uid and only in (None, assignment.proplet)
    }
    if only is not None and only not in copies:
        copies[only] = (Link("placed", WAITS, f"no copy is on {only}"),)
    ready = conditions.get("Ready", {})
    return Chain(
        object=str(held.object.meta.key),
        ready=str(ready.get("status", "Unknown")),
        message=str(ready.get("message") or ready.get("reason") or "not looked at yet"),
        links=links,
        copies=copies,
        blocked=_blocked(links, copies),
    )


def _blocked(links: tuple[Link, ...], copies: Mapping[str, tuple[Link, ...]]) -> str:
    for link in links:
        if link.state != OK:
            return f"{link.name}: {link.words}"
    for state in (BROKEN, WAITS):
        for proplet, chain in copies.items():
            for link in chain:
                if link.state == state:
                    return f"{link.name} on {proplet}: {link.words}"
    return ""


def _shared(
    store: SqliteStore, held: Held, conditions: Mapping[str, Mapping[str, Any]], now: int
) -> Iterator[Link]:
    meta = held.object.meta
    revisions = store.revisions(1000)
    yield _commit(held, revisions, now)
    yield from _refusal(held, revisions, now)
    yield Link("spec", OK, f"{meta.origin.file}:{meta.origin.line}, App {meta.app}")
    changed = f"generation {held.generation}, {ago(held.changed_at, now)}"
    state, words = OK, f"{changed}, {short_digest(meta.spec_digest)}"
    if held.deleted_at is not None:
        state = WAITS
        words += f"; deleted {ago(held.deleted_at, now)}, leaves when devices confirm"
        if held.orphan:
            words = f"{changed}; left the source and is not pruned"
    yield Link("object", state, words)
    suspend = held.hold or held.object.suspend
    if suspend is not None and (suspend.until is None or suspend.until > now):
        until = f" for {span(suspend.until - now)} more" if suspend.until is not None else ""
        yield Link("suspend", BROKEN, f"suspended by {suspend.by}{until}: {suspend.reason}")
    if isinstance(held.object, Task | Daemon):
        yield _module(store, held.object)
        yield _placement(conditions)
        yield from _drift(held.object, conditions)


def _commit(held: Held, revisions: list[Any], now: int) -> Link:
    record = next(
        (one for one in revisions if one.name == held.revision and one.outcome == "accepted"), None
    )
    words = short_revision(held.revision)
    if record is not None:
        by = f" by {record.author}" if record.author else ""
        title = record.message.partition("\n")[0]
        words += f"{by}, taken {ago(record.at, now)}"
        words += f": {title}" if title else ""
    return Link("commit", OK, words)


def _refusal(held: Held, revisions: list[Any], now: int) -> Iterator[Link]:
    """A newer revision that was refused: what it says is not what runs."""
    if revisions and revisions[0].outcome == "rejected" and held.object.meta.app != "run":
        newest = revisions[0]
        fault = newest.faults[0] if newest.faults else "it cannot be read"
        name = short_revision(newest.name) or "what is there now"
        yield Link("newer", BROKEN, f"{name} was refused {ago(newest.at, now)}: {fault}")


def _module(store: SqliteStore, thing: Task | Daemon) -> Link:
    found = store.modules().get(thing.module)
    if found is None:
        return Link("module", WAITS, f"{thing.module} is not resolved yet")
    if isinstance(found, ModuleProblem):
        state = WAITS if found.retry else BROKEN
        return Link("module", state, f"{thing.module}: {found.reason}: {found.message}")
    return Link("module", OK, f"{thing.module}, {found.size} bytes, {short_digest(found.digest)}")


def _placement(conditions: Mapping[str, Mapping[str, Any]]) -> Link:
    blocked = conditions.get("Blocked")
    if blocked is not None and blocked["status"] == "True":
        return Link("placement", BROKEN, f"{blocked['reason']}: {blocked['message']}")
    scheduled = conditions.get("Scheduled")
    if scheduled is None:
        return Link("placement", WAITS, "not planned yet")
    # A cron task that is not due waits for nothing a person could mend.
    state = OK if scheduled["status"] == "True" or scheduled["reason"] == "NotDue" else WAITS
    return Link("placement", state, str(scheduled["message"]))


def _drift(thing: Task | Daemon, conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[Link]:
    """What devices took and do not hold. It comes right by itself where it is corrected."""
    found = conditions.get("DriftDetected")
    if found is not None and found["status"] == "True":
        corrected = isinstance(thing, Daemon) and thing.drift is Drift.CORRECT
        waits = corrected and found["reason"] != "DriftFlapping"
        yield Link("drift", WAITS if waits else BROKEN, f"{found['reason']}: {found['message']}")


def _copy(store: SqliteStore, held: Held, assignment: Assignment, now: int) -> Iterator[Link]:
    proplet = assignment.proplet
    key = held.object.meta.key
    reason = next(
        (
            event
            for event in store.events(key=key, proplet=proplet, limit=50)
            if event.reason in ("Assigned", "Adopted")
        ),
        None,
    )
    words = f"run {assignment.run[:12]} ({assignment.cause}), {ago(assignment.assigned_at, now)}"
    if assignment.attempt > 1:
        words += f", attempt {assignment.attempt}"
    if reason is not None:
        words += f": {reason.message.removesuffix(f': on {proplet}')}"
    yield Link("placed", OK, words)
    seen = next((one for one in store.fleet() if one.id == proplet), None)
    asked = next((one for one in store.load_asked() if one.proplet == proplet), None)
    yield _asked(assignment, asked, now)
    yield _device(seen, now)
    yield _delivered(asked, seen, now)
    run = seen.runs.get((held.uid, assignment.run)) if seen is not None else None
    heard = seen is not None and seen.presence is Presence.ONLINE
    yield from _run(held, assignment, run, now, heard=heard)


def _asked(assignment: Assignment, asked: Asked | None, now: int) -> Link:
    if asked is None:
        return Link("asked", WAITS, "nothing was asked of it yet (it never said hello)")
    words = f"document {asked.fence}.{asked.gen}, {ago(asked.asked_at, now)}"
    if asked.attempts > 1:
        words += f", {asked.attempts} times"
    late = asked.asked_at < assignment.assigned_at and asked.due <= now
    return Link("asked", WAITS if late else OK, words)


def _delivered(asked: Asked | None, seen: Seen | None, now: int) -> Link:
    if asked is None or seen is None or not seen.observed_fence:
        return Link("delivered", WAITS, "the device holds no document of ours yet")
    observed = f"{seen.observed_fence}.{seen.observed_gen}"
    if (seen.observed_fence, seen.observed_gen) == (asked.fence, asked.gen):
        return Link("delivered", OK, f"the device holds {observed}")
    wait = f", asked again in {span(asked.due - now)}" if asked.due > now else ""
    return Link(
        "delivered", WAITS, f"the device holds {observed}, not {asked.fence}.{asked.gen}{wait}"
    )


def _device(seen: Seen | None, now: int) -> Link:
    if seen is None or seen.presence is Presence.UNKNOWN:
        return Link("device", WAITS, "never heard")
    if seen.quarantine:
        return Link("device", BROKEN, f"quarantined: {seen.quarantine}")
    if seen.presence is Presence.OFFLINE:
        since = seen.offline_since or seen.last_heard
        return Link("device", WAITS, f"offline, silent for {span(now - since)}")
    return Link("device", OK, f"online, heard {ago(seen.last_heard, now)}")


def _run(
    held: Held, assignment: Assignment, run: SeenRun | None, now: int, *, heard: bool
) -> Iterator[Link]:
    if assignment.releasing:
        yield Link("run", WAITS, "taken off; the device has not confirmed that it is gone")
        return
    if run is None:
        yield Link("run", WAITS, "the device has not reported it yet")
        return
    words = str(run.state)
    if not heard and not run.state.ended:
        words += " when it was last heard"
    if run.started:
        words += f", started {ago(run.started, now)}"
    if run.ended:
        words += f", ended {ago(run.ended, now)}"
    if run.restarts:
        words += f", {run.restarts} restarts"
    daemon = isinstance(held.object, Daemon)
    good = run.ready if daemon else run.state is RunState.SUCCEEDED
    failed = run.state.ended and not good
    sure = heard or run.state.ended
    yield Link("run", BROKEN if failed else OK if good and sure else WAITS, words)
    if run.error:
        yield Link("error", BROKEN if failed else WAITS, run.error)
    elif run.state.ended:
        result = run.result.strip() if run.result is not None else ""
        if run.result_digest is not None:
            result = f"{run.result_size} bytes, {short_digest(run.result_digest)}"
        status = f"exit {run.exit}, " if run.exit is not None else ""
        yield Link("result", OK, f"{status}{result}" if result else status.rstrip(", ") or "none")
