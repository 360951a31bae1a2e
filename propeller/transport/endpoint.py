"""Where a broker is and how to greet it: plain data, so that it can be made without paho."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MqttVersion = Literal["3.1.1", "5"]

MAX_PAYLOAD = 2 * 1024 * 1024
"""The largest payload taken from a broker unless told otherwise: a 1 MiB blob frame and room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM. `ca` proves the other side (the system's store when None); `cert` and `key`
    prove this side and come together."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a TLS certificate and its key come together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One client's way to one broker.

    keepalive and connect_timeout are seconds. queue_messages and queue_bytes bound what `publish`
    takes before it is acknowledged.
    """

    host: str
    port: int
    client_id: str
    protocol: MqttVersion = "3.1.1"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    keepalive: int = 30
    connect_timeout: float = 10.0
    max_payload: int = MAX_PAYLOAD
    queue_messages: int = 20_000
    queue_bytes: int = 128 * 1024 * 1024

    def __post_init__(self) -> None:
        if not self.host or not self.client_id:
            raise ValueError("an endpoint names its host and its client id")
        if not 0 < self.port < 65_536:
            raise ValueError(f"a port is between 1 and 65535, not {self.port}")
        if self.keepalive < 1:
            raise ValueError("without a keepalive a dead connection is never noticed")
        if not 0 < self.queue_messages < 65_536:
            raise ValueError("MQTT has 65535 message ids: the queue cannot hold more")
        if self.password is not None and self.username is None:
            raise ValueError("MQTT 3.1.1 has no password without a user name")

    def __str__(self) -> str:
        scheme = "mqtts" if self.tls else "mqtt"
        return f"{scheme}://{self.host}:{self.port}"
