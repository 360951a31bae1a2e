"""Calls that must outlive the process that took them: asynchronous ones, and those with a key.

A database of its own beside the store, `calls.db`: its only writer is the gateway that holds the
state's lease, so a call never waits for the reconciler's loop. A row is written before anything is
told to anybody: `taken` (promised, not sent), `sent` (a proplet may have begun it), `ended`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from propeller.errors import Unavailable, UsageError
from propeller.state.database import Database, Row, connect_reader, connect_writer

MOST_ROWS = 10_000
MOST_BYTES = 256 << 20
"""Of ended calls together: the oldest go first."""

_VERSION = 1
_TABLES = (
    """CREATE TABLE call (
        id TEXT PRIMARY KEY, function TEXT NOT NULL, key TEXT, digest TEXT NOT NULL,
        state TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL,
        request TEXT NOT NULL, place TEXT NOT NULL, outcome TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE UNIQUE INDEX call_by_key ON call (function, key) WHERE key IS NOT NULL",
    "CREATE INDEX call_by_end ON call (state, expires)",
    "CREATE TABLE slot (trigger TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO counter VALUES ('serial', 0)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call. function: namespace/name. key: what its caller named it by, None for none.

    digest: of the request, so that one key is not used for two. state: taken | sent | ended.
    at: when it was taken, expires: when an ended one may go (Unix ms). request, place (where it was
    sent), outcome: as their owner wrote them.
    """

    id: str
    function: str
    key: str | None = None
    digest: str
    state: str = "taken"
    at: int
    expires: int
    request: Mapping[str, object]
    place: Mapping[str, object] | None = None
    outcome: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNote:
    """What a page tells of a kept call: no request and no answer.

    state: taken | sent | ended. at: when it was taken (Unix ms). end, cause, proplet: of an ended
    one, "" before. lasted: microseconds it waited and ran on its copy, which measured them.
    """

    id: str
    state: str
    at: int
    proplet: str = ""
    end: str = ""
    cause: str = ""
    lasted: int = 0


def newest_calls(path: Path, function: str, limit: int) -> list[CallNote]:
    """The kept calls of a Function (namespace/name), newest first; none where nothing was kept yet.

    For whoever only looks: the writer is not held up. Raises Unavailable.
    """
    if not path.exists():
        return []
    database = connect_reader(path)
    try:
        version = database.one("PRAGMA user_version")
        if version is None or version[0] != _VERSION:
            raise Unavailable(f"{path}: the calls in it were written by another Propeller")
        return [_note(row) for row in database.rows(_NEWEST, (function, limit))]
    finally:
        database.close()


class CallStore:
    """See the module. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db: Database = connect_writer(path)
        try:
            self._prepare(path)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        row = self._db.one("PRAGMA user_version")
        version = 0 if row is None else int(row[0])
        if version > _VERSION:
            raise UsageError(
                f"{path}: was written by a newer Propeller",
                hint="run that one, or move the file away: the calls in it are forgotten then",
            )
        if version == 0:
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
            self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _durably(self) -> Iterator[None]:
        with self._db.transaction(durable=True):
            yield

    def put(self, row: CallRow) -> None:
        """Durable before it returns. Raises Unavailable."""
        with self._durably():
            self._db.write(
                "INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
                " expires = excluded.expires, place = excluded.place, outcome = excluded.outcome",
                (
                    row.id,
                    row.function,
                    row.key,
                    row.digest,
                    row.state,
                    row.at,
                    row.expires,
                    json.dumps(row.request),
                    json.dumps(row.place),
                    json.dumps(row.outcome),
                ),
            )

    def drop(self, id_: str) -> None:
        """As if it had never been taken."""
        with self._durably():
            self._db.write("DELETE FROM call WHERE id = ?", (id_,))

    def find(self, id_: str) -> CallRow | None:
        """The call of that id."""
        row = self._db.one(f"{_SELECT} WHERE id = ?", (id_,))
        return None if row is None else _row(row)

    def by_key(self, function: str, key: str) -> CallRow | None:
        """The call of that function that its caller named so."""
        row = self._db.one(f"{_SELECT} WHERE function = ? AND key = ?", (function, key))
        return None if row is None else _row(row)

    def open(self) -> list[CallRow]:
        """What has not ended, oldest first."""
        return [_row(row) for row in self._db.rows(f"{_SELECT} WHERE state <> 'ended' ORDER BY at")]

    def slot(self, trigger: str) -> int | None:
        """The newest time of a schedule that was used up (Unix ms)."""
        row = self._db.one("SELECT at FROM slot WHERE trigger = ?", (trigger,))
        return None if row is None else int(row[0])

    def put_slot(self, trigger: str, at: int) -> None:
        """Durable before it returns."""
        with self._durably():
            self._db.write(
                "INSERT INTO slot VALUES (?, ?)"
                " ON CONFLICT (trigger) DO UPDATE SET at = excluded.at",
                (trigger, at),
            )

    def prune(self, now: int) -> None:
        """Keep ended calls within their time and all of them within their quota."""
        with self._db.transaction():
            self._db.write("DELETE FROM call WHERE state = 'ended' AND expires <= ?", (now,))
            row = self._db.one(
                "SELECT count(*), coalesce(sum(length(request) + length(outcome)), 0) FROM call"
                " WHERE state = 'ended'"
            )
            assert row is not None
            count, size = int(row[0]), int(row[1])
            if count <= MOST_ROWS and size <= MOST_BYTES:
                return
            most = min(count // 2, MOST_ROWS // 2)  # half go at once, so that this is rare
            self._db.write(
                "DELETE FROM call WHERE id IN (SELECT id FROM call WHERE state = 'ended'"
                " ORDER BY at LIMIT ?)",
                (count - most,),
            )


_SELECT = "SELECT id, function, key, digest, state, at, expires, request, place, outcome FROM call"


def _row(row: Row) -> CallRow:
    return CallRow(
        id=row[0],
        function=row[1],
        key=row[2],
        digest=row[3],
        state=row[4],
        at=row[5],
        expires=row[6],
        request=json.loads(row[7]),
        place=json.loads(row[8]),
        outcome=json.loads(row[9]),
    )


# The ids first: what was sent and answered can be large, and is read of the chosen rows only.
_NEWEST = """
    SELECT id, state, at, json_extract(place, '$.proplet'), json_extract(outcome, '$.proplet'),
        json_extract(outcome, '$.end'), json_extract(outcome, '$.cause'),
        json_extract(outcome, '$.wait') + json_extract(outcome, '$.took')
    FROM call
    WHERE id IN (SELECT id FROM call WHERE function = ? ORDER BY at DESC, id LIMIT ?)
    ORDER BY at DESC, id
"""


def _note(row: Row) -> CallNote:
    id_, state, at, sent_to, answered_by, end, cause, lasted = row
    return CallNote(
        id=id_,
        state=state,
        at=at,
        proplet=answered_by or sent_to or "",
        end=end or "",
        cause=cause or "",
        lasted=lasted or 0,
    )
