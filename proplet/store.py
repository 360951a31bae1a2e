"""What the agent must not forget, in a directory that survives a power cut.

`agent.db` (SQLite, every commit synced) holds the accepted document, the run records, the trust
frame and the open uploads; `inst` names the formatting, `boot` counts starts. One agent per
directory, held by a lock. Written only through `save`, one transaction for all that one turn of
the agent persists.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, assert_never

from propeller.errors import Conflict, Unavailable
from propeller.wire import codec
from propeller.wire.boxes import BoxKey
from propeller.wire.messages import BlobRef, Observed, PastRun
from propeller.wire.signing import SigningKey
from proplet.disk import make_directory, sync_directory, write_file
from proplet.effects import (
    DropRun,
    DropUpload,
    Persist,
    SaveDesired,
    SaveReleases,
    SaveRun,
    SaveSilence,
    SaveTimes,
    SaveTrust,
    SaveUpload,
)
from proplet.records import RunRecord, Silence, State, Stored, Times
from proplet.switchboard import Discard, Keep, Outgoing

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE run (
  uid TEXT NOT NULL, run TEXT NOT NULL, born INTEGER NOT NULL, record TEXT NOT NULL,
  PRIMARY KEY (uid, run)
) STRICT;
CREATE TABLE upload (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
"""
_SECOND = """
CREATE TABLE outgoing (
  seq INTEGER PRIMARY KEY, owner TEXT NOT NULL, topic TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
"""
_THIRD = """
CREATE TABLE times (
  uid TEXT NOT NULL, run TEXT NOT NULL, times TEXT NOT NULL, PRIMARY KEY (uid, run)
) STRICT;
"""
_STEPS = (_SCHEMA, _SECOND, _THIRD)
"""What makes a file of version n of one of version n - 1."""
_VERSION = len(_STEPS)


class Store:
    """See the module. `new_inst` gives 32 hex digits when the directory is formatted."""

    def __init__(self, directory: Path, *, new_inst: Callable[[], str]) -> None:
        """Raises Conflict where another agent holds the directory, Unavailable if it is no use."""
        try:
            make_directory(directory)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"{directory}: another proplet runs here", hint="give each its own --data"
            ) from None
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror or error}") from error
        self.directory = directory
        try:
            self._db = self._open(directory / "agent.db")
            if self._meta("inst") is None:
                self._set("inst", new_inst())
            self.inst = str(self._meta("inst"))
            self.boot = int(str(self._meta("boot") or 0)) + 1
            self._set("boot", self.boot)
        except sqlite3.Error as error:
            raise Unavailable(
                f"{directory / 'agent.db'}: {error}",
                hint="mend the disk or format with a new --data",
            ) from error

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        fresh = not path.exists()
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA cache_size=-512")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise Unavailable(f"{path}: written by a newer proplet (schema {version})")
        for number, step in enumerate(_STEPS, start=1):
            if number > version:
                db.executescript(f"BEGIN; {step} PRAGMA user_version={number}; COMMIT;")
        if fresh:
            sync_directory(path.parent)
        return db

    def _meta(self, name: str) -> object | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _set(self, name: str, value: str | int | bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def load(self) -> Stored:
        """Everything as last saved."""
        observed = json.loads(str(self._meta("observed") or "{}"))
        entries = self._meta("entries")
        trust, releases = self._meta("trust"), self._meta("releases")
        held = self._meta("held")
        runs = self._db.execute("SELECT record FROM run ORDER BY born, uid, run")
        uploads = self._db.execute("SELECT digest, size FROM upload ORDER BY rowid")
        return Stored(
            observed=Observed(**observed),
            iat=int(str(self._meta("iat") or 0)),
            entries=codec.decode_tasks(entries) if isinstance(entries, bytes) else (),
            runs=tuple(_record(row[0]) for row in runs),
            trust=trust if isinstance(trust, bytes) else b"",
            signer=str(self._meta("signer") or "") or None,
            releases=releases if isinstance(releases, bytes) else None,
            held=None if held is None else tuple(json.loads(str(held))),
            times=tuple(
                ((uid, run), _times(text))
                for uid, run, text in self._db.execute("SELECT uid, run, times FROM times")
            ),
            silence=_silence(self._meta("silence")),
            uploads=tuple(BlobRef(digest=row[0], size=row[1]) for row in uploads),
        )

    def save(self, changes: Iterable[Persist]) -> None:
        """One durable transaction. Raises Unavailable; then nothing of it was saved."""
        changes = list(changes)
        if not changes:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._apply(change)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"{self.directory}: {error}", hint="free some space") from error

    def _apply(self, change: Persist) -> None:
        match change:
            case SaveDesired(observed, iat, entries, signer):
                self._set("observed", json.dumps(asdict(observed)))
                self._set("iat", iat)
                self._set("entries", codec.encode_tasks(entries))
                self._set("signer", signer)
            case SaveTimes(key, None):
                self._db.execute("DELETE FROM times WHERE uid = ? AND run = ?", key)
            case SaveTimes(key, times):
                assert times is not None
                row = (*key, json.dumps(asdict(times)))
                self._db.execute("INSERT OR REPLACE INTO times VALUES (?, ?, ?)", row)
            case SaveSilence(silence):
                self._set("silence", json.dumps(asdict(silence)))
            case SaveRun(record):
                self._db.execute(
                    "INSERT INTO run VALUES (?, ?, (SELECT coalesce(max(born), 0) + 1 FROM run), ?)"
                    " ON CONFLICT DO UPDATE SET record = excluded.record",
                    (*record.key, json.dumps(asdict(record))),
                )
            case DropRun(key):
                self._db.execute("DELETE FROM run WHERE uid = ? AND run = ?", key)
            case SaveTrust(frame):
                self._set("trust", frame)
            case SaveReleases(frame, held):
                self._set("releases", frame)
                self._set("held", json.dumps(held))
            case SaveUpload(blob):
                self._db.execute(
                    "INSERT OR REPLACE INTO upload VALUES (?, ?)", (blob.digest, blob.size)
                )
            case DropUpload(digest):
                self._db.execute("DELETE FROM upload WHERE digest = ?", (digest,))
            case _:
                assert_never(change)

    def outgoing(self) -> tuple[Outgoing, ...]:
        """Messages of guests that were not sent yet."""
        rows = self._db.execute("SELECT seq, owner, topic, data FROM outgoing ORDER BY seq")
        return tuple(Outgoing(*row) for row in rows)

    def keep(self, acts: Iterable[Keep | Discard]) -> None:
        """The same in one durable transaction. Raises Unavailable; then nothing was saved."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for act in acts:
                if isinstance(act, Keep):
                    one = act.message
                    row = (one.seq, one.owner, one.topic, one.data)
                    self._db.execute("INSERT OR REPLACE INTO outgoing VALUES (?, ?, ?, ?)", row)
                else:
                    gone = ((seq,) for seq in act.seqs)
                    self._db.executemany("DELETE FROM outgoing WHERE seq = ?", gone)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"{self.directory}: {error}", hint="free some space") from error

    def key(self, given: Path | None) -> SigningKey:
        """The device's key: from `given`, else made here once. Raises WireError, Unavailable."""
        path = given or self.directory / "device.pem"
        if path.exists():
            return SigningKey.from_pem(path.read_bytes())
        if given is not None:
            raise Unavailable(f"{path}: no such key file")
        key = SigningKey.generate()
        write_file(path, key.to_pem())
        return key

    def box_key(self, given: Path | None) -> BoxKey:
        """What secrets are sealed to: the same. Raises WireError, Unavailable."""
        path = given or self.directory / "device.box.pem"
        if path.exists():
            return BoxKey.from_pem(path.read_bytes())
        if given is not None:
            raise Unavailable(f"{path}: no such key file")
        key = BoxKey.generate()
        write_file(path, key.to_pem())
        return key

    def close(self) -> None:
        """Let go of the directory."""
        self._db.close()
        os.close(self._lock)


def _record(text: str) -> RunRecord:
    fields = json.loads(text)
    blob = fields.pop("result_blob")
    fields["state"] = State(fields["state"])
    return RunRecord(result_blob=None if blob is None else BlobRef(**blob), **fields)


def _silence(text: object | None) -> Silence | None:
    return None if text is None else Silence(**json.loads(str(text)))


def _times(text: str) -> Times:
    fields = json.loads(text)
    running = fields.pop("running")
    past = tuple(_past(one) for one in fields.pop("past"))
    return Times(running=None if running is None else _past(running), past=past, **fields)


def _past(fields: dict[str, Any]) -> PastRun:
    blob = fields.pop("result_blob")
    return PastRun(result_blob=None if blob is None else BlobRef(**blob), **fields)
