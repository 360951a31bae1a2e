"""Functions over HTTP: `/fn/{namespace}/{name}` calls one, `/api/v1/calls/{id}` tells of a call.

Who may call, and waiting for the outcome. `callrequests` reads what comes, `callanswers` says what
goes. Decides nothing about copies: that is `desk`.
"""

from __future__ import annotations

import asyncio
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
from propeller.gateway.callanswers import error_of, problem_of, response_of, result_of, told_of
from propeller.gateway.callrequests import Refused, idempotency_of, preference_of, read_request
from propeller.gateway.calls import End, Outcome, Request, Route
from propeller.gateway.callstream import CallStream, as_events
from propeller.gateway.carrier import Listen, Ticket
from propeller.gateway.problem import Problem
from propeller.model.ids import is_dns_label, is_wire_id
from propeller.state.calls import CallRow
from propeller.wire.call_messages import MAX_FOLLOW

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
MOST_STREAMS = 64
"""Calls whose log is followed at one time."""


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
            return error_of(404, "a Function is named by two DNS labels: /fn/NAMESPACE/NAME")
        name = f"{namespace}/{called}"
        try:
            await self._admit(http, namespace, Role.OPERATOR)
            request = await read_request(http)
            key = idempotency_of(http)
            later, wait = preference_of(http)
            if as_events(http):
                return await self._stream(name, request, key, later=later)
            if key is None and not later:
                ticket = self.calling.call(name, request)
            else:  # it is written to disk first
                ticket = await run_in_threadpool(
                    self.calling.call, name, request, key=key, later=later
                )
        except Refused as error:
            return error_of(error.status, error.text)
        except Problem as problem:
            return problem_of(problem)
        except ClientDisconnect:
            return Response(status_code=499)
        except Conflict as error:
            return error_of(422, error.what)
        except Unavailable as error:
            return error_of(503, error.what, retry=2)
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
            raise Refused(400, "text/event-stream waits for the answer: leave out respond-async")
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
            return error_of(409, "the call is not under way any more")
        return JSONResponse({"call": id_, "cancelled": True}, status_code=202)

    async def _row(self, http: HttpRequest, role: Role) -> CallRow | Response:
        id_ = http.path_params["id"]
        row = await run_in_threadpool(self.calling.find, id_) if is_wire_id(id_) else None
        if row is None:
            return error_of(
                404, "no such call: only asynchronous ones and those with a key are kept"
            )
        try:
            await self._admit(http, row.function.partition("/")[0], role)
        except Problem as problem:
            return problem_of(problem)
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
