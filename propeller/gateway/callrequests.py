"""A call as it comes over HTTP: the request of `/fn/{namespace}/{name}`, read and bounded.

What is of the connection or meant for us is kept back: credentials of a caller are none of a
guest's business. Used by `functions` only, which answers a Refused.
"""

from __future__ import annotations

import base64
import re

from starlette.requests import Request as HttpRequest

from propeller.gateway.calls import Request
from propeller.model.quantities import duration_ms
from propeller.wire.call_messages import MAX_BODY, MAX_HEADERS

MOST_HEADERS = 48
MOST_PATH, MOST_QUERY = 2048, 8192
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_NAME = re.compile(r"[a-z0-9-]{1,64}")
KEPT_BACK = frozenset(
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


class Refused(Exception):
    """A request that is not taken. status: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


async def read_request(http: HttpRequest) -> Request:
    """What is asked of the guest. Raises Refused where it is too large or says nonsense."""
    path, query = http.path_params.get("path", ""), http.url.query
    if len(path.encode()) > MOST_PATH or len(query) > MOST_QUERY or "\0" in path:
        raise Refused(414, f"a path is at most {MOST_PATH} bytes, a query {MOST_QUERY}")
    headers = _headers(http)
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise Refused(413, f"a request is at most {MAX_BODY >> 10} KiB")
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
        if name in KEPT_BACK or _NAME.fullmatch(name) is None or not value.isprintable():
            continue
        found[name] = f"{found[name]}, {value}" if name in found else value
    size = sum(len(name) + len(value.encode()) for name, value in found.items())
    if len(found) > MOST_HEADERS or size > MAX_HEADERS:
        raise Refused(431, f"at most {MOST_HEADERS} headers and {MAX_HEADERS >> 10} KiB of them")
    return tuple(found.items())


def _timeout(http: HttpRequest) -> int | None:
    text = http.headers.get("propeller-timeout")
    if text is None:
        return None
    try:
        found = duration_ms(text)
    except ValueError as error:
        raise Refused(400, f"Propeller-Timeout: {error}") from None
    if not 1 <= found <= 86_400_000:
        raise Refused(400, "Propeller-Timeout: from 1ms to 24h")
    return found


def idempotency_of(http: HttpRequest) -> str | None:
    """What the caller names the call by. Raises Refused."""
    key = http.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise Refused(400, "Idempotency-Key: 1 to 128 visible ASCII characters")
    return key


def preference_of(http: HttpRequest) -> tuple[bool, float]:
    """Whether the caller comes back for the answer, and seconds it waits for it all the same."""
    words = [word.strip().lower() for word in http.headers.get("prefer", "").split(",")]
    if "respond-async" not in words:
        return False, 0.0
    for word in words:
        name, _, number = word.partition("=")
        if name == "wait" and number.isdecimal() and len(number) < 6:
            return True, min(60.0, float(number))
    return True, 0.0
