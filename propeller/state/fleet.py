"""Tables of the fleet: proplets as last heard, their runs, what they were asked, runtime holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.state.base import Asked, PropletHold
from propeller.state.columns import Memo, from_json, shared, to_json
from propeller.state.database import Database, Row
from propeller.state.quotas import Quotas, clip

_STATES = {state.value: state for state in RunState}
_PRESENCES = {presence.value: presence for presence in Presence}
_ENDED = tuple(state.value for state in RunState if state.ended)


class FleetTables:
    """The fleet part of the Store; see `base.Store` for the contract."""

    _db: Database
    _quotas: Quotas

    def fleet(self) -> list[Seen]:
        runs = self._all_runs()
        labels: Memo[Mapping[str, str]] = Memo(from_json)
        facts: Memo[dict[str, Any]] = Memo(_facts_fields)
        return [
            _seen_of(row, labels, facts, runs.get(row[0], {}))
            for row in self._db.rows(
                "SELECT id, declared, presence, last_heard, offline_since, will_at, inst, boot,"
                " seq, conn, labels, observed_fence, observed_gen, observed_digest, reported,"
                " quarantine, cordoned, draining, memory, tasks, heartbeat, public_key, facts"
                " FROM seen ORDER BY id"
            )
        ]

    def _all_runs(self) -> dict[str, dict[tuple[Uid, RunId], SeenRun]]:
        fleet: dict[str, dict[tuple[Uid, RunId], SeenRun]] = {}
        for row in self._db.rows(
            "SELECT proplet, uid, run, digest, cause, state, exit, result, result_digest,"
            " result_size, error, restarts, ready, started, ended FROM seen_run"
            " ORDER BY proplet, uid, run"
        ):
            run = _seen_run_of(row)
            fleet.setdefault(row[0], {})[run.uid, run.run] = run
        return fleet

    def put_seen(self, seen: Seen) -> None:
        self._db.write(
            "INSERT INTO seen VALUES"
            " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
            " facts = excluded.facts",
            _seen_row(seen),
        )

    def put_runs(
        self, proplet: PropletId, changed: Iterable[SeenRun], gone: Iterable[tuple[Uid, RunId]]
    ) -> None:
        dropped = [(proplet, uid, run) for uid, run in gone]
        if dropped:
            self._db.write_many(
                "DELETE FROM seen_run WHERE proplet = ? AND uid = ? AND run = ?", dropped
            )
        rows = [_seen_run_row(proplet, run, self._quotas) for run in changed]
        if not rows:
            return
        self._db.write_many(
            "INSERT INTO seen_run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet, uid, run) DO UPDATE SET digest = excluded.digest,"
            " cause = excluded.cause, state = excluded.state, exit = excluded.exit,"
            " result = excluded.result, result_digest = excluded.result_digest,"
            " result_size = excluded.result_size, error = excluded.error,"
            " restarts = excluded.restarts, ready = excluded.ready, started = excluded.started,"
            " ended = excluded.ended",
            rows,
        )
        self._bound_runs(proplet)

    def _bound_runs(self, proplet: PropletId) -> None:
        row = self._db.one("SELECT count(*) FROM seen_run WHERE proplet = ?", (proplet,))
        if row is None or row[0] <= self._quotas.seen_runs:
            return
        self._db.write(
            "DELETE FROM seen_run WHERE proplet = ?1 AND (uid, run) IN (SELECT uid, run"
            " FROM seen_run WHERE proplet = ?1 ORDER BY state IN (?2, ?3, ?4, ?5) DESC, started,"
            " uid, run LIMIT ?6)",
            (proplet, *_ENDED, row[0] - self._quotas.seen_runs),
        )

    def drop_seen(self, proplet: PropletId) -> None:
        self._db.write("DELETE FROM seen WHERE id = ?", (proplet,))

    def load_asked(self) -> list[Asked]:
        return [
            _asked_of(row)
            for row in self._db.rows(
                "SELECT proplet, inst, fence, gen, digest, asked_at, due, attempts"
                " FROM asked ORDER BY proplet"
            )
        ]

    def asked_body(self, proplet: PropletId) -> bytes:
        row = self._db.one("SELECT body FROM asked_body WHERE proplet = ?", (proplet,))
        return b"" if row is None else bytes(row[0])

    def put_asked(self, asked: Asked) -> None:
        self._db.write(
            "INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet) DO UPDATE SET inst = excluded.inst, fence = excluded.fence,"
            " gen = excluded.gen, digest = excluded.digest, asked_at = excluded.asked_at,"
            " due = excluded.due, attempts = excluded.attempts",
            _asked_row(asked),
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
        return [
            _hold_of(row)
            for row in self._db.rows(
                'SELECT proplet, scheduling, labels, "by", reason FROM proplet_hold'
                " ORDER BY proplet"
            )
        ]

    def put_proplet_hold(self, hold: PropletHold) -> None:
        if hold.scheduling is None and not hold.labels:
            self._db.write("DELETE FROM proplet_hold WHERE proplet = ?", (hold.proplet,))
            return
        self._db.write(
            "INSERT INTO proplet_hold VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet) DO UPDATE SET scheduling = excluded.scheduling,"
            ' labels = excluded.labels, "by" = excluded."by", reason = excluded.reason',
            _hold_row(hold),
        )


def _seen_row(seen: Seen) -> Row:
    facts = seen.facts
    return (
        seen.id,
        int(seen.declared),
        seen.presence.value,
        seen.last_heard,
        seen.offline_since,
        seen.will_at,
        seen.inst,
        seen.boot,
        seen.seq,
        seen.conn,
        to_json(dict(seen.labels)),
        seen.observed_fence,
        seen.observed_gen,
        seen.observed_digest,
        int(seen.reported),
        seen.quarantine,
        int(seen.cordoned),
        int(seen.draining),
        seen.memory,
        seen.tasks,
        seen.heartbeat,
        # The key is the one fact that no two proplets share; apart, the rest is read once.
        "" if facts is None else facts.public_key,
        None if facts is None else _facts_text(facts),
    )


def _seen_of(
    row: Row,
    labels: Memo[Mapping[str, str]],
    facts: Memo[dict[str, Any]],
    runs: Mapping[tuple[Uid, RunId], SeenRun],
) -> Seen:
    (
        proplet, declared, presence, last_heard, offline_since, will_at, inst, boot, seq, conn,
        label_text, fence, gen, digest, reported, quarantine, cordoned, draining, memory, tasks,
        heartbeat, public_key, facts_text,
    ) = row  # fmt: skip
    return Seen(
        id=PropletId(shared(proplet)),
        declared=declared == 1,
        presence=_PRESENCES[presence],
        last_heard=last_heard,
        offline_since=offline_since,
        will_at=will_at,
        inst=inst,
        boot=boot,
        seq=seq,
        conn=conn,
        facts=None if facts_text is None else Facts(**facts(facts_text), public_key=public_key),
        labels=labels(label_text),
        observed_fence=fence,
        observed_gen=gen,
        observed_digest=shared(digest),
        runs=runs,
        reported=reported == 1,
        quarantine=shared(quarantine),
        cordoned=cordoned == 1,
        draining=draining == 1,
        memory=memory,
        tasks=tasks,
        heartbeat=heartbeat,
    )


def _facts_text(facts: Facts) -> str:
    return to_json(
        {
            "arch": facts.arch,
            "os": facts.os,
            "runtime": facts.runtime,
            "runtime_version": facts.runtime_version,
            "agent_version": facts.agent_version,
            "memory": facts.memory,
            "tasks": facts.tasks,
            "max_module": facts.max_module,
            "max_payload": facts.max_payload,
            "imports": sorted(facts.imports),
            "components": facts.components,
            "mounts": sorted(facts.mounts),
            "encodings": facts.encodings,
            "fetch": facts.fetch,
            "labels": dict(facts.labels),
        }
    )


def _facts_fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = from_json(text)
    for name in ("imports", "mounts"):
        found[name] = frozenset(found[name])
    for name in ("encodings", "fetch"):
        found[name] = tuple(found[name])
    return found


def _seen_run_row(proplet: PropletId, run: SeenRun, quotas: Quotas) -> Row:
    return (
        proplet,
        run.uid,
        run.run,
        run.digest,
        run.cause,
        run.state.value,
        run.exit,
        None if run.result is None else clip(run.result, quotas.result_text),
        run.result_digest,
        run.result_size,
        clip(run.error, quotas.error_text),
        run.restarts,
        int(run.ready),
        run.started,
        run.ended,
    )


def _seen_run_of(row: Row) -> SeenRun:
    (
        _, uid, run, digest, cause, state, code, result, result_digest, result_size, error,
        restarts, ready, started, ended,
    ) = row  # fmt: skip
    return SeenRun(
        uid=Uid(shared(uid)),
        run=RunId(run),
        digest=Digest(shared(digest)),
        cause=shared(cause),
        state=_STATES[state],
        exit=code,
        result=None if result is None else shared(result),
        result_digest=None if result_digest is None else Digest(result_digest),
        result_size=result_size,
        error=shared(error),
        restarts=restarts,
        ready=ready == 1,
        started=started,
        ended=ended,
    )


def _asked_row(asked: Asked) -> Row:
    return (
        asked.proplet,
        asked.inst,
        asked.fence,
        asked.gen,
        asked.digest,
        asked.asked_at,
        asked.due,
        asked.attempts,
    )


def _asked_of(row: Row) -> Asked:
    proplet, inst, fence, gen, digest, asked_at, due, attempts = row
    return Asked(
        proplet=PropletId(shared(proplet)),
        inst=inst,
        fence=fence,
        gen=gen,
        digest=shared(digest),
        asked_at=asked_at,
        due=due,
        attempts=attempts,
    )


def _hold_row(hold: PropletHold) -> Row:
    return (hold.proplet, hold.scheduling, to_json(hold.labels), hold.by, hold.reason)


def _hold_of(row: Row) -> PropletHold:
    proplet, scheduling, labels, by, reason = row
    return PropletHold(
        proplet=PropletId(proplet),
        scheduling=scheduling,
        labels=tuple((name, value) for name, value in from_json(labels)),
        by=by,
        reason=reason,
    )
