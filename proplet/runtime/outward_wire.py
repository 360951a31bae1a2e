"""One request of a guest on its connection: bounded in bytes and time, and what its end is called.

Called by `outward` in the thread of the request. Everything a server sends is hostile.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from wasmtime.component import Variant

from propeller.outgoing import Target
from proplet.runtime.exchange import OF_THE_HOP

Rows = Sequence[tuple[str, bytes]]

MOST_HEAD = 32 * 1024
"""Bytes of the head of a response."""
FRAMING = 64 * 1024
"""Bytes that may come besides a head and a body of the largest sizes: chunks have sizes too."""
LENGTH = "content-length"


class Failed(Exception):
    """A request that comes to nothing. code: of `wasi:http/types`. words: for the log, if any."""

    def __init__(self, code: Variant, words: str = "") -> None:
        super().__init__(words or code.tag)
        self.code, self.words = code, words


@dataclass(slots=True)
class Times:
    """Seconds that the guest set for a request, None where it did not."""

    connect: float | None = None
    first_byte: float | None = None
    between: float | None = None


@dataclass(slots=True)
class Sent:
    """A request under way and its response. Whoever reads or writes it holds the bell.

    ends: monotonic seconds. over: nothing more comes; code: why, where that is no good end.
    """

    target: Target
    headers: Rows
    times: Times
    ends: float
    status: int = 0
    answer: list[tuple[str, bytes]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    over: bool = False
    code: Variant | None = None
    left: bool = False
    socket: socket.socket | None = None

    def headed(self) -> bool:
        """Whether there is a response, or never will be one. Late counts as never: what a thread
        waits for may not end in time."""
        if not self.status and not self.over and time.monotonic() >= self.ends:
            self.over, self.code = True, Variant("HTTP-response-timeout")
        return bool(self.status) or self.over

    def fed(self) -> bool:
        """Whether a read of its body gives something or its end."""
        if not self.data and not self.over and time.monotonic() >= self.ends:
            self.over, self.code = True, Variant("connection-read-timeout")
        return bool(self.data) or self.over


def leave(sent: Sent, bell: threading.Condition) -> None:
    """Nobody waits for it any more."""
    with bell:
        sent.left = True
        link = sent.socket
    if link is not None:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


class Wire:
    """What `http.client` takes for a socket. most: bytes of a body."""

    def __init__(self, link: socket.socket, sent: Sent, most: int) -> None:
        self._link, self._sent = link, sent
        self._left = MOST_HEAD
        self._more = most + most // 2 + FRAMING
        self._in_head = True
        self._begun = False

    def headed(self) -> None:
        """From now on it is the body that comes."""
        self._in_head = False
        self._left += self._more

    def sendall(self, data: bytes) -> None:
        """Raises OSError."""
        self._link.settimeout(within(self._sent, None))
        try:
            self._link.sendall(data)
        except TimeoutError:
            raise Failed(Variant("connection-write-timeout")) from None

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What it reads from."""
        return io.BufferedReader(_Raw(self), 4096)

    def close(self) -> None:
        """The thread closes what it opened."""

    def receive(self, into: memoryview) -> int:
        """Raises Failed, OSError."""
        if self._left <= 0:
            code = "HTTP-response-header-section-size" if self._in_head else _TOO_LARGE
            raise Failed(Variant(code, None))
        times = self._sent.times
        self._link.settimeout(
            within(self._sent, times.between if self._begun else times.first_byte)
        )
        got = self._link.recv_into(into[: self._left])
        self._begun = True
        self._left -= got
        return got


class _Raw(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        return self._wire.receive(memoryview(into).cast("B"))  # type: ignore[arg-type]


_TOO_LARGE = "HTTP-response-body-size"
_CODES: dict[int, str] = {
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-terminated",
    errno.EPIPE: "connection-terminated",
    errno.ENETUNREACH: "destination-IP-unroutable",
    errno.EHOSTUNREACH: "destination-unavailable",
}


def code_of(error: Exception, *, headed: bool) -> Variant:
    """What a guest is told of a failure that has no code yet."""
    match error:
        case TimeoutError():
            return Variant("connection-read-timeout" if headed else "HTTP-response-timeout")
        case ssl.SSLCertVerificationError():
            return Variant("TLS-certificate-error")
        case ssl.SSLError():
            return Variant("TLS-protocol-error")
        case http.client.RemoteDisconnected():
            return Variant("connection-terminated")
        case http.client.IncompleteRead():
            return Variant("HTTP-response-incomplete")
        case http.client.LineTooLong():
            return Variant("HTTP-response-header-section-size", None)
        case http.client.BadStatusLine():
            return Variant("HTTP-protocol-error")
        case http.client.HTTPException() if "headers" in str(error):
            return Variant("HTTP-response-header-section-size", None)
        case http.client.HTTPException():
            return Variant("HTTP-protocol-error")
        case OSError():
            return Variant(_CODES.get(error.errno or 0, "destination-unavailable"))
        case _:
            return Variant("internal-error", type(error).__name__)


def rows_out(sent: Sent, body: bytes | None) -> list[tuple[str, bytes]]:
    """Headers as they go out: those of the guest, but for what says how a connection is used.

    Raises Failed.
    """
    stated = [value for name, value in sent.headers if name == LENGTH]
    if any(value != str(len(body or b"")).encode() for value in stated):
        raise Failed(Variant("HTTP-request-body-size", len(body or b"")))
    rows = [("host", sent.target.authority.encode()), ("connection", b"close")]
    rows += [row for row in sent.headers if row[0] not in OF_THE_HOP and row[0] != "host"]
    if body is not None or sent.target.method in ("PATCH", "POST", "PUT"):
        rows.append((LENGTH, str(len(body or b"")).encode()))
    return rows


def within(sent: Sent, most: float | None) -> float:
    """Seconds that the next step may take. Raises TimeoutError."""
    left = sent.ends - time.monotonic()
    if left <= 0 or sent.left:
        raise TimeoutError
    return max(0.001, left if most is None else min(left, most))
