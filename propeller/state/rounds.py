"""Tables of federated jobs, their rounds, and everybody's part in them.

A part is a row of its own, so that one update that comes in writes one row; that nobody is accepted
twice in one round of a job is a rule of the file. Parts of old rounds are dropped first, then
old rounds; the journal has what was decided (`round` entries).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.ids import Digest, PropletId, Uid
    from propeller.model.rounds import Job, Learning, Part, Round

KEPT_PARTS = 100
"""Rounds of one object whose parts are kept, the newest ones."""
KEPT_ROUNDS = 10_000
"""Rounds of one object that are kept at all."""


class RoundTables:
    """The part of the Store about federated learning; see `base.Store` for the contract."""

    _db: Database

    def learnings(self) -> dict[Uid, Learning]:
        from propeller.model.rounds import Learning
        from propeller.state import round_rows as rows

        found: dict[Uid, Learning] = {}
        for uid, body in self._db.rows("SELECT uid, body FROM fl_job ORDER BY uid"):
            job = rows.job_of(body)
            newest = self.rounds(job.uid, limit=1)
            mine = newest[0] if newest and newest[0].job == job.job else None
            found[uid] = Learning(job=job, round=mine)
        return found

    def put_job(self, job: Job) -> None:
        from propeller.state import round_rows as rows

        self._db.write(
            "INSERT INTO fl_job VALUES (?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET job = excluded.job, body = excluded.body",
            (job.uid, job.job, rows.job_text(job)),
        )

    def rounds(self, uid: Uid, limit: int = 50) -> list[Round]:
        from propeller.state import round_rows as rows

        return [
            rows.round_of(uid, row[1:], self._parts(row[0]))
            for row in self._db.rows(
                "SELECT id, job, number, attempt, state, body FROM fl_round"
                " WHERE uid = ? ORDER BY id DESC LIMIT ?",
                (uid, limit),
            )
        ]

    def _parts(self, round_id: int) -> list[tuple[str, Part]]:
        from propeller.state import round_rows as rows

        return [
            rows.part_of(row)
            for row in self._db.rows(
                "SELECT proplet, step, run, cause, nonce, tries, bucket, why, upload, size, looked,"
                " body, samples, metrics, norm FROM fl_part WHERE round_id = ?"
                " ORDER BY step, proplet",
                (round_id,),
            )
        ]

    def put_round(self, after: Round, before: Round | None = None) -> None:
        from propeller.model.rounds import Step
        from propeller.state import round_rows as rows

        name = (after.uid, after.job, after.number, after.attempt)
        same = before is not None and name == (
            before.uid, before.job, before.number, before.attempt,
        )  # fmt: skip
        if before is None or not same or rows.moved(after, before):
            self._db.write(
                "INSERT INTO fl_round (uid, job, number, attempt, state, body)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (uid, job, number, attempt)"
                " DO UPDATE SET state = excluded.state, body = excluded.body",
                (*name, str(after.state), rows.round_text(after)),
            )
        round_id = next(
            iter(
                self._db.rows(
                    "SELECT id FROM fl_round WHERE uid = ? AND job = ? AND number = ?"
                    " AND attempt = ?",
                    name,
                )
            )
        )[0]
        for step in ("train", "evaluate", *after.talks):
            known: Mapping[PropletId, Part] = {}
            if same and before is not None:
                known = before.asked_in(Step(step))
            for proplet, part in after.asked_in(Step(step)).items():
                if known.get(proplet) != part:
                    self._put_part(round_id, after, str(step), part)
        if after.state.over:
            self._prune(after.uid)

    def _put_part(self, round_id: int, round_: Round, step: str, part: Part) -> None:
        from propeller.state import round_rows as rows

        self._db.write(
            "INSERT INTO fl_part (round_id, job, number, proplet, step, run, cause, nonce, tries,"
            " bucket, why, upload, size, looked, body, samples, metrics, norm)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (round_id, step, proplet) DO UPDATE SET run = excluded.run,"
            " cause = excluded.cause, nonce = excluded.nonce, tries = excluded.tries,"
            " bucket = excluded.bucket, why = excluded.why, upload = excluded.upload,"
            " size = excluded.size, looked = excluded.looked, body = excluded.body,"
            " samples = excluded.samples, metrics = excluded.metrics, norm = excluded.norm",
            (round_id, round_.job, round_.number, *rows.part_row(step, part)),
        )

    def _prune(self, uid: Uid) -> None:
        self._db.write(
            "DELETE FROM fl_part WHERE round_id IN (SELECT id FROM fl_round WHERE uid = ?"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (uid, KEPT_PARTS),
        )
        self._db.write(
            "DELETE FROM fl_round WHERE id IN (SELECT id FROM fl_round WHERE uid = ?"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (uid, KEPT_ROUNDS),
        )

    def drop_learning(self, uid: Uid) -> None:
        self._db.write("DELETE FROM fl_round WHERE uid = ?", (uid,))
        self._db.write("DELETE FROM fl_job WHERE uid = ?", (uid,))

    def learning_blobs(self) -> set[Digest]:
        from propeller.model.ids import Digest, Uid
        from propeller.state import round_rows as rows

        found: set[Digest] = set()
        for uid, body in self._db.rows("SELECT uid, body FROM fl_job"):
            found |= rows.job_blobs(rows.job_of(body))
            for row in self._db.rows(
                "SELECT job, number, attempt, state, body FROM fl_round WHERE uid = ?"
                " ORDER BY id DESC LIMIT ?",
                (uid, KEPT_PARTS),
            ):
                found |= rows.round_blobs(rows.round_of(Uid(uid), row, ()))
        found.update(
            Digest(upload)
            for (upload,) in self._db.rows("SELECT upload FROM fl_part WHERE upload <> ''")
        )
        return found
