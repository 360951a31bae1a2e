"""The table of Workflow runs: the newest one of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.flow import Flow
    from propeller.model.ids import Uid


class FlowTables:
    """The part of the Store about Workflows; see `base.Store` for the contract."""

    _db: Database

    def flows(self) -> list[Flow]:
        from propeller.state.flow_rows import flow_of

        return [flow_of(row[0]) for row in self._db.rows("SELECT body FROM flow ORDER BY uid")]

    def put_flow(self, flow: Flow) -> None:
        from propeller.state.flow_rows import flow_text

        self._db.write(
            "INSERT INTO flow VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET body = excluded.body",
            (flow.uid, flow_text(flow)),
        )

    def drop_flow(self, uid: Uid) -> None:
        self._db.write("DELETE FROM flow WHERE uid = ?", (uid,))
