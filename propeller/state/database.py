"""One SQLite connection the way this room wants it: our own transactions and our own errors.

`connect_writer` and `connect_reader` open the file; `Database` runs statements, passes a fail point
before each, and turns sqlite3's errors into ours at the seam. No table is known here.

WAL with `synchronous=NORMAL`: a power cut may lose the newest transactions, never half of one. A
`durable` transaction commits with `synchronous=FULL`, which fsyncs the log and with it everything
committed before.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from propeller.errors import Unavailable, UsageError
from propeller.state.failpoints import fail_point

Row = tuple[Any, ...]
"""A row as SQLite gives it: what its columns hold is known to the one function that reads it."""

STATEMENT = "state.statement"
"""The fail point before each SQL statement, BEGIN and COMMIT included."""
COMMITTED = "state.committed"
"""The fail point after each commit."""

_BUSY_MS = 5_000
_LOG_LIMIT = 64 * 1024 * 1024
_CACHE_KIB = 16 * 1024
_OLDEST_SQLITE = (3, 37)  # STRICT tables


class Corrupt(Unavailable):
    """The file is not, or not any more, a sound database."""


class Database:
    """A connection, its path for messages, and whether it may write."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, readonly: bool) -> None:
        self._connection = connection
        self.path = path
        self.readonly = readonly
        self._durable: bool | None = None

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for `backup` and for closing."""
        return self._connection

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement. Raises Unavailable (Corrupt among it); a broken invariant asserts."""
        fail_point(STATEMENT)
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise self._ours(error) from error

    def write(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one change inside a transaction; answers how many rows it touched."""
        assert not self.readonly, "a write to a store opened for reading"
        assert self._connection.in_transaction, "a write outside transaction()"
        return self.execute(sql, values).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one change for every row, inside a transaction."""
        assert not self.readonly, "a write to a store opened for reading"
        assert self._connection.in_transaction, "a write outside transaction()"
        fail_point(STATEMENT)
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._ours(error) from error

    def rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Each row of a query, as they are read; at once when looped over."""
        cursor = self.execute(sql, values)
        try:
            yield from cursor
        except sqlite3.Error as error:
            raise self._ours(error) from error
        finally:
            cursor.close()

    def one(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        for row in self.rows(sql, values):
            return row
        return None

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """BEGIN IMMEDIATE .. COMMIT. On a reader: one consistent picture for the whole block.

        Whatever changed a row also moves the serial. ROLLBACK when the block raises.
        """
        connection = self._connection
        assert not connection.in_transaction, "transactions do not nest"
        if self.readonly:
            self.execute("BEGIN")
        else:
            self._set_durable(durable)
            self.execute("BEGIN IMMEDIATE")
        before = connection.total_changes
        try:
            yield
            if connection.total_changes != before:
                self.execute("UPDATE counter SET value = value + 1 WHERE name = 'serial'")
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        fail_point(COMMITTED)

    def close(self) -> None:
        """Close; the last one to close folds the log into the file."""
        self._connection.close()

    def _set_durable(self, durable: bool) -> None:
        if durable != self._durable:  # may not be changed inside a transaction
            self.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            self._durable = durable

    def _roll_back(self) -> None:
        if not self._connection.in_transaction:
            return  # SQLite already did: disk full, I/O error
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # What made us roll back is the news. An open transaction dies with the connection.
            self._connection.close()

    def _ours(self, error: sqlite3.Error) -> Exception:
        return translated(error, self.path)


def translated(error: sqlite3.Error, path: Path) -> Exception:
    """The error of our family for one of sqlite3's; itself where the mistake is in our own SQL."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    match code:
        case sqlite3.SQLITE_FULL:
            return Unavailable(
                f"{path}: no space left; the change was not made",
                hint="free some space; what was committed before stands",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                f"{path}: another process keeps it locked",
                hint="end the other program that has this file open for writing",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Corrupt(
                f"{path}: is damaged: {error}",
                hint="restart: it is moved aside and rebuilt from the source and the fleet",
            )
        case sqlite3.SQLITE_CONSTRAINT:
            return AssertionError(f"{path}: {error}")
        case (
            sqlite3.SQLITE_IOERR
            | sqlite3.SQLITE_CANTOPEN
            | sqlite3.SQLITE_PERM
            | sqlite3.SQLITE_READONLY
            | sqlite3.SQLITE_NOLFS
            | sqlite3.SQLITE_AUTH
            | sqlite3.SQLITE_PROTOCOL
        ):
            return Unavailable(
                f"{path}: cannot be used: {error}",
                hint="check the disk and that the file and its directory may be written to",
            )
        case _:
            return error


def connect_writer(path: Path) -> Database:
    """Open `path` for writing, creating it (mode 0600) if missing. Raises Unavailable, Corrupt."""
    _check_sqlite()
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # -wal and -shm take its mode
    except OSError as error:
        raise Unavailable(
            f"{path}: cannot be opened: {error.strerror}",
            hint="check that its directory exists and may be written to",
        ) from error
    database = Database(_connect(path, "rw"), path, readonly=False)
    try:
        _quiet(database)
        database.execute("PRAGMA foreign_keys = ON")
        # Everything up to the first transaction (header, migrations) is rare: keep it safe.
        database.execute("PRAGMA synchronous = FULL")
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise Unavailable(
                f"{path}: this file system cannot keep a write-ahead log",
                hint="put the state directory on a local disk",
            )
        database.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
    except BaseException:
        database.close()
        raise
    return database


def connect_reader(path: Path) -> Database:
    """Open an existing `path` for reading, also while a writer is at work.

    Raises UsageError when there is no such file, Unavailable when it cannot be read.
    """
    _check_sqlite()
    if not path.exists():
        raise UsageError(
            f"{path}: there is no state here yet",
            hint="start one with `propeller up` or name another with --state",
        )
    database = Database(_connect(path, "ro"), path, readonly=True)
    try:
        _quiet(database)
        database.execute("PRAGMA query_only = ON")
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        # One thread at a time is the rule; which one may change (opened by the verb, used by the
        # loop), so the library's own thread check is off.
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _quiet(database: Database) -> None:
    database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute("PRAGMA trusted_schema = OFF")


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise UsageError(
            f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed",
            hint="use a Python built with a newer SQLite",
        )
