"""The route table: what each route takes and answers, and who may. Everything is made from it.

An `Entry` without a rule cannot be made, so neither can a route. From the table come the routes
themselves, the OpenAPI document, and the test that tries every route in every role. `endpoint`
puts the gate before a handler: who asks, may they, did a browser's write begin on our own page, was
this write done before, and what stands in the audit log afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from propeller.errors import Conflict, PropellerError, SpecError, Unavailable, UsageError
from propeller.gateway.access.gate import SAFE, Caller, Gate
from propeller.gateway.access.roles import EVERYWHERE, Role
from propeller.gateway.bodies import Bodies, Replays
from propeller.gateway.headers import SecurityHeaders
from propeller.gateway.problem import PROBLEM_TYPE, Problem

log = logging.getLogger("propeller.gateway")


class Scope(Enum):
    """Where the role of a route must have been granted."""

    OPEN = "for everyone"
    PATH = "in the namespace of the path"
    ALL = "in all namespaces"
    ANY = "in any namespace; the answer leaves out the others"
    FIXED = "in the namespace of the entry"
    BODY = "in the namespaces the body names; the handler asks"


class Face(Enum):
    """How a route says no."""

    API = "problem+json"
    PAGE = "a page, or the way to the login"
    FIRST = "the first Propeller's {error}"
    SOCKET = "{error, exit} for the command line"


Schema = Mapping[str, Any]
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One of the query. schema: JSON Schema of its value."""

    name: str
    words: str
    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One route. body: the JSON Schema of what it takes, None for nothing. answer: of what it
    gives. status: when it goes well. streams: its answer has no end of its own. form: a page's."""

    method: str
    path: str
    handler: Handler
    role: Role | None
    scope: Scope
    summary: str
    face: Face = Face.API
    query: tuple[Param, ...] = ()
    body: Schema | None = None
    answer: Schema | None = None
    status: int = 200
    media: str = "application/json"
    form: bool = False
    largest: int = 1 << 20
    namespace: str = ""
    own_origin: bool = True
    """False: a write that other programs may make without a login of ours (webhooks)."""

    def __post_init__(self) -> None:
        if (self.role is None) != (self.scope is Scope.OPEN):
            raise AssertionError(
                f"{self.method} {self.path}: open to everyone, or a role: say which"
            )
        if (self.scope is Scope.FIXED) != bool(self.namespace):
            raise AssertionError(f"{self.method} {self.path}: a fixed namespace has to be named")
        if self.scope is Scope.PATH and "{namespace}" not in self.path:
            raise AssertionError(f"{self.method} {self.path}: no namespace in the path")

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in SAFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request with who makes it and what it brought. body: {} for none."""

    request: Request
    caller: Caller
    body: Mapping[str, Any]
    query: Mapping[str, Any]
    raw: bytes = b""

    @property
    def by(self) -> str:
        """Who, for records."""
        return self.caller.principal.name

    @property
    def path(self) -> Mapping[str, str]:
        """What the path names."""
        return self.request.path_params


PagesSayNo = Callable[[Problem], str]
"""Makes the page of a refusal."""


class Routes:
    """Puts a gate before entries. refusal: makes HTML of a Problem."""

    def __init__(self, gate: Gate, refusal: PagesSayNo | None = None) -> None:
        self._gate = gate
        self._refusal = refusal or (lambda problem: problem.detail)
        self._replays = Replays(gate.clock)

    def routes(self, entries: Sequence[Entry]) -> list[BaseRoute]:
        """Starlette's routes, the fixed ones first. Two entries of one method and path are told
        apart by whether HTML is asked for."""
        found: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            found.setdefault((entry.path, entry.method), []).append(entry)
        ordered = sorted(found.items(), key=lambda one: one[0][0].count("{"))
        by_path: dict[str, list[BaseRoute]] = {}
        for (path, method), same in ordered:
            by_path.setdefault(path, []).append(Route(path, self._chosen(same), methods=[method]))
        return [route for routes in by_path.values() for route in routes]

    def _chosen(self, same: Sequence[Entry]) -> Callable[[Request], Awaitable[Response]]:
        if len(same) == 1:
            return self._endpoint(same[0])
        html = [entry for entry in same if entry.face is Face.PAGE]
        other = [entry for entry in same if entry.face is not Face.PAGE]
        assert len(html) == len(other) == 1, f"{same[0].path} stands twice in the route table"
        page, program = self._endpoint(html[0]), self._endpoint(other[0])

        async def choose(request: Request) -> Response:
            wanted = "text/html" in request.headers.get("accept", "")
            return await (page if wanted else program)(request)

        return choose

    def _endpoint(self, entry: Entry) -> Callable[[Request], Awaitable[Response]]:
        bodies = Bodies(entry.body, largest=entry.largest, form=entry.form)

        async def answer(request: Request) -> Response:
            caller: Caller | None = None
            try:
                caller = await self._admit(entry, request)
                response = await self._do(entry, request, caller, bodies)
            except Exception as error:
                problem = problem_of(error)
                who = caller.principal if caller is not None else None
                if not problem.told and (entry.writes or problem.status == 403):
                    self._gate.tell(request, who, problem.status, note=_note(caller))
                return self._no(entry, request, problem)
            if entry.writes and entry.own_origin and response.status_code not in (401, 429):
                self._gate.tell(request, caller.principal, response.status_code, note=_note(caller))
            return response

        return answer

    async def _admit(self, entry: Entry, request: Request) -> Caller:
        namespace = {
            Scope.PATH: request.path_params.get("namespace", ""),
            Scope.ALL: EVERYWHERE,
            Scope.FIXED: entry.namespace,
        }.get(entry.scope)
        return await self._gate.admit(request, role=entry.role, namespace=namespace)

    async def _do(self, entry: Entry, request: Request, caller: Caller, bodies: Bodies) -> Response:
        if not entry.writes:
            query = query_of(entry, request)
            return await entry.handler(Call(request=request, caller=caller, body={}, query=query))
        if entry.own_origin:
            self._gate.check_same_site(request)
            self._gate.ready()
        raw = await bodies.read(request)
        body = bodies.parse(raw, request)
        if caller.session is not None:
            given = request.headers.get("x-csrf-token", "")
            if entry.form:
                given = str(body.get("csrf", ""))
            if not caller.session.sent_by_us(given):
                raise Problem(403, "this form is not of your session: load the page again")
        replay = self._replays.begin(caller.principal.name, request, raw)
        if isinstance(replay, Response):
            return replay
        response: Response | None = None
        try:
            query = query_of(entry, request)
            call = Call(request=request, caller=caller, body=body, query=query, raw=raw)
            response = await entry.handler(call)
        finally:
            self._replays.end(replay, response)
        if entry.scope is Scope.BODY and not caller.asked:
            raise AssertionError(f"{entry.path} did not ask about a namespace")
        return response

    def _no(self, entry: Entry, request: Request, problem: Problem) -> Response:
        match entry.face:
            case Face.API:
                return _problem(problem)
            case Face.FIRST:
                return JSONResponse(
                    {"error": problem.detail}, problem.status, headers=problem.headers()
                )
            case Face.SOCKET:
                words = {"error": problem.detail, "exit": problem.exit}
                return JSONResponse(words, problem.status, headers=problem.headers())
            case Face.PAGE:
                if problem.status == 401 and not entry.writes:
                    onward = quote(request.url.path, safe="/")
                    return RedirectResponse(f"/login?next={onward}", 303)
                return Response(
                    self._refusal(problem),
                    problem.status,
                    media_type="text/html",
                    headers=problem.headers(),
                )


def query_of(entry: Entry, request: Request) -> dict[str, Any]:
    """What the query says, as the entry's parameters have it. Raises Problem 400.

    The API takes no parameter that it does not know: a filter with a typo must not show everything.
    """
    known = {one.name: one for one in entry.query}
    out: dict[str, Any] = {
        one.name: one.schema["default"] for one in entry.query if "default" in one.schema
    }
    for name, text in request.query_params.items():
        param = known.get(name)
        if param is None:
            if entry.face is Face.API:
                takes = ", ".join(known) or "none"
                raise Problem(400, f"there is no such parameter; this takes: {takes}")
            continue
        out[name] = _value(param, text)
    return out


def _value(param: Param, text: str) -> Any:
    schema = param.schema
    match schema["type"]:
        case "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", 2**53 - 1)
            if not (text.isascii() and text.isdecimal() and len(text) < 17):
                raise Problem(400, f"{param.name} must be a whole number")
            if not low <= int(text) <= high:
                raise Problem(400, f"{param.name} must be from {low} to {high}")
            return int(text)
        case "boolean":
            if text not in ("true", "false"):
                raise Problem(400, f"{param.name} must be true or false")
            return text == "true"
        case _:
            if len(text) > schema.get("maxLength", 256):
                raise Problem(400, f"{param.name} is too long")
            if "enum" in schema and text not in schema["enum"]:
                raise Problem(400, f"{param.name} must be one of {', '.join(schema['enum'])}")
            return text


def _note(caller: Caller | None) -> str:
    return caller.note if caller is not None else ""


def problem_of(error: Exception) -> Problem:
    """What a caller is told of an error. One that nobody foresaw is told without its words."""
    match error:
        case Problem():
            return error
        case SpecError():
            return Problem(422, str(error))
        case UsageError():
            return Problem(400, str(error))
        case Conflict():
            return Problem(409, str(error), exit=5)
        case Unavailable():
            return Problem(503, str(error))
        case ClientDisconnect():
            return Problem(400, "the request ended early")
        case PropellerError():
            return Problem(400, str(error))
        case _:
            log.exception("a request failed", exc_info=error)
            return Problem(500, f"this is a defect of propeller: {type(error).__name__}")


def _problem(problem: Problem) -> Response:
    return JSONResponse(
        problem.document(), problem.status, headers=problem.headers(), media_type=PROBLEM_TYPE
    )


def application(
    routes: Sequence[BaseRoute],
    more: Sequence[Middleware] = (),
    refusal: PagesSayNo | None = None,
) -> Starlette:
    """The web application of these routes, with the headers every answer has.

    refusal: makes the page of what the router does not know, for those who ask for HTML.
    """

    async def foreign(request: Request, error: Exception) -> Response:
        """404 and 405 of Starlette's router."""
        status = getattr(error, "status_code", 404)
        headers = getattr(error, "headers", None) or {}
        what = "there is no such path here" if status == 404 else f"no {request.method} here"
        problem = Problem(status, what)
        if refusal is not None and "text/html" in request.headers.get("accept", ""):
            page = refusal(problem)
            return Response(page, status, media_type="text/html", headers=headers)
        return JSONResponse(problem.document(), status, headers=headers, media_type=PROBLEM_TYPE)

    middleware = [Middleware(SecurityHeaders), *more]
    handlers = {404: foreign, 405: foreign}
    return Starlette(routes=list(routes), middleware=middleware, exception_handlers=handlers)
