"""A look at `/api/v1`: its route, and a page of a list.

Lists are paged (`limit`, `after`) in the order of names, or newest first where time counts. Used by
`objects` and `fleet`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from propeller.gateway.access.roles import Role
from propeller.gateway.gallery import Picture
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Handler, Param, Scope
from propeller.gateway.v1.schemas import TEXT

LARGEST_PAGE: Final = 1_000
MOST_EVENTS: Final = 5_000

PAGED: Final = (
    Param(
        name="limit",
        words="how many at most",
        schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 100},
    ),
    Param(
        name="after",
        words="`next` of the page before",
        schema={"type": "string", "maxLength": 512},
    ),
)
NAMESPACE: Final = Param(name="namespace", words="only of this one", schema=TEXT)
SINCE: Final = Param(
    name="since",
    words="not before (Unix ms); an hour ago unless given",
    schema={"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
)


def look(
    path: str,
    handler: Handler,
    summary: str,
    answer: dict[str, Any] | None,
    *,
    query: tuple[Param, ...] = (),
    scope: Scope = Scope.ANY,
    role: Role = Role.VIEWER,
    media: str = "application/json",
) -> Entry:
    """A route that changes nothing. answer: the schema of it, None where it is no JSON."""
    return Entry(
        method="GET",
        path=path,
        handler=handler,
        role=role,
        scope=scope,
        summary=summary,
        query=query,
        answer=answer,
        media=media,
    )


def named_page(
    found: Iterable[tuple[str, Any]],
    call: Call,
    shape: Callable[[Any], Any],
    picture: Picture,
) -> dict[str, Any]:
    """In the order of names, which are the cursor: a page is right although the list moved."""
    after, limit = _cursor(call), call.query["limit"]
    rest = sorted((one for one in found if one[0] > after), key=lambda one: one[0])
    page = rest[:limit]
    more = _opaque(page[-1][0]) if len(rest) > limit else None
    return {
        "items": [shape(one) for _, one in page],
        "next": more,
        "serial": picture.serial,
    }


def timed_page(found: Sequence[dict[str, Any]], call: Call, serial: int) -> dict[str, Any]:
    """Newest first; the cursor counts from the oldest, so that what is new moves no page."""
    limit, after = call.query["limit"], _cursor(call)
    if after and not (after.isascii() and after.isdecimal()):
        raise Problem(400, "after is no cursor of ours")
    start = len(found) - int(after) if after else 0
    start = min(max(start, 0), len(found))
    page = list(found[start : start + limit])
    left = len(found) - start - len(page)
    return {"items": page, "next": _opaque(str(left)) if left else None, "serial": serial}


def _cursor(call: Call) -> str:
    text = call.query.get("after", "")
    try:
        return base64.b64decode(
            text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        ).decode()
    except ValueError as error:
        raise Problem(400, "after is no cursor of ours") from error


def _opaque(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
