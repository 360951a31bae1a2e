"""Tables of what waits for a person's yes, and of the yes that came."""

from __future__ import annotations

from propeller.state.database import Database
from propeller.state.records import Approval, Pause


class ApprovalTables:
    """The approvals part of the Store; see `base.Store` for the contract."""

    _db: Database

    def pauses(self) -> list[Pause]:
        return [
            Pause(
                app=app,
                source=source,
                guard=guard,
                message=message,
                digest=digest,
                whole=whole,
                revision=revision,
                at=at,
            )
            for app, source, guard, message, digest, whole, revision, at in self._db.rows(
                "SELECT app, source, guard, message, digest, whole, revision, at FROM pause"
                " ORDER BY app"
            )
        ]

    def put_pause(self, pause: Pause) -> None:
        self._db.write(
            "INSERT INTO pause VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (app) DO UPDATE SET source = excluded.source,"
            " guard = excluded.guard, message = excluded.message,"
            " digest = excluded.digest, whole = excluded.whole, revision = excluded.revision,"
            " at = excluded.at",
            (
                pause.app,
                pause.source,
                pause.guard,
                pause.message,
                pause.digest,
                pause.whole,
                pause.revision,
                pause.at,
            ),
        )

    def drop_pause(self, app: str) -> None:
        self._db.write("DELETE FROM pause WHERE app = ?", (app,))

    def approvals(self) -> list[Approval]:
        return [
            Approval(digest=digest, by=by, at=at)
            for digest, by, at in self._db.rows(
                'SELECT digest, "by", at FROM approval ORDER BY digest'
            )
        ]

    def put_approval(self, approval: Approval) -> None:
        self._db.write(
            "INSERT INTO approval VALUES (?, ?, ?)"
            ' ON CONFLICT (digest) DO UPDATE SET "by" = excluded."by", at = excluded.at',
            (approval.digest, approval.by, approval.at),
        )

    def drop_approval(self, digest: str) -> None:
        self._db.write("DELETE FROM approval WHERE digest = ?", (digest,))
