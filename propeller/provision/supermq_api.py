"""What SuperMQ (and Magistrala, which is made of it) is asked over HTTP, and nothing more.

Domains, channels, clients and connections, as their OpenAPI 0.18 has them. Called by `supermq`. An
answer is believed no further than its shape: ids are checked, sizes and pages bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from propeller.errors import Unavailable, UsageError, WireError
from propeller.registry.http import Http

SERVICES = ("domains", "channels", "clients")
PAGE = 100
MOST = 200_000
"""Clients that are looked through."""
MAX_ANSWER = 4 << 20
BULK = 100
"""Clients made, or connected, by one request."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CONNECTION = ("publish", "subscribe")

Found = Mapping[str, Any]


class SuperMqApi:
    """See the module. token: a user's access token or a personal one.

    url: of all services; services: other addresses, by name. Raises UsageError, Unavailable and
    WireError everywhere.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        services: Mapping[str, str] | None = None,
        plain_http: Collection[str] = (),
    ) -> None:
        self._urls = {name: url.rstrip("/") for name in SERVICES}
        for name, other in (services or {}).items():
            self._urls[name] = other.rstrip("/")
        self._token = token
        self._http = Http(plain_http=plain_http, deadline=120.0)

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    # -- domains and channels --------------------------------------------------------------------

    def domain(self, name: str) -> str | None:
        """The id of the domain of this name or route, None when we see none."""
        for one in self._pages("domains", "/domains", "domains", {"name": name}):
            if name in (one.get("name"), one.get("route")):
                return _id(one)
        return None

    def make_domain(self, name: str) -> str:
        """Make it; its id."""
        return _id(self._ask("domains", "POST", "/domains", {"name": name, "route": name}))

    def channel(self, domain: str, name: str) -> str | None:
        """The id of the channel of this name, None when there is none."""
        for one in self._pages("channels", f"/{domain}/channels", "channels", {"name": name}):
            if one.get("name") == name:
                return _id(one)
        return None

    def make_channel(self, domain: str, name: str) -> str:
        """Make it; its id."""
        return _id(self._ask("channels", "POST", f"/{domain}/channels", {"name": name}))

    # -- clients ---------------------------------------------------------------------------------

    def clients(self, domain: str) -> dict[str, str]:
        """Name -> id of every client that is enabled."""
        pages = self._pages("clients", f"/{domain}/clients", "clients", {})
        return {str(one.get("name", "")): _id(one) for one in pages}

    def make_clients(self, domain: str, secrets: Mapping[str, str], mark: str) -> dict[str, str]:
        """Make clients of these names and keys; name -> id. mark: kept with each as metadata."""
        wanted = [
            {
                "name": name,
                "credentials": {"secret": secret},
                "metadata": {"propeller": mark},
                "status": "enabled",
            }
            for name, secret in secrets.items()
        ]
        made: dict[str, str] = {}
        for at in range(0, len(wanted), BULK):
            path = f"/{domain}/clients/bulk"
            answer = self._ask("clients", "POST", path, wanted[at : at + BULK])
            made.update(
                {str(one.get("name", "")): _id(one) for one in _rows(answer, "clients", path)}
            )
        missing = sorted(set(secrets) - set(made))
        if missing:
            raise WireError("malformed", f"clients were made and {missing[0]} is not among them")
        return made

    def set_secret(self, domain: str, client: str, secret: str) -> None:
        """Give a client another key."""
        path = f"/{domain}/clients/{quote(client)}/secret"
        self._ask("clients", "PATCH", path, {"secret": secret})

    def disable(self, domain: str, client: str) -> None:
        """A disabled client connects no more; one that is disabled stays so."""
        path = f"/{domain}/clients/{quote(client)}/disable"
        self._ask("clients", "POST", path, None, well=(409,))

    # -- connections -----------------------------------------------------------------------------

    def connected(self, domain: str, channel: str) -> set[str]:
        """Ids of the clients that may use the channel."""
        pages = self._pages("clients", f"/{domain}/clients", "clients", {"channel": channel})
        return {_id(one) for one in pages}

    def connect(self, domain: str, channel: str, clients: Sequence[str]) -> None:
        """Let clients publish and subscribe. One that may already stays."""
        for at in range(0, len(clients), BULK):
            some = list(clients[at : at + BULK])
            body = {"channel_ids": [channel], "client_ids": some, "types": list(CONNECTION)}
            done = self._ask("channels", "POST", f"/{domain}/channels/connect", body, well=(409,))
            if done is None and len(some) > 1:  # one of them was there: each by itself
                for one in some:
                    self.connect(domain, channel, (one,))

    # -- asking ----------------------------------------------------------------------------------

    def _pages(
        self, service: str, path: str, rows: str, query: Mapping[str, str]
    ) -> Iterator[Found]:
        at = 0
        while at < MOST:
            asked = urlencode({**query, "limit": PAGE, "offset": at})
            page = self._ask(service, "GET", f"{path}?{asked}", None)
            found = _rows(page, rows, path)
            yield from found
            at += PAGE
            if len(found) < PAGE:
                return
        raise UsageError(f"{path}: more than {MOST} {rows}")

    def _ask(
        self,
        service: str,
        method: str,
        path: str,
        body: object,
        *,
        well: Collection[int] = (),
    ) -> Found | None:
        """The answer, {} where there is none; None for a status of `well`."""
        where = f"{service}: {method} {path.partition('?')[0]}"
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        url = self._urls[service] + path
        response = self._http.request(method, url, where=where, headers=headers, data=data)
        raw = self._http.body(response, limit=MAX_ANSWER, where=where)
        status = response.status_code
        if status in well:
            return None
        if not 200 <= status < 300:
            raise _failed(status, raw, where)
        if not raw.strip():
            return {}
        found = _json(raw)
        if not isinstance(found, dict):
            raise WireError("malformed", f"{where}: the answer is no JSON object")
        return found


def _failed(status: int, raw: bytes, where: str) -> Exception:
    found = _json(raw)
    said = found.get("message") or found.get("error") if isinstance(found, dict) else None
    words = f": {_plain(said)}" if isinstance(said, str) and said else ""
    if status in (401, 403):
        hint = "give a token of a user who may administer the domain"
        return UsageError(f"{where}: it refuses us ({status}){words}", hint=hint)
    if status == 429 or status >= 500:
        return Unavailable(f"{where}: it answered {status}{words}", hint="try again later")
    return UsageError(f"{where}: it answered {status}{words}")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _rows(page: Found | None, name: str, where: str) -> list[Found]:
    rows = page.get(name) if page is not None else None
    if rows is None:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise WireError("malformed", f"{where}: {name} is no list of objects")
    return rows


def _id(found: Found | None) -> str:
    """The id of what was found. A topic is made of it, so it is a UUID or nothing."""
    value = found.get("id") if found is not None else None
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise WireError("malformed", "an answer without the id of what it is about")
    return value
