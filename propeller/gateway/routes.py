"""From the store to what a gateway calls: Functions, their copies, what suspends them."""

from __future__ import annotations

from propeller.gateway.calls import Copy, Route
from propeller.gateway.holding import MOST_HELD
from propeller.model.inventory import Held
from propeller.model.specs import Function
from propeller.plan.lifecycle import suspension
from propeller.state.base import Store

DEFAULT_TIMEOUT = 30_000
BURST = 32


def routes_of(store: Store, now: int) -> dict[str, Route]:
    """Every Function by namespace/name. Raises Unavailable."""
    found: dict[str, Route] = {}
    with store.transaction():
        for held in store.functions():
            thing = held.object
            if held.deleted_at is not None or not isinstance(thing, Function):
                continue
            key = thing.meta.key
            name = f"{key.namespace}/{key.name}"
            found[name] = Route(
                uid=held.uid,
                name=name,
                timeout=thing.limits.timeout or DEFAULT_TIMEOUT,
                calls=thing.calls,
                copies=tuple(
                    Copy(one.proplet, one.run, one.max_payload) for one in store.copies_up(held.uid)
                ),
                triggers=thing.triggers,
                since=held.created_at,
                shut=_shut(held, now),
                hold=_hold(thing),
                most=_most_held(thing),
            )
    return found


def _hold(function: Function) -> int:
    scaled = function.autoscale
    return scaled.hold if scaled is not None and scaled.least == 0 else 0


def _most_held(function: Function) -> int:
    """As many as all its copies would take at once, and a burst in any case."""
    if function.autoscale is None:
        return 0
    each = function.calls.concurrency + function.calls.queue
    return min(MOST_HELD, max(BURST, function.autoscale.most * each))


def _shut(held: Held, now: int) -> str:
    suspend = suspension(held, now)
    if suspend is None:
        return ""
    by = f" by {suspend.by}" if suspend.by else ""
    return f"suspended{by}: {suspend.reason}" if suspend.reason else f"suspended{by}"
