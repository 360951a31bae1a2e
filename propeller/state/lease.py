"""One lease a state: who may write.

`up`, `serve`, `reconcile` and `apply` take it; everything that only reads never does. It is a
`flock` on `run/lease`, so the kernel gives it back when the holder dies, however it dies: there is
no heartbeat, no timeout and nothing to clean up. The file's text says who holds it; it means
nothing unless the lock is held, and is never removed (a new file would be a second lock).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from propeller.errors import Conflict, Unavailable
from propeller.state.files import make_directory, write_all

NAME = "lease"
_TEXT_LIMIT = 4096
_TRIES = 10
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease. started: Unix ms. socket: where it listens, "" for nowhere.

    A holder that has not written its name yet is `Holder(pid=0, verb="", started=0)`.
    """

    pid: int
    verb: str
    started: int
    socket: str = ""

    def __str__(self) -> str:
        return f"`propeller {self.verb}` (process {self.pid})" if self.pid else "another process"


class LeaseHeld:
    """The lease, held by this process until `release`, the end of a `with`, or its death."""

    def __init__(self, handle: int, holder: Holder) -> None:
        self._handle: int | None = handle
        self.holder = holder

    def release(self) -> None:
        """Give it back. Releasing twice is nothing."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def __enter__(self) -> LeaseHeld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Lease:
    """The lease of the state whose `run/` directory this is."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def acquire(self, *, verb: str, started: int, socket: str = "") -> LeaseHeld:
        """Take it at once. Raises Conflict naming the holder, Unavailable if it cannot be tried."""
        make_directory(self._path.parent, mode=0o700)
        # Not inherited by children (PEP 446); a fork without exec would keep the lease alive.
        handle = self._open(os.O_RDWR | os.O_CREAT)
        try:
            if not self._lock(handle):
                raise _taken(self._path, _text(handle))
            holder = Holder(pid=os.getpid(), verb=verb, started=started, socket=socket)
            os.ftruncate(handle, 0)
            write_all(handle, json.dumps(asdict(holder)).encode())
        except OSError as error:
            os.close(handle)
            raise self._unusable(error) from error
        except BaseException:
            os.close(handle)
            raise
        return LeaseHeld(handle, holder)

    def holder(self) -> Holder | None:
        """Who holds it now, or None. Never waits and keeps nobody out."""
        try:
            handle = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _text(handle)
        except OSError as error:
            raise self._unusable(error) from error
        finally:
            os.close(handle)
        return None

    def _open(self, flags: int) -> int:
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unusable(error) from error

    def _lock(self, handle: int) -> bool:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Someone asking `holder` keeps a shared lock for an instant: only a lease that
                # stays taken is taken.
                if attempt + 1 < _TRIES:
                    time.sleep(_PAUSE_S)
            else:
                return True
        return False

    def _unusable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self._path}: cannot be used as a lease: {error.strerror}",
            hint="put the state directory on a local disk this user may write to",
        )


def _text(handle: int) -> Holder:
    """Who the file names. Half-written text, or none yet, is a holder without a name."""
    try:
        said = json.loads(os.pread(handle, _TEXT_LIMIT, 0))
        return Holder(
            pid=int(said["pid"]),
            verb=str(said["verb"]),
            started=int(said["started"]),
            socket=str(said["socket"]),
        )
    except (ValueError, KeyError, TypeError):
        return Holder(pid=0, verb="", started=0)


def _taken(path: Path, holder: Holder) -> Conflict:
    return Conflict(
        f"{path}: {holder} works on this state already",
        hint="end it, or use another --state; verbs that only read work meanwhile",
    )
