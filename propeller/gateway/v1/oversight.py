"""The audit log for admins, read from its end."""

from __future__ import annotations

from collections import deque
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.gateway.access.gate import Gate
from propeller.gateway.access.roles import Role
from propeller.gateway.routing import Call, Entry, Param, Scope
from propeller.gateway.v1.schemas import page_of


def oversight_entries(gate: Gate) -> list[Entry]:
    """The part of the route table for admins."""

    async def audit(call: Call) -> Response:
        def work() -> list[dict[str, Any]]:
            if gate.audit is None:
                return []
            kept = deque(gate.audit.lines(), maxlen=call.query["limit"])
            return [dict(one) for one in reversed(kept)]

        lines = await run_in_threadpool(work)
        newest = lines[0]["n"] if lines else 0
        return JSONResponse({"items": lines, "next": None, "serial": newest})

    return [
        Entry(
            method="GET",
            path="/api/v1/audit",
            handler=audit,
            role=Role.ADMIN,
            scope=Scope.ALL,
            summary="the newest lines of the audit log, newest first",
            query=(
                Param(
                    name="limit",
                    words="how many at most",
                    schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
                ),
            ),
            answer=page_of("Deed"),
        )
    ]
