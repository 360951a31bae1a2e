"""Links about a plan, the way to the broker, and a document's way to its device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import ago, span
from propeller.cli.links import BROKEN, OK, WAITS, Link
from propeller.cli.names import short_digest

if TYPE_CHECKING:
    from propeller.cli.chainfacts import Facts
    from propeller.cli.links import Ready
    from propeller.model.ids import PropletId
    from propeller.state.records import PlanRecord

ECHO_LATE = 180_000
"""ms after the last noted echo (they are noted once a minute) from which on nobody listens."""


def plan_link(plan: PlanRecord | None, now: int) -> Iterator[Link]:
    """What the revision meant for the inventory, and who let through what a guard held."""
    if plan is None:
        return
    words = f"{short_digest(plan.digest)}, {ago(plan.at, now)}: {counts(plan)}"
    for guard in plan.guards:
        held = f"guards.{guard.guard} of App {guard.app}"
        words += f"; {held} {f'confirmed by {guard.by}' if guard.by else 'waits'}"
    rule = f"guards.{plan.guards[0].guard}" if plan.guards else "NoGuardTripped"
    yield Link("plan", OK, words, at=plan.at, rule=rule)


def counts(plan: PlanRecord) -> str:
    """`2 created, 1 changed`."""
    parts = (("created", plan.created), ("changed", plan.changed), ("deleted", plan.deleted))
    return ", ".join(f"{count} {word}" for word, count in parts if count) or "nothing to do"


def broker_link(broker: Mapping[str, Any], ready: Ready, now: int) -> Iterator[Link]:
    """Whether the reconciler speaks with the broker, by its own echo.

    What is Ready stays so while nobody looks; what is not has this in its way.
    """
    if not broker:
        return
    connected, lost = int(broker.get("connected", 0)), int(broker.get("lost", 0))
    echo = int(broker.get("echo", 0))
    state = OK if ready.status == "True" else WAITS
    if lost > connected:
        words = f"lost {ago(lost, now)}: {broker.get('reason', '')}"
        do = "see that the broker runs; `propeller doctor` says what is wrong"
        yield Link("broker", state, words, at=lost, do=do, rule="BrokerLost")
        return
    heard = max(echo, connected)
    if now - heard > ECHO_LATE:
        words = f"our echo was last heard {ago(heard, now)}: what is said here is as old"
        do = "see that `propeller serve` or `up` runs on this state"
        yield Link("broker", state, words, at=heard, do=do, rule="NoEcho")
        return
    words = f"connected {ago(connected, now)}"
    words += f", our echo heard {ago(echo, now)}" if echo else ", our echo not heard yet"
    yield Link("broker", OK, words, at=connected, rule="EchoHeard" if echo else "Connected")


def published_link(facts: Facts, proplet: PropletId) -> Iterator[Link]:
    """Whether the document asked last is at the broker."""
    asked, one, now = facts.asked.get(proplet), facts.handings.get(proplet), facts.now
    if asked is None or one is None:
        return
    if (one.fence, one.gen) != (asked.fence, asked.gen):
        do = "it is published as soon as the broker takes it; see the link broker"
        yield Link("published", WAITS, "not given to the broker yet", do=do, rule="NotPublished")
        return
    words = ago(one.published, now) if one.published else "before it was noted"
    if one.kept:
        words += f", at the broker {ago(one.kept, now)}"
        yield Link("published", OK, words, at=one.published, rule="AtBroker")
        return
    state = OK if one.taken else WAITS
    words += ", no word of it from the broker yet"
    yield Link("published", state, words, at=one.published, rule="Published")


def delivered_link(facts: Facts, proplet: PropletId) -> Link:
    """Whether the device holds what it was asked to hold, or why it does not take it."""
    seen, asked, now = facts.fleet.get(proplet), facts.asked.get(proplet), facts.now
    one = facts.handings.get(proplet)
    mine = one if one is not None and asked is not None and one.gen == asked.gen else None
    observed = ""
    if asked is not None and seen is not None and seen.observed_fence:
        observed = f"{seen.observed_fence}.{seen.observed_gen}"
        if (seen.observed_fence, seen.observed_gen) == (asked.fence, asked.gen):
            taken = f", taken {ago(mine.taken, now)}" if mine is not None and mine.taken else ""
            at = mine.taken if mine is not None else 0
            words = f"the device holds {observed}{taken}"
            return Link("delivered", OK, words, at=at, rule="Acknowledged")
    if mine is not None and mine.refused > mine.taken:
        words = f"the device refused {mine.fence}.{mine.gen} {ago(mine.refused, now)}: {mine.why}"
        do = _refusals(mine.why, proplet)
        return Link(
            "delivered", BROKEN, words, at=mine.refused, do=do, rule="Refused", like=mine.why
        )
    if asked is None or not observed:
        words = "the device holds no document of ours yet"
        return Link("delivered", WAITS, words, rule="NothingHeld")
    wait = f", asked again in {span(asked.due - now)}" if asked.due > now else ""
    words = f"the device holds {observed}, not {asked.fence}.{asked.gen}{wait}"
    return Link("delivered", WAITS, words, rule="Pending")


def _refusals(why: str, proplet: PropletId) -> str:
    match why:
        case "unknown_kid" | "bad_signature" | "not_allowed":
            return f"{proplet} does not trust our key: it belongs to another fleet, or keys changed"
        case "too_big" | "too_many":
            return f"place less on {proplet}"
        case "body_unavailable":
            return f"{proplet} cannot fetch a long document: see its way to blobs"
        case _:
            return f"`propeller events --for proplet/{proplet}` shows how often it said so"
