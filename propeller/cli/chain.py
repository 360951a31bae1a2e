"""The chain from commit to result: what `why` prints.

Every link says what is known, since when, by which rule, and whether the chain goes on behind it.
The first one that does not is what is in the way. `copychain` has the links of single copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from propeller.cli.chainfacts import Conditions, Facts, conditions_in, ready_of
from propeller.cli.clock import ago, span
from propeller.cli.copychain import copy_links, device_links, run_links
from propeller.cli.links import BROKEN, OK, WAITS, Chain, Link, Links, Ready, closed, grouped
from propeller.cli.names import short_digest, short_revision
from propeller.cli.planlink import broker_link, plan_link
from propeller.cli.rolloutlink import rollout_link
from propeller.cli.statuses import moment_ms
from propeller.model.drift import Drift
from propeller.model.ids import PropletId
from propeller.model.module import ModuleProblem
from propeller.model.plugins import notes_of
from propeller.model.specs import App, Daemon, FederatedTask, Modular, Proplet, Task, Workflow
from propeller.plan.apps import source_of

if TYPE_CHECKING:
    from propeller.model.inventory import Assignment, Held
    from propeller.model.specs import Suspend
    from propeller.state.records import RevisionRecord

_STEPS = {
    "GuardTripped": "guard",
    "WindowClosed": "window",
    "DependencyNotReady": "depends",
    "RevisionRefused": "source",
    "SourceUnavailable": "source",
}
"""Which link a block belongs to; all others are the placement's."""


def chain_of(facts: Facts, held: Held, *, only: PropletId | None) -> Chain:
    """The chain of an object, for one proplet or for all that have it."""
    conditions = facts.conditions(held.uid)
    ready = ready_of(conditions)
    links = list(_shared(facts, held, conditions))
    thing = held.object
    key = str(thing.meta.key)
    if isinstance(thing, App):
        return _app_chain(facts, key, thing.meta.key.name, ready, links)
    if isinstance(thing, Proplet):
        return proplet_chain(facts, PropletId(thing.meta.key.name), key, ready, links)
    copies = {
        str(assignment.proplet): assignment
        for assignment in facts.assignments
        if assignment.uid == held.uid and only in (None, assignment.proplet)
    }
    stories: dict[str, Links] = {
        name: tuple(copy_links(facts, held, copy, full=False)) for name, copy in copies.items()
    }
    if only is not None and only not in copies:
        stories[only] = (_absent(facts, held, only),)
        groups, untold = grouped(stories)
    else:
        groups, untold = grouped(
            stories, tell=lambda name: tuple(copy_links(facts, held, copies[name], full=True))
        )
    do = f"`propeller describe {key}` shows all that is known of it"
    return closed(key, ready, links, groups, untold=untold, do=do)


def _absent(facts: Facts, held: Held, only: PropletId) -> Link:
    if only not in facts.fleet:
        do = "`propeller get proplets` lists those that are known"
        return Link("placed", BROKEN, f"no proplet is called {only}", do=do, rule="NoProplet")
    what = held.object.meta.key
    do = f"see spec.placement of {what}, and `propeller describe {only}` for its labels"
    return Link("placed", WAITS, f"no copy is on {only}", do=do, rule="NotPlaced")


# -- links that every copy shares -----------------------------------------------------------------


def _shared(facts: Facts, held: Held, conditions: Conditions) -> Iterator[Link]:
    meta, now = held.object.meta, facts.now
    record = facts.record(held.revision)
    yield _commit(held, record, now)
    if record is not None:
        yield _signer(record)
    yield from _newer(facts, held)
    yield from plan_link(facts.plan_of(held.revision, meta.app), now)
    yield Link("spec", OK, f"{meta.origin.file}:{meta.origin.line}, App {meta.app}")
    for words in notes_of(held.object):
        yield Link("plugin", OK, words, rule="Plugin")
    yield from _guard(facts, meta.app, conditions)
    yield _object(held, now)
    yield from _suspended(held.hold or held.object.suspend, str(meta.key), now)
    if isinstance(held.object, Task | Daemon):
        yield _module(facts, held.object)
        yield from _allowed(conditions, held)
        yield from rollout_link(facts.courses.get(held.uid), held, ready_of(conditions), now)
        yield from _drift(held.object, conditions)
        yield from broker_link(facts.broker, ready_of(conditions), now)
    elif isinstance(held.object, FederatedTask):
        yield _module(facts, held.object)
        yield _rounds(conditions)
        yield from broker_link(facts.broker, ready_of(conditions), now)
    elif isinstance(held.object, Workflow):
        yield _steps(conditions)


def _steps(conditions: Conditions) -> Link:
    """How far the steps are; `why` of a step's Task says more of it."""
    ready = ready_of(conditions)
    state = {"True": OK, "False": BROKEN}.get(ready.status, WAITS)
    return Link("steps", state, ready.message, at=ready.at, rule=ready.reason)


def _rounds(conditions: Conditions) -> Link:
    """How far the rounds are, and what they wait for."""
    ready, blocked = ready_of(conditions), conditions.get("Blocked")
    if blocked is not None and blocked["status"] == "True":
        reason = str(blocked["reason"])
        return Link("rounds", BROKEN, f"{reason}: {blocked['message']}", rule=reason)
    state = {"True": OK, "False": BROKEN}.get(ready.status, WAITS)
    return Link("rounds", state, ready.message, at=ready.at, rule=ready.reason)


def _commit(held: Held, record: RevisionRecord | None, now: int) -> Link:
    words = short_revision(held.revision)
    if record is None:
        return Link("commit", OK, words, at=held.changed_at)
    by = f" by {record.author}" if record.author else ""
    title = record.message.partition("\n")[0]
    words += f"{by}, taken {ago(record.at, now)}"
    words += f": {title}" if title else ""
    return Link("commit", OK, words, at=record.at)


def _signer(record: RevisionRecord) -> Link:
    if record.signed_by:
        return Link("signer", OK, f"{record.signed_by}, verified", at=record.at, rule="Verified")
    if record.name.startswith("dir@"):
        return Link("signer", OK, "none: a folder is signed by nobody", at=record.at)
    return Link("signer", OK, "not asked for (git.verify: Disabled)", at=record.at, rule="Disabled")


def _newer(facts: Facts, held: Held) -> Iterator[Link]:
    """What its source says now, where that is not what was taken."""
    app = held.object.meta.app
    if app == "run":
        return
    row = facts.sources.get(source_of(app, facts.apps))
    if row is None or row["ready"] == "True":
        return
    since = moment_ms(str(row["since"]))
    reason, faults = str(row["reason"]), row["faults"]
    more = len(faults) - 1 + int(row.get("more", 0))
    told = f"{faults[0]} (and {more} more)" if more else faults[0]
    if reason == "RevisionRefused":
        name = short_revision(str(row["attempted"])) or "what is there now"
        words = f"{name} was refused {ago(since, facts.now)}: {told}"
        do = "mend it and commit again; `propeller history` has every fault of it"
        yield Link("newer", BROKEN, words, at=since, do=do, rule=reason)
        return
    words = f"the source cannot be read for {span(facts.now - since)}: {told}"
    do = "what was accepted stands; it is read again by itself once it is there"
    yield Link("source", WAITS, words, at=since, do=do, rule=reason)


def _object(held: Held, now: int) -> Link:
    changed = f"generation {held.generation}, {ago(held.changed_at, now)}"
    if held.deleted_at is None:
        words = f"{changed}, {short_digest(held.object.meta.spec_digest)}"
        return Link("object", OK, words, at=held.changed_at)
    if held.orphan:
        words = f"{changed}; left the source and is not pruned"
        do = "`propeller forget` lets go of it; put it back into the source to keep it"
        return Link("object", WAITS, words, at=held.deleted_at, do=do, rule="Orphaned")
    words = f"{changed}, {short_digest(held.object.meta.spec_digest)}"
    words += f"; deleted {ago(held.deleted_at, now)}, leaves when devices confirm"
    return Link("object", WAITS, words, at=held.deleted_at, rule="Deleting")


def _suspended(suspend: Suspend | None, key: str, now: int) -> Iterator[Link]:
    if suspend is not None and (suspend.until is None or suspend.until > now):
        until = f" for {span(suspend.until - now)} more" if suspend.until is not None else ""
        words = f"suspended by {suspend.by}{until}: {suspend.reason}"
        do = f"`propeller resume {key}`, or take spec.suspend out of its spec"
        yield Link("suspend", BROKEN, words, do=do, rule="Suspended")


def _guard(facts: Facts, app: str, conditions: Conditions) -> Iterator[Link]:
    """An edit that waits for a person's yes."""
    blocked = conditions.get("Blocked")
    if blocked is None or blocked["reason"] != "GuardTripped":
        return
    pause = facts.pauses.get(app)
    if pause is None:
        yield Link("guard", BROKEN, str(blocked["message"]), rule="GuardTripped")
        return
    words = f"{short_revision(pause.revision)} waits since {ago(pause.at, facts.now)}: "
    yield Link(
        "guard",
        BROKEN,
        words.replace(" ago:", ":") + pause.message,
        at=pause.at,
        do=f"`propeller confirm {pause.digest}` lets it happen; another commit undoes it",
        rule=f"guards.{pause.guard}",
    )


def _module(facts: Facts, thing: Modular) -> Link:
    found = facts.modules.get(thing.module)
    if found is None:
        return Link("module", WAITS, f"{thing.module} is not resolved yet")
    if isinstance(found, ModuleProblem):
        state = WAITS if found.retry else BROKEN
        do = "" if found.retry else "mend the module or the reference in its spec"
        words = f"{thing.module}: {found.reason}: {found.message}"
        return Link("module", state, words, do=do, rule=found.reason)
    words = f"{thing.module}, {found.size} bytes, {short_digest(found.digest)}"
    if found.plain is not None:
        words += ", encrypted"
    if found.signed is not None:
        words += f", signed by {' and '.join(found.signed.by) or 'none of the keys'}"
    return Link("module", OK, words)


def _allowed(conditions: Conditions, held: Held) -> Iterator[Link]:
    """What may keep it from its proplets: a window, another object, the placement."""
    blocked = conditions.get("Blocked")
    if blocked is not None and blocked["status"] == "True":
        reason = str(blocked["reason"])
        step = _STEPS.get(reason, "placement")
        if step != "guard":  # told further up, with its digest
            words = str(blocked["message"])
            words = words if step != "placement" else f"{reason}: {words}"
            do = _what_to_do(reason, str(held.object.meta.key))
            yield Link(step, BROKEN, words, do=do, rule=reason)
        if step == "placement":
            return
    scheduled = conditions.get("Scheduled")
    if scheduled is None:
        if held.deleted_at is None:
            yield Link("placement", WAITS, "not planned yet")
        return
    # A cron task that is not due waits for nothing a person could mend, and what is blocked by
    # something else was told already.
    good = scheduled["status"] == "True" or scheduled["reason"] == "NotDue"
    told = blocked is not None and blocked["reason"] == scheduled["reason"]
    if not told:
        reason = str(scheduled["reason"])
        yield Link("placement", OK if good else WAITS, str(scheduled["message"]), rule=reason)


def _what_to_do(reason: str, key: str) -> str:
    match reason:
        case "WindowClosed":
            return f"wait, or `propeller confirm window {key} --reason R` for this once"
        case "DependencyNotReady":
            return "`propeller why` of what it waits for"
        case "NoMatch" | "Unfit" | "NoCapacity":
            return f"change spec.placement or the needs of {key}, or add a proplet that fits"
        case "QuotaExceeded":
            return "ask who keeps the fleet's propeller.yaml for a larger quota, or want less"
        case "Held":
            return "`propeller confirm fleet` goes on without those that are not heard"
        case _:
            return ""


def _drift(thing: Task | Daemon, conditions: Conditions) -> Iterator[Link]:
    """What devices took and do not hold. It comes right by itself where it is corrected."""
    found = conditions.get("DriftDetected")
    if found is not None and found["status"] == "True":
        corrected = isinstance(thing, Daemon) and thing.drift is Drift.CORRECT
        waits = corrected and found["reason"] != "DriftFlapping"
        reason = str(found["reason"])
        words = f"{reason}: {found['message']}"
        do = "" if waits else f"`propeller describe {thing.meta.key}` shows what differs"
        yield Link("drift", WAITS if waits else BROKEN, words, do=do, rule=reason)


# -- an App, a proplet ----------------------------------------------------------------------------


def implicit_app_chain(facts: Facts, name: str) -> Chain | None:
    """Of an App that nobody wrote but that objects are in; None where there are none."""
    if not any(held.object.meta.app == name for held in facts.inventory.values()):
        return None
    statuses = [
        ready_of(conditions_in(row)).status
        for row in facts.statuses
        if row.uid in facts.inventory and facts.inventory[row.uid].object.meta.app == name
    ]
    good = sum(1 for status in statuses if status == "True")
    status = "True" if good == len(statuses) else "False" if "False" in statuses else "Unknown"
    ready = Ready(status, "AllReady", f"{good} of {len(statuses)} objects are ready")
    newest = next((one for one in facts.revisions if one.outcome == "accepted"), None)
    links = []
    if newest is not None:
        words = f"{short_revision(newest.name)}, taken {ago(newest.at, facts.now)}"
        links = [Link("commit", OK, words, at=newest.at), _signer(newest)]
    any_of_it = next(one for one in facts.inventory.values() if one.object.meta.app == name)
    links += list(_newer(facts, any_of_it))
    return _app_chain(facts, f"App/{name}", name, ready, links)


def _app_chain(facts: Facts, key: str, name: str, ready: Ready, links: Iterable[Link]) -> Chain:
    """The links of an App, and its objects by how they are."""
    stories: dict[str, Links] = {}
    for row in facts.statuses:
        held = facts.inventory.get(row.uid)
        if held is None or held.object.meta.app != name or str(row.key) == key:
            continue
        how = ready_of(conditions_in(row))
        state = {"True": OK, "False": BROKEN}.get(how.status, WAITS)
        do = "" if state == OK else f"`propeller why {row.key}`"
        link = Link("ready", state, how.message, at=how.at, do=do, rule=how.reason)
        stories[str(row.key)] = (link,)
    groups, untold = grouped(stories)
    return closed(key, ready, links, groups, untold=untold, what="")


def proplet_chain(
    facts: Facts, proplet: PropletId, key: str, ready: Ready, links: Iterable[Link]
) -> Chain:
    """The links of a proplet, and the copies it has."""
    hold = facts.holds.get(proplet)
    more = list(device_links(facts, proplet)) if proplet in facts.asked else []
    if not more:
        more = [link for link in device_links(facts, proplet) if link.name == "device"]
    if hold is not None and hold.scheduling in ("Cordon", "Drain"):
        reason = f": {hold.reason}" if hold.reason else ""
        by = f" by {hold.by}" if hold.by else ""
        words = f"{hold.scheduling}{by}{reason}: it takes no new work"
        more.append(Link("scheduling", OK, words, rule=hold.scheduling))
    copies: dict[str, tuple[Held, Assignment]] = {}
    for assignment in facts.assignments:
        if assignment.proplet == proplet and assignment.uid in facts.inventory:
            held = facts.inventory[assignment.uid]
            copies[str(held.object.meta.key)] = (held, assignment)
    seen = facts.fleet.get(proplet)
    stories: dict[str, Links] = {
        name: tuple(run_links(held, copy, seen, facts.now)) for name, (held, copy) in copies.items()
    }
    groups, untold = grouped(stories)
    return closed(key, ready, [*links, *more], groups, untold=untold, what="")
