"""`wasi:http/types` for a component that handles requests, made by hand. Runs in workers only.

One `Exchange` a call: it makes the request and the outparam that wasmtime's package cannot, and
has the response afterwards. The client's side of the interface is in `proxy_client`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from wasmtime.component import ResourceHost, Variant

from propeller.wire.call_messages import MAX_BODY, MAX_HEADERS
from proplet.runtime.exchange import Asked, Said, Wrong, kept_headers
from proplet.runtime.proxy_io import Broken, Call, Dropped, Interface, Io, Reading, Things

Rows = list[tuple[str, bytes]]

_METHODS = frozenset(
    {"get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"}
)
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")


@dataclass(slots=True)
class Headers:
    """`fields`. fixed: of a request, which nobody may change."""

    rows: Rows = field(default_factory=list)
    fixed: bool = False


@dataclass(slots=True)
class Request:
    """`incoming-request`."""

    taken: bool = False


@dataclass(slots=True)
class Body:
    """`incoming-body`."""

    source: Reading
    taken: bool = False

    def dropped(self) -> None:
        if isinstance(self.source, Dropped):
            self.source.dropped()


class Trailers:
    """`future-trailers`, of which there are none."""


class OutBody:
    """`outgoing-body`. put: takes what is written. finish: it is whole; drop: it never will be."""

    def __init__(
        self,
        put: Callable[[bytes], None],
        finish: Callable[[], Variant | None],
        drop: Callable[[], None],
    ) -> None:
        self.put, self.finish, self.dropped = put, finish, drop
        self.written = False


@dataclass(slots=True)
class Response:
    """`outgoing-response`."""

    headers: Headers
    status: int = 200
    body: bytearray = field(default_factory=bytearray)
    taken: bool = False

    def put(self, data: bytes) -> None:
        if len(self.body) + len(data) > MAX_BODY:
            raise Wrong(f"its answer is more than {MAX_BODY} bytes")
        self.body += data


class Outparam:
    """`response-outparam`."""


class Exchange:
    """One request and its response."""

    def __init__(self, things: Things, io: Io) -> None:
        self._things, self._io = things, io
        self._asked = Asked("", "", "", (), b"")
        self._answer: Response | str | None = None

    def begin(self, asked: Asked) -> tuple[ResourceHost, ResourceHost]:
        """What `handle` is called with."""
        self._things.clear()
        self._asked, self._answer = asked, None
        give = self._things.give
        return give("incoming-request", Request()), give("response-outparam", Outparam())

    def end(self) -> Said:
        """What it answered. Raises Wrong."""
        answer, self._answer = self._answer, None
        if answer is None:
            raise Wrong("it gave no response")
        if isinstance(answer, str):
            raise Wrong(f"it answered with the error {answer[:64]}")
        if not 200 <= answer.status <= 599:
            raise Wrong(f"it answered with status {answer.status}")
        rows = [(name, value.decode("latin-1")) for name, value in answer.headers.rows]
        return Said(bytes(answer.body), answer.status, kept_headers(rows))

    def interface(self, more: Mapping[str, Call] = MappingProxyType({})) -> Interface:
        """`wasi:http/types`. more: functions besides those of who answers."""
        resources = (
            *("fields", "incoming-request", "incoming-body", "future-trailers"),
            *("response-outparam", "outgoing-response", "outgoing-body", "outgoing-request"),
            *("request-options", "incoming-response", "future-incoming-response"),
        )
        return resources, {
            **more,
            "[constructor]fields": lambda: self._fields([]),
            "[static]fields.from-list": self._from_list,
            "[method]fields.get": self._get,
            "[method]fields.has": lambda it, name: bool(self._get(it, name)),
            "[method]fields.set": self._set,
            "[method]fields.delete": self._delete,
            "[method]fields.append": self._append,
            "[method]fields.entries": lambda it: list(self._rows(it)),
            "[method]fields.clone": lambda it: self._fields(list(self._rows(it))),
            "[method]incoming-request.method": lambda *_: _method(self._asked.method),
            "[method]incoming-request.path-with-query": lambda *_: _path(self._asked),
            "[method]incoming-request.scheme": lambda *_: Variant("HTTP"),
            "[method]incoming-request.authority": lambda *_: dict(self._asked.headers).get("host"),
            "[method]incoming-request.headers": lambda *_: self._request_headers(),
            "[method]incoming-request.consume": self._consume,
            "[method]incoming-body.stream": self._stream,
            "[static]incoming-body.finish": self._finish_incoming,
            "[method]future-trailers.subscribe": lambda *_: self._io.ready(),
            "[method]future-trailers.get": lambda *_: Variant("ok", None),
            "[constructor]outgoing-response": self._response,
            "[method]outgoing-response.status-code": lambda it: self._of(it).status,
            "[method]outgoing-response.set-status-code": self._set_status,
            "[method]outgoing-response.headers": lambda it: self._things.give(
                "fields", Headers(list(self._of(it).headers.rows), fixed=True)
            ),
            "[method]outgoing-response.body": self._body,
            "[method]outgoing-body.write": self._write,
            "[static]outgoing-body.finish": self._finish,
            "[static]response-outparam.set": self._answered,
            "http-error-code": lambda it: self._things.get(it, Broken).code,
        }

    # -- fields ----------------------------------------------------------------------------------

    def _fields(self, rows: Rows) -> ResourceHost:
        return self._things.give("fields", Headers(rows))

    def _rows(self, it: int) -> Rows:
        return self._things.get(it, Headers).rows

    def _from_list(self, rows: Rows) -> ResourceHost | Variant:
        lower = [(name.lower(), value) for name, value in rows]
        wrong = next((_wrong(name, value) for name, value in lower if _wrong(name, value)), None)
        if wrong or _size(lower) > MAX_HEADERS:
            return wrong or Variant("forbidden")
        return self._fields(lower)

    def _get(self, it: int, name: str) -> list[bytes]:
        return [value for key, value in self._rows(it) if key == name.lower()]

    def _set(self, it: int, name: str, values: list[bytes]) -> Variant | None:
        return self._change(it, name, values, keep=False)

    def _append(self, it: int, name: str, value: bytes) -> Variant | None:
        return self._change(it, name, [value], keep=True)

    def _delete(self, it: int, name: str) -> Variant | None:
        return self._change(it, name, [], keep=False)

    def _change(self, it: int, name: str, values: list[bytes], *, keep: bool) -> Variant | None:
        found, name = self._things.get(it, Headers), name.lower()
        if found.fixed:
            return Variant("immutable")
        for value in values or [b""]:
            wrong = _wrong(name, value)
            if wrong:
                return wrong
        rows = [(key, value) for key, value in found.rows if keep or key != name]
        rows += [(name, value) for value in values]
        if _size(rows) > MAX_HEADERS:
            return Variant("forbidden")
        found.rows = rows
        return None

    # -- the request -----------------------------------------------------------------------------

    def _request_headers(self) -> ResourceHost:
        rows = [(name, value.encode("utf-8")) for name, value in self._asked.headers]
        return self._things.give("fields", Headers(rows, fixed=True))

    def _consume(self, it: int) -> ResourceHost | None:
        request = self._things.get(it, Request)
        if request.taken:
            return None
        request.taken = True
        return self._things.give("incoming-body", Body(Reading(self._asked.body)))

    def _stream(self, it: int) -> ResourceHost | None:
        body = self._things.get(it, Body)
        if body.taken:
            return None
        body.taken = True
        return self._io.input(body.source)

    def _finish_incoming(self, it: int) -> ResourceHost:
        self._things.take(it, Body).dropped()
        return self._things.give("future-trailers", Trailers())

    # -- the response ----------------------------------------------------------------------------

    def _response(self, headers: int) -> ResourceHost:
        found = self._things.take(headers, Headers)
        return self._things.give("outgoing-response", Response(found))

    def _of(self, it: int) -> Response:
        return self._things.get(it, Response)

    def _set_status(self, it: int, status: int) -> Variant:
        if not 100 <= status <= 999:
            return Variant("err")
        self._of(it).status = status
        return Variant("ok")

    def _body(self, it: int) -> ResourceHost | None:
        response = self._of(it)
        if response.taken:
            return None
        response.taken = True
        whole = OutBody(response.put, lambda: None, lambda: None)
        return self._things.give("outgoing-body", whole)

    def _write(self, it: int) -> ResourceHost | None:
        body = self._things.get(it, OutBody)
        if body.written:
            return None
        body.written = True
        return self._io.output(body.put)

    def _finish(self, it: int, _trailers: int | None) -> Variant | None:
        return self._things.take(it, OutBody).finish()

    def _answered(self, it: int, response: int | Variant) -> None:
        self._things.take(it, Outparam)
        if isinstance(response, Variant):
            self._answer = response.tag
        else:
            self._answer = self._things.take(response, Response)


def _method(name: str) -> Variant:
    lower = name.lower()
    return Variant(lower) if lower in _METHODS else Variant("other", name)


def _path(asked: Asked) -> str:
    return f"/{asked.path}{'?' if asked.query else ''}{asked.query}"


def _wrong(name: str, value: bytes) -> Variant | None:
    if not name or not _NAME.issuperset(name) or b"\r" in value or b"\n" in value or b"\0" in value:
        return Variant("invalid-syntax")
    return None


def _size(rows: Rows) -> int:
    return sum(len(name) + len(value) for name, value in rows)


def offered(interfaces: Mapping[str, Interface]) -> dict[str, frozenset[str]]:
    """Names of what there is, by interface."""
    return {
        name: frozenset((*resources, *functions))
        for name, (resources, functions) in interfaces.items()
    }
