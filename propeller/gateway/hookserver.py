"""Listening on a TCP port (webhooks, the dashboard), in a thread of the reconciler's process.

Bounds what a stranger can hold: so many connections, each for so many seconds, each with so large a
head. On loopback by default; callers from elsewhere come through a proxy that speaks TLS.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from propeller.errors import UsageError

MAX_CONNECTIONS: Final = 64
LIFETIME: Final = 60.0
"""Seconds a connection may last in all, whatever comes over it."""

MAX_HEAD: Final = 64 << 10
START_SECONDS: Final = 5.0


class _ShortLived(H11Protocol):
    """A connection that is cut when its time is over."""

    _end: asyncio.TimerHandle | None = None
    lifetime = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn itself narrows asyncio's BaseTransport here
        super().connection_made(transport)
        self._end = asyncio.get_running_loop().call_later(
            self.lifetime or LIFETIME, transport.abort
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)


def _lasting(seconds: float) -> type[_ShortLived]:
    return type("_Lasting", (_ShortLived,), {"lifetime": seconds})


class HookServer:
    """Starts and stops uvicorn on one port. port: the one it got, where 0 was asked for.

    lifetime: seconds a connection may last, 0 for a minute. tls: files of a certificate chain and
    its key.
    Raises UsageError when it cannot listen there.
    """

    def __init__(
        self,
        app: Starlette,
        host: str,
        port: int,
        *,
        what: str = "webhooks",
        lifetime: float = 0.0,
        connections: int = MAX_CONNECTIONS,
        tls: tuple[str, str] | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise UsageError(
                f"cannot listen for {what} on {host}:{port}: {error.strerror or error}",
                hint="choose a free port of this machine",
            ) from error
        # asyncio does this only for sockets that say they are TCP; a head would wait 40 ms for its
        # body. Connections have it from their listener.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{self.host}:{self.port}"
        config = uvicorn.Config(
            app,
            http=_lasting(lifetime),
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=connections,
            # Who asks is who connected: what a proxy tells of others is for the log only.
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=what, daemon=True)

    def start(self) -> None:
        """Serve; returns once it does."""
        self._thread.start()
        waiting = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            if self._server.started or not self._thread.is_alive():
                return
            waiting.wait(0.01)

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._listener.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])
