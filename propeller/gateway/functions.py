"""Functions over HTTP: `/fn/{namespace}/{name}` calls one, `/api/v1/calls/{id}` tells of a call.

Reads the request, bounds it, and turns the outcome into a status that says whether to try again.
docs/reference/functions.md has the table. Decides nothing about copies: that is `desk`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from propeller.errors import Conflict, Unavailable
from propeller.gateway.access.gate import Caller, Gate
from propeller.gateway.access.roles import Principal, Role
from propeller.gateway.access.tokens import PREFIX
from propeller.gateway.callstream import CallStream, as_events
from propeller.gateway.carrier import Listen, Ticket, outcome_of
from propeller.gateway.desk import End, Outcome, Request, Route
from propeller.gateway.problem import Problem
from propeller.model.ids import is_dns_label, is_wire_id
from propeller.model.quantities import duration_ms
from propeller.state.calls import CallRow
from propeller.wire.call_messages import MAX_BODY, MAX_FOLLOW, MAX_HEADERS

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
MOST_HEADERS = 48
MOST_STREAMS = 64
"""Calls whose log is followed at one time."""
MOST_PATH, MOST_QUERY = 2048, 8192
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_KEPT_BACK = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "idempotency-key",
        "keep-alive",
        "prefer",
        "propeller-timeout",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Of the connection, or meant for us: credentials of a caller are none of a guest's business."""


_NOT_ITS_OWN = _KEPT_BACK | {"set-cookie", "content-security-policy", "clear-site-data", "server"}
"""What a guest may not say in our name."""


class Calling(Protocol):
    """What is needed of the Carrier."""

    def route(self, name: str) -> Route | None: ...
    def call(
        self,
        name: str,
        request: Request,
        *,
        key: str | None = None,
        later: bool = False,
        listen: Listen | None = None,
    ) -> Ticket: ...
    def find(self, id_: str) -> CallRow | None: ...
    def cancel(self, id_: str) -> bool: ...


def function_routes(calling: Calling, gate: Gate) -> list[BaseRoute]:
    """The routes, to be put into an application; the gate says who calls.

    They stand beside the table of `routing`: a call is not of the API's kind. It has limits of its
    own, is bytes and not a document, and there are too many of them for the audit log.
    """
    doors = _Doors(calling, gate)
    return [
        HttpRoute("/fn/{namespace}/{name}", doors.invoke, methods=METHODS),
        HttpRoute("/fn/{namespace}/{name}/{path:path}", doors.invoke, methods=METHODS),
        HttpRoute("/api/v1/calls/{id}", doors.call, methods=["GET"]),
        HttpRoute("/api/v1/calls/{id}", doors.cancel, methods=["DELETE"]),
    ]


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class _Doors:
    def __init__(self, calling: Calling, gate: Gate) -> None:
        self.calling = calling
        self._gate = gate
        self.streams = 0

    async def _admit(self, http: HttpRequest, namespace: str, role: Role) -> None:
        """Raises Problem: 401, 403. A page's session calls nothing: other pages could use it."""
        principal, session = self._token(http), None
        if principal is None:
            principal, session = await self._gate.identify(http)
        nobody = principal is None or (principal.via == "anonymous" and role is not Role.VIEWER)
        if principal is None or nobody:
            raise Problem(401, "say who you are: a bearer token of `propeller token create`")
        if session is not None and role is not Role.VIEWER:
            raise Problem(403, "Functions are called with a bearer token, not from a page")
        try:
            Caller(principal, role).need(namespace)
        except Problem as problem:
            self._gate.tell(http, principal, problem.status)
            raise

    def _token(self, http: HttpRequest) -> Principal | None:
        """Who holds a token of ours that holds: the usual caller, found without another thread."""
        text = http.headers.get("authorization", "").removeprefix("Bearer ")
        if self._gate.tokens is None or not text.startswith(PREFIX):
            return None
        token = self._gate.tokens.find(text)
        return None if token is None else token.principal

    async def invoke(self, http: HttpRequest) -> Response:
        namespace, called = http.path_params["namespace"], http.path_params["name"]
        if not (is_dns_label(namespace) and is_dns_label(called)):
            return _error(404, "a Function is named by two DNS labels: /fn/NAMESPACE/NAME")
        name = f"{namespace}/{called}"
        try:
            await self._admit(http, namespace, Role.OPERATOR)
            request = await _read(http)
            key = _idempotency(http)
            later, wait = _preference(http)
            if as_events(http):
                return await self._stream(name, request, key, later=later)
            if key is None and not later:
                ticket = self.calling.call(name, request)
            else:  # it is written to disk first
                ticket = await run_in_threadpool(
                    self.calling.call, name, request, key=key, later=later
                )
        except _Refused as error:
            return _error(error.status, error.text)
        except Problem as problem:
            return _no(problem)
        except ClientDisconnect:
            return Response(status_code=499)
        except Conflict as error:
            return _error(422, error.what)
        except Unavailable as error:
            return _error(503, error.what, retry=2)
        if later:
            return await self._promised(ticket, wait)
        return await self._answer(http, ticket, lasting=key is not None)

    async def _answer(self, http: HttpRequest, ticket: Ticket, *, lasting: bool) -> Response:
        """Wait for the outcome; a caller who leaves takes the call along, unless it has a key."""
        waiting = asyncio.wrap_future(shared(ticket.future))
        leaving = asyncio.ensure_future(_left(http))
        both: set[asyncio.Future[Any]] = {waiting, leaving}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                if not lasting:
                    await run_in_threadpool(self.calling.cancel, ticket.id)
                return Response(status_code=499)
            return response_of(ticket.id, waiting.result(), again=ticket.again)
        finally:
            leaving.cancel()
            if not waiting.done():
                waiting.cancel()

    async def _stream(
        self, name: str, request: Request, key: str | None, *, later: bool
    ) -> Response:
        """What the guest logs, as it comes, and then its answer: server-sent events."""
        if later:
            raise _Refused(400, "text/event-stream waits for the answer: leave out respond-async")
        if self.streams >= MOST_STREAMS:
            raise Unavailable(f"{MOST_STREAMS} calls are followed already")
        stream = CallStream(asyncio.get_running_loop())
        asked = replace(request, follow=MAX_FOLLOW)
        ticket = await run_in_threadpool(
            self.calling.call, name, asked, key=key, listen=stream.hear
        )
        if ticket.future.done():  # it was refused, or is an answer that is known
            return response_of(ticket.id, ticket.future.result(), again=ticket.again)
        watch = _Watch(self, stream.loop, ticket.id, lasting=key is not None)
        events = stream.events(ticket.id, shared(ticket.future), result_of, watch)
        headers = {"Propeller-Call": ticket.id, "Cache-Control": "no-store"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _promised(self, ticket: Ticket, wait: float) -> Response:
        """202, or the answer where it comes within `wait` seconds or never will."""
        if wait and not ticket.future.done():
            mine = asyncio.wrap_future(shared(ticket.future))
            await asyncio.wait({mine}, timeout=wait)
        if ticket.future.done():
            outcome = ticket.future.result()
            if wait or outcome.end is End.REFUSED:
                return response_of(ticket.id, outcome, again=ticket.again)
        where = f"/api/v1/calls/{ticket.id}"
        return JSONResponse(
            {"call": ticket.id, "result": where},
            status_code=202,
            headers={"Location": where, "Propeller-Call": ticket.id},
        )

    async def call(self, http: HttpRequest) -> Response:
        row = await self._row(http, Role.VIEWER)
        if isinstance(row, Response):
            return row
        return JSONResponse(told_of(row))

    async def cancel(self, http: HttpRequest) -> Response:
        id_ = http.path_params["id"]
        row = await self._row(http, Role.OPERATOR)
        if isinstance(row, Response):
            return row
        if row.state == "ended" or not await run_in_threadpool(self.calling.cancel, id_):
            return _error(409, "the call is not under way any more")
        return JSONResponse({"call": id_, "cancelled": True}, status_code=202)

    async def _row(self, http: HttpRequest, role: Role) -> CallRow | Response:
        id_ = http.path_params["id"]
        row = await run_in_threadpool(self.calling.find, id_) if is_wire_id(id_) else None
        if row is None:
            return _error(404, "no such call: only asynchronous ones and those with a key are kept")
        try:
            await self._admit(http, row.function.partition("/")[0], role)
        except Problem as problem:
            return _no(problem)
        return row


class _Watch:
    """Counts a call that is followed; a caller who leaves takes it along, unless it has a key."""

    def __init__(
        self, doors: _Doors, loop: asyncio.AbstractEventLoop, id_: str, *, lasting: bool
    ) -> None:
        self._doors, self._loop, self._id, self._lasting = doors, loop, id_, lasting

    def begun(self) -> None:
        self._doors.streams += 1

    def over(self, *, left: bool) -> None:
        self._doors.streams -= 1
        if left and not self._lasting:
            self._loop.run_in_executor(None, self._doors.calling.cancel, self._id)


def shared(future: Future[Outcome]) -> Future[Outcome]:
    """One that may be cancelled while others wait for the same."""
    mine: Future[Outcome] = Future()

    def over(done: Future[Outcome]) -> None:
        if mine.set_running_or_notify_cancel():
            mine.set_result(done.result())

    future.add_done_callback(over)
    return mine


async def _left(http: HttpRequest) -> None:
    while True:
        message = await http.receive()
        if message["type"] == "http.disconnect":
            return


# -- what comes ----------------------------------------------------------------------------------


async def _read(http: HttpRequest) -> Request:
    path, query = http.path_params.get("path", ""), http.url.query
    if len(path.encode()) > MOST_PATH or len(query) > MOST_QUERY or "\0" in path:
        raise _Refused(414, f"a path is at most {MOST_PATH} bytes, a query {MOST_QUERY}")
    headers = _headers(http)
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise _Refused(413, f"a request is at most {MAX_BODY >> 10} KiB")
    return Request(
        method=http.method,
        path=path,
        query=query,
        headers=headers,
        body=base64.b64encode(body).decode("ascii"),
        timeout=_timeout(http),
    )


def _headers(http: HttpRequest) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in http.headers.items():
        if name in _KEPT_BACK or _NAME.fullmatch(name) is None or not value.isprintable():
            continue
        found[name] = f"{found[name]}, {value}" if name in found else value
    size = sum(len(name) + len(value.encode()) for name, value in found.items())
    if len(found) > MOST_HEADERS or size > MAX_HEADERS:
        raise _Refused(431, f"at most {MOST_HEADERS} headers and {MAX_HEADERS >> 10} KiB of them")
    return tuple(found.items())


def _timeout(http: HttpRequest) -> int | None:
    text = http.headers.get("propeller-timeout")
    if text is None:
        return None
    try:
        found = duration_ms(text)
    except ValueError as error:
        raise _Refused(400, f"Propeller-Timeout: {error}") from None
    if not 1 <= found <= 86_400_000:
        raise _Refused(400, "Propeller-Timeout: from 1ms to 24h")
    return found


def _idempotency(http: HttpRequest) -> str | None:
    key = http.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise _Refused(400, "Idempotency-Key: 1 to 128 visible ASCII characters")
    return key


def _preference(http: HttpRequest) -> tuple[bool, float]:
    """Whether the caller comes back for the answer, and seconds it waits for it all the same."""
    words = [word.strip().lower() for word in http.headers.get("prefer", "").split(",")]
    if "respond-async" not in words:
        return False, 0.0
    for word in words:
        name, _, number = word.partition("=")
        if name == "wait" and number.isdecimal() and len(number) < 6:
            return True, min(60.0, float(number))
    return True, 0.0


# -- what goes -----------------------------------------------------------------------------------


def _error(status: int, text: str, *, retry: int = 0) -> Response:
    headers = {"Retry-After": str(retry)} if retry else {}
    return JSONResponse({"error": text, "exit": _exit(status)}, status, headers)


def _no(problem: Problem) -> Response:
    words = {"error": problem.detail, "exit": problem.exit}
    return JSONResponse(words, problem.status, problem.headers())


def _exit(status: int) -> int:
    """What a command should end with."""
    return 4 if status in (429, 503, 504) else 3 if status == 502 else 2


_STATUS: Mapping[str, int] = {
    "notFound": 404,
    "request": 400,
    "busy": 429,
    "absent": 503,
    "stopping": 503,
    "cancelled": 409,
    "timeout": 504,
}


def status_of(outcome: Outcome) -> int:
    """The HTTP status of an outcome."""
    if outcome.end is End.DONE:
        return outcome.status
    return _STATUS.get(outcome.cause, 502)


def response_of(id_: str, outcome: Outcome, *, again: bool = False) -> Response:
    """What the caller gets."""
    # A guest's page is not one of ours, though it has our address: it may do nothing here.
    told = {"Propeller-Call": id_, "Content-Security-Policy": "sandbox; default-src 'none'"}
    if outcome.proplet:
        told["Propeller-Proplet"] = outcome.proplet
    if again:
        told["Idempotent-Replay"] = "true"
    status = status_of(outcome)
    if outcome.end is End.DONE:
        told["Server-Timing"] = f"wait;dur={outcome.wait / 1000}, run;dur={outcome.took / 1000}"
        if outcome.held is not None:
            told["Server-Timing"] += f", copy;dur={outcome.held}"
        response = Response(base64.b64decode(outcome.body), status, headers=told)
        for name, value in outcome.headers:
            if name not in _NOT_ITS_OWN and not name.startswith(("propeller-", "access-control-")):
                response.headers[name] = value
        return response
    if outcome.retry_after:
        told["Retry-After"] = str(outcome.retry_after)
    words = {
        "error": outcome.error,
        "cause": outcome.cause,
        "fate": outcome.end.value,
        "call": id_,
        "exit": _exit(status),
    }
    return Response(json.dumps(words), status, told, "application/json")


def result_of(id_: str, outcome: Outcome) -> dict[str, object]:
    """What became of a call, as JSON: the last event of a stream."""
    told: dict[str, object] = {
        "call": id_,
        "fate": outcome.end.value,
        "status": status_of(outcome),
        "proplet": outcome.proplet,
        "wait": outcome.wait,
        "took": outcome.took,
    }
    if outcome.end is End.DONE:
        return told | {"headers": dict(outcome.headers), "body": outcome.body}
    told |= {"error": outcome.error, "cause": outcome.cause, "exit": _exit(status_of(outcome))}
    return told | ({"retryAfter": outcome.retry_after} if outcome.retry_after else {})


def told_of(row: CallRow) -> dict[str, object]:
    """A call that was promised an answer, as JSON."""
    told: dict[str, object] = {
        "call": row.id,
        "function": row.function,
        "state": {"taken": "Waiting", "sent": "Running", "ended": "Ended"}[row.state],
        "at": row.at,
    }
    if row.outcome is None:
        return told
    outcome = outcome_of(row.outcome)
    told |= {
        "fate": outcome.end.value,
        "status": status_of(outcome),
        "proplet": outcome.proplet,
        "took": outcome.took,
        "expires": row.expires,
    }
    if outcome.end is End.DONE:
        told |= {"headers": dict(outcome.headers), "body": outcome.body}
    else:
        told |= {"error": outcome.error, "cause": outcome.cause}
    return told
