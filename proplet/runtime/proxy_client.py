"""The client's half of `wasi:http`: requests that a component sends. Runs in workers only.

What a guest does here becomes a request of `outward` once its body is whole. A refusal is an error
code of `wasi:http/types`, as any other failure of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wasmtime.component import ResourceHost, Variant

from proplet.runtime.outward import Outward, Wanted
from proplet.runtime.outward_wire import Failed, Sent, Times, leave
from proplet.runtime.proxy_http import Body, Headers, OutBody
from proplet.runtime.proxy_io import PIECE, Broken, Call, Interface, Io, Reading, Things


@dataclass(slots=True)
class Asking:
    """`outgoing-request`. data: None until the guest asks for a body to write."""

    headers: Headers
    method: Variant = field(default_factory=lambda: Variant("get"))
    path: str | None = None
    scheme: Variant | None = None
    authority: str | None = None
    data: bytearray | None = None
    whole: bool = False
    broken: Variant | None = None
    sent: Sent | None = None


@dataclass(slots=True)
class Future:
    """`future-incoming-response`."""

    sent: Sent
    leave: Callable[[], None]
    taken: bool = False

    def dropped(self) -> None:
        if not self.taken:
            self.leave()


@dataclass(slots=True)
class Answer:
    """`incoming-response`."""

    sent: Sent
    leave: Callable[[], None]
    taken: bool = False

    def dropped(self) -> None:
        if not self.taken:
            self.leave()


class Flow(Reading):
    """The body of a response as it comes. `Io` holds the bell around all of this."""

    def __init__(self, sent: Sent, drop: Callable[[], None]) -> None:
        super().__init__(b"")
        self._sent, self.dropped = sent, drop

    def ready(self) -> bool:
        return self._sent.fed()

    def read(self, most: int) -> bytes | None:
        sent = self._sent
        if not sent.fed():
            return b""
        if not sent.data:
            if sent.code is not None:
                raise Broken(sent.code)
            return None
        piece = bytes(sent.data[: min(most, PIECE)])
        del sent.data[: len(piece)]
        return piece


class Calling:
    """Offers the requests of one guest. outward: what sends them."""

    def __init__(self, things: Things, io: Io, outward: Outward) -> None:
        self._things, self._io, self._outward = things, io, outward

    def handler(self) -> Interface:
        """`wasi:http/outgoing-handler`."""
        return (), {"handle": self._handle}

    def types(self) -> Mapping[str, Call]:
        """What `wasi:http/types` has besides."""
        own, its = "[method]outgoing-request", "[method]request-options"
        got, future = "[method]incoming-response", "[method]future-incoming-response"
        give = self._things.give
        return {
            "[constructor]outgoing-request": lambda headers: give(
                "outgoing-request", Asking(self._things.take(headers, Headers))
            ),
            f"{own}.body": self._body,
            f"{own}.method": lambda it: self._of(it).method,
            f"{own}.set-method": self._set("method"),
            f"{own}.path-with-query": lambda it: self._of(it).path,
            f"{own}.set-path-with-query": self._set("path"),
            f"{own}.scheme": lambda it: self._of(it).scheme,
            f"{own}.set-scheme": self._set("scheme"),
            f"{own}.authority": lambda it: self._of(it).authority,
            f"{own}.set-authority": self._set("authority"),
            f"{own}.headers": lambda it: give(
                "fields", Headers(list(self._of(it).headers.rows), fixed=True)
            ),
            "[constructor]request-options": lambda: give("request-options", Times()),
            f"{its}.connect-timeout": self._time("connect"),
            f"{its}.set-connect-timeout": self._set_time("connect"),
            f"{its}.first-byte-timeout": self._time("first_byte"),
            f"{its}.set-first-byte-timeout": self._set_time("first_byte"),
            f"{its}.between-bytes-timeout": self._time("between"),
            f"{its}.set-between-bytes-timeout": self._set_time("between"),
            f"{future}.subscribe": lambda it: self._io.gate(self._future(it).sent.headed),
            f"{future}.get": self._got,
            f"{got}.status": lambda it: self._answer(it).sent.status,
            f"{got}.headers": lambda it: give(
                "fields", Headers(list(self._answer(it).sent.answer), fixed=True)
            ),
            f"{got}.consume": self._consume,
        }

    # -- the request -----------------------------------------------------------------------------

    def _of(self, it: int) -> Asking:
        return self._things.get(it, Asking)

    def _set(self, name: str) -> Call:
        def set_(it: int, value: object) -> Variant:
            setattr(self._of(it), name, value)
            return Variant("ok")

        return set_

    def _time(self, name: str) -> Call:
        def time(it: int) -> int | None:
            value = getattr(self._things.get(it, Times), name)
            return None if value is None else int(value * 1e9)

        return time

    def _set_time(self, name: str) -> Call:
        def set_(it: int, value: int | None) -> Variant:
            setattr(self._things.get(it, Times), name, None if value is None else value / 1e9)
            return Variant("ok")

        return set_

    def _body(self, it: int) -> ResourceHost | None:
        asking = self._of(it)
        if asking.data is not None:
            return None
        asking.data = bytearray()
        body = OutBody(
            lambda data: self._put(asking, data),
            lambda: self._finish(asking),
            lambda: self._abandon(asking),
        )
        return self._things.give("outgoing-body", body)

    def _put(self, asking: Asking, data: bytes) -> None:
        assert asking.data is not None
        if asking.broken is None and len(asking.data) + len(data) > self._outward.most:
            self._break(asking, Variant("HTTP-request-body-size", None))
        if asking.broken is not None:
            raise Broken(asking.broken)
        asking.data += data

    def _finish(self, asking: Asking) -> Variant | None:
        if asking.broken is not None:
            return asking.broken
        asking.whole = True
        if asking.sent is not None:
            self._send(asking, asking.sent)
        return None

    def _abandon(self, asking: Asking) -> None:
        if not asking.whole:
            self._break(asking, Variant("internal-error", "its body was let go unfinished"))

    def _break(self, asking: Asking, code: Variant) -> None:
        asking.broken = asking.broken or code
        if asking.sent is not None:
            self._outward.fail(asking.sent, code)

    def _handle(self, it: int, options: int | None) -> ResourceHost | Variant:
        asking = self._things.take(it, Asking)
        times = Times() if options is None else self._things.take(options, Times)
        try:
            wanted = Wanted(
                _method(asking.method),
                "https" if asking.scheme is None else _scheme(asking.scheme),
                asking.authority or "",
                asking.path or "/",
            )
            sent = self._outward.ask(wanted, asking.headers.rows, times)
        except Failed as error:
            return error.code
        asking.sent = sent
        if asking.broken is not None:
            self._outward.fail(sent, asking.broken)
        elif asking.data is None or asking.whole:
            self._send(asking, sent)
        future = Future(sent, lambda: leave(sent, self._io.bell))
        return self._things.give("future-incoming-response", future)

    def _send(self, asking: Asking, sent: Sent) -> None:
        self._outward.send(sent, None if asking.data is None else bytes(asking.data))

    # -- the response ----------------------------------------------------------------------------

    def _future(self, it: int) -> Future:
        return self._things.get(it, Future)

    def _got(self, it: int) -> Variant:
        """An option of a result of a result, the way the package tells their cases apart."""
        future = self._future(it)
        with self._io.bell:
            if not future.sent.headed():
                return Variant("none")
            if future.taken:
                return Variant("some", None)
            future.taken = True
            if future.sent.status:
                answer = Answer(future.sent, future.leave)
                return Variant("some", self._things.give("incoming-response", answer))
            return Variant("some", future.sent.code or Variant("connection-terminated"))

    def _answer(self, it: int) -> Answer:
        return self._things.get(it, Answer)

    def _consume(self, it: int) -> ResourceHost | None:
        answer = self._answer(it)
        if answer.taken:
            return None
        answer.taken = True
        flow = Flow(answer.sent, answer.leave)
        return self._things.give("incoming-body", Body(flow))


def _method(named: Variant) -> str:
    return str(named.payload) if named.tag == "other" else named.tag.upper()


def _scheme(named: Variant) -> str:
    return str(named.payload) if named.tag == "other" else named.tag.lower()
