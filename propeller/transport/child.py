"""Run a broker as a child: ports that are free, a start that was seen to work, an end that is sure.

Shared by `embedded` and `mosquitto`. Another program may take a free port between our choosing it
and the child's binding it, so a start that fails is tried again with other ports.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from propeller.errors import Unavailable

LOOPBACK = "127.0.0.1"
_TRIES = 5
_START_S = 15.0
_STOP_S = 5.0
_SETTLE_S = 0.05

_CONNECT = {
    # clean session, keepalive 10 s, an empty client id
    "3.1.1": bytes.fromhex("100c00044d5154540402000a0000"),
    "5": bytes.fromhex("100d00044d5154540502000a000000"),
}
_DISCONNECT = {"3.1.1": b"\xe0\x00", "5": b"\xe0\x00"}


class Child:
    """One broker process, its log and its ports."""

    def __init__(self, name: str, log: Path, ports: int) -> None:
        self._name = name
        self._log = log
        self._count = ports
        self._ports: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Callable[[tuple[int, ...]], Sequence[str]],
        ready: Callable[[tuple[int, ...]], bool],
    ) -> tuple[int, ...]:
        """Start, wait for `ready`, and say on which ports. `command` also writes what the
        program needs, for those ports. Does nothing when it runs already."""
        if self.alive():
            return self._ports
        keep = self._ports
        trouble = ""
        for _ in range(_TRIES):
            ports = keep or free_ports(self._count)
            self._spawn(command(ports))
            if self._wait(partial(ready, ports)):
                self._ports = ports
                return ports
            self.kill()
            trouble = self.tail()
            if keep:  # our clients know these ports: whoever holds them must let go first
                time.sleep(0.2)
        raise Unavailable(
            f"{self._name} did not start: {trouble or 'it said nothing'}",
            hint=f"its log is {self._log}",
        )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """Ask it to end, insist after some seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        self._reap(process)

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            self._reap(process)

    def tail(self) -> str:
        """The last words of its log, on one line."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 2_000))
            lines = log.read().decode(errors="replace").strip().splitlines()
            return " / ".join(line.strip() for line in lines[-3:])
        return ""

    def _spawn(self, command: Sequence[str]) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    # Its end of this pipe closes when we die, however we die.
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C is for us: proplets still say goodbye over this broker.
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"{self._name} cannot be run: {error}") from error

    def _wait(self, ready: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _START_S
        while self.alive() and time.monotonic() < deadline:
            if ready():
                # If a stranger took the port, it was the stranger who answered and ours is dying.
                time.sleep(_SETTLE_S)
                return self.alive()
            time.sleep(0.02)
        return False

    @staticmethod
    def _reap(process: subprocess.Popen[bytes]) -> None:
        # The whole group: a guard and what it guards. Gone already is fine.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback interface that were free just now, all different."""
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(count):
            sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.bind((LOOPBACK, 0))
            found.append(int(sock.getsockname()[1]))
        return tuple(found)


def answers(port: int, protocol: str) -> bool:
    """Whether an MQTT broker answers there; a refusal for want of a password is an answer too."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as sock:
            sock.sendall(_CONNECT[protocol])
            got = sock.recv(4)
            with contextlib.suppress(OSError):
                sock.sendall(_DISCONNECT[protocol])
            return got[:1] == b"\x20"
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether anything accepts connections there: all that can be asked of a TLS listener."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True
