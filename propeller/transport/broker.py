"""A broker that we start ourselves: what it offers, and which one to take.

`propeller up` and the live tests start brokers; a fleet in the field connects to one that somebody
runs. `embedded` and `mosquitto` implement this; neither is imported before it is asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from propeller.errors import UsageError
from propeller.transport.endpoint import Endpoint, MqttVersion, Tls

MAX_MESSAGE = 4 * 1024 * 1024
"""The largest payload our own brokers let through: twice what a client takes by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a started broker listens, with either version of MQTT."""

    host: str
    port: int
    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)

    def endpoint(
        self, client_id: str, *, protocol: MqttVersion = "3.1.1", username: str | None = None
    ) -> Endpoint:
        """The way there for one client; the password comes from the broker's own list."""
        return Endpoint(
            host=self.host,
            port=self.port,
            client_id=client_id,
            protocol=protocol,
            username=username,
            password=self.users.get(username) if username is not None else None,
            tls=self.tls,
        )


class Broker(Protocol):
    """One broker process of ours. It dies with us and never outlives its `stop`."""

    def start(self) -> Address:
        """Start and wait until clients are taken in. A second start uses the same port, so that
        clients find the broker again. Unavailable when it does not come up."""

    def stop(self) -> None:
        """Stop in good order and wait until it is gone. Idempotent."""

    def kill(self) -> None:
        """Stop as a crash would. Idempotent."""

    def alive(self) -> bool:
        """Whether the process runs."""


def choose(name: str, state: Path, *, users: Mapping[str, str] | None = None) -> Broker:
    """The broker that `--broker NAME` means, with its files under `state`.

    embedded (the default of `up`): ours, nothing to install, the same on every machine; forgets
    retained messages when it stops.
    mosquitto: the program of that name, remembers them in `state`.
    auto: mosquitto where it is installed, else embedded.

    UsageError for another name, Unavailable when mosquitto was asked for and is not there.
    """
    if name == "auto":
        name = "mosquitto" if which("mosquitto") else "embedded"
    if name == "embedded":
        from propeller.transport.embedded import EmbeddedBroker

        return EmbeddedBroker(state, users=users)
    if name == "mosquitto":
        from propeller.transport.mosquitto import MosquittoBroker, find_mosquitto

        return MosquittoBroker(state, binary=find_mosquitto(), users=users)
    raise UsageError(f"no broker is called {name!r}", hint="one of: auto, embedded, mosquitto")


def which(name: str) -> str | None:
    """A program on the PATH or where Debian keeps daemons, which is not on every PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
