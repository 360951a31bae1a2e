"""Tables of what Propeller owns: objects, their copies on proplets, and resolved modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.ids import PropletId, Uid
    from propeller.model.inventory import Assignment, Held
    from propeller.model.module import Resolved
    from propeller.model.specs import ModuleRef


class InventoryTables:
    """The inventory part of the Store; see `base.Store` for the contract."""

    _db: Database

    def inventory(self) -> list[Held]:
        from propeller.state import inventory_rows as rows

        return [
            rows.held_of(row)
            for row in self._db.rows(
                "SELECT uid, generation, revision, created_at, changed_at, deleted_at, hold,"
                " last_slot, object, orphan FROM held ORDER BY uid"
            )
        ]

    def put_held(self, held: Held) -> None:
        from propeller.state import inventory_rows as rows

        self._db.write(
            "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET generation = excluded.generation,"
            " revision = excluded.revision, created_at = excluded.created_at,"
            " changed_at = excluded.changed_at, deleted_at = excluded.deleted_at,"
            " hold = excluded.hold, last_slot = excluded.last_slot, object = excluded.object,"
            " orphan = excluded.orphan",
            rows.held_row(held),
        )

    def drop_held(self, uid: Uid) -> None:
        self._db.write("DELETE FROM held WHERE uid = ?", (uid,))

    def assignments(self) -> list[Assignment]:
        from propeller.state import inventory_rows as rows

        return [
            rows.assignment_of(row)
            for row in self._db.rows(
                "SELECT uid, proplet, run, cause, attempt, assigned_at, releasing, version"
                " FROM assignment ORDER BY uid, proplet"
            )
        ]

    def put_assignment(self, assignment: Assignment) -> None:
        from propeller.state import inventory_rows as rows

        self._db.write(
            "INSERT INTO assignment VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid, proplet) DO UPDATE SET run = excluded.run, cause = excluded.cause,"
            " attempt = excluded.attempt, assigned_at = excluded.assigned_at,"
            " releasing = excluded.releasing, version = excluded.version",
            rows.assignment_row(assignment),
        )

    def drop_assignment(self, uid: Uid, proplet: PropletId) -> None:
        self._db.write("DELETE FROM assignment WHERE uid = ? AND proplet = ?", (uid, proplet))

    def modules(self) -> dict[ModuleRef, Resolved]:
        from propeller.state import inventory_rows as rows

        return {
            rows.ref_of(ref): rows.resolved_of(resolved)
            for ref, resolved in self._db.rows("SELECT ref, resolved FROM module ORDER BY ref")
        }

    def put_module(self, ref: ModuleRef, resolved: Resolved) -> None:
        from propeller.state import inventory_rows as rows

        self._db.write(
            "INSERT INTO module VALUES (?, ?)"
            " ON CONFLICT (ref) DO UPDATE SET resolved = excluded.resolved",
            (rows.ref_text(ref), rows.resolved_text(resolved)),
        )

    def drop_module(self, ref: ModuleRef) -> None:
        from propeller.state import inventory_rows as rows

        self._db.write("DELETE FROM module WHERE ref = ?", (rows.ref_text(ref),))
