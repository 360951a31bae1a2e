"""The API of a running reconciler, version 1: JSON in, JSON or NDJSON lines out.

Every change is an entry in the loop's inbox, answered after it was committed; nothing here writes
the store. Served on the state directory's socket (mode 0600), so whoever may read the state may
call it. Errors are `{"error": text, "exit": code}` with the exit code a verb should end with.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from propeller.errors import Conflict, SpecError, UsageError
from propeller.model.ids import Key, PropletId
from propeller.model.revision import Revision
from propeller.model.specs import Object, Suspend, Task
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
    RunOnce,
    SetHold,
    SetProplet,
    SourceSilent,
    SpecsRefused,
    SpecsTaken,
    Steer,
    SteerVerb,
)
from propeller.reconcile.intake import RUN_APP

MAX_REQUEST = 64 << 20
"""Bytes of the largest request body (a module for `propeller run`, encoded)."""

PATIENCE = 30.0
"""Seconds a request waits for the loop."""


class Loop(Protocol):
    """What the API needs of the reconciler process."""

    def post(self, event: Event) -> None:
        """Hand over to the loop."""

    def look(self) -> None:
        """Look at the source now."""

    def apply(
        self, path: str, expect: str = "", overlay: str = ""
    ) -> SpecsTaken | SpecsRefused | SourceSilent:
        """Read `path` as the source, post it and follow it from now on.

        Raises Conflict when the plan approved as `expect` is not what it means.
        """

    def load(self, files: Mapping[str, bytes]) -> Revision:
        """Load a small tree that came with a request. Raises SpecError."""

    def health(self) -> Mapping[str, object]:
        """Numbers about the process."""


class Answers:
    """The replies of the loop's thread, for the API's event loop. One per request."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    @property
    def reply(self) -> Reply:
        """What the loop calls, from its own thread."""
        queue = self._queue
        return lambda words: _hand_over(self._loop, queue, words)

    async def next(self, timeout: float) -> Mapping[str, object]:
        """The next reply; an error when the loop does not answer in `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except TimeoutError:
            return {"done": True, "error": "the reconciler did not answer in time", "exit": 4}


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    queue: asyncio.Queue[Mapping[str, object]],
    words: Mapping[str, object],
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, words)


@dataclass(frozen=True, slots=True)
class _Refusal(Exception):
    text: str
    exit: int = 2
    status: int = 400


def make_app(loop: Loop) -> Starlette:
    """The application for one reconciler."""
    api = _Api(loop)
    return Starlette(
        routes=[
            Route("/api/v1/health", api.health, methods=["GET"]),
            Route("/api/v1/standing", api.standing, methods=["GET"]),
            Route("/api/v1/look", api.look, methods=["POST"]),
            Route("/api/v1/apply", api.apply, methods=["POST"]),
            Route("/api/v1/hold", api.hold, methods=["POST"]),
            Route("/api/v1/proplet", api.proplet, methods=["POST"]),
            Route("/api/v1/confirm", api.confirm, methods=["POST"]),
            Route("/api/v1/window", api.window, methods=["POST"]),
            Route("/api/v1/steer", api.steer, methods=["POST"]),
            Route("/api/v1/give-up", api.give_up, methods=["POST"]),
            Route("/api/v1/run", api.run, methods=["POST"]),
            Route("/api/v1/drop", api.drop, methods=["POST"]),
            Route("/api/v1/operate", api.operate, methods=["POST"]),
        ],
        exception_handlers={_Refusal: _refused},
    )


def _refused(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, _Refusal)
    return JSONResponse({"error": error.text, "exit": error.exit}, status_code=error.status)


class _Api:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def health(self, _: HttpRequest) -> Response:
        return JSONResponse(dict(self._loop.health()))

    async def standing(self, _: HttpRequest) -> Response:
        return await self._ask(lambda reply: AskStanding(reply=reply))

    async def look(self, _: HttpRequest) -> Response:
        self._loop.look()
        return JSONResponse({"done": True})

    async def apply(self, request: HttpRequest) -> Response:
        body = await _body(request)
        try:
            more = {name: _text(body, name) for name in ("expect", "overlay") if name in body}
            outcome = await run_in_threadpool(self._loop.apply, _text(body, "path"), **more)
        except UsageError as error:
            raise _Refusal(str(error), exit=2) from error
        except Conflict as error:
            raise _Refusal(str(error), exit=5, status=409) from error
        if isinstance(outcome, SpecsRefused):
            faults = [str(fault) for fault in outcome.faults]
            raise _Refusal("\n".join(faults), exit=2, status=422)
        if isinstance(outcome, SourceSilent):
            raise _Refusal(outcome.reason, exit=2, status=503)
        return JSONResponse(
            {"done": True, "revision": outcome.revision.name, "digest": outcome.revision.digest}
        )

    async def hold(self, request: HttpRequest) -> Response:
        body = await _body(request)
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

    async def proplet(self, request: HttpRequest) -> Response:
        body = await _body(request)
        labels = body.get("labels")
        scheduling = body.get("scheduling")
        if scheduling not in (None, "Enabled", "Cordon", "Drain"):
            raise _Refusal("scheduling must be Enabled, Cordon or Drain")
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

    async def confirm(self, request: HttpRequest) -> Response:
        body = await _body(request)
        return await self._ask(
            lambda reply: Confirm(what=_text(body, "what"), by=_text(body, "by"), reply=reply)
        )

    async def window(self, request: HttpRequest) -> Response:
        """Let an edit through a closed window, once."""
        body = await _body(request)
        key, by, reason = _key(body), _text(body, "by"), _text(body, "reason")
        return await self._ask(lambda reply: OpenWindow(key=key, by=by, reason=reason, reply=reply))

    async def steer(self, request: HttpRequest) -> Response:
        """Versions of an object: pause, resume, abort, reject, rollback."""
        body = await _body(request)
        key, by, verb = _key(body), _text(body, "by"), _text(body, "verb")
        if verb not in tuple(SteerVerb):
            raise _Refusal(f"verb must be one of {', '.join(SteerVerb)}")
        digest, generation = body.get("digest", ""), body.get("to")
        if not isinstance(digest, str):
            raise _Refusal("digest must be text")
        if generation is not None and (
            isinstance(generation, bool) or not isinstance(generation, int)
        ):
            raise _Refusal("to must be a generation")
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

    async def give_up(self, request: HttpRequest) -> Response:
        body = await _body(request)
        key, by = _key(body), _text(body, "by")
        reason = str(body.get("reason", ""))
        return await self._ask(lambda reply: GiveUp(key=key, by=by, reason=reason, reply=reply))

    async def run(self, request: HttpRequest) -> Response:
        body = await _body(request)
        thing = await run_in_threadpool(self._one_task, body)
        return await self._ask(lambda reply: RunOnce(object=thing, reply=reply))

    def _one_task(self, body: Mapping[str, object]) -> Object:
        files = body.get("files")
        if not isinstance(files, Mapping):
            raise _Refusal("files must map names to base64")
        try:
            tree = {
                str(name): base64.b64decode(str(data), validate=True)
                for name, data in files.items()
            }
        except binascii.Error as error:
            raise _Refusal(f"files: {error}") from error
        try:
            revision = self._loop.load(tree)
        except SpecError as error:
            raise _Refusal(str(error), exit=2, status=422) from error
        tasks = [thing for thing in revision.objects.values() if isinstance(thing, Task)]
        if len(tasks) != 1 or len(revision.objects) != 1:
            raise _Refusal("a run is exactly one Task")
        for ref, module in revision.modules.items():
            self._loop.post(ModuleResolved(ref, module))
        return replace(tasks[0], meta=replace(tasks[0].meta, app=RUN_APP))

    async def drop(self, request: HttpRequest) -> Response:
        body = await _body(request)
        key = _key(body)
        return await self._ask(lambda reply: Drop(key=key, reply=reply))

    async def operate(self, request: HttpRequest) -> Response:
        """Answers as NDJSON, one line a piece, until every proplet is done."""
        body = await _body(request)
        verb = _text(body, "verb")
        if verb not in ("logs", "cancel", "restart"):
            raise _Refusal("verb must be logs, cancel or restart")
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
            raise _Refusal(str(first["error"]), exit=_exit(first), status=409)
        return StreamingResponse(
            _lines(answers, first, PATIENCE + follow / 1000), media_type="application/x-ndjson"
        )

    async def _ask(self, make: Callable[[Reply], Event]) -> Response:
        answers = Answers()
        self._loop.post(make(answers.reply))
        words = await answers.next(PATIENCE)
        if "error" in words:
            raise _Refusal(str(words["error"]), exit=_exit(words), status=409)
        return JSONResponse(dict(words))


async def _lines(
    answers: Answers, first: Mapping[str, object], timeout: float
) -> AsyncIterator[bytes]:
    proplets = first.get("proplets")
    waiting = set(proplets) if isinstance(proplets, list) else set()
    while waiting:
        words = await answers.next(timeout)
        yield json.dumps(dict(words)).encode() + b"\n"
        if words.get("done"):
            if "proplet" not in words:
                return
            waiting.discard(words["proplet"])


async def _body(request: HttpRequest) -> Mapping[str, object]:
    data, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        if size <= MAX_REQUEST:
            data += piece
        elif size > 2 * MAX_REQUEST:
            break  # read on a little, so that a client that is still sending hears the answer
    if size > MAX_REQUEST:
        raise _Refusal(f"a request is at most {MAX_REQUEST >> 20} MiB", status=413)
    try:
        body = json.loads(data)
    except ValueError as error:
        raise _Refusal(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _Refusal("the body must be an object")
    return body


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _Refusal(f"{name} must be text")
    return value


def _number(body: Mapping[str, object], name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 86_400_000:
        raise _Refusal(f"{name} must be a whole number from 0 to 86400000")
    return value


def _key(body: Mapping[str, object]) -> Key:
    try:
        return Key.parse(_text(body, "key"))
    except ValueError as error:
        raise _Refusal(str(error)) from error


def _exit(words: Mapping[str, object]) -> int:
    code = words.get("exit")
    return code if isinstance(code, int) else 2
