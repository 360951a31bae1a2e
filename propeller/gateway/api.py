"""The verbs of a running reconciler on the state directory's socket: JSON in, JSON or NDJSON out.

The command line speaks these. Every change is an entry in the loop's inbox, answered after it was
committed; nothing here writes the store. The socket has mode 0600, so whoever may read the state
may call it, and says for whom (`by`). Programs elsewhere use `v1`. Errors are
`{"error": text, "exit": code}` with the exit code a verb should end with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from propeller.errors import Conflict, SpecError, UsageError
from propeller.gateway.above import ask_round, keep_blob
from propeller.gateway.access.audit import Audit
from propeller.gateway.access.gate import Gate
from propeller.gateway.access.roles import Role
from propeller.gateway.asking import PATIENCE, Answers, Loop, ask, refusal
from propeller.gateway.functions import Calling, function_routes
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Face, Handler, Routes, Scope, application
from propeller.model.ids import Key, PropletId
from propeller.model.specs import Object, Suspend, Task
from propeller.reconcile.deposits import RUN_APP
from propeller.reconcile.events import (
    AskStanding,
    Confirm,
    Drop,
    Event,
    GiveUp,
    ModuleResolved,
    OpenWindow,
    Operate,
    Reply,
    RetryFlow,
    RunOnce,
    SetHold,
    SetProplet,
    SourceSilent,
    SpecsRefused,
    Steer,
    SteerVerb,
)

MAX_REQUEST = 64 << 20
"""Bytes of the largest request body (a module for `propeller run`, encoded)."""

ANYTHING: Final[Mapping[str, object]] = {"type": "object"}


def make_app(
    loop: Loop,
    *,
    clock: Callable[[], int] = lambda: 0,
    audit: Audit | None = None,
    functions: Calling | None = None,
) -> Starlette:
    """The application for one reconciler. audit: where writes are recorded. clock: Unix ms.

    functions: what carries calls of Functions; without it there are none.
    """
    gate = Gate(clock=clock, audit=audit, at_socket=True)
    routes = Routes(gate).routes(local_entries(loop))
    return application(
        [*routes, *(function_routes(functions, gate) if functions is not None else ())]
    )


def local_entries(loop: Loop) -> list[Entry]:
    """The route table of the socket."""
    api = _Api(loop)

    def entry(method: str, name: str, handler: Handler, summary: str) -> Entry:
        return Entry(
            method=method,
            path=f"/api/v1/{name}",
            handler=handler,
            role=Role.ADMIN,
            scope=Scope.ALL,
            face=Face.SOCKET,
            summary=summary,
            body=ANYTHING if method == "POST" else None,
            largest=MAX_REQUEST,
        )

    return [
        entry("GET", "health", api.health, "numbers about the process"),
        entry("GET", "standing", api.standing, "how far everything is"),
        entry("POST", "look", api.look, "look at the source now"),
        entry("POST", "apply", api.apply, "follow a source from now on"),
        entry("POST", "hold", api.hold, "suspend, resume"),
        entry("POST", "proplet", api.proplet, "cordon, drain, label"),
        entry("POST", "confirm", api.confirm, "go on where a person is waited for"),
        entry("POST", "window", api.window, "let an edit through a closed window, once"),
        entry("POST", "steer", api.steer, "versions: pause, resume, abort, reject, rollback"),
        entry("POST", "give-up", api.give_up, "let go of what left the source"),
        entry("POST", "retry", api.retry, "let a failed run of a Workflow go on"),
        entry("POST", "run", api.run, "run one Task that no source holds"),
        entry("POST", "drop", api.drop, "take such a Task away again"),
        entry("POST", "operate", api.operate, "logs, cancel, restart"),
        entry("POST", "upstream", partial(ask_round, loop), "hold a round of the fleet above"),
        entry("POST", "upstream-blob", partial(keep_blob, loop), "what such a round starts from"),
    ]


class _Api:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def health(self, _: Call) -> Response:
        return JSONResponse(dict(self._loop.health()))

    async def standing(self, _: Call) -> Response:
        return await self._ask(lambda reply: AskStanding(reply=reply))

    async def look(self, _: Call) -> Response:
        self._loop.look()
        return JSONResponse({"done": True})

    async def apply(self, call: Call) -> Response:
        body = told(call)
        try:
            more = {name: _text(body, name) for name in ("expect", "overlay") if name in body}
            outcome = await run_in_threadpool(self._loop.apply, _text(body, "path"), **more)
        except UsageError as error:
            raise Problem(400, str(error)) from error
        except Conflict as error:
            raise Problem(409, str(error), exit=5) from error
        if isinstance(outcome, SpecsRefused):
            faults = [str(fault) for fault in outcome.faults]
            raise Problem(422, "\n".join(faults))
        if isinstance(outcome, SourceSilent):
            raise Problem(503, outcome.reason)
        return JSONResponse(
            {"done": True, "revision": outcome.revision.name, "digest": outcome.revision.digest}
        )

    async def hold(self, call: Call) -> Response:
        body = told(call)
        suspend = body.get("suspend")
        hold = None
        if isinstance(suspend, Mapping):
            until = suspend.get("until")
            hold = Suspend(
                reason=_text(suspend, "reason"),
                by=_text(suspend, "by"),
                until=until if isinstance(until, int) else None,
            )
        key = _key(body)
        return await self._ask(lambda reply: SetHold(key=key, suspend=hold, reply=reply))

    async def proplet(self, call: Call) -> Response:
        body = told(call)
        labels = body.get("labels")
        scheduling = body.get("scheduling")
        if scheduling not in (None, "Enabled", "Cordon", "Drain"):
            raise Problem(400, "scheduling must be Enabled, Cordon or Drain")
        chosen = scheduling if isinstance(scheduling, str) else None
        named = (
            {str(name): None if value is None else str(value) for name, value in labels.items()}
            if isinstance(labels, Mapping)
            else {}
        )
        return await self._ask(
            lambda reply: SetProplet(
                proplet=PropletId(_text(body, "proplet")),
                scheduling=chosen,
                labels=named,
                by=_text(body, "by"),
                reason=str(body.get("reason", "")),
                reply=reply,
            )
        )

    async def confirm(self, call: Call) -> Response:
        body = told(call)
        return await self._ask(
            lambda reply: Confirm(what=_text(body, "what"), by=_text(body, "by"), reply=reply)
        )

    async def window(self, call: Call) -> Response:
        """Let an edit through a closed window, once."""
        body = told(call)
        key, by, reason = _key(body), _text(body, "by"), _text(body, "reason")
        return await self._ask(lambda reply: OpenWindow(key=key, by=by, reason=reason, reply=reply))

    async def steer(self, call: Call) -> Response:
        """Versions of an object: pause, resume, abort, reject, rollback."""
        body = told(call)
        key, by, verb = _key(body), _text(body, "by"), _text(body, "verb")
        if verb not in tuple(SteerVerb):
            raise Problem(400, f"verb must be one of {', '.join(SteerVerb)}")
        digest, generation = body.get("digest", ""), body.get("to")
        if not isinstance(digest, str):
            raise Problem(400, "digest must be text")
        if generation is not None and (
            isinstance(generation, bool) or not isinstance(generation, int)
        ):
            raise Problem(400, "to must be a generation")
        return await self._ask(
            lambda reply: Steer(
                key=key,
                verb=SteerVerb(verb),
                digest=digest,
                generation=generation,
                by=by,
                reason=str(body.get("reason", "")),
                reply=reply,
            )
        )

    async def give_up(self, call: Call) -> Response:
        body = told(call)
        key, by = _key(body), _text(body, "by")
        reason = str(body.get("reason", ""))
        return await self._ask(lambda reply: GiveUp(key=key, by=by, reason=reason, reply=reply))

    async def retry(self, call: Call) -> Response:
        body = told(call)
        key, by = _key(body), _text(body, "by")
        return await self._ask(lambda reply: RetryFlow(key=key, by=by, reply=reply))

    async def run(self, call: Call) -> Response:
        body = told(call)
        thing = await run_in_threadpool(self._one_task, body)
        return await self._ask(lambda reply: RunOnce(object=thing, reply=reply))

    def _one_task(self, body: Mapping[str, object]) -> Object:
        files = body.get("files")
        if not isinstance(files, Mapping):
            raise Problem(400, "files must map names to base64")
        try:
            tree = {
                str(name): base64.b64decode(str(data), validate=True)
                for name, data in files.items()
            }
        except ValueError as error:
            raise Problem(400, f"files: {error}") from error
        try:
            revision = self._loop.load(tree)
        except SpecError as error:
            raise Problem(422, str(error)) from error
        tasks = [thing for thing in revision.objects.values() if isinstance(thing, Task)]
        if len(tasks) != 1 or len(revision.objects) != 1:
            raise Problem(400, "a run is exactly one Task")
        for ref, module in revision.modules.items():
            self._loop.post(ModuleResolved(ref, module))
        return replace(tasks[0], meta=replace(tasks[0].meta, app=RUN_APP))

    async def drop(self, call: Call) -> Response:
        body = told(call)
        key = _key(body)
        return await self._ask(lambda reply: Drop(key=key, reply=reply))

    async def operate(self, call: Call) -> Response:
        """Answers as NDJSON, one line a piece, until every proplet is done."""
        body = told(call)
        verb = _text(body, "verb")
        if verb not in ("logs", "cancel", "restart"):
            raise Problem(400, "verb must be logs, cancel or restart")
        answers = Answers()
        proplet = body.get("proplet")
        follow = _number(body, "follow", 0)
        self._loop.post(
            Operate(
                verb=verb,
                key=_key(body),
                proplet=PropletId(proplet) if isinstance(proplet, str) else None,
                stream=str(body.get("stream", "both")),
                tail=_number(body, "tail", 65536),
                follow=follow,
                reply=answers.reply,
            )
        )
        first = await answers.next(PATIENCE)
        if "error" in first:
            raise refusal(first)
        return StreamingResponse(
            lines(answers, first, PATIENCE + follow / 1000), media_type="application/x-ndjson"
        )

    async def _ask(self, make: Callable[[Reply], Event]) -> Response:
        return JSONResponse(dict(await ask(self._loop, make)))


async def lines(
    answers: Answers, first: Mapping[str, object], timeout: float
) -> AsyncIterator[bytes]:
    """What devices answer to an operation, a line each, until every one of them is done."""
    proplets = first.get("proplets")
    waiting = set(proplets) if isinstance(proplets, list) else set()
    while waiting:
        words = await answers.next(timeout)
        yield json.dumps(dict(words)).encode() + b"\n"
        if words.get("done"):
            if "proplet" not in words:
                return
            waiting.discard(words["proplet"])


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Problem(400, f"{name} must be text")
    return value


def _number(body: Mapping[str, object], name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 86_400_000:
        raise Problem(400, f"{name} must be a whole number from 0 to 86400000")
    return value


def _key(body: Mapping[str, object]) -> Key:
    try:
        return Key.parse(_text(body, "key"))
    except ValueError as error:
        raise Problem(400, str(error)) from error


def told(call: Call) -> Mapping[str, object]:
    """The body; for whom it is goes into the audit log."""
    by = call.body.get("by") or (call.body.get("suspend") or {}).get("by")
    if isinstance(by, str) and by:
        call.caller.note = f"by {by}"
    return call.body
