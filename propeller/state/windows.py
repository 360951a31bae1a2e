"""Tables of what waits for a window, and of edits that somebody let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.ids import Uid
    from propeller.model.withheld import Override, Withheld


class WindowTables:
    """The part of the Store about windows; see `base.Store` for the contract."""

    _db: Database

    def withheld(self) -> list[Withheld]:
        from propeller.state import window_rows as rows

        return [
            rows.withheld_of(row)
            for row in self._db.rows("SELECT uid, held, module FROM withheld ORDER BY uid")
        ]

    def put_withheld(self, withheld: Withheld) -> None:
        from propeller.state import window_rows as rows

        self._db.write(
            "INSERT INTO withheld VALUES (?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET held = excluded.held, module = excluded.module",
            rows.withheld_row(withheld),
        )

    def drop_withheld(self, uid: Uid) -> None:
        self._db.write("DELETE FROM withheld WHERE uid = ?", (uid,))

    def overrides(self) -> list[Override]:
        from propeller.state import window_rows as rows

        return [
            rows.override_of(row)
            for row in self._db.rows(
                'SELECT uid, mark, "by", reason, at FROM window_override ORDER BY uid'
            )
        ]

    def put_override(self, override: Override) -> None:
        self._db.write(
            "INSERT INTO window_override VALUES (?, ?, ?, ?, ?)"
            ' ON CONFLICT (uid) DO UPDATE SET mark = excluded.mark, "by" = excluded."by",'
            " reason = excluded.reason, at = excluded.at",
            (override.uid, override.mark, override.by, override.reason, override.at),
        )

    def drop_override(self, uid: Uid) -> None:
        self._db.write("DELETE FROM window_override WHERE uid = ?", (uid,))
