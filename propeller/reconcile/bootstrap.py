"""Hearing the fleet after a (re)connect, as a small state machine without I/O.

Brokers cut what one wildcard returns (mosquitto at its queue of 1,000, others earlier) and still
acknowledge, and a marker published afterwards may overtake the retained messages. So: wildcard
first, then every known device by id, in slices, with a self-addressed marker behind each slice and
a short grace after it (protocol rule i). Only reads by id count.

Used by `reconciler`; time and commands go in and out, nothing waits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ids import PropletId
from propeller.wire.signing import ED25519, P256
from propeller.wire.topics import Channel

SLICE = 500
GRACE = 250
MARKER_TIMEOUT, MARKER_CAP = 500, 8_000
"""ms until a marker that did not come back is sent again: doubling, as the way may just be long."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to these filters."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Give these filters back."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Marker:
    """Publish marker `n` to ourselves."""

    n: int


Command = Subscribe | Unsubscribe | Marker


class Stage(StrEnum):
    """How far hearing has come."""

    IDLE = "Idle"
    WILDCARD = "Wildcard"
    BY_ID = "ById"
    DONE = "Done"


class Bootstrap:
    """One pass over everything retained. Begin again at every connect."""

    def __init__(self, channel: Channel, source_id: str) -> None:
        self._channel = channel
        self._source_id = source_id
        self.stage = Stage.IDLE
        self._slices: list[tuple[PropletId, ...]] = []
        self._marker = 0
        self._first = 0
        self._again_at = 0
        self._settle_at: int | None = None

    @property
    def done(self) -> bool:
        """Whether everything known was read by id since the last connect."""
        return self.stage is Stage.DONE

    def begin(self, devices: Sequence[PropletId], now: int) -> list[Command]:
        """The broker took us in: hear the wildcards, then `devices` by id."""
        self.stage = Stage.WILDCARD
        self._slices = [
            tuple(devices[start : start + SLICE]) for start in range(0, len(devices), SLICE)
        ]
        filters = (
            self._channel.manager_echo(self._source_id),
            *(topic for alg in (ED25519, P256) for topic in self._channel.own_words(alg)),
            self._channel.releases(),
            *self._channel.control_filters(),
        )
        self._first = self._marker + 1
        return [Subscribe(filters), *self._send_marker(now)]

    def marker(self, n: int, heard: Collection[PropletId], now: int) -> list[Command]:
        """Marker `n` came back to us. Any of this stage will do, late ones too."""
        if not self._first <= n <= self._marker or self.stage in (Stage.IDLE, Stage.DONE):
            return []
        if self.stage is Stage.BY_ID and not set(self._slices[0]) <= set(heard):
            self._settle_at = now + GRACE
            return []
        return self._next(now)

    def tick(self, heard: Collection[PropletId], now: int) -> list[Command]:
        """Time went on: the grace is over, or a marker was lost."""
        if self.stage in (Stage.IDLE, Stage.DONE):
            return []
        if self._settle_at is not None:
            if now >= self._settle_at or set(self._slices[0]) <= set(heard):
                return self._next(now)
            return []
        if now >= self._again_at:
            return self._send_marker(now)
        return []

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        if self.stage in (Stage.IDLE, Stage.DONE):
            return None
        return self._settle_at if self._settle_at is not None else self._again_at

    def lost(self) -> None:
        """The connection is gone."""
        self.stage = Stage.IDLE
        self._settle_at = None

    def _next(self, now: int) -> list[Command]:
        self._settle_at = None
        commands: list[Command] = []
        if self.stage is Stage.BY_ID:
            commands.append(Unsubscribe(self._by_id(self._slices.pop(0))))
        if not self._slices:
            self.stage = Stage.DONE
            return commands
        self.stage = Stage.BY_ID
        self._first = self._marker + 1
        return [*commands, Subscribe(self._by_id(self._slices[0])), *self._send_marker(now)]

    def _by_id(self, devices: tuple[PropletId, ...]) -> tuple[str, ...]:
        channel = self._channel
        return tuple(
            topic
            for device in devices
            for topic in (*channel.retained_of(device), channel.desired(device))
        )

    def _send_marker(self, now: int) -> list[Command]:
        self._marker += 1
        sent = self._marker - self._first
        self._again_at = now + min(MARKER_CAP, MARKER_TIMEOUT << min(sent, 10))
        return [Marker(self._marker)]
