"""The table of corrections: how often an object's devices were asked anew for their drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.drift import Corrections
    from propeller.model.ids import Uid


class DriftTables:
    """The part of the Store about drift; see `base.Store` for the contract."""

    _db: Database

    def corrections(self) -> list[Corrections]:
        from propeller.model.drift import Corrections
        from propeller.model.ids import Uid

        return [
            Corrections(
                uid=Uid(shared(uid)),
                generation=generation,
                times=tuple(from_json(times)),
                flapping=flapping == 1,
            )
            for uid, generation, times, flapping in self._db.rows(
                "SELECT uid, generation, times, flapping FROM correction ORDER BY uid"
            )
        ]

    def put_corrections(self, row: Corrections) -> None:
        self._db.write(
            "INSERT INTO correction VALUES (?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET generation = excluded.generation,"
            " times = excluded.times, flapping = excluded.flapping",
            (row.uid, row.generation, to_json(list(row.times)), int(row.flapping)),
        )

    def drop_corrections(self, uid: Uid) -> None:
        self._db.write("DELETE FROM correction WHERE uid = ?", (uid,))
