"""HTTP requests of guests: which of them leave, how far each may go, and what comes back.

Runs in workers only. Each request has a thread of its own for as long as it lasts and a connection
that nobody uses again, is bounded in bytes and in time, and follows no redirect: where the answer
points to is one more request, asked of the same lists. A name is resolved once, and what is
connected to is the address that was looked at. What is not let out is a line in the guest's log.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from wasmtime.component import Record, Variant

from propeller.outgoing import (
    METHODS,
    Address,
    Network,
    Rule,
    Target,
    may_reach,
    parse_rule,
    parse_target,
)
from proplet.runtime.exchange import OF_THE_HOP
from proplet.runtime.outward_wire import (
    LENGTH,
    Failed,
    Rows,
    Sent,
    Times,
    Wire,
    code_of,
    leave,
    rows_out,
    within,
)

AT_ONCE = 8
"""Requests of one guest under way at a time."""
THREADS = 16
"""The same with those of earlier calls that still wait for a resolver."""
WINDOW = 60.0
"""Seconds after which what runs longer may send as many requests again."""
MOST_LINES = 16
"""Lines of one call's log about what did not leave."""
STACK = 1 << 20
"""Bytes of the stack of a thread: what a worker may have besides its guest's memory is bounded."""
TRIED = 3
"""Addresses of a name that are tried."""
PIECE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """allow: rules of the spec. owner, networks: those of the device's owner. requests: in one
    call, and in each minute of what runs longer. timeout: seconds of one request. body: bytes of
    one body, either way. ca: PEM file of who is trusted besides the system's authorities."""

    allow: tuple[Rule, ...]
    owner: tuple[Rule, ...] = ()
    networks: tuple[Network, ...] = ()
    requests: int = 16
    timeout: float = 10.0
    body: int = 256 * 1024
    ca: str | None = None


def terms_of(told: Mapping[str, object]) -> Terms:
    """As the agent put them into a job. Raises ValueError."""
    return Terms(
        tuple(parse_rule(text) for text in cast("list[str]", told["allow"])),
        tuple(parse_rule(text) for text in cast("list[str]", told["owner"])),
        tuple(ipaddress.ip_network(text) for text in cast("list[str]", told["networks"])),
        requests=cast(int, told["requests"]),
        timeout=cast(int, told["timeout"]) / 1000,
        body=cast(int, told["body"]),
        ca=cast("str | None", told["ca"]),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request as a guest put it, in its words. path: with its query."""

    method: str
    scheme: str
    authority: str
    path: str


class Outward:
    """See the module. say: takes a line of the guest's log. bell: rings when something came."""

    def __init__(
        self, terms: Terms, say: Callable[[bytes], None], bell: threading.Condition
    ) -> None:
        self._terms, self._say, self._bell = terms, say, bell
        self._tls: ssl.SSLContext | None = None
        self._sent: list[Sent] = []
        self._count = 0
        self._since = 0.0
        self._lines = 0
        self._threads = 0

    @property
    def most(self) -> int:
        """Bytes of a body."""
        return self._terms.body

    def begin(self) -> None:
        """A call begins: whatever the last one left is given up."""
        with self._bell:
            sent, self._sent = self._sent, []
            self._count = self._lines = 0
            self._since = time.monotonic()
        for one in sent:
            leave(one, self._bell)

    def ask(self, wanted: Wanted, headers: Rows, times: Times) -> Sent:
        """A request that may leave, once its body is there. Raises Failed."""
        try:
            target = parse_target(wanted.method, wanted.scheme, wanted.authority, wanted.path)
        except ValueError as error:
            code = _INVALID if wanted.method in METHODS else "HTTP-request-method-invalid"
            raise self._refused(f"a request: {error}", Variant(code)) from None
        if not any(rule.admits(target) for rule in self._terms.allow):
            raise self._refused(f"{target}: run.http.allow does not list it", _denied())
        if not any(rule.admits(target) for rule in self._terms.owner):
            raise self._refused(f"{target}: this device does not let it out", _denied())
        with self._bell:
            now = time.monotonic()
            if now - self._since >= WINDOW:
                self._since, self._count = now, 0
            self._sent = [one for one in self._sent if not one.over and not one.left]
            most = self._terms.requests
            if self._count < most and len(self._sent) < AT_ONCE and self._threads < THREADS:
                self._count += 1
                sent = Sent(target, headers, times, now + self._terms.timeout)
                self._sent.append(sent)
                return sent
        words = f"{target}: more than {most} requests (run.http.requests) or {AT_ONCE} at once"
        raise self._refused(words, Variant("connection-limit-reached"))

    def send(self, sent: Sent, body: bytes | None) -> None:
        """Off it goes. body: None where the guest never asked for one."""
        with self._bell:
            if sent.over or sent.left:
                return
            self._threads += 1
        before = threading.stack_size(STACK)
        try:
            threading.Thread(target=self._go, args=(sent, body), daemon=True).start()
        except RuntimeError:
            with self._bell:
                self._threads -= 1
            self.fail(sent, Variant("internal-error", "no thread could be started"))
        finally:
            threading.stack_size(before)

    def fail(self, sent: Sent, code: Variant) -> None:
        """It never goes."""
        with self._bell:
            sent.over, sent.code = True, sent.code or code
            self._bell.notify_all()

    def _refused(self, words: str, code: Variant) -> Failed:
        self.note(f"refused {words}")
        return Failed(code, words)

    def note(self, words: str) -> None:
        """A line of the guest's log, of which there are so many."""
        with self._bell:
            self._lines += 1
            if self._lines > MOST_LINES:
                return
        line = "".join(char if char.isprintable() else "?" for char in f"propeller: http: {words}")
        self._say(line[:400].encode() + b"\n")

    # -- a thread a request ----------------------------------------------------------------------

    def _go(self, sent: Sent, body: bytes | None) -> None:
        code: Variant | None = None
        words = ""
        try:
            self._exchange(sent, body)
        except Failed as error:
            code, words = error.code, error.words
        except Exception as error:  # whatever a peer did, the guest gets a code
            code = code_of(error, headed=bool(sent.status))
        finally:
            link = sent.socket
            if link is not None:
                with contextlib.suppress(OSError):
                    link.close()
        if words:
            self.note(words)
        with self._bell:
            self._threads -= 1
            if not sent.over:
                sent.over, sent.code = True, code
            self._bell.notify_all()

    def _exchange(self, sent: Sent, body: bytes | None) -> None:
        wire = Wire(self._connect(sent), sent, self._terms.body)
        asks = http.client.HTTPConnection(sent.target.host, sent.target.port)
        asks.sock = wire  # it needs sendall, makefile and close
        asks.auto_open = 0
        asks.putrequest(
            sent.target.method, sent.target.sent, skip_host=True, skip_accept_encoding=True
        )
        for name, value in rows_out(sent, body):
            asks.putheader(name, value)
        asks.endheaders(body or None)
        told = asks.getresponse()
        if told.status < 200:
            code = "HTTP-upgrade-failed" if told.status == 101 else "HTTP-protocol-error"
            raise Failed(Variant(code))
        if told.length is not None and told.length > self._terms.body:
            raise Failed(Variant("HTTP-response-body-size", told.length))
        rows = [(name.lower(), value.encode("latin-1")) for name, value in told.getheaders()]
        wire.headed()
        with self._bell:
            if sent.over or sent.left:
                return
            sent.answer = [row for row in rows if row[0] == LENGTH or row[0] not in OF_THE_HOP]
            sent.status = told.status
            self._bell.notify_all()
        self._take(sent, told)

    def _take(self, sent: Sent, told: http.client.HTTPResponse) -> None:
        total = 0
        while piece := told.read1(PIECE):
            total += len(piece)
            if total > self._terms.body:
                raise Failed(Variant("HTTP-response-body-size", None))
            with self._bell:
                if sent.over or sent.left:
                    return
                sent.data += piece
                self._bell.notify_all()
        if told.length:
            raise Failed(Variant("HTTP-response-incomplete"))

    def _connect(self, sent: Sent) -> socket.socket:
        """Raises Failed, OSError."""
        target = sent.target
        named = [
            rule.address
            for rule in self._terms.owner
            if rule.address is not None and rule.admits(target)
        ]
        found = self._resolve(target)
        fit = [row for row in found if may_reach(_plain(row[4][0]), named, self._terms.networks)]
        if not fit:
            words = f"refused {target}: {found[0][4][0]} is a local address (httpNetworks)"
            raise Failed(Variant("destination-IP-prohibited"), words)
        trouble: OSError = OSError(errno.EHOSTUNREACH, "no address")
        for family, _, _, _, address in fit[:TRIED]:
            link = socket.socket(family, socket.SOCK_STREAM)
            with self._bell:
                sent.socket = link
                if sent.over or sent.left:
                    raise Failed(Variant("connection-terminated"))
            link.settimeout(within(sent, sent.times.connect))
            try:
                link.connect(address)
            except OSError as error:
                link.close()
                trouble = error
                continue
            if target.scheme == "http":
                return link
            link.settimeout(within(sent, sent.times.connect))
            sure = self._context().wrap_socket(link, server_hostname=target.host.strip("[]"))
            with self._bell:
                sent.socket = sure
            return sure
        if isinstance(trouble, TimeoutError):
            raise Failed(Variant("connection-timeout"))
        raise trouble

    @staticmethod
    def _resolve(target: Target) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """Raises Failed."""
        try:
            found = socket.getaddrinfo(
                target.host.strip("[]"), target.port, type=socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise Failed(Variant("DNS-timeout")) from None
            raise Failed(Variant("DNS-error", _record(rcode=None, info_code=None))) from None
        return cast("list[tuple[int, int, int, str, tuple[str, int]]]", found)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._terms.ca is not None:
                self._tls.load_verify_locations(self._terms.ca)
        return self._tls


_INVALID = "HTTP-request-URI-invalid"


def _denied() -> Variant:
    return Variant("HTTP-request-denied")


def _plain(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _record(**fields: object) -> Record:
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made
