"""Browser sessions: a random cookie, and a second secret that every form must repeat.

Kept in memory and by their hash, so a restart ends them all and a copy of the process's files opens
none. Bounded in number: the oldest goes.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from propeller.gateway.access.roles import Principal

COOKIE: Final = "propeller_session"
LIFE_MS: Final = 12 * 3_600_000
MOST: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. csrf: what forms of its pages carry. token: the id of the API token it came from,
    "" for one of an identity provider. expires: Unix ms."""

    principal: Principal
    csrf: str
    token: str
    expires: int

    def sent_by_us(self, given: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.csrf.encode(), given.encode())


class Sessions:
    """Those that are open. clock: Unix ms. secret: makes a new unguessable text."""

    def __init__(self, clock: Callable[[], int], secret: Callable[[], str]) -> None:
        self._clock = clock
        self._secret = secret
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, principal: Principal, *, token: str = "", until: int = 0) -> str:
        """Open one; returns the cookie's value. until: when what proved it ends, 0 for never."""
        cookie, now = self._secret(), self._clock()
        expires = min(now + LIFE_MS, until) if until else now + LIFE_MS
        made = Session(principal=principal, csrf=self._secret(), token=token, expires=expires)
        with self._lock:
            self._open[_name(cookie)] = made
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, if it is open."""
        with self._lock:
            one = self._open.get(_name(cookie))
            if one is not None and one.expires <= self._clock():
                del self._open[_name(cookie)]
                return None
            return one

    def end(self, cookie: str) -> None:
        """Close it; one that is not there is closed."""
        with self._lock:
            self._open.pop(_name(cookie), None)


def _name(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
