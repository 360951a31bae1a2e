"""The tables, and how an older file becomes a newer one.

Forward only: migration n takes a file from `user_version` n-1 to n, in one durable transaction,
after the file was copied to `<name>.before-<n>`. A file newer than this program is refused.
Released migrations are never edited: append.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from propeller.errors import Unavailable, UsageError
from propeller.state.database import Database, translated
from propeller.state.files import sync_directory

APPLICATION_ID = 0x50524F50  # "PROP", so that we never write into someone else's database

Migration = tuple[str, ...]

_FIRST: Migration = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO counter VALUES ('serial', 0), ('fence', 0)",
    # -- source
    """CREATE TABLE revision (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, source TEXT NOT NULL,
        at INTEGER NOT NULL, outcome TEXT NOT NULL, author TEXT NOT NULL, message TEXT NOT NULL,
        time INTEGER NOT NULL, faults TEXT NOT NULL, signed_by TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    # -- inventory
    """CREATE TABLE held (
        uid TEXT PRIMARY KEY, generation INTEGER NOT NULL, revision TEXT NOT NULL,
        created_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, deleted_at INTEGER, hold TEXT,
        last_slot INTEGER, object TEXT NOT NULL, orphan INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # An object leaves only after its last copy did: the reference makes that a rule of the file.
    """CREATE TABLE assignment (
        uid TEXT NOT NULL REFERENCES held (uid) DEFERRABLE INITIALLY DEFERRED,
        proplet TEXT NOT NULL, run TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
        assigned_at INTEGER NOT NULL, releasing INTEGER NOT NULL, version TEXT NOT NULL,
        PRIMARY KEY (uid, proplet)
    ) STRICT, WITHOUT ROWID""",
    # -- versions
    """CREATE TABLE course (
        uid TEXT PRIMARY KEY, good TEXT, target TEXT, phase TEXT NOT NULL, step INTEGER NOT NULL,
        since INTEGER NOT NULL, forgiven INTEGER NOT NULL, why TEXT NOT NULL, "by" TEXT NOT NULL,
        rejected TEXT NOT NULL, paused TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE version (
        uid TEXT NOT NULL, digest TEXT NOT NULL, module TEXT NOT NULL, at INTEGER NOT NULL,
        body TEXT NOT NULL, PRIMARY KEY (uid, digest)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE module (ref TEXT PRIMARY KEY, resolved TEXT NOT NULL) STRICT, WITHOUT ROWID",
    # -- windows
    """CREATE TABLE withheld (
        uid TEXT PRIMARY KEY, held TEXT, module TEXT
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE window_override (
        uid TEXT PRIMARY KEY, mark TEXT NOT NULL, "by" TEXT NOT NULL, reason TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # -- approvals
    """CREATE TABLE pause (
        app TEXT PRIMARY KEY, source TEXT NOT NULL, guard TEXT NOT NULL, message TEXT NOT NULL,
        digest TEXT NOT NULL, whole TEXT NOT NULL, revision TEXT NOT NULL, at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE approval (
        digest TEXT PRIMARY KEY, "by" TEXT NOT NULL, at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # -- fleet
    """CREATE TABLE seen (
        id TEXT PRIMARY KEY, declared INTEGER NOT NULL, presence TEXT NOT NULL,
        last_heard INTEGER NOT NULL, offline_since INTEGER, will_at INTEGER, inst TEXT NOT NULL,
        boot INTEGER NOT NULL, seq INTEGER NOT NULL, conn INTEGER NOT NULL, labels TEXT NOT NULL,
        observed_fence INTEGER NOT NULL, observed_gen INTEGER NOT NULL,
        observed_digest TEXT NOT NULL, reported INTEGER NOT NULL, quarantine TEXT NOT NULL,
        cordoned INTEGER NOT NULL, draining INTEGER NOT NULL, memory INTEGER, tasks INTEGER,
        heartbeat INTEGER NOT NULL, public_key TEXT NOT NULL, facts TEXT, box TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE seen_run (
        proplet TEXT NOT NULL REFERENCES seen (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
        uid TEXT NOT NULL, run TEXT NOT NULL, digest TEXT NOT NULL, cause TEXT NOT NULL,
        state TEXT NOT NULL, exit INTEGER, result TEXT, result_digest TEXT,
        result_size INTEGER NOT NULL, error TEXT NOT NULL, restarts INTEGER NOT NULL,
        ready INTEGER NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL,
        PRIMARY KEY (proplet, uid, run)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE asked (
        proplet TEXT PRIMARY KEY, inst TEXT NOT NULL, fence INTEGER NOT NULL, gen INTEGER NOT NULL,
        digest TEXT NOT NULL, asked_at INTEGER NOT NULL, due INTEGER NOT NULL,
        attempts INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # Apart, so that reading who was asked what does not read every document.
    """CREATE TABLE asked_body (
        proplet TEXT PRIMARY KEY REFERENCES asked (proplet) ON DELETE CASCADE, body BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE proplet_hold (
        proplet TEXT PRIMARY KEY, scheduling TEXT, labels TEXT NOT NULL, "by" TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # -- history
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL,
        proplet TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
        exit INTEGER, result TEXT, result_digest TEXT, error TEXT NOT NULL,
        restarts INTEGER NOT NULL, assigned_at INTEGER NOT NULL, started INTEGER NOT NULL,
        ended INTEGER NOT NULL, UNIQUE (uid, run)
    ) STRICT""",
    "CREATE INDEX run_by_time ON run (uid, assigned_at)",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, first_at INTEGER NOT NULL,
        severity TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, key TEXT, proplet TEXT,
        revision TEXT NOT NULL, count INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX event_by_time ON event (at)",
    "CREATE INDEX event_by_key ON event (key, at)",
    "CREATE INDEX event_by_both ON event (key, proplet, at)",
    "CREATE INDEX event_by_proplet ON event (proplet, at)",
    """CREATE TABLE status (
        uid TEXT PRIMARY KEY, key TEXT NOT NULL, ready TEXT NOT NULL, document TEXT NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE history (
        uid TEXT NOT NULL, digest TEXT NOT NULL, outcome TEXT NOT NULL, generation INTEGER NOT NULL,
        revision TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        count INTEGER NOT NULL, PRIMARY KEY (uid, digest, outcome)
    ) STRICT, WITHOUT ROWID""",
    # -- operations, uploads
    """CREATE TABLE op (
        id TEXT PRIMARY KEY, proplet TEXT NOT NULL, verb TEXT NOT NULL, uid TEXT NOT NULL,
        run TEXT NOT NULL, boot INTEGER NOT NULL, conn INTEGER NOT NULL, n INTEGER NOT NULL,
        state TEXT NOT NULL, at INTEGER NOT NULL, due INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE upload (
        proplet TEXT NOT NULL, digest TEXT NOT NULL, total INTEGER NOT NULL, have INTEGER NOT NULL,
        state TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (proplet, digest)
    ) STRICT, WITHOUT ROWID""",
)

_STEERING: Migration = (
    "ALTER TABLE course ADD COLUMN checks TEXT NOT NULL DEFAULT '[[],0,0]'",
    "ALTER TABLE seen ADD COLUMN metrics TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE seen ADD COLUMN metrics_at INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE reading (
        uid TEXT NOT NULL, name TEXT NOT NULL, slot INTEGER NOT NULL, value TEXT,
        words TEXT NOT NULL, PRIMARY KEY (uid, name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE correction (
        uid TEXT PRIMARY KEY, generation INTEGER NOT NULL, times TEXT NOT NULL,
        flapping INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

_LEARNING: Migration = (
    """CREATE TABLE fl_job (
        uid TEXT PRIMARY KEY, job TEXT NOT NULL, body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE fl_round (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL, job TEXT NOT NULL, number INTEGER NOT NULL,
        attempt INTEGER NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
        UNIQUE (uid, job, number, attempt)
    ) STRICT""",
    """CREATE TABLE fl_part (
        round_id INTEGER NOT NULL REFERENCES fl_round (id) ON DELETE CASCADE, job TEXT NOT NULL,
        number INTEGER NOT NULL, proplet TEXT NOT NULL, step TEXT NOT NULL, run TEXT NOT NULL,
        cause TEXT NOT NULL, nonce TEXT NOT NULL, tries INTEGER NOT NULL, bucket TEXT NOT NULL,
        why TEXT NOT NULL, upload TEXT NOT NULL, size INTEGER NOT NULL, looked INTEGER NOT NULL,
        body TEXT NOT NULL, samples INTEGER NOT NULL, metrics TEXT NOT NULL, norm TEXT NOT NULL,
        PRIMARY KEY (round_id, step, proplet)
    ) STRICT, WITHOUT ROWID""",
)

_CHAIN: Migration = (
    """CREATE TABLE plan (
        source TEXT NOT NULL, revision TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL,
        done INTEGER NOT NULL, created INTEGER NOT NULL, changed INTEGER NOT NULL,
        deleted INTEGER NOT NULL, guards TEXT NOT NULL, PRIMARY KEY (source, revision, digest)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX plan_by_time ON plan (at)",
    """CREATE TABLE handing (
        proplet TEXT PRIMARY KEY REFERENCES asked (proplet) ON DELETE CASCADE,
        fence INTEGER NOT NULL, gen INTEGER NOT NULL, published INTEGER NOT NULL,
        kept INTEGER NOT NULL, taken INTEGER NOT NULL, refused INTEGER NOT NULL, why TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

_FLOWS: Migration = (
    """CREATE TABLE flow (
        uid TEXT PRIMARY KEY REFERENCES held (uid) ON DELETE CASCADE, body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE scale (
        uid TEXT PRIMARY KEY REFERENCES held (uid) ON DELETE CASCADE, copies INTEGER NOT NULL,
        votes TEXT NOT NULL, looked_at INTEGER NOT NULL, said TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

# What gateways read whenever something moved: the few Functions among many objects.
_FUNCTIONS: Migration = (
    "CREATE INDEX held_function ON held (uid)"
    """ WHERE substr(object, 1, 18) = '{"kind":"Function"'""",
)

# What devices measured: minutes of a day, hours of a month.
_SAMPLES: Migration = (
    """CREATE TABLE sample (
        proplet TEXT NOT NULL, span INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (proplet, span, at)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sample_by_time ON sample (span, at)",
)

# When a device last stopped a copy by itself.
_AUTONOMY: Migration = ("ALTER TABLE seen_run ADD COLUMN spent INTEGER NOT NULL DEFAULT 0",)

MIGRATIONS: tuple[Migration, ...] = (
    *(_FIRST, _STEERING, _LEARNING, _CHAIN, _FLOWS, _FUNCTIONS),
    *(_SAMPLES, _AUTONOMY),
)


def version(database: Database) -> int:
    """The `user_version` of the file; 0 for an empty one."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def check(database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """For readers: whether this program reads this file.

    Raises UsageError with what to do, Unavailable while a writer is only just making it.
    """
    found = version(database)
    _refuse_foreign_and_newer(database, found, len(migrations))
    if found == 0:
        raise Unavailable(f"{database.path}: is still empty", hint="try again in a moment")
    if found < len(migrations):
        raise UsageError(
            f"{database.path}: was written by an older Propeller (version {found} of the tables,"
            f" this one reads {len(migrations)})",
            hint="start `propeller up` or `serve` on it once: that brings it up to date",
        )


def bring_up_to_date(
    database: Database, migrations: Sequence[Migration] = MIGRATIONS
) -> tuple[int, int]:
    """Apply what is missing; answers (version before, version after).

    Raises UsageError for a newer or a foreign file, Unavailable when the copy cannot be made.
    """
    found = version(database)
    _refuse_foreign_and_newer(database, found, len(migrations))
    if found == len(migrations):
        return found, found
    if found > 0:
        _copy(database, database.path.with_name(f"{database.path.name}.before-{found + 1}"))
    with database.transaction(durable=True):
        for number in range(found, len(migrations)):
            for statement in migrations[number]:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(migrations)}")
    return found, len(migrations)


def _refuse_foreign_and_newer(database: Database, found: int, newest: int) -> None:
    tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise UsageError(
            f"{database.path}: is a database of another program",
            hint="name a state directory of Propeller's own with --state",
        )
    if found > newest:
        raise UsageError(
            f"{database.path}: was written by a newer Propeller (version {found} of the tables,"
            f" this one knows {newest})",
            hint="upgrade this Propeller, or start on the copy made before that migration"
            f" ({database.path.name}.before-{newest + 1})",
        )


def _copy(database: Database, target: Path) -> None:
    """The whole file with its log, at `target`, durable, replacing an older copy there."""
    temporary = target.with_name(target.name + ".new")
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT, 0o600))
        copy = sqlite3.connect(temporary, isolation_level=None)
        try:
            database.raw.backup(copy)
        finally:
            copy.close()
        temporary.replace(target)
        sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(
            f"{target}: the copy before the migration cannot be made: {error}",
            hint="free some space and start again; the file is as it was",
        ) from error


def sound(database: Database) -> str:
    """Empty when the file's pages are in order, else what SQLite found wrong, in its words."""
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(translated(error, database.path))
    return "" if found == "ok" else str(found)
