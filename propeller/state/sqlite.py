"""The Store in one SQLite file: opening it whatever state it is in, and its tables together.

The one writer opens it through `SqliteStore.open(path)`: an older file is migrated, a damaged one
moved aside and replaced by an empty one (the source and the fleet tell the rest again). Everyone
else opens it `readonly=True`, while the writer is at work or after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from propeller.errors import Unavailable
from propeller.model.ids import PropletId, Uid
from propeller.state import schema
from propeller.state.approvals import ApprovalTables
from propeller.state.base import Store
from propeller.state.callables import CallableTables
from propeller.state.chain import ChainTables
from propeller.state.courses import CourseTables
from propeller.state.database import Corrupt, Database, connect_reader, connect_writer
from propeller.state.drift import DriftTables
from propeller.state.files import sync_directory
from propeller.state.fleet import FleetTables
from propeller.state.flows import FlowTables
from propeller.state.history import HistoryTables
from propeller.state.inventory import InventoryTables
from propeller.state.news import NewsTables
from propeller.state.ops import OpsTables
from propeller.state.quotas import Quotas
from propeller.state.records import Event
from propeller.state.rounds import RoundTables
from propeller.state.samples import SampleTables
from propeller.state.scales import ScaleTables
from propeller.state.windows import WindowTables

_KEPT_ASIDE = 3


def wall_clock_ms() -> int:
    """Now, as Unix milliseconds."""
    return time.time_ns() // 1_000_000


class SqliteStore(
    ApprovalTables,
    CallableTables,
    ChainTables,
    CourseTables,
    WindowTables,
    DriftTables,
    RoundTables,
    FlowTables,
    ScaleTables,
    SampleTables,
    NewsTables,
    InventoryTables,
    FleetTables,
    HistoryTables,
    OpsTables,
    Store,
):
    """See `base.Store`. One thread at a time; not for use across a fork."""

    def __init__(
        self, database: Database, *, quotas: Quotas, fresh: bool, moved_aside: str
    ) -> None:
        self._db = database
        self._quotas = quotas
        self._fresh = fresh
        self._moved_aside = moved_aside
        self._touched_runs: set[Uid] = set()
        self._touched_keys: set[str] = set()
        self._touched_proplets: set[PropletId] = set()
        self._added: int | None = None

    @staticmethod
    def open(
        path: Path,
        *,
        readonly: bool = False,
        quotas: Quotas | None = None,
        clock: Callable[[], int] = wall_clock_ms,
    ) -> SqliteStore:
        """Open the store at `path`. `clock` dates the event about a damaged file.

        Raises UsageError (no such file when read-only; a newer, older or foreign one),
        Unavailable (it cannot be read or written).
        """
        if readonly:
            return _open_reader(path, quotas or Quotas())
        return _open_writer(path, quotas or Quotas(), clock)

    def __repr__(self) -> str:
        mode = "readonly" if self._db.readonly else "writer"
        return f"SqliteStore({str(self._db.path)!r}, {mode})"

    @property
    def fresh(self) -> bool:
        return self._fresh

    @property
    def moved_aside(self) -> str:
        return self._moved_aside

    def close(self) -> None:
        self._db.close()

    def meta(self, name: str) -> str | None:
        row = self._db.one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._db.write(
            "INSERT INTO meta VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def serial(self) -> int:
        return self._counter("serial")

    def take_fence(self, now: int) -> int:
        with self._db.transaction(durable=True):
            fence = max(self._counter("fence") + 1, now)
            self._db.write("UPDATE counter SET value = ? WHERE name = 'fence'", (fence,))
        return fence

    def _counter(self, name: str) -> int:
        row = self._db.one("SELECT value FROM counter WHERE name = ?", (name,))
        assert row is not None, f"the {name} counter is missing"
        return int(row[0])

    def prune_history(self, now: int) -> None:
        self._prune_past(now)
        self._prune_ops(now)
        self._prune_samples(now)


def _open_reader(path: Path, quotas: Quotas) -> SqliteStore:
    database = connect_reader(path)
    try:
        schema.check(database)
    except BaseException:
        database.close()
        raise
    return SqliteStore(database, quotas=quotas, fresh=False, moved_aside="")


def _open_writer(path: Path, quotas: Quotas, clock: Callable[[], int]) -> SqliteStore:
    try:
        return _open_sound(path, quotas, moved_aside="")
    except Corrupt as error:
        problem = error.what
    aside = _move_aside(path)
    store = _open_sound(path, quotas, moved_aside=str(aside))
    with store.transaction(durable=True):
        store.add_event(
            Event(
                at=clock(),
                severity="Warning",
                reason="StateDamaged",
                message=f"{problem}; it was moved to {aside.name} and the state is rebuilt from"
                " the source and from what the fleet reports",
            )
        )
    return store


def _open_sound(path: Path, quotas: Quotas, *, moved_aside: str) -> SqliteStore:
    """Raises Corrupt when the file is damaged."""
    database = connect_writer(path)
    try:
        problem = schema.sound(database)
        if problem:
            raise Corrupt(f"{path}: is damaged: {problem}")
        before, _ = schema.bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return SqliteStore(database, quotas=quotas, fresh=before == 0, moved_aside=moved_aside)


def _move_aside(path: Path) -> Path:
    """Rename the damaged file with its log out of the way; older ones beyond a few are removed."""
    try:
        taken = sorted(
            int(number)
            for each in path.parent.glob(f"{path.name}.damaged-*")
            if (number := each.name.rpartition("-")[2]).isdecimal()
        )
        target = path.with_name(f"{path.name}.damaged-{taken[-1] + 1 if taken else 1}")
        # The log first: a log without its file would be applied to the fresh one.
        for suffix in ("-wal", "-shm", ""):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(target.with_name(target.name + suffix))
        for old_number in taken[: max(0, len(taken) + 1 - _KEPT_ASIDE)]:
            for suffix in ("-wal", "-shm", ""):
                old = path.with_name(f"{path.name}.damaged-{old_number}{suffix}")
                old.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(
            f"{path}: is damaged and cannot be moved aside: {error.strerror}",
            hint="move it away by hand and start again",
        ) from error
    return target
