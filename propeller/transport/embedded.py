"""The broker inside: iotcore (rumqttd) in a child process, for `up` on a machine without a broker.

Chosen by measuring, see docs/explanation/transport.md. It listens on the loopback interface only,
has no ACL and forgets everything when it stops; the manager publishes again what is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from propeller.transport.broker import MAX_MESSAGE, Address
from propeller.transport.child import LOOPBACK, Child, answers

_CLIENTS = 20_000


class EmbeddedBroker:
    """See Broker. Two ports: iotcore has one for each version of MQTT."""

    def __init__(
        self,
        directory: Path,
        *,
        users: Mapping[str, str] | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._directory = directory
        self._users = dict(users or {})
        self._max_message = max_message
        self._child = Child("the embedded broker", directory / "broker.log", ports=2)

    def start(self) -> Address:
        """Start, or start again on the same ports with nothing retained."""
        self._directory.mkdir(parents=True, exist_ok=True)
        port, port5 = self._child.start(self._command, self._ready)
        return Address(host=LOOPBACK, port=port, port5=port5, users=self._users)

    def stop(self) -> None:
        """End the process; there is nothing to save."""
        self._child.stop()

    def kill(self) -> None:
        """End the process at once."""
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

    def _ready(self, ports: tuple[int, ...]) -> bool:
        return answers(ports[0], "3.1.1", self._users) and answers(ports[1], "5", self._users)

    def _command(self, ports: tuple[int, ...]) -> Sequence[str]:
        config = self._directory / "broker.toml"
        config.write_text(self._toml(*ports))
        config.chmod(0o600)
        # By its path and with -P: the child needs iotcore only, and no directory of the user's
        # may stand in for it.
        program = Path(__file__).with_name("embedded_child.py")
        return [sys.executable, "-P", str(program), str(config), *map(str, ports)]

    def _toml(self, port: int, port5: int) -> str:
        parts = [
            "id = 0\n",
            "[router]",
            "id = 0",
            f"max_connections = {_CLIENTS}",
            "max_outgoing_packet_count = 10000",
            "max_segment_size = 104857600",
            "max_segment_count = 10\n",
        ]
        for version, at in (("v4", port), ("v5", port5)):
            parts += [
                f"[{version}.1]",
                f'name = "{version}"',
                f'listen = "{LOOPBACK}:{at}"',
                "next_connection_delay_ms = 1",
                f"[{version}.1.connections]",
                "connection_timeout_ms = 10000",
                f"max_payload_size = {self._max_message}",
                "max_inflight_count = 1000",
                "dynamic_filters = true",
            ]
            if self._users:
                parts.append(f"[{version}.1.connections.auth]")
                # A JSON string is a TOML string.
                parts += [f"{json.dumps(n)} = {json.dumps(p)}" for n, p in self._users.items()]
            parts.append("")
        return "\n".join(parts)
