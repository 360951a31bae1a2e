"""What a guest of a worker that serves writes to. Runs in workers only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading

_PIPE = 1 << 20


class Pipe:
    """What a guest writes to, emptied by whoever has time. `most`: bytes that are kept."""

    def __init__(self, most: int, *, newest: bool) -> None:
        self._most, self._newest = most, newest
        self._source, self.end = os.pipe()
        os.set_blocking(self._source, False)
        with contextlib.suppress(OSError):  # not every system lets us
            fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, _PIPE)
        self._lock = threading.Lock()
        self._data = bytearray()
        self.over = 0
        self.total = 0
        """Bytes that ever came."""

    @property
    def path(self) -> str:
        """For WASI to open."""
        return f"/proc/self/fd/{self.end}"

    def empty(self) -> None:
        """Move what is there. Any thread."""
        with self._lock:
            while True:
                try:
                    piece = os.read(self._source, _PIPE)
                except BlockingIOError:
                    return
                self._add(piece)

    def add(self, data: bytes) -> None:
        """As if the guest had written it."""
        with self._lock:
            self._add(data)

    def _add(self, data: bytes) -> None:
        self._data += data
        self.total += len(data)
        extra = len(self._data) - self._most
        if extra > 0:
            self.over += extra
            if self._newest:
                del self._data[:extra]
            else:
                del self._data[self._most :]

    def since(self, offset: int, most: int) -> tuple[bytes, int]:
        """Up to `most` bytes from `offset` on (of `total`), and how many before them are gone."""
        with self._lock:
            start = self.total - len(self._data)
            begin = max(offset, start)
            return bytes(self._data[begin - start : begin - start + most]), begin - offset

    def take(self) -> bytes:
        """All that was kept since the last time."""
        self.empty()
        with self._lock:
            data, self._data = bytes(self._data), bytearray()
            return data
