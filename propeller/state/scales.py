"""The table of how many copies objects with `autoscale` are to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.columns import from_json, to_json
from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.ids import Uid
    from propeller.model.scaling import Scale


class ScaleTables:
    """The part of the Store about autoscaling; see `base.Store` for the contract."""

    _db: Database

    def scales(self) -> list[Scale]:
        from propeller.model.ids import Uid
        from propeller.model.scaling import Scale

        return [
            Scale(
                uid=Uid(uid),
                copies=copies,
                votes=tuple((at, count) for at, count in from_json(votes)),
                looked_at=looked_at,
                said=said,
            )
            for uid, copies, votes, looked_at, said in self._db.rows(
                "SELECT uid, copies, votes, looked_at, said FROM scale ORDER BY uid"
            )
        ]

    def put_scale(self, scale: Scale) -> None:
        self._db.write(
            "INSERT INTO scale VALUES (?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET"
            " copies = excluded.copies, votes = excluded.votes, looked_at = excluded.looked_at,"
            " said = excluded.said",
            (
                scale.uid,
                scale.copies,
                to_json([list(one) for one in scale.votes]),
                scale.looked_at,
                scale.said,
            ),
        )

    def drop_scale(self, uid: Uid) -> None:
        self._db.write("DELETE FROM scale WHERE uid = ?", (uid,))
