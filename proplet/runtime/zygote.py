"""The parent of all workers: imports the runtime once and forks a worker in milliseconds.

Started by the supervisor as `python -m proplet.runtime.zygote FD PARENT MARK`; single-threaded,
runs no guest. FD is a SOCK_SEQPACKET to the agent: `F n` with one descriptor forks worker n, which
talks over that descriptor; `K n` kills it; `L 0` loads what training takes, so that later workers
have it. Answers `X n status` when a worker is gone. Ends, and
all workers with it, when the agent does. MARK only names the agent in the process list, so that a
later boot finds what this one left.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback

from proplet.runtime import limits

TRAINING = (
    *("numpy.random", "propeller.fl.encodings", "propeller.fl.model"),
    *("proplet.runtime.lesson", "proplet.runtime.training", "proplet.runtime.contract"),
)
"""What a worker that trains uses; numpy brings some of it only when it is first asked for."""


def main() -> None:
    """See the module."""
    agent = socket.socket(fileno=int(sys.argv[1]))
    limits.die_with(int(sys.argv[2]))
    from proplet.runtime import worker

    native = worker.tiny()
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    children: dict[int, int] = {}
    importlib.import_module("proplet.runtime.serving")
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([agent, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
        _reap(agent, children)
        if agent not in ready:
            continue
        try:
            data, handles, _, _ = socket.recv_fds(agent, 64, 1)
        except ConnectionResetError:
            data, handles = b"", []
        if not data:
            os._exit(0)
        what, number = data[:1], int(data[2:])
        if what == b"F":
            ours = os.getpid()
            pid = os.fork()
            if pid == 0:
                try:
                    _become_worker(ours, [agent, woken, wake])
                    worker.work(socket.socket(fileno=handles[0]), native)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(70)
            os.close(handles[0])
            children[pid] = number
        elif what == b"L":
            _load()
        elif what == b"K":
            for pid, worker_number in children.items():
                if worker_number == number:
                    os.kill(pid, signal.SIGKILL)


def _load() -> None:
    """Import what every worker that trains would import for itself, in ten times the time."""
    with contextlib.suppress(Exception):  # then each says for itself what is wrong
        for name in TRAINING:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _reap(agent: socket.socket, children: dict[int, int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            with contextlib.suppress(OSError):
                agent.send(f"X {number} {os.waitstatus_to_exitcode(status)}".encode())


def _become_worker(parent: int, others: list[socket.socket]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    limits.die_with(parent)
    for other in others:
        other.close()


if __name__ == "__main__":
    main()
