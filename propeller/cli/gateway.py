"""From the configuration to the gateway on TCP: who may use it, and where it listens."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from propeller.cli.settings import Fleet
from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from propeller.gateway.access.gate import Gate
    from propeller.gateway.access.oidc import Given, Issuer
    from propeller.gateway.carrier import Carrier
    from propeller.gateway.hookserver import HookServer
    from propeller.reconcile.service import Service
    from propeller.state.layout import StateDir

DASHBOARD: Final = "127.0.0.1:7070"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

LIFETIME: Final = 900.0
"""Seconds a connection may last: a page that watches connects again."""

CONNECTIONS: Final = 256
MAX_SECRET: Final = 64 << 10


def add_dashboard(parser: argparse.ArgumentParser) -> None:
    """The option that says where pages and API are served."""
    parser.add_argument(
        "--dashboard",
        metavar="HOST:PORT",
        help=f"where the dashboard and the API are served, or off (default {DASHBOARD})",
    )


def open_gateway(
    service: Service, state: StateDir, fleet: Fleet, functions: Carrier | None = None
) -> HookServer | None:
    """Start to serve pages and API; stop it with `.stop()`. None where they are off.

    Without a word about where, a port that is taken is no reason not to start: another one is
    chosen. Raises UsageError when it cannot listen where it was told to.
    """
    from propeller.cli.clock import now_ms
    from propeller.gateway.app import House, gallery_of, make_gateway, put_back
    from propeller.gateway.bridge import Bridge
    from propeller.gateway.hookserver import HookServer

    told = fleet.text("dashboard.address")
    if told == "off":
        return None
    host, colon, text = (told or DASHBOARD).rpartition(":")
    if not colon or not text.isdecimal() or int(text) > 65_535:
        raise UsageError(f"--dashboard {told!r} is neither HOST:PORT nor off")
    host = host.strip("[]") or "127.0.0.1"
    tls = _tls(fleet)
    house = House(
        database=state.database,
        blobs=service.blobs,
        shelves=state.shelves,
        loop=Bridge(service, domain=fleet.domain, cache=state.git),
        clock=now_ms,
        functions=functions,
        signals=service.signals,
        calls=state.calls,
        counts=functions.counts if functions is not None else None,
    )
    gate = gate_of(state, fleet, host=host, tls=tls is not None)
    gallery = gallery_of(house)
    app = make_gateway(house, gate, hosts=_hosts(host, gate.public), gallery=gallery)
    port = int(text)

    def listen(port: int) -> HookServer:
        return HookServer(
            app,
            host,
            port,
            what="the dashboard",
            lifetime=LIFETIME,
            connections=CONNECTIONS,
            tls=tls,
        )

    try:
        server = listen(port)
    except UsageError:
        if told:
            raise
        server = listen(0)
    server.start()
    threading.Thread(target=gallery.warm, name="first picture", daemon=True).start()
    put_back(house)
    state.write_ports({**state.read_ports(), "dashboard": server.port})
    return server


def gate_of(state: StateDir, fleet: Fleet, *, host: str, tls: bool) -> Gate:
    """Who may come in. Raises UsageError for a configuration that cannot be meant."""
    from propeller.cli.clock import now_ms
    from propeller.gateway.access.audit import Audit
    from propeller.gateway.access.gate import Gate
    from propeller.gateway.access.oidc import Oidc
    from propeller.gateway.access.roles import ANONYMOUS, FIRST_CLIENTS
    from propeller.gateway.access.tokens import Tokens

    public = fleet.text("access.publicUrl")
    issuer = _issuer(fleet)
    anonymous = fleet.text("access.anonymous")
    if not anonymous:
        alone = host in LOOPBACK and not public and issuer is None
        anonymous = "Viewer" if alone else "Nobody"
    return Gate(
        clock=now_ms,
        tokens=Tokens(state.tokens, now_ms),
        audit=Audit(state.audit),
        oidc=Oidc(issuer, now_ms) if issuer is not None else None,
        open_to_anyone=anonymous != "Nobody",
        anonymous=FIRST_CLIENTS if anonymous == "FirstClients" else ANONYMOUS,
        public=public,
        secure=tls,
    )


def _hosts(host: str, public: str) -> list[str]:
    """Names to answer to. Where every interface is meant, every name is: nobody comes in there by
    a name alone (`Gate` lets people without a login look through loopback names only)."""
    from urllib.parse import urlsplit

    if host in ("0.0.0.0", "::"):  # noqa: S104 - somebody asked for every interface
        return ["*"]
    names = ["localhost", "127.0.0.1", "[::1]", host]
    named = urlsplit(public).hostname
    return [*names, named] if named else names


def _tls(fleet: Fleet) -> tuple[str, str] | None:
    cert, key = fleet.file("access.cert"), fleet.file("access.key")
    if bool(cert) != bool(key):
        raise UsageError("access.cert and access.key come together")
    if not cert:
        return None
    for path in (cert, key):
        if not Path(path).is_file():
            raise UsageError(f"no file {path}", hint="access.cert and access.key are PEM files")
    return cert, key


def _issuer(fleet: Fleet) -> Issuer | None:
    from propeller.gateway.access.oidc import Issuer

    url, client = fleet.text("access.oidc.issuer"), fleet.text("access.oidc.clientId")
    if not url:
        return None
    if not client:
        raise UsageError("access.oidc.clientId is missing")
    secret = fleet.file("access.oidc.clientSecretFile")
    return Issuer(
        url=url,
        client=client,
        given=tuple(_given(one) for one in fleet.grants),
        secret=lambda: _read(secret) if secret else "",
        audience=fleet.text("access.oidc.audience"),
        groups=fleet.text("access.oidc.groupsClaim"),
        ca=fleet.file("access.oidc.ca"),
    )


def _given(one: Mapping[str, Any]) -> Given:
    from propeller.gateway.access.oidc import Given
    from propeller.gateway.access.roles import EVERYWHERE, Grant, Role

    group, subject = str(one.get("group") or ""), str(one.get("subject") or "")
    if not group and not subject:
        raise UsageError("access.oidc.grants: each line needs group or subject")
    namespaces = tuple(str(name) for name in one.get("namespaces") or (EVERYWHERE,))
    return Given(grant=Grant(Role(one["role"]), namespaces), group=group, subject=subject)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"access.oidc.clientSecretFile {path} cannot be read") from error
