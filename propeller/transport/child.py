"""Run a broker as a child: a port that is free, a start that was seen to work, an end that is sure.

Shared by `embedded` and `mosquitto`. Another program may take a free port between our choosing it
and the child's binding it, so a start that fails is tried again with another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from propeller.errors import Unavailable
from propeller.transport.endpoint import MqttVersion

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_TRIES = 20
_TRY_AGAIN_S = 0.25
_START_S = 10.0
_ANSWER_S = 0.5
_STOP_S = 5.0
_SETTLE_S = 0.05


class Child:
    """One broker process, its log and its port."""

    def __init__(self, name: str, log: Path) -> None:
        self._name = name
        self._log = log
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Callable[[int], Sequence[str]], ready: Callable[[int], bool]) -> int:
        """Start, wait for `ready`, and say on which port. `command` also writes what the program
        needs, for that port. Does nothing when it runs already."""
        known = self._port
        if known is not None and self.alive():
            return known
        trouble = ""
        for _ in range(_TRIES):
            port = known or free_port()
            self._spawn(command(port))
            if self._wait(partial(ready, port)):
                self._port = port
                return port
            died = not self.alive()
            self.kill()
            trouble = self.tail()
            if not died:  # it runs and does not answer: another port would not help
                trouble = trouble or f"no answer within {_START_S:g} s"
                break
            if known:  # our clients know this port: whoever holds it must let go first
                time.sleep(_TRY_AGAIN_S)
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


def free_port() -> int:
    """A port of the loopback interface that was free just now.

    Below the range from which the kernel takes the near end of outgoing connections: otherwise any
    connection of anybody may sit on our port while the broker restarts, even a client of ours that
    reached itself.
    """
    while True:
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind((LOOPBACK, _LOWEST + secrets.randbelow(_highest() - _LOWEST)))
            return int(sock.getsockname()[1])


def _highest() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if lowest > _LOWEST + 1_000:
            return lowest
    return 32_768


def answers(port: int, version: MqttVersion, users: Mapping[str, str]) -> bool:
    """Whether an MQTT broker there takes one of its users in, or anyone when it has none."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_S) as sock:
            sock.sendall(_connect(version, users))
            got = sock.recv(4)
            with contextlib.suppress(OSError):
                sock.sendall(b"\xe0\x00")  # DISCONNECT
            # CONNACK: type, length, flags, and 0 for accepted.
            return got[:1] == b"\x20" and got[3:4] == b"\x00"
    except OSError:
        return False


def _connect(version: MqttVersion, users: Mapping[str, str]) -> bytes:
    """CONNECT: clean session, 10 s keepalive, an id that nobody else has."""
    fields = [f"start-{os.getpid()}-{secrets.token_hex(4)}"]
    flags = 0x02
    for name, password in list(users.items())[:1]:
        fields += [name, password]
        flags |= 0xC0
    level, properties = (5, b"\0") if version == "5" else (4, b"")
    head = b"\x00\x04MQTT" + bytes([level, flags, 0, 10]) + properties
    encoded = [text.encode() for text in fields]
    body = head + b"".join(len(part).to_bytes(2, "big") + part for part in encoded)
    low, high = len(body) & 127, len(body) >> 7
    return b"\x10" + bytes([low | 128, high] if high else [low]) + body


def listens(port: int) -> bool:
    """Whether anything accepts connections there: all that can be asked of a TLS listener."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True
