"""HTTP over a Unix socket. Apart, because `http.client` takes as long to import as `get` to run."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path


class SocketConnection(http.client.HTTPConnection):
    """HTTP over the state directory's socket. A long path goes through a handle of its folder."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
            finally:
                os.close(directory)
        except OSError:
            self.sock.close()
            raise
