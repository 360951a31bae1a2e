"""Tables of what is under way between here and a device: operations and blobs on their way up."""

from __future__ import annotations

from propeller.model.ids import Digest, PropletId
from propeller.state.columns import shared
from propeller.state.database import Database, Row
from propeller.state.quotas import Quotas
from propeller.state.records import OpRow, Upload

_UNDER_WAY = ("sent", "accepted")


class OpsTables:
    """The operations part of the Store; see `base.Store` for the contract."""

    _db: Database
    _quotas: Quotas

    def put_op(self, row: OpRow) -> None:
        self._db.write(
            "INSERT INTO op VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET proplet = excluded.proplet, verb = excluded.verb,"
            " uid = excluded.uid, run = excluded.run, boot = excluded.boot, conn = excluded.conn,"
            " n = excluded.n, state = excluded.state, at = excluded.at, due = excluded.due",
            _op_row(row),
        )

    def ops(self) -> list[OpRow]:
        return [
            _op_of(row)
            for row in self._db.rows(
                "SELECT id, proplet, verb, uid, run, boot, conn, n, state, at, due FROM op"
                " ORDER BY at, id"
            )
        ]

    def put_upload(self, upload: Upload) -> None:
        self._db.write(
            "INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet, digest) DO UPDATE SET total = excluded.total,"
            " have = excluded.have, state = excluded.state, at = excluded.at",
            _upload_row(upload),
        )

    def uploads(self) -> list[Upload]:
        return [
            _upload_of(row)
            for row in self._db.rows(
                "SELECT proplet, digest, total, have, state, at FROM upload"
                " ORDER BY proplet, digest"
            )
        ]

    def drop_upload(self, proplet: PropletId, digest: Digest) -> None:
        self._db.write("DELETE FROM upload WHERE proplet = ? AND digest = ?", (proplet, digest))

    def _prune_ops(self, now: int) -> None:
        quotas = self._quotas
        self._db.write(
            "DELETE FROM op WHERE state NOT IN (?, ?) AND at < ?",
            (*_UNDER_WAY, now - quotas.ops_age),
        )
        self._db.write(
            "DELETE FROM op WHERE id IN (SELECT id FROM op"
            " ORDER BY state IN (?, ?) DESC, at DESC, id DESC LIMIT -1 OFFSET ?)",
            (*_UNDER_WAY, quotas.ops),
        )
        self._db.write(
            "DELETE FROM upload WHERE state != 'open' AND at < ?", (now - quotas.uploads_age,)
        )
        self._db.write(
            "DELETE FROM upload WHERE (proplet, digest) IN (SELECT proplet, digest FROM ("
            " SELECT proplet, digest, row_number() OVER (PARTITION BY proplet"
            " ORDER BY state = 'open' DESC, at DESC, digest) AS place FROM upload"
            " WHERE proplet IN"
            " (SELECT proplet FROM upload GROUP BY proplet HAVING count(*) > ?1))"
            " WHERE place > ?1)",
            (quotas.uploads_per_proplet,),
        )


def _op_row(row: OpRow) -> Row:
    return (
        row.id,
        row.proplet,
        row.verb,
        row.uid,
        row.run,
        row.boot,
        row.conn,
        row.n,
        row.state,
        row.at,
        row.due,
    )


def _op_of(row: Row) -> OpRow:
    op, proplet, verb, uid, run, boot, conn, n, state, at, due = row
    return OpRow(
        id=op,
        proplet=PropletId(proplet),
        verb=shared(verb),
        uid=uid,
        run=run,
        boot=boot,
        conn=conn,
        n=n,
        state=shared(state),
        at=at,
        due=due,
    )


def _upload_row(upload: Upload) -> Row:
    return (
        upload.proplet,
        upload.digest,
        upload.total,
        upload.have,
        upload.state,
        upload.at,
    )


def _upload_of(row: Row) -> Upload:
    proplet, digest, total, have, state, at = row
    return Upload(
        proplet=PropletId(shared(proplet)),
        digest=Digest(digest),
        total=total,
        have=have,
        state=shared(state),
        at=at,
    )
