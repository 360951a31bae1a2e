"""Tells one listener what was committed: events, statuses, objects, revisions.

For those who carry news out of the process (`reconcile.outlets`). Nothing is told of a transaction
that was rolled back, and everything of one that was committed, in order, right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from propeller.state.database import Database
from propeller.state.history import HistoryTables
from propeller.state.inventory import InventoryTables
from propeller.state.records import Event, RevisionRecord, StatusRow

if TYPE_CHECKING:
    from propeller.model.ids import Uid
    from propeller.model.inventory import Held


@dataclass(slots=True)
class News:
    """What one transaction changed. statuses, objects: None where the row was dropped."""

    events: list[Event] = field(default_factory=list)
    statuses: dict[Uid, StatusRow | None] = field(default_factory=dict)
    objects: dict[Uid, Held | None] = field(default_factory=dict)
    revisions: list[RevisionRecord] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events or self.statuses or self.objects or self.revisions)


class NewsTables(InventoryTables, HistoryTables):
    """Overhears the tables it stands before; see `base.Store` for what the methods do."""

    _db: Database
    _listener: Callable[[News], None] | None = None
    _news: News

    def listen(self, listener: Callable[[News], None]) -> None:
        """Call `listener` after each commit that changed something it cares for.

        On the writer's thread: it must only hand over.
        """
        self._listener, self._news = listener, News()

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        if self._listener is None:
            return self._db.transaction(durable=durable)
        return self._heard(self._listener, durable=durable)

    @contextmanager
    def _heard(self, listener: Callable[[News], None], *, durable: bool) -> Iterator[None]:
        self._news = News()
        with self._db.transaction(durable=durable):
            yield
        news, self._news = self._news, News()
        if news:
            listener(news)

    def add_event(self, event: Event) -> None:
        super().add_event(event)
        if self._listener is not None:
            self._news.events.append(event)

    def put_status(self, row: StatusRow) -> None:
        super().put_status(row)
        if self._listener is not None:
            self._news.statuses[row.uid] = row

    def drop_status(self, uid: Uid) -> None:
        super().drop_status(uid)
        if self._listener is not None:
            self._news.statuses[uid] = None

    def put_held(self, held: Held) -> None:
        super().put_held(held)
        if self._listener is not None:
            self._news.objects[held.uid] = held

    def drop_held(self, uid: Uid) -> None:
        super().drop_held(uid)
        if self._listener is not None:
            self._news.objects[uid] = None

    def note_revision(self, record: RevisionRecord) -> None:
        super().note_revision(record)
        if self._listener is not None:
            self._news.revisions.append(record)
