"""Between a call and a guest: CGI for commands, JSON for exports that take numbers. Pure.

Called by `serving` in a worker. What a guest writes is hostile: bounded, and checked before it
becomes part of an answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

from propeller.wire.call_messages import MAX_BODY, MAX_HEADERS
from proplet.runtime.values import read_args, shortest_f32

Headers = tuple[tuple[str, str], ...]

MOST_HEADERS = 64
JSON = (("content-type", "application/json"),)
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_STATUS = re.compile(r"([1-5][0-9]{2})( .*)?")
OF_THE_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Names that say how one connection is used; a guest does not decide that."""


class Wrong(Exception):
    """A request this function cannot take, or an answer that is none; says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the worker got it."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    body: bytes
    status: int = 200
    headers: Headers = ()


def environment(asked: Asked, name: str) -> list[tuple[str, str]]:
    """The variables of a CGI request (RFC 3875, 4.1), those of a connection left out.

    The value of a header holds no NUL and no line break: whoever took the request saw to that.
    """
    told = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", asked.method),
        ("SCRIPT_NAME", f"/fn/{name}"),
        ("PATH_INFO", f"/{asked.path}" if asked.path else ""),
        ("QUERY_STRING", asked.query),
        ("CONTENT_LENGTH", str(len(asked.body))),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "propeller"),
    ]
    for header, value in asked.headers:
        if "\0" in value:
            continue
        if header == "content-type":
            told.append(("CONTENT_TYPE", value))
        else:
            told.append((f"HTTP_{header.upper().replace('-', '_')}", value))
    return told


def answer_of(stdout: bytes) -> Said:
    """What a command wrote: a CGI answer, or a body and nothing else. Raises Wrong.

    It is a CGI answer where it begins with lines of headers, a content type, status or location
    among them, and an empty line.
    """
    head, gap, body = _split(stdout)
    if not gap:
        return _plain(stdout)
    headers = _headers(head)
    names = {name for name, _ in headers or ()}
    if headers is None or not names & {"content-type", "status", "location"}:
        return _plain(stdout)
    status = 302 if "location" in names and "status" not in names else 200
    kept = []
    for name, value in headers:
        if name == "status":
            found = _STATUS.fullmatch(value)
            if found is None or int(found[1]) < 200:
                raise Wrong(f"its Status line says {value[:40]!r}")
            status = int(found[1])
        elif name not in OF_THE_HOP:
            kept.append((name, value))
    _check_size(body)
    return Said(body, status, tuple(kept))


def _plain(stdout: bytes) -> Said:
    _check_size(stdout)
    return Said(stdout, 200, (("content-type", "text/plain; charset=utf-8"),))


def _split(stdout: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.search(rb"\r?\n\r?\n", stdout[: MAX_HEADERS + 4])
    if found is None:
        return stdout, b"", b""
    return stdout[: found.start()], found.group(), stdout[found.end() :]


def _headers(head: bytes) -> list[tuple[str, str]] | None:
    """The header lines, None where one is none."""
    lines = head.split(b"\n")
    if len(lines) > MOST_HEADERS:
        return None
    found = []
    for line in lines:
        try:
            name, colon, value = line.decode("ascii").partition(":")
        except UnicodeDecodeError:
            return None
        name, value = name.lower(), value.strip()
        if not colon or _NAME.fullmatch(name) is None or not value.isprintable():
            return None
        found.append((name, value))
    return found


def kept_headers(rows: Sequence[tuple[str, str]]) -> Headers:
    """What of a guest's headers goes on to the caller. Raises Wrong for one that is none."""
    if len(rows) > MOST_HEADERS:
        raise Wrong(f"its answer has {len(rows)} headers, at most {MOST_HEADERS}")
    for name, value in rows:
        if _NAME.fullmatch(name) is None or not value.isascii() or not value.isprintable():
            raise Wrong(f"its answer has a header that is none: {name[:40]!r}")
    return tuple((name, value) for name, value in rows if name not in OF_THE_HOP)


def _check_size(body: bytes) -> None:
    if len(body) > MAX_BODY:
        raise Wrong(f"its answer is {len(body)} bytes, at most {MAX_BODY}")


def read_values(asked: Asked, types: Sequence[str]) -> list[int | float]:
    """The arguments of an export: a JSON array, or those of the query. Raises Wrong.

    Without a body the values of the query count, in their order, whatever they are named.
    """
    if asked.body:
        texts = _from_json(asked.body)
    else:
        texts = [value for _, value in parse_qsl(asked.query, keep_blank_values=True)]
    try:
        return read_args(types, texts)
    except ValueError as error:
        raise Wrong(f"it {error}") from None


def _from_json(body: bytes) -> list[str]:
    def exact(text: str) -> str:
        return text

    try:
        # Numbers stay text: a 64-bit integer is not rounded on its way.
        given = json.loads(body, parse_int=exact, parse_float=exact, parse_constant=exact)
    except (ValueError, RecursionError):
        raise Wrong("the body is not JSON: a list of arguments") from None
    if not isinstance(given, list):
        given = [given]
    for value in given:
        if not isinstance(value, str):
            raise Wrong("an argument is a number, or text that is one")
    return cast("list[str]", given)


def write_values(types: Sequence[str], values: Sequence[object]) -> Said:
    """What an export returned: a number, or a list where there are several; null for nothing.

    JSON has no word for what is not finite: that stands as text.
    """
    told = [_value(kind, value) for kind, value in zip(types, values, strict=True)]
    body = "null" if not told else told[0] if len(told) == 1 else f"[{','.join(told)}]"
    return Said(body.encode(), 200, JSON)


def _value(kind: str, value: object) -> str:
    if kind in ("i32", "i64") and isinstance(value, int):
        return str(value)
    if kind in ("f32", "f64") and isinstance(value, int | float):
        if not math.isfinite(value):
            return f'"{float(value)!r}"'
        return shortest_f32(float(value)) if kind == "f32" else repr(float(value))
    raise Wrong(f"it returned a value of type {kind}")


def asked_of(told: Mapping[str, object], body: bytes) -> Asked:
    """A request as the agent handed it on."""
    return Asked(
        method=str(told["method"]),
        path=str(told["path"]),
        query=str(told["query"]),
        headers=tuple((name, value) for name, value in cast("list[list[str]]", told["headers"])),
        body=body,
    )
