"""Where a command finds the state it is about, and how it reaches a running reconciler.

Order: `--state`, PROPELLER_STATE, `./.propeller`. Reads open the store read-only; changes go to the
process that holds the lease, over the socket in `run/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.errors import PropellerError, Unavailable, UsageError
from propeller.state.layout import StateDir

if TYPE_CHECKING:
    import http.client

    from propeller.state.sqlite import SqliteStore


class Refused(PropellerError):
    """The reconciler refused a request; `exit` is what the command should end with."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.exit = code


def add_state(parser: argparse.ArgumentParser) -> None:
    """The `--state` option every verb about a fleet takes."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="state directory (default: PROPELLER_STATE, else ./.propeller)",
    )


def state_dir(args: argparse.Namespace) -> StateDir:
    """The state directory a command means, whether it exists or not."""
    text = args.state or os.environ.get("PROPELLER_STATE") or ".propeller"
    return StateDir(Path(text))


def existing_state(args: argparse.Namespace) -> StateDir:
    """The state directory, which must be there. Raises UsageError saying what to start."""
    state = state_dir(args)
    if not state.exists():
        raise UsageError(
            f"no state in {state.path}",
            hint="`propeller up SPECS` makes one; --state DIR or PROPELLER_STATE says where it is",
        )
    return state


def open_store(state: StateDir) -> SqliteStore:
    """The store, read-only, while a reconciler may be writing to it."""
    from propeller.state.sqlite import SqliteStore

    return SqliteStore.open(state.database, readonly=True)


class Client:
    """Requests to the reconciler that holds the lease of a state directory."""

    def __init__(self, state: StateDir) -> None:
        self._state = state

    def running(self) -> bool:
        """Whether a reconciler answers there."""
        try:
            self.get("/api/v1/health")
        except Unavailable:
            return False
        return True

    def get(self, path: str) -> Mapping[str, Any]:
        """GET. Raises Unavailable when no reconciler runs."""
        return self._whole("GET", path, None, 10)

    def post(
        self, path: str, body: Mapping[str, object], *, timeout: float = 60
    ) -> Mapping[str, Any]:
        """POST. Raises Unavailable when none runs, Refused with its exit code when it says no."""
        return self._whole("POST", path, body, timeout)

    def stream(self, path: str, body: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
        """POST, answered line by line."""
        with self._ask("POST", path, body, 86_400) as response:
            if response.status >= 300:
                _refuse(response.read())
            for line in response:
                yield json.loads(line)

    def _whole(
        self, method: str, path: str, body: Mapping[str, object] | None, timeout: float
    ) -> Mapping[str, Any]:
        with self._ask(method, path, body, timeout) as response:
            data = response.read()
            if response.status >= 300:
                _refuse(data)
        answer = json.loads(data)
        assert isinstance(answer, dict)
        return answer

    @contextlib.contextmanager
    def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        from propeller.cli.unixhttp import SocketConnection

        connection = SocketConnection(self._state.socket, timeout)
        data = None if body is None else json.dumps(body).encode()
        with contextlib.closing(connection):
            try:
                connection.request(method, path, data, {"Content-Type": "application/json"})
                response = connection.getresponse()
            except OSError as error:
                raise Unavailable(
                    f"no reconciler is running on {self._state.path}",
                    hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
                ) from error
            yield response


def _refuse(data: bytes) -> None:
    try:
        answer = json.loads(data)
        raise Refused(str(answer["error"]), int(answer.get("exit", 2)))
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(data.decode(errors="replace")[:500], 2) from error


def who() -> str:
    """Who asks, for the record: user@host."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
