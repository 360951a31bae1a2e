"""What a gateway must know of Functions: which there are, and which copies are up where.

Read often, whenever the store moved, so it touches those rows and no others (`held_function`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.state.columns import from_json
from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.ids import Uid
    from propeller.model.inventory import Held


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One copy that is up. max_payload: bytes of a message that its proplet takes."""

    uid: str
    proplet: str
    run: str
    max_payload: int


class CallableTables:
    """The part of the Store about Functions; see `base.Store` for the contract."""

    _db: Database

    def functions(self) -> list[Held]:
        from propeller.state import inventory_rows as rows

        return [
            rows.held_of(row)
            for row in self._db.rows(
                "SELECT uid, generation, revision, created_at, changed_at, deleted_at, hold,"
                " last_slot, object, orphan FROM held"
                """ WHERE substr(object, 1, 18) = '{"kind":"Function"' ORDER BY uid"""
            )
        ]

    def copies_up(self, uid: Uid) -> list[CopyRow]:
        return [
            CopyRow(uid, proplet, run, _payload(facts))
            for proplet, run, facts in self._db.rows(
                "SELECT a.proplet, a.run, s.facts FROM assignment AS a"
                " JOIN seen_run AS r ON r.proplet = a.proplet AND r.uid = a.uid AND r.run = a.run"
                " JOIN seen AS s ON s.id = a.proplet"
                " WHERE a.uid = ? AND a.releasing = 0 AND r.state = 'Running' AND r.ready = 1"
                " AND s.quarantine = '' ORDER BY a.proplet",
                (uid,),
            )
        ]


def _payload(facts: str | None) -> int:
    if not facts:
        return 1024
    size = from_json(facts).get("max_payload", 1024)
    return size if isinstance(size, int) else 1024
