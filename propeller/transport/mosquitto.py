"""mosquitto as a child of ours: a generated configuration, retained messages kept over restarts.

For whoever asks for it by name, and for the live tests. Leaves out ACLs and bridges: a fleet that
needs those runs its own broker.
"""

from __future__ import annotations

import base64
import hashlib
import os
import pwd
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from propeller.errors import Unavailable
from propeller.transport.broker import MAX_MESSAGE, Address, which
from propeller.transport.child import LOOPBACK, Child, answers, listens
from propeller.transport.endpoint import Tls

_PACKET_ROOM = 70_000
_PASSWORD_ROUNDS = 20_000


class MosquittoBroker:
    """See Broker. `tls` names the server's own certificate and key, and the CA that signed it."""

    def __init__(
        self,
        directory: Path,
        *,
        binary: str = "mosquitto",
        users: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        for name, password in (users or {}).items():
            if not name or not password or any(c in name for c in ":\n\r#"):
                raise ValueError(f"not a user name and password for mosquitto: {name!r}")
        self._directory = directory
        self._binary = binary
        self._users = dict(users or {})
        self._tls = tls
        self._max_message = max_message
        self._child = Child("mosquitto", directory / "mosquitto.log")

    def start(self) -> Address:
        """Start, or start again on the same port with the retained messages it had."""
        self._directory.mkdir(parents=True, exist_ok=True)
        port = self._child.start(self._command, self._ready)
        ca = Tls(ca=self._tls.ca) if self._tls is not None else None
        return Address(host=LOOPBACK, port=port, tls=ca, users=self._users)

    def stop(self) -> None:
        """Stop in good order: retained messages are written."""
        self._child.stop()

    def kill(self) -> None:
        """Crash: what was retained since the last write is lost."""
        self._child.kill()

    def restart(self) -> Address:
        """Stop and start."""
        self.stop()
        return self.start()

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._child.pid

    def _ready(self, port: int) -> bool:
        return listens(port) if self._tls is not None else answers(port, "3.1.1", self._users)

    def _command(self, port: int) -> Sequence[str]:
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join(self._lines(port)) + "\n")
        guard = Path(__file__).with_name("guard.py")
        return [sys.executable, "-P", str(guard), self._binary, "-c", str(config)]

    def _lines(self, port: int) -> list[str]:
        directory = self._directory.resolve()
        lines = [
            f"listener {port} {LOOPBACK}",
            # 44 ms -> 0.06 ms for a retained document after its subscription.
            "set_tcp_nodelay true",
            # By default a subscriber's queue is cut at 1,000 while publishers are acknowledged.
            "max_queued_messages 0",
            "max_inflight_messages 1000",
            f"message_size_limit {self._max_message}",
            f"max_packet_size {self._max_message + _PACKET_ROOM}",
            "persistent_client_expiration 1d",
            "persistence true",
            f"persistence_location {directory}/",
            "persistence_file retained.db",
            "autosave_interval 30",
            "connection_messages false",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
        ]
        if os.getuid() == 0:
            # It would become user `mosquitto`, who can neither read nor write here.
            lines.append(f"user {pwd.getpwuid(0).pw_name}")
        if self._users:
            passwords = directory / "passwords"
            passwords.write_text("".join(_entry(n, p) for n, p in sorted(self._users.items())))
            passwords.chmod(0o600)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        if self._tls is not None:
            lines += [f"certfile {self._tls.cert}", f"keyfile {self._tls.key}"]
            if self._tls.ca is not None:
                lines.append(f"cafile {self._tls.ca}")
        return lines


def find_mosquitto() -> str:
    """The program, or Unavailable with what to do."""
    found = which("mosquitto")
    if found is None:
        raise Unavailable(
            "mosquitto is not installed here",
            hint="apt install mosquitto, or leave out --broker mosquitto",
        )
    return found


def _entry(name: str, password: str) -> str:
    """A line of mosquitto's password file: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PASSWORD_ROUNDS)
    shown = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{name}:$7${_PASSWORD_ROUNDS}${'$'.join(shown)}\n"
