"""Pictures of the store for whoever looks: one a change, shared by pages and programs.

Rows that did not change since the last picture are not worked out again, so a report of one device
costs the same in a fleet of ten thousand as in one of ten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from propeller.errors import PropellerError
from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.facts import ObjectRow, PropletRow
from propeller.model.ids import Uid
from propeller.model.seen import Seen
from propeller.state.base import Event, Pause, RevisionRecord, StatusRow
from propeller.state.sqlite import SqliteStore

MOST_EVENTS: Final = 500

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The fleet at one serial of the store. at: when it was taken (Unix ms)."""

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
    """Takes pictures of one store; the newest is kept until the store moved."""

    def __init__(self, database: Path, clock: Clock) -> None:
        self._database = database
        self.clock = clock
        self._lock = threading.Lock()
        self._last: Picture | None = None
        self._rows: dict[Uid, tuple[str, ObjectRow]] = {}

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
        with self._lock, self.open() as store, store.transaction():
            serial = store.serial()
            if self._last is not None and self._last.serial == serial:
                return self._last
            statuses = tuple(store.statuses())
            seen = tuple(sorted(store.fleet(), key=lambda one: one.id))
            self._last = Picture(
                serial=serial,
                at=self.clock(),
                statuses=statuses,
                objects=self._object_rows(statuses),
                seen=seen,
                proplets=tuple(map(facts.proplet_row, seen)),
                revisions=tuple(store.revisions(50)),
                events=tuple(store.events(limit=MOST_EVENTS)),
                pauses=tuple(store.pauses()),
            )
            return self._last

    def _object_rows(self, statuses: tuple[StatusRow, ...]) -> tuple[ObjectRow, ...]:
        before, rows = self._rows, []
        self._rows = {}
        for status in statuses:
            known = before.get(status.uid)
            if known is None or known[0] != status.document:
                known = (status.document, facts.object_row(status))
            self._rows[status.uid] = known
            rows.append(known[1])
        return tuple(rows)
