"""Local proplets of `propeller up`: each a process of its own, started again when it dies.

Its storage is `proplets/<id>/` of the state directory and stays when `up` ends, so that it goes on
where it was.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from propeller.model.ids import PropletId
from propeller.transport import guard

_PROPLET = (sys.executable, "-m", "proplet")

RESTART_AFTER = (0.2, 1.0, 5.0, 15.0)
"""Seconds before a proplet that died is started again, by how often it died."""

DRAIN = 10.0
"""Seconds a proplet may take to stop its guests before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProplet:
    """How one local proplet is started: `command` with `arguments` as they are."""

    id: PropletId
    arguments: Sequence[str]
    log: Path
    command: Sequence[str] = _PROPLET


@dataclass(slots=True)
class _Running:
    what: LocalProplet
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    thread: threading.Thread | None = field(default=None)


class LocalProplets:
    """Starts them, watches them, drains them. tell: says to a person that one died."""

    def __init__(self, proplets: Sequence[LocalProplet], *, tell: Callable[[str], None]) -> None:
        self._running = [_Running(what) for what in proplets]
        self._tell = tell
        self._stop = threading.Event()

    def start(self) -> None:
        """Start all; each is watched by a thread."""
        for one in self._running:
            one.thread = threading.Thread(
                target=self._watch, args=(one,), name=f"proplet-{one.what.id}", daemon=True
            )
            one.thread.start()

    def pids(self) -> dict[str, int]:
        """The processes that run now, by proplet."""
        return {
            str(one.what.id): one.process.pid
            for one in self._running
            if one.process is not None and one.process.poll() is None
        }

    def stop(self) -> None:
        """Drain: SIGTERM to all, wait, kill what does not end."""
        self._stop.set()
        for one in self._running:
            if one.process is not None and one.process.poll() is None:
                one.process.terminate()
        for one in self._running:
            if one.process is not None:
                try:
                    one.process.wait(timeout=DRAIN)
                except subprocess.TimeoutExpired:
                    os.killpg(one.process.pid, signal.SIGKILL)
                    one.process.wait()
            if one.thread is not None:
                one.thread.join(timeout=2)

    def _watch(self, one: _Running) -> None:
        one.what.log.parent.mkdir(parents=True, exist_ok=True)
        while not self._stop.is_set():
            with one.what.log.open("ab") as log:
                one.process = subprocess.Popen(
                    # Behind a guard: killed with -9, we leave no proplet that holds its storage.
                    [sys.executable, "-P", guard.__file__, *one.what.command, *one.what.arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            code = one.process.wait()
            if one.process.stdin is not None:
                one.process.stdin.close()
            if not self._stop.is_set():
                self._tell(f"proplet {one.what.id} ended ({code}): {_last_line(one.what.log)}")
            pause = RESTART_AFTER[min(one.deaths, len(RESTART_AFTER) - 1)]
            one.deaths += 1
            self._stop.wait(pause)


def _last_line(log: Path) -> str:
    """What it said last, or where to look."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else f"see {log}"


def names(count: int, declared: Sequence[PropletId], *, word: str = "local") -> list[PropletId]:
    """The first `count` declared Proplets by name, then `local-1`, `local-2`, ..."""
    chosen = sorted(declared)[:count]
    extra = count - len(chosen)
    return [*chosen, *(PropletId(f"{word}-{n}") for n in range(1, extra + 1))]
