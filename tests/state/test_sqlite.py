"""Opening a SQLite store: new, old, newer, foreign, damaged, full, and read-only ones."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.state import schema
from propeller.state.database import connect_reader, connect_writer
from propeller.state.sqlite import SqliteStore

NEXT = (
    *schema.MIGRATIONS,
    ("CREATE TABLE extra (x TEXT) STRICT", "INSERT INTO extra VALUES ('new')"),
)


NOW = len(schema.MIGRATIONS)
BEFORE = f"propeller.db.before-{NOW + 1}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of this test lies."""
    return tmp_path / "propeller.db"


def set_version(path: Path, version: int) -> None:
    """Make the file say it is of `version`."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()


def test_a_new_file_is_private_strict_and_has_a_log(path: Path) -> None:
    """Specs may hold what is nobody's business: mode 0600; every table is STRICT; WAL is on."""
    SqliteStore.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    db = sqlite3.connect(path)
    tables = [
        row[2:] for row in db.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")
    ]
    assert len(tables) > 10
    assert all(strict == 1 for *_, strict in tables)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_file_opened_for_reading_must_exist(path: Path) -> None:
    """Reading where nothing was ever started says so, says what to do, and creates nothing."""
    with pytest.raises(UsageError, match="no state here") as caught:
        SqliteStore.open(path, readonly=True)
    assert "propeller up" in caught.value.hint
    assert list(path.parent.iterdir()) == []


def test_a_file_left_by_a_writer_is_read_without_one(path: Path) -> None:
    """After a clean end there is no log: reading still works, and leaves no writer's traces."""
    writer = SqliteStore.open(path)
    with writer.transaction():
        writer.set_meta("a", "1")
    writer.close()
    reader = SqliteStore.open(path, readonly=True)
    assert reader.meta("a") == "1"
    assert "readonly" in repr(reader)
    reader.close()


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """A missing directory is the machine's trouble, with the path in the message."""
    with pytest.raises(Unavailable, match="missing"):
        SqliteStore.open(tmp_path / "missing" / "propeller.db")


def test_a_newer_file_is_refused_with_words(path: Path) -> None:
    """A downgrade neither reads nor writes what it does not understand, and moves nothing aside."""
    SqliteStore.open(path).close()
    set_version(path, 99)
    for readonly in (False, True):
        with pytest.raises(UsageError, match="newer Propeller") as caught:
            SqliteStore.open(path, readonly=readonly)
        assert "upgrade" in caught.value.hint
    assert list(path.parent.glob("*damaged*")) == []


def test_another_programs_database_is_refused(path: Path) -> None:
    """A file with tables that are not ours is left exactly as it is."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.commit()
    db.close()
    with pytest.raises(UsageError, match="another program"):
        SqliteStore.open(path)
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("bookmarks",)]
    db.close()


def test_a_migration_keeps_the_rows_and_a_copy(path: Path) -> None:
    """One step up: the new table is there, the rows are too, and the copy is the file before it."""
    store = SqliteStore.open(path)
    with store.transaction():
        store.set_meta("a", "1")
    store.close()
    database = connect_writer(path)
    assert schema.bring_up_to_date(database, NEXT) == (NOW, NOW + 1)
    assert database.one("SELECT x FROM extra") == ("new",)
    assert database.one("SELECT value FROM meta") == ("1",)
    assert schema.bring_up_to_date(database, NEXT) == (NOW + 1, NOW + 1)
    database.close()
    copy = sqlite3.connect(path.with_name(BEFORE))
    assert copy.execute("PRAGMA user_version").fetchone() == (NOW,)
    assert copy.execute("SELECT value FROM meta").fetchall() == [("1",)]
    copy.close()


def test_a_copy_before_a_migration_has_what_was_only_in_the_log(path: Path) -> None:
    """The copy is of the state, not of the bytes of the main file: the log is in it."""
    store = SqliteStore.open(path)
    with store.transaction():
        store.set_meta("a", "in the log")
    database = connect_writer(path)
    schema.bring_up_to_date(database, NEXT)
    database.close()
    store.close()
    copy = sqlite3.connect(path.with_name(BEFORE))
    assert copy.execute("SELECT value FROM meta").fetchall() == [("in the log",)]
    copy.close()


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    """All of a migration or none of it: the file is of the old version and still opens."""
    store = SqliteStore.open(path)
    with store.transaction():
        store.set_meta("a", "1")
    store.close()
    database = connect_writer(path)
    broken = (*schema.MIGRATIONS, ("CREATE TABLE extra (x TEXT) STRICT", "CREATE NONSENSE"))
    with pytest.raises(sqlite3.OperationalError):
        schema.bring_up_to_date(database, broken)
    assert schema.version(database) == NOW
    database.close()
    store = SqliteStore.open(path)
    assert store.meta("a") == "1"
    store.close()


def test_an_older_file_cannot_be_read_before_it_was_migrated(path: Path) -> None:
    """Readers do not migrate: they say who does."""
    SqliteStore.open(path).close()
    database = connect_reader(path)
    with pytest.raises(UsageError, match="older Propeller"):
        schema.check(database, NEXT)
    database.close()


def damage_header(path: Path) -> None:
    """Not a database any more."""
    path.write_bytes(b"not a database at all, whatever it was" * 100)


def damage_page(path: Path) -> None:
    """A database whose pages are rubbish: opens, but does not hold."""
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 4] = b"\xa5" * (4096 * 3)
    path.write_bytes(data)


def damage_length(path: Path) -> None:
    """A database that lost its second half."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [damage_header, damage_page, damage_length])
def test_a_damaged_file_is_moved_aside(path: Path, samples: Any, damage: Any) -> None:
    """The store starts afresh, says so in an event, and the damaged file is kept for a look."""
    store = SqliteStore.open(path)
    with store.transaction():
        store.put_held(samples.held())
    store.close()
    damage(path)
    damaged = path.read_bytes()
    store = SqliteStore.open(path, clock=lambda: 77)
    assert store.fresh
    assert store.inventory() == []
    aside = path.with_name("propeller.db.damaged-1")
    assert store.moved_aside == str(aside)
    assert aside.read_bytes() == damaged
    (event,) = store.events()
    assert (event.severity, event.reason, event.at) == ("Warning", "StateDamaged", 77)
    assert aside.name in event.message
    store.close()
    store = SqliteStore.open(path)
    assert (store.fresh, store.moved_aside) == (False, "")
    store.close()


def test_a_log_of_the_damaged_file_is_not_applied_to_the_fresh_one(path: Path) -> None:
    """The log goes aside with its file: nothing of the old state leaks into the new one."""
    SqliteStore.open(path).close()
    store = SqliteStore.open(path)
    with store.transaction():
        store.set_meta("old", "1")
    wal = path.with_name("propeller.db-wal").read_bytes()
    store.close()
    damage_header(path)
    path.with_name("propeller.db-wal").write_bytes(wal)
    store = SqliteStore.open(path)
    assert store.meta("old") is None
    assert path.with_name("propeller.db.damaged-1-wal").exists()
    store.close()


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    """A disk that keeps damaging files is not also filled up by them."""
    for _ in range(5):
        path.write_bytes(b"rubbish, again and again" * 100)
        SqliteStore.open(path).close()
    kept = sorted(each.name for each in path.parent.glob("*.damaged-*"))
    assert kept == [f"propeller.db.damaged-{number}" for number in (3, 4, 5)]


def test_a_full_disk_is_unavailable_and_undoes_the_change(path: Path) -> None:
    """No space: the change is refused with words, what was there stays, later it works again."""
    store = SqliteStore.open(path)
    with store.transaction():
        store.set_meta("a", "1")
    pages = store._db.raw.execute("PRAGMA page_count").fetchone()[0]
    store._db.raw.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="no space left") as caught, store.transaction():
        store.set_meta("a", "2")
        for number in range(100):
            store.set_meta(f"big-{number}", "x" * 4000)
    assert "free some space" in caught.value.hint
    assert store.meta("a") == "1"
    store._db.raw.execute("PRAGMA max_page_count = 1000000")
    with store.transaction():
        store.set_meta("a", "3")
    assert store.meta("a") == "3"
    store.close()


def test_a_file_locked_by_another_program_is_unavailable(path: Path) -> None:
    """Someone else's open write transaction is waited for, then named."""
    store = SqliteStore.open(path)
    store._db.raw.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process"), store.transaction():
        store.set_meta("a", "1")
    other.execute("ROLLBACK")
    other.close()
    with store.transaction():
        store.set_meta("a", "1")
    store.close()


def test_odd_characters_in_the_path_do_not_matter(tmp_path: Path) -> None:
    """A path is a path: `?`, `#`, `%` and spaces in it are not the address syntax of SQLite."""
    folder = tmp_path / "50% of ?mode=memory#x"
    folder.mkdir()
    store = SqliteStore.open(folder / "propeller.db")
    with store.transaction():
        store.set_meta("a", "1")
    store.close()
    assert (folder / "propeller.db").stat().st_size > 0
    reader = SqliteStore.open(folder / "propeller.db", readonly=True)
    assert reader.meta("a") == "1"
    reader.close()
