"""Serving the API on the state directory's socket, in a thread of the reconciler's process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

MAX_SOCKET_PATH = 100
"""Bytes of a path a Unix socket may have (108 with its NUL on Linux, and some room)."""


class ApiServer:
    """Starts and stops uvicorn on a Unix socket only this user can open."""

    def __init__(self, app: Starlette, socket: Path) -> None:
        self._socket = socket
        socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY)
        config = uvicorn.Config(
            app,
            uds=reachable(socket, self._directory),
            log_level="warning",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="api", daemon=True)

    def start(self) -> None:
        """Serve; returns once the socket is there (or the server gave up)."""
        self._socket.unlink(missing_ok=True)
        self._thread.start()
        waiting = threading.Event()
        for _ in range(200):
            if self._server.started or not self._thread.is_alive():
                break
            waiting.wait(0.025)
        if self._socket.exists():
            self._socket.chmod(0o600)

    def stop(self) -> None:
        """Stop serving; open streams are cut after two seconds."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.unlink(missing_ok=True)
        os.close(self._directory)


def reachable(socket: Path, directory: int) -> str:
    """`socket` as a path short enough for the kernel, through an open handle of its directory."""
    if len(os.fsencode(socket)) <= MAX_SOCKET_PATH:
        return str(socket)
    return f"/proc/self/fd/{directory}/{socket.name}"
