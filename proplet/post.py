"""Carries out what the switchboard says: the broker, the disk and the guests of its messages.

Owned by the shell, on its thread. That a message is acknowledged shows by the transport's queue,
which is empty then; it is looked at while something is on its way.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, assert_never, cast

from propeller.errors import Unavailable
from propeller.transport.base import Transport
from propeller.wire.messages import Entry
from propeller.wire.topics import Channel
from proplet.records import Key
from proplet.runtime.talk import Words
from proplet.switchboard import Act, Deliver, Discard, Hear, Keep, Send, Switchboard, Unhear

_log = logging.getLogger("proplet")

LOOK = 20
"""Ms between two looks at what was acknowledged."""


class Kept(Protocol):
    """Where messages survive a reboot: `Store`, or what a simulation has."""

    def keep(self, acts: Iterable[Keep | Discard]) -> None: ...


class Post:
    """See the module. hand: gives a message to the guest of a run, False where there is none."""

    def __init__(
        self,
        board: Switchboard,
        *,
        kept: Kept,
        transport: Transport,
        channel: Channel,
        hand: Callable[[Key, Words], bool],
        clock: Callable[[], int],
    ) -> None:
        self.board = board
        self._kept = kept
        self._transport = transport
        self._channel = channel
        self._hand = hand
        self._clock = clock
        self._losses = 0
        self._look: int | None = None

    def grant(self, entries: Iterable[Entry]) -> None:
        """The entries whose guests may run now."""
        self._do(self.board.grant(entries))

    def connected(self) -> None:
        """A link is there."""
        self._do(self.board.connected())

    def disconnected(self) -> None:
        """It is gone."""
        self._losses += 1
        self._look = None
        self._do(self.board.disconnected())

    def heard(self, topic: str, payload: bytes) -> None:
        """A message on a topic that is none of the protocol's."""
        below = self._channel.below(topic)
        if below:
            self._do(self.board.heard(below, payload))

    def talk(self, key: Key, message: Words) -> None:
        """A guest publishes, or asks for a message. Part of `Supervisor`."""
        name = str(message.get("name"))
        if message.get("event") == "receive":
            self._do(self.board.asked(key, name))
            return
        try:
            data = base64.b64decode(cast(str, message.get("data")), validate=True)
        except (binascii.Error, TypeError, ValueError):
            return
        self._do(self.board.published(key, name, data, self._clock()))

    def tick(self) -> None:
        """Look at what was acknowledged; try again what was not taken."""
        now = self._clock()
        if self._look is not None and now >= self._look:
            self._look = now + LOOK if self.board.flying else None
            stats = self._transport.stats()
            # Of the link that took them: another one's queue says nothing about them.
            if not stats.queued and stats.disconnects == self._losses:
                self._do(self.board.delivered())
        self._do(self.board.tick(now))

    def due(self) -> int | None:
        """When `tick` has something to do (monotonic ms)."""
        times = (self._look, self.board.due())
        return min((at for at in times if at is not None), default=None)

    def _do(self, acts: list[Act]) -> None:
        if not acts:
            return
        kept = [act for act in acts if isinstance(act, Keep | Discard)]
        if kept:
            try:
                self._kept.keep(kept)
            except Unavailable as error:  # they wait in memory, and go when there is a link
                _log.error("messages of guests would not survive a reboot: %s", error)
        for act in acts:
            self._act(act)

    def _act(self, act: Act) -> None:
        match act:
            case Hear(filters):
                self._transport.subscribe([self._channel.data(one) for one in filters])
            case Unhear(filters):
                self._transport.unsubscribe([self._channel.data(one) for one in filters])
            case Send(message):
                topic = self._channel.data(message.topic)
                if not self.board.expects(message.seq):
                    return  # one before it was not taken: it waits for its turn
                if self._transport.publish(topic, message.data):
                    self._look = self._look or self._clock() + LOOK
                else:
                    self.board.untaken(message.seq, self._clock())
            case Deliver(key, name, topic, data):
                text = base64.b64encode(data).decode("ascii")
                if not self._hand(key, {"name": name, "topic": topic, "data": text}):
                    self.board.returned(act)
            case Keep() | Discard():
                pass
            case _:
                assert_never(act)
