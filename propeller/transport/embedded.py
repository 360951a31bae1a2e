"""The broker inside: ours (`serve`), in a child process, for `up` on a machine without a broker.

Why it is our own stands in docs/explanation/transport.md. It listens on the loopback interface
only, has no access rights and forgets everything when it stops; the manager publishes again what is
missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from propeller.transport.broker import MAX_MESSAGE, Address
from propeller.transport.child import LOOPBACK, Child, answers


class EmbeddedBroker:
    """See Broker. One port for both versions of MQTT."""

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
        self._child = Child("the embedded broker", directory / "broker.log")

    def start(self) -> Address:
        """Start, or start again on the same port with nothing retained."""
        self._directory.mkdir(parents=True, exist_ok=True)
        port = self._child.start(self._command, self._ready)
        return Address(host=LOOPBACK, port=port, users=self._users)

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

    def _ready(self, port: int) -> bool:
        return answers(port, "3.1.1", self._users)

    def _command(self, port: int) -> Sequence[str]:
        config = self._directory / "broker.json"
        config.touch(mode=0o600)
        config.chmod(0o600)
        config.write_text(
            json.dumps(
                {
                    "host": LOOPBACK,
                    "port": port,
                    "users": self._users,
                    "max_message": self._max_message,
                }
            )
        )
        # The child takes Propeller from where we have it, and nothing from the working directory.
        root = str(Path(__file__).resolve().parents[2])
        program = (
            f"import sys; sys.path.insert(0, {root!r}); "
            "from propeller.transport.embedded_child import main; sys.exit(main())"
        )
        return [sys.executable, "-P", "-c", program, str(config)]
