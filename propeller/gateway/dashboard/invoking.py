"""Calling a Function from its page: a form, and a page with the answer.

Admitted and written to the audit log as every form is; `/fn/...` itself takes no session of a page.
What a guest answered is text here and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from propeller.errors import PropellerError
from propeller.gateway.access.roles import Role
from propeller.gateway.callanswers import status_of
from propeller.gateway.calls import End, Outcome, Request
from propeller.gateway.dashboard.calls import lasting
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.functions import Calling, shared
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Face, Scope
from propeller.model.ids import is_dns_label

PATIENCE_MS: Final = 30_000
"""How long a person waits for a page; longer calls are for `propeller invoke`."""

LARGEST: Final = 1 << 14
SHOWN: Final = 1 << 16
"""Bytes of an answer that a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a call, for its page. text: None where the answer is no text."""

    ok: bool
    status: int
    fate: str
    why: str
    proplet: str
    lasted: str
    text: str | None
    size: int
    cut: bool


def invoke_entries(calling: Calling, renderer: Renderer) -> list[Entry]:
    """The part of the route table that calls Functions from pages."""
    return [
        Entry(
            method="POST",
            path="/objects/Function/{namespace}/{name}/invoke",
            handler=Invoking(calling, renderer).invoke,
            role=Role.OPERATOR,
            scope=Scope.PATH,
            face=Face.PAGE,
            summary="call a Function",
            form=True,
            largest=LARGEST,
            media="text/html",
        )
    ]


class Invoking:
    """See the module."""

    def __init__(self, calling: Calling, renderer: Renderer) -> None:
        self._calling = calling
        self._renderer = renderer

    async def invoke(self, call: Call) -> Response:
        """Call it, wait, and show what it answered."""
        namespace, name = call.path["namespace"], call.path["name"]
        if not (is_dns_label(namespace) and is_dns_label(name)):
            raise Problem(404, "no Function has such a name")
        sent = str(call.body.get("body", ""))
        called = f"{namespace}/{name}"
        try:
            ticket = await run_in_threadpool(self._calling.call, called, request_of(sent))
        except PropellerError as error:
            raise Problem(503, error.what) from error
        call.caller.note = f"call {ticket.id}"
        waiting = asyncio.wrap_future(shared(ticket.future))
        try:
            outcome = await asyncio.wait_for(waiting, PATIENCE_MS / 1000 + 5)
        except TimeoutError as error:
            await run_in_threadpool(self._calling.cancel, ticket.id)
            raise Problem(504, "it did not answer in time; it may have run") from error
        page = self._renderer.page(
            "answer.html",
            call.caller,
            here="objects",
            namespace=namespace,
            function=name,
            sent=sent,
            id=ticket.id,
            answer=answer_of(outcome),
        )
        return HTMLResponse(page)


def request_of(sent: str) -> Request:
    """What a person typed, as JSON where it is JSON."""
    try:
        json.loads(sent)
        kind = "application/json"
    except ValueError:
        kind = "text/plain; charset=utf-8"
    return Request(
        headers=(("content-type", kind), ("accept", "*/*")),
        body=base64.b64encode(sent.replace("\r\n", "\n").encode()).decode("ascii"),
        timeout=PATIENCE_MS,
    )


def answer_of(outcome: Outcome) -> Answer:
    """What a page shows of it."""
    body = base64.b64decode(outcome.body)
    try:
        text: str | None = body[:SHOWN].decode(errors="strict" if len(body) <= SHOWN else "ignore")
    except UnicodeDecodeError:
        text = None
    return Answer(
        ok=outcome.end is End.DONE,
        status=status_of(outcome),
        fate=outcome.end.value,
        why=outcome.error or outcome.cause,
        proplet=outcome.proplet,
        lasted=lasting(outcome.wait + outcome.took) if outcome.took else "",
        text=text,
        size=len(body),
        cut=len(body) > SHOWN,
    )
