"""States of earlier Propellers: opened, brought up to date, read with what was in them."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from propeller.model.seen import Presence
from propeller.model.versions import Phase
from propeller.state import schema
from propeller.state.sqlite import SqliteStore

SHIPPED = (
    "160d1d524054646e53e1c98e42a4ceb3bc628b0a4cc13ae3d910900ad1dd6b69",
    "1762dc000cebe608751b5a0a2e3967b0d21a0d98dec3e2ec17f2345c7b44a80c",
    "9293d54fd330d964ddeefc3dc8c06f29fbc7d42b95e1109a26abd6c1381b14d5",
    "7fc85bb1d216b5ad7d48767b722c01e4ab1c627858ad0974cb0ff5b96e61e86e",
)
"""Of every migration that people have in their states: it never changes again."""


def the_first(path: Path) -> sqlite3.Connection:
    """A database as the first version of the tables made it."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in schema.MIGRATIONS[0]:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    return db


def test_a_migration_that_shipped_is_never_edited() -> None:
    """An edit would give new states other tables than those that were migrated."""
    found = [
        hashlib.sha256("\n".join(one).encode()).hexdigest()
        for one in schema.MIGRATIONS[: len(SHIPPED)]
    ]
    assert tuple(found) == SHIPPED


def test_rows_of_the_first_tables_are_read_today(tmp_path: Path) -> None:
    """A proplet and a rejected version from before checks, metrics and drift were known."""
    path = tmp_path / "propeller.db"
    db = the_first(path)
    db.execute(
        "INSERT INTO seen (id, declared, presence, last_heard, inst, boot, seq, conn, labels,"
        " observed_fence, observed_gen, observed_digest, reported, quarantine, cordoned, draining,"
        " heartbeat, public_key, facts, box)"
        " VALUES ('a', 1, 'Online', 5, '', 1, 1, 1, '{}', 7, 3, '', 1, '', 0, 0, 5000, '', NULL,"
        " '')"
    )
    db.execute(
        'INSERT INTO course (uid, good, target, phase, step, since, forgiven, why, "by", rejected,'
        " paused) VALUES ('u', NULL, NULL, 'RolledBack', 0, 1, 0, 'it trapped', 'ana',"
        """ '[["sha256:aa", 4, "ana", "it trapped"]]', '')"""
    )
    db.close()
    store = SqliteStore.open(path)
    (seen,) = store.fleet()
    assert (seen.id, seen.presence, dict(seen.metrics)) == ("a", Presence.ONLINE, {})
    (course,) = store.courses()
    assert course.phase is Phase.ROLLED_BACK
    assert (course.rejected[0].why, course.rejected[0].generation) == ("it trapped", 0)
    assert course.checks == ()
    assert store.corrections() == []
    assert store.plans() == []
    store.close()
    assert (tmp_path / "propeller.db.before-2").exists()


def test_a_migrated_state_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    """Column by column, wherever it came from."""
    the_first(tmp_path / "old.db").close()
    columns = []
    for name in ("old.db", "new.db"):
        SqliteStore.open(tmp_path / name).close()
        db = sqlite3.connect(tmp_path / name)
        tables = [
            row[0]
            for row in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
            )
        ]
        columns.append(
            {one: db.execute(f'PRAGMA table_info("{one}")').fetchall() for one in tables}
        )
        db.close()
    assert columns[0] == columns[1]
    assert "correction" in columns[0]
