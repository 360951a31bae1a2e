"""What stands before every route: who asks, may they, how often, and the line in the audit log.

`routing` calls `identify` and `admit` for each entry of the route table. A route that finds out
only in its body which namespace it is about calls `Caller.need`. Nobody without a login may change
anything; looking without one is possible from this machine only, and only where it is allowed.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from propeller.errors import Unavailable
from propeller.gateway.access.audit import Audit, Deed
from propeller.gateway.access.limits import Buckets
from propeller.gateway.access.oidc import Oidc, Refused
from propeller.gateway.access.roles import ANONYMOUS, EVERYWHERE, Principal, Role, local
from propeller.gateway.access.sessions import COOKIE, Session, Sessions
from propeller.gateway.access.tokens import PREFIX, Tokens
from propeller.gateway.problem import Problem

log = logging.getLogger("propeller.gateway")

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

RATE, BURST = 50.0, 200.0
"""Requests a second of one principal, and at once."""

FAIL_RATE, FAIL_BURST = 0.2, 10.0
"""Wrong logins a second of one address, and at once."""


@dataclass(slots=True)
class Caller:
    """Who makes a request, and what its route asks for. asked: namespaces that were asked about."""

    principal: Principal
    role: Role | None
    session: Session | None = None
    asked: set[str] = field(default_factory=set)
    note: str = ""

    def need(self, namespace: str = EVERYWHERE, role: Role | None = None) -> None:
        """Refuse unless the route's role (or `role`) was granted in `namespace`."""
        wanted = role or self.role
        self.asked.add(namespace)
        if wanted is None or not self.principal.may(wanted, namespace):
            raise _denied(self.principal, wanted or Role.ADMIN, namespace)

    def sees(self, namespace: str) -> bool:
        """Whether what is in `namespace` may be shown."""
        return self.principal.may(Role.VIEWER, namespace)

    @property
    def sees_all(self) -> bool:
        """Whether every namespace may be shown."""
        return self.principal.may(Role.VIEWER)


class Gate:
    """One door. open_to_anyone: whether this machine may look without a login, as `anonymous`.
    at_socket: the private socket, where everybody is the owner. public: the address people type,
    "" for none."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        tokens: Tokens | None = None,
        audit: Audit | None = None,
        oidc: Oidc | None = None,
        open_to_anyone: bool = False,
        anonymous: Principal = ANONYMOUS,
        at_socket: bool = False,
        public: str = "",
        secure: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.tokens = tokens
        self.audit = audit
        self.oidc = oidc
        self.public = public.rstrip("/")
        self.secure = secure or self.public.startswith("https://")
        self.open_to_anyone = open_to_anyone
        self._anonymous = anonymous
        self.sessions = Sessions(clock, lambda: secrets.token_urlsafe(32))
        self._at_socket = at_socket
        self._asking = Buckets(rate=RATE, burst=BURST, clock=monotonic)
        self._failing = Buckets(rate=FAIL_RATE, burst=FAIL_BURST, clock=monotonic)
        self._telling = Buckets(rate=1 / 60, burst=5, clock=monotonic)

    # -- who ----------------------------------------------------------------------------------

    async def identify(self, request: Request) -> tuple[Principal | None, Session | None]:
        """Who asks: (None, None) for nobody. Raises Problem for a login that does not hold."""
        if self._at_socket:
            return local("local"), None
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, text = header.partition(" ")
            if scheme.lower() != "bearer":
                raise self._wrong(request, "only bearer tokens are taken")
            return await self.bearer(request, text.strip()), None
        cookie = request.cookies.get(COOKIE, "")
        if cookie:
            session = self.sessions.find(cookie)
            if session is not None and await self._still(session):
                return session.principal, session
        if self._may_look(request):
            return self._anonymous, None
        return None, None

    async def bearer(self, request: Request, text: str) -> Principal:
        """Who holds this token. Raises Problem."""
        address = origin_of(request)
        if text.startswith(PREFIX) and self.tokens is not None:
            token = await run_in_threadpool(self.tokens.find, text)
            if token is not None:
                return token.principal
        elif self.oidc is not None and not self._failing.empty(address):
            try:
                return await run_in_threadpool(self.oidc.bearer, text)
            except Refused as error:
                raise self._wrong(request, str(error)) from error
        raise self._wrong(request, "the token is wrong, was revoked or has expired")

    async def _still(self, session: Session) -> bool:
        if not session.token or self.tokens is None:
            return True
        return await run_in_threadpool(self.tokens.still, session.token)

    def _may_look(self, request: Request) -> bool:
        """From this machine, by a name of this machine, through no proxy."""
        if not self.open_to_anyone:
            return False
        peer = request.client.host if request.client is not None else ""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        proxied = any(name in request.headers for name in FORWARDED)
        return peer in LOOPBACK and host in LOOPBACK and not proxied

    def _wrong(self, request: Request, why: str) -> Problem:
        address = origin_of(request)
        wait = self._failing.take(address)
        if wait:
            return Problem(429, "too many wrong logins", retry=wait)
        self.tell(request, None, 401, note=why)
        problem = Problem(401, why)
        problem.told = True
        return problem

    # -- may they -----------------------------------------------------------------------------

    async def admit(
        self, request: Request, *, role: Role | None, namespace: str | None = None
    ) -> Caller:
        """The small function that any route calls: who asks, if they may.

        namespace: where the role must have been granted; `*` for all; None for any (the route then
        leaves out what the caller may not see, or calls `Caller.need`). role None: for everyone.
        Raises Problem: 401, 403, 429.
        """
        principal, session = await self.identify(request)
        if principal is None:
            if role is not None:
                raise Problem(401, "say who you are: a bearer token, or log in at /login")
            principal = Principal(name="nobody", via="anonymous", grants=())
        name = principal.name if principal.grants else origin_of(request)
        wait = 0.0 if self._at_socket else self._asking.take(f"{principal.via} {name}")
        if wait:
            raise Problem(429, "too many requests", retry=wait)
        caller = Caller(principal, role, session)
        try:
            if role is not None and namespace is not None:
                caller.need(namespace)
            elif role is not None and not principal.may_somewhere(role):
                raise _denied(principal, role, EVERYWHERE)
        except Problem as problem:
            self.tell(request, principal, problem.status)
            problem.told = True
            raise
        return caller

    def check_same_site(self, request: Request, origins: Iterable[str] = ()) -> None:
        """Refuse a browser's write that began on a page elsewhere. Raises Problem 403."""
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "")
        if origin is None:
            if site not in ("", "same-origin", "none"):
                raise Problem(403, "this request began on another site")
            return
        scheme = "https" if self.secure else "http"
        ours = {f"{scheme}://{request.headers.get('host', '')}", *origins}
        if self.public:
            ours.add(self.public)
        if origin not in ours:
            raise Problem(403, "this request began on another site")

    # -- written down -------------------------------------------------------------------------

    def tell(
        self, request: Request, who: Principal | None, outcome: int, *, note: str = ""
    ) -> None:
        """A line in the audit log. Refusals of one address are thinned out: five, then one a
        minute."""
        if self.audit is None:
            return
        address = origin_of(request)
        if outcome in (401, 403, 429) and self._telling.take(address):
            return
        deed = Deed(
            at=self.clock(),
            who=who.name if who is not None else "nobody",
            via=who.via if who is not None else "anonymous",
            origin=_where(request, address),
            what=f"{request.method} {request.url.path}",
            outcome=outcome,
            note=note,
        )
        try:
            self.audit.note(deed)
        except Unavailable as error:
            log.error("the audit log cannot be written: %s", error)

    def ready(self) -> None:
        """Before a write: whether it can be written down. Raises Problem 503."""
        if self.audit is None:
            return
        try:
            self.audit.ready()
        except Unavailable as error:
            raise Problem(
                503, f"nothing is changed that cannot be recorded: {error.what}"
            ) from error


def origin_of(request: Request) -> str:
    """The address a request came from; "socket" for the private one."""
    return request.client.host if request.client is not None and request.client.host else "socket"


def _where(request: Request, address: str) -> str:
    if address in LOOPBACK:
        told = request.headers.get("x-forwarded-for", "")
        if told:
            return f"{address} for {told[:100]}"
    return address


def _denied(principal: Principal, role: Role, namespace: str) -> Problem:
    where = "in all namespaces" if namespace == EVERYWHERE else f"in namespace {namespace}"
    return Problem(403, f"{principal.name} is not {role} {where}")
