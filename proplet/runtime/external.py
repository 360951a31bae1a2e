"""A guest in another engine: a process of its own below this worker, and all that it starts.

Runs in a worker, as `guest` does. The engine gets a fixed command, the variables it may have and
nothing else: no file of ours, no privilege to gain. The worker adopts whatever the engine leaves
behind, so that the end of the guest is the end of every process it made: at its limit, when it is
stopped, when the engine ends, and when the agent is gone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from proplet.runtime import limits
from proplet.runtime.streams import Streams
from proplet.runtime.talk import Words, pack
from proplet.words import size

if TYPE_CHECKING:
    import socket

    from proplet.runtime.watch import Watch

PROCESSES = 16
"""What an engine and all below it may be at one time."""
FORKS = 512
"""Processes and threads of this user besides those that there are, while a look is not due."""
LOOK = 0.2
"""Seconds between two looks at how many processes there are and what they take."""
PATIENCE = 5.0
"""Seconds that killing takes at most."""


def run(
    job: Words, watch: Watch, streams: Streams, connection: socket.socket, began: float
) -> None:
    """Start the engine, wait for it, tell how it ended. Never returns."""
    directory, memory = Path(str(job["dir"])), cast("int | None", job["memory"])
    streams.open(directory, limit=cast(int, job["output"]), ring=bool(job["ring"]))
    limits.adopt()
    tree: _Tree | None = None
    try:
        tree = _Tree(_started(job, streams, memory), memory)
        watch.guard(tree, cast("int | None", job["timeout"]), streams.drain, tree.end)
        taken = int((time.perf_counter() - began) * 1e6)
        connection.sendall(pack({"event": "started", "us": taken, "instance": 0, "pid": tree.pid}))
        told = tree.wait()
    except (OSError, ValueError) as error:
        words = f"the engine could not be started: {getattr(error, 'strerror', None) or error}"
        told = {"ok": False, "error": words}
    if tree is not None:
        tree.end()
    watch.came_back()
    streams.close()
    watch.tell({"event": "ended", "cause": watch.cause, **told})
    os._exit(0)


def _started(job: Words, streams: Streams, memory: int | None) -> int:
    """The process of the engine. Raises OSError, ValueError."""
    worker, given = os.getpid(), os.open("/dev/null", os.O_RDONLY)
    stdin = cast("str | None", job["stdin"])
    if stdin:
        given = os.memfd_create("stdin")
        os.write(given, stdin.encode())
        os.lseek(given, 0, os.SEEK_SET)

    def prepare() -> None:
        limits.die_with(worker)
        limits.bound_memory(memory)
        limits.bound_forks(forks)

    forks = _of_this_user() + FORKS
    process = subprocess.Popen(
        cast("list[str]", job["command"]),
        stdin=given,
        stdout=streams.ends["stdout"],
        stderr=streams.ends["stderr"],
        cwd="/",
        env=cast("dict[str, str]", job["env"]),
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509  it calls the kernel and nothing else
    )
    os.close(given)
    process.returncode = 0  # it is waited for here, never by subprocess
    return process.pid


class _Tree:
    """The engine and every process below it. `increment_epoch` is what a watch calls to end it."""

    def __init__(self, pid: int, memory: int | None) -> None:
        self.pid = pid
        self._most = None if memory is None else memory + limits.ROOM
        self._page = resource.getpagesize()
        self._lock = threading.Lock()
        self._over = False

    def increment_epoch(self) -> None:
        self.end()

    def wait(self) -> Words:
        """How it ended, in the words of a worker. Looks at what it takes meanwhile."""
        handle = os.pidfd_open(self.pid)
        too_much = ""
        while not select.select([handle], [], [], LOOK)[0]:
            too_much = self._too_much()
            if too_much:
                self.end()
        os.close(handle)
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        if too_much:
            return {"ok": False, "error": too_much}
        if ended.si_code == os.CLD_EXITED:
            code = ended.si_status
            return {"ok": code == 0, "exit": code, "error": f"exit {code}" if code else ""}
        name = signal.Signals(ended.si_status).name
        return {"ok": False, "error": f"its engine was ended by {name}"}

    def _too_much(self) -> str:
        """More processes or more memory than it may have, in words, or ""."""
        pids = {self.pid, *_below(os.getpid())}
        if len(pids) > PROCESSES:
            return f"had more than {PROCESSES} processes"
        if self._most is not None:
            taken = sum(_resident(pid) for pid in pids) * self._page
            if taken > self._most:
                return f"its engine took {size(taken)} of memory"
        return ""

    def end(self) -> None:
        """Kill everything below this worker, and wait until it is gone. Any thread."""
        with self._lock:
            patience = time.monotonic() + PATIENCE
            while not self._over and time.monotonic() < patience:
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)
                left = _below(os.getpid()) - {self.pid}
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                for pid in _children(os.getpid()) - {self.pid}:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
                self._over = not left and _is_over(self.pid)
                if not self._over:
                    time.sleep(0.001)


def _is_over(pid: int) -> bool:
    try:
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, how) is not None
    except ChildProcessError:
        return True


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.update(map(int, (thread / "children").read_text().split()))
    return found


def _below(pid: int) -> set[int]:
    """Every process below, as far as they stand still while we look."""
    found: set[int] = set()
    new = _children(pid)
    while new:
        found |= new
        new = {below for one in new for below in _children(one)} - found
    return found


def _resident(pid: int) -> int:
    """Pages in memory that are its own."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(words[1]) - int(words[2])


def _of_this_user() -> int:
    """Processes and threads that the kernel counts for this user now."""
    mine, count = os.getuid(), 0
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                if path.stat().st_uid == mine:
                    count += sum(1 for _ in (path / "task").iterdir())
    return count
