"""Tables of what was: revisions, runs, events, statuses, and the past of each object.

Every one of them grows with time or with what devices say, so every one has a quota
(`quotas.Quotas`), kept by `prune` a little at a time: only owners touched since the last call are
looked at, and the totals.
"""

from __future__ import annotations

from collections.abc import Iterator

from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Database, Row
from propeller.state.quotas import Quotas, clip
from propeller.state.records import Event, HistoryRow, RevisionRecord, RunRecord, StatusRow

_EVENTS = {  # by (key given, proplet given): each has its own index
    (False, False): "SELECT at, severity, reason, message, key, proplet, revision, count, first_at"
    " FROM event ORDER BY at DESC, id DESC LIMIT ?",
    (True, False): "SELECT at, severity, reason, message, key, proplet, revision, count, first_at"
    " FROM event WHERE key = ? ORDER BY at DESC, id DESC LIMIT ?",
    (False, True): "SELECT at, severity, reason, message, key, proplet, revision, count, first_at"
    " FROM event WHERE proplet = ? ORDER BY at DESC, id DESC LIMIT ?",
    (True, True): "SELECT at, severity, reason, message, key, proplet, revision, count, first_at"
    " FROM event WHERE key = ? AND proplet = ? ORDER BY at DESC, id DESC LIMIT ?",
}


class HistoryTables:
    """The history part of the Store; see `base.Store` for the contract."""

    _db: Database
    _quotas: Quotas
    _touched_runs: set[Uid]
    _touched_keys: set[str]
    _touched_proplets: set[PropletId]
    _added: int | None
    """Rows added since the totals were last looked at; None before the first look."""

    # -- revisions ----------------------------------------------------------------------------
    def note_revision(self, record: RevisionRecord) -> None:
        row = _revision_row(record, self._quotas)
        same = self._db.one(
            "SELECT name, digest, source, outcome, faults FROM revision ORDER BY id DESC LIMIT 1"
        )
        if same == (row[0], row[1], row[2], row[4], row[8]):
            return
        self._db.write(
            "INSERT INTO revision (name, digest, source, at, outcome, author, message, time,"
            " faults, signed_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def revisions(self, limit: int = 50) -> list[RevisionRecord]:
        return [
            _revision_of(row)
            for row in self._db.rows(
                "SELECT name, digest, source, at, outcome, author, message, time, faults, signed_by"
                " FROM revision ORDER BY id DESC LIMIT ?",
                (limit,),
            )
        ]

    # -- runs ---------------------------------------------------------------------------------
    def put_run(self, record: RunRecord) -> None:
        self._touched_runs.add(record.uid)
        self._count_added()
        self._db.write(
            "INSERT INTO run (uid, key, run, proplet, cause, attempt, state, exit, result,"
            " result_digest, error, restarts, assigned_at, started, ended)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid, run) DO UPDATE SET key = excluded.key,"
            " proplet = excluded.proplet, cause = excluded.cause, attempt = excluded.attempt,"
            " state = excluded.state, exit = excluded.exit, result = excluded.result,"
            " result_digest = excluded.result_digest, error = excluded.error,"
            " restarts = excluded.restarts, assigned_at = excluded.assigned_at,"
            " started = excluded.started, ended = excluded.ended",
            _run_row(record, self._quotas),
        )

    def runs(self, uid: Uid, limit: int = 100) -> list[RunRecord]:
        return [
            _run_of(row)
            for row in self._db.rows(
                "SELECT uid, key, run, proplet, cause, attempt, state, exit, result,"
                " result_digest, error, restarts, assigned_at, started, ended"
                " FROM run WHERE uid = ? ORDER BY assigned_at DESC, id DESC LIMIT ?",
                (uid, limit),
            )
        ]

    def has_run(self, uid: Uid, run: RunId) -> bool:
        row = self._db.one("SELECT 1 FROM run WHERE uid = ? AND run = ?", (uid, run))
        return row is not None

    def current_runs(self) -> Iterator[RunRecord]:
        for row in self._db.rows(
            "SELECT run.uid, run.key, run.run, run.proplet, run.cause, run.attempt, state, exit,"
            " result, result_digest, error, restarts, run.assigned_at, started, ended"
            " FROM assignment JOIN run ON run.uid = assignment.uid AND run.run = assignment.run"
        ):
            yield _run_of(row)

    def result_digests(self) -> set[Digest]:
        return {
            Digest(row[0])
            for row in self._db.rows(
                "SELECT DISTINCT result_digest FROM run WHERE result_digest IS NOT NULL"
            )
        }

    # -- events -------------------------------------------------------------------------------
    def add_event(self, event: Event) -> None:
        key = None if event.key is None else str(event.key)
        message = clip(event.message, self._quotas.event_text)
        self._count_added()
        if key is not None:
            self._touched_keys.add(key)
        if event.proplet is not None:
            self._touched_proplets.add(event.proplet)
        newest = self._newest_event(key, event.proplet)
        if newest is not None and newest[1:] == (event.severity, event.reason, message):
            self._db.write(
                "UPDATE event SET at = max(at, ?), count = count + ?, revision = ? WHERE id = ?",
                (event.at, event.count, event.revision, newest[0]),
            )
            return
        self._db.write(
            "INSERT INTO event (at, severity, reason, message, key, proplet, revision, count,"
            " first_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _event_row(event, key, message),
        )

    def _newest_event(self, key: str | None, proplet: PropletId | None) -> Row | None:
        # An object that runs everywhere has as many events as there are proplets, so this has an
        # index of its own; the unary plus keeps the planner on the proplet's for what has no key.
        if key is not None:
            return self._db.one(
                "SELECT id, severity, reason, message FROM event"
                " WHERE key = ? AND proplet IS ? ORDER BY at DESC, id DESC LIMIT 1",
                (key, proplet),
            )
        return self._db.one(
            "SELECT id, severity, reason, message FROM event"
            " WHERE proplet IS ? AND +key IS NULL ORDER BY at DESC, id DESC LIMIT 1",
            (proplet,),
        )

    def events(
        self, *, key: Key | None = None, proplet: PropletId | None = None, limit: int = 100
    ) -> list[Event]:
        sql = _EVENTS[key is not None, proplet is not None]
        values = [each for each in (key and str(key), proplet) if each is not None]
        return [_event_of(row) for row in self._db.rows(sql, (*values, limit))]

    # -- statuses, history --------------------------------------------------------------------
    def put_status(self, row: StatusRow) -> None:
        self._db.write(
            "INSERT INTO status VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET key = excluded.key, ready = excluded.ready,"
            " document = excluded.document, changed_at = excluded.changed_at",
            (row.uid, str(row.key), row.ready, row.document, row.changed_at),
        )

    def drop_status(self, uid: Uid) -> None:
        self._db.write("DELETE FROM status WHERE uid = ?", (uid,))

    def statuses(self) -> Iterator[StatusRow]:
        for uid, key, ready, document, changed_at in self._db.rows(
            "SELECT uid, key, ready, document, changed_at FROM status ORDER BY key"
        ):
            yield StatusRow(
                uid=Uid(uid),
                key=Key.parse(key),
                ready=shared(ready),
                document=document,
                changed_at=changed_at,
            )

    def statuses_since(self, known: dict[Uid, StatusRow]) -> list[StatusRow]:
        found, gone = [], set(known)
        for uid, key, ready, document, changed_at in self._db.rows(
            "SELECT uid, key, ready, document, changed_at FROM status ORDER BY key"
        ):
            row = known.get(uid)
            if row is None or (row.changed_at, row.document) != (changed_at, document):
                row = known[uid] = StatusRow(
                    uid=Uid(uid),
                    key=Key.parse(key),
                    ready=shared(ready),
                    document=document,
                    changed_at=changed_at,
                )
            gone.discard(uid)
            found.append(row)
        for name in gone:
            del known[name]
        return found

    def note_history(self, uid: Uid, row: HistoryRow) -> None:
        self._touched_runs.add(uid)
        self._db.write(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid, digest, outcome) DO UPDATE SET generation = excluded.generation,"
            " revision = excluded.revision, first = min(first, excluded.first),"
            " last = max(last, excluded.last), count = count + excluded.count",
            (
                uid,
                row.digest,
                row.outcome,
                row.generation,
                row.revision,
                row.first,
                row.last,
                row.count,
            ),
        )

    def history(self, uid: Uid) -> list[HistoryRow]:
        return [
            HistoryRow(
                uid=Uid(uid),
                digest=Digest(digest),
                outcome=outcome,
                generation=generation,
                revision=revision,
                first=first,
                last=last,
                count=count,
            )
            for digest, outcome, generation, revision, first, last, count in self._db.rows(
                "SELECT digest, outcome, generation, revision, first, last, count FROM history"
                " WHERE uid = ? ORDER BY last DESC, generation DESC, digest, outcome",
                (uid,),
            )
        ]

    # -- quotas -------------------------------------------------------------------------------
    def _count_added(self) -> None:
        if self._added is not None:
            self._added += 1

    def _prune_past(self, now: int) -> None:
        quotas = self._quotas
        for uid in sorted(self._touched_runs):
            self._db.write(
                "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE uid = ?"
                " ORDER BY assigned_at DESC, id DESC LIMIT -1 OFFSET ?)",
                (uid, quotas.runs_per_object),
            )
            self._db.write(
                "DELETE FROM history WHERE uid = ?1 AND (digest, outcome) IN (SELECT digest,"
                " outcome FROM history WHERE uid = ?1 ORDER BY last DESC, generation DESC, digest,"
                " outcome LIMIT -1 OFFSET ?2)",
                (uid, quotas.history_per_object),
            )
        for key in sorted(self._touched_keys):
            self._db.write(
                "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE key = ?"
                " ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)",
                (key, quotas.events_per_owner),
            )
        for proplet in sorted(self._touched_proplets):
            self._db.write(
                "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE proplet = ?"
                " ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)",
                (proplet, quotas.events_per_owner),
            )
        self._touched_runs.clear()
        self._touched_keys.clear()
        self._touched_proplets.clear()
        # Counting whole tables takes milliseconds: only after enough was added to matter.
        if self._added is None or self._added >= min(quotas.events, quotas.runs) // 64:
            self._prune_totals(now)
            self._added = 0

    def _prune_totals(self, now: int) -> None:
        quotas = self._quotas
        self._db.write(
            "DELETE FROM revision WHERE id IN (SELECT id FROM revision"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (quotas.revisions,),
        )
        self._db.write(
            "DELETE FROM event WHERE id IN (SELECT id FROM event"
            " ORDER BY at, id LIMIT max(0, (SELECT count(*) FROM event) - ?))",
            (quotas.events,),
        )
        self._db.write(
            "DELETE FROM run WHERE id IN (SELECT id FROM run"
            " ORDER BY id LIMIT max(0, (SELECT count(*) FROM run) - ?))",
            (quotas.runs,),
        )
        self._db.write(
            "DELETE FROM history WHERE last < ? AND uid NOT IN (SELECT uid FROM held)",
            (now - quotas.history_age,),
        )


def _revision_row(record: RevisionRecord, quotas: Quotas) -> Row:
    faults = [clip(fault, quotas.event_text) for fault in record.faults[: quotas.faults]]
    return (
        record.name,
        record.digest,
        record.source,
        record.at,
        record.outcome,
        record.author,
        clip(record.message, quotas.event_text),
        record.time,
        to_json(faults),
        record.signed_by,
    )


def _revision_of(row: Row) -> RevisionRecord:
    name, digest, source, at, outcome, author, message, time, faults, signed_by = row
    return RevisionRecord(
        name=name,
        digest=digest,
        source=source,
        at=at,
        outcome=outcome,
        author=author,
        message=message,
        time=time,
        faults=tuple(from_json(faults)),
        signed_by=signed_by,
    )


def _run_row(record: RunRecord, quotas: Quotas) -> Row:
    return (
        record.uid,
        str(record.key),
        record.run,
        record.proplet,
        record.cause,
        record.attempt,
        record.state,
        record.exit,
        None if record.result is None else clip(record.result, quotas.result_text),
        record.result_digest,
        clip(record.error, quotas.error_text),
        record.restarts,
        record.assigned_at,
        record.started,
        record.ended,
    )


def _run_of(row: Row) -> RunRecord:
    (
        uid, key, run, proplet, cause, attempt, state, code, result, result_digest, error,
        restarts, assigned_at, started, ended,
    ) = row  # fmt: skip
    return RunRecord(
        uid=Uid(uid),
        key=Key.parse(key),
        run=RunId(run),
        proplet=PropletId(proplet),
        cause=cause,
        attempt=attempt,
        state=state,
        exit=code,
        result=result,
        result_digest=result_digest,
        error=error,
        restarts=restarts,
        assigned_at=assigned_at,
        started=started,
        ended=ended,
    )


def _event_row(event: Event, key: str | None, message: str) -> Row:
    return (
        event.at,
        event.severity,
        event.reason,
        message,
        key,
        event.proplet,
        event.revision,
        event.count,
        event.first_at or event.at,
    )


def _event_of(row: Row) -> Event:
    at, severity, reason, message, key, proplet, revision, count, first_at = row
    return Event(
        at=at,
        severity=severity,
        reason=reason,
        message=message,
        key=None if key is None else Key.parse(key),
        proplet=None if proplet is None else PropletId(proplet),
        revision=revision,
        count=count,
        first_at=first_at,
    )
