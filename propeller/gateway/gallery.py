"""Pictures of the store for whoever looks: one a change, shared by pages and programs.

Rows that did not change since the last picture are not worked out again, so a report of one device
costs the same in a fleet of ten thousand as in one of ten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from propeller.errors import PropellerError
from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.facts import ObjectRow, PropletRow
from propeller.gateway.trends import LONG, Point, points_of
from propeller.model.ids import PropletId, Uid
from propeller.model.rounds import Round, RoundState
from propeller.model.samples import Sample
from propeller.model.seen import Seen
from propeller.state.calls import CallNote, newest_calls
from propeller.state.records import Event, Pause, RevisionRecord, StatusRow
from propeller.state.samples import past_of
from propeller.state.sqlite import SqliteStore

MOST_EVENTS: Final = 500
LOOKED_BACK: Final = 5
"""Rounds among which the newest with a model is looked for."""

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The fleet at one serial of the store. at: when it was taken (Unix ms). seen: without runs,
    of which a large fleet has many: ask the gallery for those that are shown."""

    serial: int
    at: int
    statuses: tuple[StatusRow, ...]
    objects: tuple[ObjectRow, ...]
    seen: tuple[Seen, ...]
    proplets: tuple[PropletRow, ...]
    revisions: tuple[RevisionRecord, ...]
    events: tuple[Event, ...]
    pauses: tuple[Pause, ...]

    @property
    def unready(self) -> list[ObjectRow]:
        """What is not Ready, what needs a person first."""
        waiting = [one for one in self.objects if one.ready != "True" and one.app != "run"]
        return sorted(waiting, key=lambda one: (not one.stalled, one.key))

    @property
    def silent(self) -> list[PropletRow]:
        """Proplets that are not online, longest silence first."""
        out = [one for one in self.proplets if one.state != "Online"]
        return sorted(out, key=lambda one: (one.since or 0, one.name))

    def for_eyes(self, sees: Callable[[str], bool]) -> Picture:
        """What somebody may see who sees only some namespaces. What waits for a person is of the
        whole fleet and is left out."""
        kept = [
            (status, row)
            for status, row in zip(self.statuses, self.objects, strict=True)
            if sees(row.key.namespace)
        ]
        return Picture(
            serial=self.serial,
            at=self.at,
            statuses=tuple(status for status, _ in kept),
            objects=tuple(row for _, row in kept),
            seen=self.seen,
            proplets=self.proplets,
            revisions=self.revisions,
            events=tuple(one for one in self.events if one.key is None or sees(one.key.namespace)),
            pauses=(),
        )


class Gallery:
    """Takes pictures of one store; the newest is kept until the store moved.

    calls: where calls that were promised an answer are kept, None for nowhere.
    """

    def __init__(self, database: Path, clock: Clock, calls: Path | None = None) -> None:
        self._database = database
        self._calls = calls
        self.clock = clock
        self._lock = threading.Lock()
        self._last: Picture | None = None
        self.cost = 0.0
        """Seconds that the newest picture took: who asks again and again waits in proportion."""
        self._statuses: dict[Uid, StatusRow] = {}
        self._sightings: dict[str, Any] = {}
        self._objects: dict[int, tuple[StatusRow, ObjectRow]] = {}
        self._proplets: dict[int, tuple[Seen, PropletRow]] = {}

    @contextmanager
    def open(self) -> Iterator[SqliteStore]:
        """The store, read-only, for the length of the block. Raises Unavailable."""
        store = SqliteStore.open(self._database, readonly=True)
        try:
            yield store
        finally:
            store.close()

    def serial(self) -> int:
        """The store's serial, -1 while it cannot be read."""
        try:
            with self.open() as store:
                return store.serial()
        except PropellerError:
            return -1

    def picture(self) -> Picture:
        """The fleet now. Raises Unavailable."""
        began = time.monotonic()
        with self._lock, self.open() as store, store.transaction():
            serial = store.serial()
            if self._last is not None and self._last.serial == serial:
                return self._last
            statuses = tuple(store.statuses_since(self._statuses))
            seen = tuple(store.sightings(self._sightings))
            self._last = Picture(
                serial=serial,
                at=self.clock(),
                statuses=statuses,
                objects=_reused(self._objects, statuses, facts.object_row),
                seen=seen,
                proplets=_reused(self._proplets, seen, facts.proplet_row),
                revisions=tuple(store.revisions(50)),
                events=tuple(store.events(limit=MOST_EVENTS)),
                pauses=tuple(store.pauses()),
            )
            self.cost = time.monotonic() - began
            return self._last

    def trends(self, proplets: Iterable[str], uid: str) -> dict[str, tuple[Point, ...]]:
        """What an object's copies took in the last hour, by proplet. Raises Unavailable."""
        now = self.clock()
        with self.open() as store:
            return {
                name: points_of(past_of(store, PropletId(name), since=now - LONG, now=now), uid)
                for name in proplets
            }

    def past(self, proplet: PropletId, since: int | None) -> list[Sample]:
        """What it measured since then (Unix ms), an hour ago unless said, oldest first. Raises
        Unavailable."""
        now = self.clock()
        with self.open() as store:
            begin = now - LONG if since is None else min(since, now)
            return past_of(store, proplet, since=begin, now=now)

    def warm(self) -> None:
        """Take a picture ahead of whoever asks first: of a large fleet the first one takes long."""
        with suppress(PropellerError):
            self.picture()

    def calls(self, function: str, limit: int) -> list[CallNote]:
        """The newest kept calls of namespace/name. Raises Unavailable."""
        return [] if self._calls is None else newest_calls(self._calls, function, limit)

    def member(self, proplet: str) -> Seen | None:
        """One proplet with its runs. Raises Unavailable."""
        with self.open() as store:
            return store.member(PropletId(proplet))

    def run_counts(self, proplets: Iterable[str]) -> dict[str, int]:
        """How many runs each of them holds. Raises Unavailable."""
        with self.open() as store:
            return {name: store.count_runs(PropletId(name)) for name in proplets}

    def last_rounds(self, jobs: Iterable[Uid]) -> dict[Uid, Round]:
        """The newest round of each that has a model, among the newest few. Raises Unavailable."""
        found: dict[Uid, Round] = {}
        with self.open() as store:
            for uid in jobs:
                rounds = store.rounds(uid, LOOKED_BACK)
                one = next((one for one in rounds if one.state is RoundState.COMMITTED), None)
                if one is not None:
                    found[uid] = one
        return found

    def run_states(self) -> dict[str, int]:
        """How many runs there are of each state. Raises Unavailable."""
        with self.open() as store:
            return store.run_states()


From = TypeVar("From")
To = TypeVar("To")


def _reused(
    known: dict[int, tuple[From, To]], now: Sequence[From], make: Callable[[From], To]
) -> tuple[To, ...]:
    """`make` of each of `now`; of those that are the same object as last time, what was made then.

    known: of last time, by the identity of what it keeps alive; becomes that of this time.
    """
    before = dict(known)
    known.clear()
    for one in now:
        found = before.get(id(one))
        known[id(one)] = found if found is not None else (one, make(one))
    return tuple(known[id(one)][1] for one in now)
