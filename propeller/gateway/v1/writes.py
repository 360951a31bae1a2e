"""The writes of `/api/v1`: each an entry in the loop's inbox, answered after it was committed.

What belongs to a source is changed in that source; here it is suspended, resumed, steered. Objects
of the App `api` have no source: they are put and deleted here. Who asked is the caller, whatever
the body says.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from propeller.gateway.access.roles import Role
from propeller.gateway.asking import Loop, ask
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Handler, Param, Scope
from propeller.gateway.shelf import Shelf
from propeller.gateway.v1.objects import THE_OBJECT, key_of
from propeller.gateway.v1.schemas import NAMED, ref
from propeller.model.ids import PropletId, is_digest, is_wire_id
from propeller.model.specs import Suspend
from propeller.reconcile.events import (
    Confirm,
    Operate,
    Reply,
    RetryFlow,
    SetHold,
    SetProplet,
    Steer,
    SteerVerb,
)

LARGEST_SPEC: Final = 64 << 20
PATHS: Final = ("kind", "namespace", "name")


def write_entries(loop: Loop, shelf: Shelf) -> list[Entry]:
    """The part of the route table that changes something."""
    writes = Writes(loop, shelf)

    def post(
        path: str,
        handler: Handler,
        summary: str,
        takes: str,
        *,
        role: Role = Role.OPERATOR,
        scope: Scope = Scope.PATH,
        gives: str = "Done",
        method: str = "POST",
        largest: int = 1 << 16,
        query: tuple[Param, ...] = (),
    ) -> Entry:
        return Entry(
            method=method,
            path=path,
            handler=handler,
            role=role,
            scope=scope,
            summary=summary,
            body=NAMED[takes] if takes else None,
            answer=ref(gives),
            largest=largest,
            query=query,
        )

    dry = (
        Param(
            name="dryRun",
            words="only say what would change",
            schema={"type": "boolean", "default": False},
        ),
    )
    return [
        post(
            THE_OBJECT,
            writes.put,
            "want this object of the App `api`",
            "Wanted",
            role=Role.DEPLOYER,
            gives="Changed",
            method="PUT",
            largest=LARGEST_SPEC,
            query=dry,
        ),
        post(
            THE_OBJECT,
            writes.delete,
            "want this object of the App `api` no more",
            "",
            role=Role.DEPLOYER,
            gives="Changed",
            method="DELETE",
            query=dry,
        ),
        post(THE_OBJECT + "/suspend", writes.suspend, "stop it until resumed", "Suspension"),
        post(THE_OBJECT + "/resume", writes.resume, "lift a suspension", "Nothing"),
        post(
            THE_OBJECT + "/retry",
            writes.retry,
            "let a failed run of a Workflow go on from the steps that failed",
            "Nothing",
        ),
        post(THE_OBJECT + "/reject", writes.reject, "never run that version", "Version"),
        post(THE_OBJECT + "/rollback", writes.rollback, "go back to what was good", "Back"),
        post(THE_OBJECT + "/rollout", writes.rollout, "pause, resume or abort it", "Course"),
        post(THE_OBJECT + "/restart", writes.restart, "restart its copies", "Nothing"),
        post(
            "/api/v1/proplets/{proplet}/scheduling",
            writes.scheduling,
            "give a proplet work, no new work, or none",
            "Scheduling",
            scope=Scope.ALL,
        ),
        post(
            "/api/v1/plans/{digest}/confirm",
            writes.confirm,
            "let a plan happen although a guard tripped",
            "Nothing",
            role=Role.DEPLOYER,
            scope=Scope.ALL,
        ),
    ]


class Writes:
    """The handlers."""

    def __init__(self, loop: Loop, shelf: Shelf) -> None:
        self._loop = loop
        self._shelf = shelf

    # -- objects of the App `api` -------------------------------------------------------------

    async def put(self, call: Call) -> Response:
        """Want it."""
        call.caller.note = "dry run" if call.query["dryRun"] else ""
        changed = await self._shelf.put(
            key_of(call),
            call.body["document"],
            call.body.get("files", {}),
            by=call.by,
            dry=call.query["dryRun"],
        )
        return JSONResponse(changed)

    async def delete(self, call: Call) -> Response:
        """Want it no more."""
        call.caller.note = "dry run" if call.query["dryRun"] else ""
        changed = await self._shelf.drop(key_of(call), by=call.by, dry=call.query["dryRun"])
        return JSONResponse(changed)

    # -- what is there ------------------------------------------------------------------------

    async def suspend(self, call: Call) -> Response:
        """Stop it."""
        hold = Suspend(reason=call.body["reason"].strip(), by=call.by, until=call.body.get("until"))
        return await self._hold(call, hold)

    async def resume(self, call: Call) -> Response:
        """Go on."""
        return await self._hold(call, None)

    async def _hold(self, call: Call, hold: Suspend | None) -> Response:
        key = key_of(call)
        return await self._ask(lambda reply: SetHold(key=key, suspend=hold, reply=reply))

    async def retry(self, call: Call) -> Response:
        """Go on after a failure."""
        key = key_of(call)
        return await self._ask(lambda reply: RetryFlow(key=key, by=call.by, reply=reply))

    async def reject(self, call: Call) -> Response:
        """Not that version."""
        digest = call.body.get("digest", "")
        return await self._steer(call, SteerVerb.REJECT, digest=digest)

    async def rollback(self, call: Call) -> Response:
        """Back."""
        return await self._steer(call, SteerVerb.ROLLBACK, generation=call.body.get("to"))

    async def rollout(self, call: Call) -> Response:
        """Pause, resume, abort."""
        return await self._steer(call, SteerVerb(call.body["verb"]))

    async def _steer(
        self, call: Call, verb: SteerVerb, *, digest: str = "", generation: int | None = None
    ) -> Response:
        key = key_of(call)
        return await self._ask(
            lambda reply: Steer(
                key=key,
                verb=verb,
                digest=digest,
                generation=generation,
                by=call.by,
                reason=call.body["reason"].strip(),
                reply=reply,
            )
        )

    async def restart(self, call: Call) -> Response:
        """Ask every proplet that holds it; answers once they were asked."""
        key = key_of(call)
        return await self._ask(
            lambda reply: Operate(verb="restart", key=key, tail=0, reply=reply), asked=True
        )

    # -- the fleet ----------------------------------------------------------------------------

    async def scheduling(self, call: Call) -> Response:
        """Cordon, drain, enable."""
        name = call.path["proplet"]
        if not is_wire_id(name):
            raise Problem(404, "there is no such proplet")
        return await self._ask(
            lambda reply: SetProplet(
                proplet=PropletId(name),
                scheduling=call.body["scheduling"],
                by=call.by,
                reason=call.body["reason"].strip(),
                reply=reply,
            )
        )

    async def confirm(self, call: Call) -> Response:
        """Let it happen."""
        digest = call.path["digest"]
        if not is_digest(digest):
            raise Problem(404, "no plan has such a digest")
        return await self._ask(lambda reply: Confirm(what=digest, by=call.by, reply=reply))

    async def _ask(self, make: Any, *, asked: bool = False) -> Response:
        def with_reply(reply: Reply) -> Any:
            return make(reply)

        words = dict(await ask(self._loop, with_reply))
        if asked:
            words = {"done": True, "proplets": words.get("proplets", [])}
        return JSONResponse({"done": True, **words})
