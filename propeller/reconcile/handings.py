"""How far each document came: given to the broker, read back, taken by the device, or refused.

Nothing is decided from it: `why` tells it. What happens between two turns is written with the next
transaction, so that it costs none of its own; what a crash takes of it, later news imply.
"""

from __future__ import annotations

import json
from dataclasses import replace

from propeller.model.ids import PropletId
from propeller.state.base import Store
from propeller.state.records import Asked, Handing

BROKER = "broker"
"""The meta value with what is known of the way to the broker, as JSON; times in Unix ms."""

ECHO_EVERY = 60_000
"""ms between two notes that our own echo comes back."""


class Handings:
    """See the module. Owned by the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = {one.proplet: one for one in store.handings()}
        self._moved: set[PropletId] = set()
        self._given: dict[PropletId, tuple[Asked, int]] = {}
        self._broker: dict[str, int | str] = json.loads(store.meta(BROKER) or "{}")
        self._broker_moved = False

    def _of(self, asked: Asked) -> Handing:
        known = self._known.get(asked.proplet)
        if known is not None and (known.fence, known.gen) == (asked.fence, asked.gen):
            return known
        return Handing(proplet=asked.proplet, fence=asked.fence, gen=asked.gen)

    def _note(self, one: Handing) -> None:
        self._known[one.proplet] = one
        self._moved.add(one.proplet)

    def published(self, asked: Asked, now: int) -> None:
        """The transport took it, for the first time or again."""
        one = self._of(asked)
        if not one.published:
            self._note(replace(one, published=now))
        if not one.kept:
            self._given[asked.proplet] = (asked, now)

    def kept(self, asked: Asked, now: int) -> None:
        """The broker has the document as we asked it: it showed it, or our later echo."""
        one = self._known.get(asked.proplet) or self._of(asked)
        if (one.fence, one.gen) == (asked.fence, asked.gen) and not one.kept:
            self._note(replace(one, kept=now))

    def taken(self, asked: Asked, now: int) -> None:
        """The device reports that it holds it."""
        one = self._of(asked)
        if not one.taken:
            self._note(replace(one, taken=now))

    def refused(self, asked: Asked, why: str, now: int) -> None:
        """The device reports that it does not take it."""
        one = self._of(asked)
        if not one.refused or one.why != why:
            self._note(replace(one, refused=now, why=why))

    def forget(self, proplet: PropletId) -> None:
        """The proplet is no more; its row goes with what was asked of it."""
        self._known.pop(proplet, None)
        self._given.pop(proplet, None)
        self._moved.discard(proplet)

    # -- the way to the broker ----------------------------------------------------------------

    def connected(self, now: int) -> None:
        """The broker took us in."""
        self._given.clear()  # what the broker has of it is read back now
        self._broker = {"connected": now, "echo": 0}
        self._broker_moved = True

    def lost(self, reason: str, now: int) -> None:
        """The broker is gone."""
        self._broker = {**self._broker, "lost": now, "reason": reason[:200]}
        self._broker_moved = True

    def echoed(self, sent: int, now: int) -> None:
        """What we said to ourselves came back: the broker has what we published before that."""
        for proplet, (asked, at) in [*self._given.items()]:
            if at <= sent:
                del self._given[proplet]
                self.kept(asked, now)
        last = self._broker.get("echo", 0)
        assert isinstance(last, int)
        if now >= last + ECHO_EVERY or not last:
            self._broker["echo"] = now
            self._broker_moved = True

    # -- the store ----------------------------------------------------------------------------

    def write(self) -> None:
        """Bring the rows in line. Inside a transaction."""
        for proplet in sorted(self._moved):
            self._store.put_handing(self._known[proplet])
        self._moved.clear()
        if self._broker_moved:
            self._store.set_meta(BROKER, json.dumps(self._broker, sort_keys=True))
            self._broker_moved = False
