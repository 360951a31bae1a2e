"""Pages of the first API: `offset` and `limit`, at most 100 things at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call


def window_of(call: Call) -> tuple[int, int]:
    """How many are passed over, and how many shown at most. Raises Problem 400."""
    out = []
    for name, default in (("offset", 0), ("limit", 100)):
        text = call.request.query_params.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise Problem(400, f"{name} must be a whole number")
        out.append(int(text))
    return out[0], max(1, min(out[1], 100))


def page_of(call: Call, name: str, found: Sequence[Any]) -> Response:
    """The page that is asked for, as the list `name`."""
    start, limit = window_of(call)
    words = {"offset": start, "limit": limit, "total": len(found)}
    return JSONResponse({**words, name: list(found[start : start + limit])})
