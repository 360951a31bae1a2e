"""Files that are in no directory: what must not be on the device's disk, in clear or compiled.

Each is an anonymous file of the kernel (memfd), open in the agent alone and reached by its workers
as `/proc/<agent>/fd/<n>`; it is gone with the agent. It can be swapped out like any memory.
"""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Hashable, Iterable
from pathlib import Path

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class InMemory:
    """By name. Owned by the agent's thread."""

    def __init__(self) -> None:
        self._files: dict[Hashable, int] = {}

    def make(self, name: Hashable) -> Path:
        """An empty file of that name for a worker to fill, or the one there is. Raises OSError."""
        if name not in self._files:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # a core file would be on the disk
            handle = os.memfd_create("module", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.fchmod(handle, 0o600)
            self._files[name] = handle
        return self.path(name)

    def put(self, name: Hashable, data: bytes) -> None:
        """Keep these bytes, never to be changed. Raises OSError."""
        self.drop(name)
        self.make(name)
        handle = self._files[name]
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        self.freeze(name)

    def freeze(self, name: Hashable) -> None:
        """Nobody writes to it any more."""
        fcntl.fcntl(self._files[name], fcntl.F_ADD_SEALS, _SEALS)

    def path(self, name: Hashable) -> Path:
        """Where workers find it. Raises KeyError."""
        return Path(f"/proc/{os.getpid()}/fd/{self._files[name]}")

    def size(self, name: Hashable) -> int:
        """Bytes in it, 0 where there is none."""
        handle = self._files.get(name)
        return 0 if handle is None else os.fstat(handle).st_size

    def names(self) -> Iterable[Hashable]:
        """Of all there are."""
        return tuple(self._files)

    def drop(self, name: Hashable) -> None:
        """Let go of it."""
        handle = self._files.pop(name, None)
        if handle is not None:
            os.close(handle)

    def close(self) -> None:
        """Let go of all."""
        for name in list(self._files):
            self.drop(name)
