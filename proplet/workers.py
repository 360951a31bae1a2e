"""Worker processes: forked from a zygote, talked to over sockets, killed on time.

Owned by `supervisor`, driven by the shell's selector. The zygote is started with the first worker
that is needed, and again when something killed it. One worker is kept warm, so that a start is a
message to a process that is ready. Knows nothing of guests: what a worker says, and that it is
gone, is handed to its `Ears`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from propeller.wire.messages import Entry
from proplet.records import Key
from proplet.runtime.talk import Reader, Words, pack

LATE_MS = 700
"""Past its limit, this long until a worker that should have ended its guest is killed."""

Looks = tuple[str, str, bool, bool, str]
"""What compiling depends on: the module's digest, the entrypoint, whether fuel is counted, whether
every bit of a float counts (a module that trains), which other engine runs it ("" for ours)."""


@dataclass(slots=True)
class Worker:
    """One process. `deadline`: monotonic ms at which it is killed, and for what cause.

    key: the run whose guest it holds. looks: what it compiles. pool: whose calls it takes. pid: 0
    until its guest has begun.
    """

    number: int
    connection: socket.socket
    reader: Reader = field(default_factory=Reader)
    key: Key | None = None
    entry: Entry | None = None
    looks: Looks | None = None
    pool: Ears | None = None
    deadline: int | None = None
    cause: str = ""
    done: bool = False
    warm_us: int = 0
    pid: int = 0


class Ears(Protocol):
    """Who hears of workers."""

    def said(self, worker: Worker, message: Words) -> None: ...
    def gone(self, worker: Worker, status: int) -> None: ...


class Workers:
    """See the module. `mark` names us in process lists."""

    def __init__(
        self, mark: str, ears: Ears, selector: selectors.BaseSelector, clock: Callable[[], int]
    ) -> None:
        self._mark = mark
        self._ears = ears
        self._selector = selector
        self._clock = clock
        self.zygote: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._number = 0
        self._workers: dict[int, Worker] = {}
        self._spare: Worker | None = None
        self._loads = False

    def all(self) -> list[Worker]:
        """Every worker whose end was not heard of yet, the warm one too."""
        return list(self._workers.values())

    def take(self) -> Worker:
        """The warm one, or a new one. Raises OSError."""
        worker, self._spare = self._spare, None
        return worker if worker is not None else self.fork()

    def warm(self) -> None:
        """Have one ready."""
        if self._spare is None:
            with contextlib.suppress(OSError):  # then the next start makes its own
                self._spare = self.fork()

    def load(self) -> None:
        """From now on workers come with what training takes."""
        if self._loads:
            return
        self._loads = True
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(b"L 0")
        if self._spare is not None:
            self.kill(self._spare)
            self._spare = None

    def fork(self) -> Worker:
        """A new one. Raises OSError."""
        link = self._link or self._start_zygote()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._number += 1
        worker = Worker(self._number, ours)
        self._workers[worker.number] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))
        with contextlib.suppress(OSError):  # a dead zygote shows by its own end
            socket.send_fds(link, [f"F {worker.number}".encode()], [theirs.fileno()])
        theirs.close()
        return worker

    def send(self, worker: Worker, message: Words) -> None:
        """Tell it something."""
        with contextlib.suppress(OSError):  # a worker that is gone is told of by the zygote
            worker.connection.settimeout(2.0)
            worker.connection.sendall(pack(message))
            worker.connection.setblocking(False)

    def kill(self, worker: Worker) -> None:
        """End it; its `gone` follows."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(f"K {worker.number}".encode())

    # -- the zygote -------------------------------------------------------------------------------

    def _start_zygote(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "proplet.runtime.zygote", str(theirs.fileno())]
        self.zygote = subprocess.Popen(
            [*command, str(os.getpid()), self._mark],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "OPENBLAS_NUM_THREADS": "1",  # the zygote forks, so it must stay one thread
            },
        )
        theirs.close()
        self._link = ours
        self._selector.register(ours, selectors.EVENT_READ, self._hear_zygote)
        if self._loads:
            ours.send(b"L 0")
        return ours

    def _hear_zygote(self) -> None:
        assert self._link is not None
        try:
            data = self._link.recv(64)
        except OSError:
            data = b""
        if not data:
            self._lose_zygote()
            return
        _, number, status = data.decode().split()
        worker = self._workers.get(int(number))
        if worker is not None:
            self._gone(worker, int(status))

    def _lose_zygote(self) -> None:
        """It never ends by itself: something killed it, and with it all workers."""
        assert self._link is not None
        self._selector.unregister(self._link)
        self._link.close()
        self._link = None
        self._end_zygote()
        for worker in self.all():
            self._gone(worker, -signal.SIGKILL)

    def _end_zygote(self) -> None:
        if self.zygote is not None:
            self.zygote.kill()
            self.zygote.wait()
            self.zygote = None

    # -- what workers say -------------------------------------------------------------------------

    def _hear(self, worker: Worker) -> None:
        if worker.number in self._workers and not self._pull(worker):
            self._selector.unregister(worker.connection)
            worker.deadline = self._clock() + LATE_MS  # dead any moment; killed if not

    def _pull(self, worker: Worker) -> bool:
        """Read what is there. False at the end of the connection."""
        try:
            data = worker.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            messages = worker.reader.feed(data)
        except ValueError:
            self.kill(worker)
            return True
        for message in messages:
            self._ears.said(worker, message)
        return True

    def _gone(self, worker: Worker, status: int) -> None:
        """The process is over: read its last words first."""
        while not worker.done and self._unread(worker):
            pass
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.connection)
        worker.connection.close()
        self._workers.pop(worker.number, None)
        if self._spare is worker:
            self._spare = None
        self._ears.gone(worker, status)

    def _unread(self, worker: Worker) -> bool:
        try:
            if not worker.connection.recv(1, socket.MSG_PEEK):
                return False
        except OSError:
            return False
        return self._pull(worker)

    # -- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Kill what is past its deadline."""
        now = self._clock()
        for worker in self.all():
            if worker.deadline is not None and now >= worker.deadline:
                worker.deadline = now + LATE_MS
                self.kill(worker)

    def due(self) -> int | None:
        """The next deadline (monotonic ms)."""
        deadlines = (worker.deadline for worker in self._workers.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def close(self) -> None:
        """Kill everything."""
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None
        for worker in self._workers.values():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(worker.connection)
            worker.connection.close()
        self._workers.clear()
        self._spare = None
        self._end_zygote()
