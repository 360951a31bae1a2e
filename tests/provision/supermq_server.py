"""A SuperMQ on loopback: the parts of its OpenAPI 0.18 that we call, and strict about them.

Whatever its pages do not say is refused: unknown fields, a missing content type, a limit above 100,
ids that are none, another method. What breaks the contract is kept in `complaints`; a test fails
when there is one.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-of-an-administrator"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
CLIENT = {"name", "tags", "credentials", "private_metadata", "metadata", "status"}
CHANNEL = {"name", "parent_id", "route", "metadata", "status"}
DOMAIN = {"name", "tags", "metadata", "route"}
LISTS = {
    "domains": {"limit", "offset", "order", "dir", "metadata", "status", "name", "only_total"},
    "channels": {"limit", "offset", "order", "dir", "metadata", "status", "name", "id", "client"},
    "clients": {"limit", "offset", "order", "dir", "metadata", "status", "name", "id", "channel"},
}


class Answer(Exception):
    """What is answered; raised from wherever it is known."""

    def __init__(self, status: int, body: object = None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass
class SuperMqServer:
    """Everything it knows, by id. `fails`: so many next requests are answered 503."""

    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    connections: set[tuple[str, str, str]] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    fails: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                with outer._lock:
                    try:
                        outer._handle(self.command, self.path, self.headers, raw)
                        status, body = 500, {"error": "nothing answered"}
                    except Answer as answer:
                        status, body = answer.status, answer.body
                    if status in (400, 404, 415, 500):
                        outer.complaints.append(f"{self.command} {self.path}: {status} {body}")
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    # -- what a test looks at ------------------------------------------------------------------

    def client(self, name: str) -> dict[str, Any]:
        """The one client of this name."""
        (found,) = [one for one in self.clients.values() if one["name"] == name]
        return found

    def may(self, client: str, channel: str) -> set[str]:
        """What a client may do in a channel."""
        return {kind for one, other, kind in self.connections if (one, other) == (client, channel)}

    # -- requests ------------------------------------------------------------------------------

    def _handle(self, method: str, target: str, headers: Any, raw: bytes) -> None:
        parts = urlsplit(target)
        self.requests.append(f"{method} {parts.path}")
        if self.fails:
            self.fails -= 1
            raise Answer(503, {"error": "try later"})
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Answer(401, {"message": "missing or invalid access token provided"})
        body: Any = None
        if raw:
            if headers.get("Content-Type") != "application/json":
                raise Answer(415, {"error": "unsupported content type"})
            try:
                body = json.loads(raw)
            except ValueError:
                raise Answer(400, {"error": "malformed JSON"}) from None
        path = [part for part in parts.path.split("/") if part]
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match (method, path):
            case ("GET", ["domains"]):
                self._page("domains", list(self.domains.values()), query)
            case ("POST", ["domains"]):
                self._make_domain(body)
            case ("GET", [domain, "channels"]):
                self._in(domain)
                rows = [one for one in self.channels.values() if one["domain_id"] == domain]
                self._page("channels", rows, query)
            case ("POST", [domain, "channels"]):
                self._in(domain)
                self._make_channel(domain, body)
            case ("POST", [domain, "channels", "connect"]):
                self._in(domain)
                self._connect(body)
            case ("GET", [domain, "clients"]):
                self._in(domain)
                self._list_clients(domain, query)
            case ("POST", [domain, "clients", "bulk"]):
                self._in(domain)
                self._make_clients(domain, body)
            case ("PATCH", [domain, "clients", client, "secret"]):
                self._in(domain)
                self._fields(body, {"secret"}, {"secret"})
                self._of(self.clients, client)["credentials"]["secret"] = body["secret"]
                raise Answer(200, self.clients[client])
            case ("POST", [domain, "clients", client, "disable"]):
                self._in(domain)
                found = self._of(self.clients, client)
                if found["status"] == "disabled":
                    raise Answer(409, {"error": "already disabled"})
                found["status"] = "disabled"
                raise Answer(200, _shown(found))
            case _:
                raise Answer(404, {"error": "no such route"})

    def _in(self, domain: str) -> None:
        self._of(self.domains, domain)

    def _of(self, rows: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        if UUID.fullmatch(name) is None:
            raise Answer(400, {"error": "malformed id"})
        if name not in rows:
            raise Answer(404, {"error": "a non-existent entity request"})
        return rows[name]

    def _fields(self, body: Any, allowed: set[str], required: set[str]) -> None:
        if not isinstance(body, dict) or set(body) - allowed or required - set(body):
            raise Answer(400, {"error": f"malformed entity specification: {body}"})

    def _page(self, kind: str, rows: list[dict[str, Any]], query: dict[str, str]) -> None:
        if set(query) - LISTS[kind]:
            raise Answer(400, {"error": f"unknown parameter in {sorted(query)}"})
        limit, offset = int(query.get("limit", 10)), int(query.get("offset", 0))
        if not 1 <= limit <= 100 or offset < 0:
            raise Answer(400, {"error": "invalid limit or offset"})
        status = query.get("status", "enabled")
        rows = [one for one in rows if status in ("all", one["status"])]
        if "name" in query:  # theirs finds by a part of the name
            rows = [one for one in rows if query["name"] in one["name"]]
        page = [_shown(one) for one in rows[offset : offset + limit]]
        raise Answer(200, {kind: page, "total": len(rows), "offset": offset, "limit": limit})

    def _make_domain(self, body: Any) -> None:
        self._fields(body, DOMAIN, {"name", "route"})
        if any(one["route"] == body["route"] for one in self.domains.values()):
            raise Answer(409, {"error": "route is taken"})
        raise Answer(201, self._keep(self.domains, body))

    def _make_channel(self, domain: str, body: Any) -> None:
        self._fields(body, CHANNEL, {"name"})
        raise Answer(201, self._keep(self.channels, {**body, "domain_id": domain}))

    def _make_clients(self, domain: str, body: Any) -> None:
        if not isinstance(body, list) or not body or len(body) > 100:
            raise Answer(400, {"error": "malformed list of clients"})
        for one in body:
            self._fields(one, CLIENT, {"credentials"})
            self._fields(one["credentials"], {"identity", "secret"}, set())
            if len(one["credentials"].get("secret", "x" * 8)) < 8:
                raise Answer(400, {"error": "secret is too short"})
        made = [self._keep(self.clients, {**one, "domain_id": domain}) for one in body]
        shown = [_shown(one) for one in made]
        raise Answer(200, {"clients": shown, "total": len(made), "offset": 0, "limit": 100})

    def _list_clients(self, domain: str, query: dict[str, str]) -> None:
        rows = [one for one in self.clients.values() if one["domain_id"] == domain]
        if "channel" in query:
            self._of(self.channels, query["channel"])
            there = {
                client for client, channel, _ in self.connections if channel == query["channel"]
            }
            rows = [one for one in rows if one["id"] in there]
        self._page("clients", rows, query)

    def _connect(self, body: Any) -> None:
        names = {"channel_ids", "client_ids", "types"}
        self._fields(body, names, names)
        if not body["types"] or set(body["types"]) - {"publish", "subscribe"}:
            raise Answer(400, {"error": "invalid connection type"})
        wanted = {
            (client, channel, kind)
            for client in body["client_ids"]
            for channel in body["channel_ids"]
            for kind in body["types"]
        }
        for client, channel, _ in wanted:
            self._of(self.clients, client)
            self._of(self.channels, channel)
        if wanted & self.connections:
            raise Answer(409, {"error": "entity already exists"})
        self.connections |= wanted
        raise Answer(201)

    def _keep(self, rows: dict[str, dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        made = {"status": "enabled", **json.loads(json.dumps(body)), "id": str(uuid.uuid4())}
        rows[made["id"]] = made
        return made


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    """As a list shows it: without the key."""
    if "credentials" not in one:
        return one
    return {**one, "credentials": {**one["credentials"], "secret": ""}}
