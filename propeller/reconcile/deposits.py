"""Objects that people and programs put through the API, in Apps that no source has.

Called by `requests`, inside the turn's transaction. They are planned like all others; no revision
decides about them, so none prunes them. What a source has is not touched here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from propeller.model.ids import Digest, Key
from propeller.model.inventory import Held
from propeller.model.revision import Revision
from propeller.model.specs import Object
from propeller.plan.diff import diff
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.events import Reply
    from propeller.reconcile.world import World

RUN_APP: Final = "run"
"""The App of objects made by `propeller run`."""

API_APP: Final = "api"
"""The App of objects put through `/api/v1`."""

FIRST_APP: Final = "upstream"
"""The App of tasks made through the first Propeller's routes."""

SOURCELESS: Final = frozenset({RUN_APP, API_APP, FIRST_APP})
"""Apps that no source has."""

Words = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """Want this object. by: who asks, "" for what is only put back. dry: say what would change."""

    object: Object
    by: str
    dry: bool
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Want this object of `app` no more."""

    key: Key
    app: str
    by: str
    dry: bool
    reply: Reply


def deposit(world: World, request: Deposit, now: int) -> Words:
    """Take it in; what that changes."""
    thing = request.object
    assert thing.meta.app in SOURCELESS
    held = world.find(thing.meta.key) or world.objects.get(thing.meta.uid)
    if held is not None and held.deleted_at is None and held.object.meta.app != thing.meta.app:
        return _not_ours(held)
    wanted = {thing.meta.key: thing}
    return _change(world, held, wanted, app=thing.meta.app, request=request, now=now)


def withdraw(world: World, request: Withdraw, now: int) -> Words:
    """Let it go; it leaves the inventory once every device has."""
    held = world.find(request.key)
    if held is None or held.deleted_at is not None:
        error = f"{request.key} is not in the inventory"
        return {"done": True, "error": error, "missing": True, "exit": 2}
    if held.object.meta.app != request.app:
        return _not_ours(held)
    return _change(world, held, {}, app=request.app, request=request, now=now)


def _change(
    world: World,
    held: Held | None,
    wanted: Mapping[Key, Object],
    *,
    app: str,
    request: Deposit | Withdraw,
    now: int,
) -> Words:
    revision = Revision(name=app, digest=Digest(""), objects=dict(wanted))
    change = diff({held.uid: held} if held is not None else {}, revision, now=now)
    if not change.changes:
        return {"done": True, "op": "none", "reason": "", "fields": [], "dryRun": request.dry}
    (line,) = change.changes
    if not request.dry:
        for one in change.moved():
            world.put_held(one)
        by = f" by {request.by}" if request.by else ""
        world.store.add_event(
            Event(
                at=now,
                severity="Info",
                reason=f"{line.op.value.capitalize()}d".replace("dd", "d"),
                message=f"{line.reason}{by}",
                key=line.key,
                revision=app,
            )
        )
    return {
        "done": True,
        "op": str(line.op),
        "reason": line.reason,
        # Paths only: a value may be a secret.
        "fields": [one.path for one in line.fields],
        "dryRun": request.dry,
    }


def _not_ours(held: Held) -> Words:
    theirs = held.object.meta
    error = (
        f"{theirs.key} belongs to App {theirs.app}, which has it in"
        f" {theirs.origin.file}:{theirs.origin.line}: change it there"
    )
    return {"done": True, "error": error, "exit": 2}
