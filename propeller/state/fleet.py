"""Tables of the fleet: proplets as last heard, their runs, what they were asked, runtime holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from propeller.state.columns import Memo, from_json
from propeller.state.database import Database, Row
from propeller.state.quotas import Quotas

if TYPE_CHECKING:
    from propeller.model.ids import PropletId, RunId, Uid
    from propeller.model.seen import Seen, SeenRun
    from propeller.state.records import Asked, PropletHold


_SEEN = (
    "SELECT id, declared, presence, last_heard, offline_since, will_at, inst, boot, seq, conn,"
    " labels, observed_fence, observed_gen, observed_digest, reported, quarantine, cordoned,"
    " draining, memory, tasks, heartbeat, public_key, facts, box, metrics, metrics_at FROM seen"
)
_RUNS = (
    "SELECT proplet, uid, run, digest, cause, state, exit, result, result_digest, result_size,"
    " error, restarts, ready, started, ended, spent FROM seen_run"
)


class FleetTables:
    """The fleet part of the Store; see `base.Store` for the contract."""

    _db: Database
    _quotas: Quotas

    def fleet(self) -> list[Seen]:
        from propeller.state import fleet_rows as rows

        runs = self._all_runs()
        labels: Memo[Mapping[str, str]] = Memo(from_json)
        facts: Memo[dict[str, Any]] = Memo(rows.facts_fields)
        return [
            rows.seen_of(row, labels, facts, runs.get(row[0], {}))
            for row in self._db.rows(f"{_SEEN} ORDER BY id")
        ]

    def sightings(self, known: dict[str, tuple[Row, Seen]]) -> list[Seen]:
        from propeller.state import fleet_rows as rows

        labels: Memo[Mapping[str, str]] = Memo(from_json)
        facts: Memo[dict[str, Any]] = Memo(rows.facts_fields)
        found: list[Seen] = []
        gone = set(known)
        for row in self._db.rows(f"{_SEEN} ORDER BY id"):
            before = known.get(row[0])
            if before is None or before[0] != row:
                before = known[row[0]] = (row, rows.seen_of(row, labels, facts, {}))
            gone.discard(row[0])
            found.append(before[1])
        for name in gone:
            del known[name]
        return found

    def member(self, proplet: PropletId) -> Seen | None:
        from propeller.state import fleet_rows as rows

        row = self._db.one(f"{_SEEN} WHERE id = ?", (proplet,))
        if row is None:
            return None
        runs = {}
        for one in self._db.rows(f"{_RUNS} WHERE proplet = ? ORDER BY uid, run", (proplet,)):
            run = rows.seen_run_of(one)
            runs[run.uid, run.run] = run
        return rows.seen_of(row, Memo(from_json), Memo(rows.facts_fields), runs)

    def count_runs(self, proplet: PropletId) -> int:
        row = self._db.one("SELECT count(*) FROM seen_run WHERE proplet = ?", (proplet,))
        return row[0] if row is not None else 0

    def run_states(self) -> dict[str, int]:
        return dict(self._db.rows("SELECT state, count(*) FROM seen_run GROUP BY state"))

    def _all_runs(self) -> dict[str, dict[tuple[Uid, RunId], SeenRun]]:
        from propeller.state import fleet_rows as rows

        fleet: dict[str, dict[tuple[Uid, RunId], SeenRun]] = {}
        for row in self._db.rows(f"{_RUNS} ORDER BY proplet, uid, run"):
            run = rows.seen_run_of(row)
            fleet.setdefault(row[0], {})[run.uid, run.run] = run
        return fleet

    def put_seen(self, seen: Seen) -> None:
        from propeller.state import fleet_rows as rows

        self._db.write(
            "INSERT INTO seen VALUES"
            " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET declared = excluded.declared,"
            " presence = excluded.presence, last_heard = excluded.last_heard,"
            " offline_since = excluded.offline_since, will_at = excluded.will_at,"
            " inst = excluded.inst, boot = excluded.boot, seq = excluded.seq,"
            " conn = excluded.conn, labels = excluded.labels,"
            " observed_fence = excluded.observed_fence, observed_gen = excluded.observed_gen,"
            " observed_digest = excluded.observed_digest, reported = excluded.reported,"
            " quarantine = excluded.quarantine, cordoned = excluded.cordoned,"
            " draining = excluded.draining, memory = excluded.memory, tasks = excluded.tasks,"
            " heartbeat = excluded.heartbeat, public_key = excluded.public_key,"
            " facts = excluded.facts, box = excluded.box,"
            " metrics = excluded.metrics, metrics_at = excluded.metrics_at",
            rows.seen_row(seen),
        )

    def put_runs(
        self, proplet: PropletId, changed: Iterable[SeenRun], gone: Iterable[tuple[Uid, RunId]]
    ) -> None:
        from propeller.state import fleet_rows as rows

        dropped = [(proplet, uid, run) for uid, run in gone]
        if dropped:
            self._db.write_many(
                "DELETE FROM seen_run WHERE proplet = ? AND uid = ? AND run = ?", dropped
            )
        values = [rows.seen_run_row(proplet, run, self._quotas) for run in changed]
        if not values:
            return
        self._db.write_many(
            "INSERT INTO seen_run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet, uid, run) DO UPDATE SET digest = excluded.digest,"
            " cause = excluded.cause, state = excluded.state, exit = excluded.exit,"
            " result = excluded.result, result_digest = excluded.result_digest,"
            " result_size = excluded.result_size, error = excluded.error,"
            " restarts = excluded.restarts, ready = excluded.ready, started = excluded.started,"
            " ended = excluded.ended, spent = excluded.spent",
            values,
        )
        self._bound_runs(proplet)

    def _bound_runs(self, proplet: PropletId) -> None:
        row = self._db.one("SELECT count(*) FROM seen_run WHERE proplet = ?", (proplet,))
        if row is None or row[0] <= self._quotas.seen_runs:
            return
        from propeller.state import fleet_rows as rows

        self._db.write(
            "DELETE FROM seen_run WHERE proplet = ?1 AND (uid, run) IN (SELECT uid, run"
            " FROM seen_run WHERE proplet = ?1 ORDER BY state IN (?2, ?3, ?4, ?5) DESC, started,"
            " uid, run LIMIT ?6)",
            (proplet, *rows.ENDED, row[0] - self._quotas.seen_runs),
        )

    def drop_seen(self, proplet: PropletId) -> None:
        self._db.write("DELETE FROM seen WHERE id = ?", (proplet,))

    def load_asked(self) -> list[Asked]:
        from propeller.state import fleet_rows as rows

        return [
            rows.asked_of(row)
            for row in self._db.rows(
                "SELECT proplet, inst, fence, gen, digest, asked_at, due, attempts"
                " FROM asked ORDER BY proplet"
            )
        ]

    def asked_body(self, proplet: PropletId) -> bytes:
        row = self._db.one("SELECT body FROM asked_body WHERE proplet = ?", (proplet,))
        return b"" if row is None else bytes(row[0])

    def put_asked(self, asked: Asked) -> None:
        from propeller.state import fleet_rows as rows

        self._db.write(
            "INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet) DO UPDATE SET inst = excluded.inst, fence = excluded.fence,"
            " gen = excluded.gen, digest = excluded.digest, asked_at = excluded.asked_at,"
            " due = excluded.due, attempts = excluded.attempts",
            rows.asked_row(asked),
        )
        if asked.body:
            self._db.write(
                "INSERT INTO asked_body VALUES (?, ?)"
                " ON CONFLICT (proplet) DO UPDATE SET body = excluded.body",
                (asked.proplet, asked.body),
            )

    def drop_asked(self, proplet: PropletId) -> None:
        self._db.write("DELETE FROM asked WHERE proplet = ?", (proplet,))

    def proplet_holds(self) -> list[PropletHold]:
        from propeller.state import fleet_rows as rows

        return [
            rows.hold_of(row)
            for row in self._db.rows(
                'SELECT proplet, scheduling, labels, "by", reason FROM proplet_hold'
                " ORDER BY proplet"
            )
        ]

    def put_proplet_hold(self, hold: PropletHold) -> None:
        from propeller.state import fleet_rows as rows

        if hold.scheduling is None and not hold.labels:
            self._db.write("DELETE FROM proplet_hold WHERE proplet = ?", (hold.proplet,))
            return
        self._db.write(
            "INSERT INTO proplet_hold VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet) DO UPDATE SET scheduling = excluded.scheduling,"
            ' labels = excluded.labels, "by" = excluded."by", reason = excluded.reason',
            rows.hold_row(hold),
        )
