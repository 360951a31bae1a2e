"""What the kernel holds a worker to. Runs in workers only, right after the fork."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
OPEN_FILES = 256
FILE_SIZE = 1 << 30
"""Bytes of the largest file a guest may write into a mount."""
ROOM = 192 << 20
"""Bytes of private memory a worker needs besides its guest's linear memory."""
MEMORIES, TABLES, TABLE_ELEMENTS = 1, 8, 1_000_000
"""What else a guest may grow: a limit on its memory is none on a second one or on tables."""


_libc = ctypes.CDLL(None, use_errno=True)


def adopt() -> None:
    """Whatever our children leave behind becomes ours, so that we can end it.

    For that we outlive our own parent for a moment: who calls this ends when the agent does.
    """
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def die_with(parent: int) -> None:
    """SIGKILL for us when `parent` is gone, even if it is gone already."""
    libc = _libc
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def confine() -> None:
    """No core files, few open files, bounded files; first in line when memory runs out."""
    _cap(resource.RLIMIT_CORE, 0)
    _cap(resource.RLIMIT_NOFILE, OPEN_FILES)
    _cap(resource.RLIMIT_FSIZE, FILE_SIZE)
    with contextlib.suppress(OSError):  # not every container lets us
        Path("/proc/self/oom_score_adj").write_text("500")


def bound_memory(guest: int | None) -> None:
    """Private memory in all: the guest's linear memory and room for the runtime."""
    if guest is not None:
        _cap(resource.RLIMIT_DATA, guest + ROOM)


def bound_processor(seconds: int) -> None:
    """Processor seconds, for a compilation."""
    _cap(resource.RLIMIT_CPU, seconds)


def bound_forks(most: int) -> None:
    """Processes and threads of this user, us among them; root is not bound by it."""
    _cap(resource.RLIMIT_NPROC, most)


def _cap(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(what, (most, most))
