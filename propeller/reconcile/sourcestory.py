"""How each source stands, in words: for `get`, `why` and the status branch.

One row in the store and one status file, `source.yaml`. What was accepted stands whatever the
source does next; a refused or unreadable one must be seen by who looks at the status, also where
no object has changed by it. Nothing is decided from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from propeller.model.conditions import moment

if TYPE_CHECKING:
    from propeller.model.revision import Revision
    from propeller.state.base import Store

ROW = "sources"
"""The meta value: `{app: {...}}` as JSON, the tree under ""."""

SHOWN = 20
"""Faults of one refused revision that are listed."""

LONGEST = 1_024
"""Characters of one fault."""


class SourceStory:
    """See the module. Owned by the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, dict[str, object]] = json.loads(store.meta(ROW) or "{}")
        self.moved = bool(self._rows)
        """Whether the file may be another one now; the projection empties it."""

    def good(self, app: str, revision: Revision, source: str, now: int) -> None:
        """A revision was accepted. Inside a transaction."""
        row: dict[str, object] = {
            "source": source,
            "applied": revision.name,
            "attempted": revision.name,
            "ready": "True",
        }
        if revision.signed_by:
            row["signedBy"] = revision.signed_by
        before = self._rows.get(app, {})
        if {**before, "since": 0} != {**row, "since": 0}:
            self._put(app, {**row, "since": moment(now)})

    def bad(self, app: str, reason: str, trouble: str, attempted: str, now: int) -> None:
        """It was refused, or cannot be read: what was accepted stands. Inside a transaction."""
        before = self._rows.get(app, {})
        faults = [line[:LONGEST] for line in trouble.split("\n")]
        row: dict[str, object] = {
            name: before[name] for name in ("source", "applied", "signedBy") if name in before
        }
        row |= {"attempted": attempted or before.get("attempted", ""), "ready": "False"}
        row |= {"reason": reason, "faults": faults[:SHOWN], "since": moment(now)}
        if len(faults) > SHOWN:
            row["more"] = len(faults) - SHOWN
        row["message"] = "the last accepted revision stands"
        self._put(app, row)

    def keep(self, apps: Collection[str]) -> None:
        """Forget sources of Apps that are no more. Inside a transaction."""
        gone = self._rows.keys() - {*apps, ""}
        if gone:
            for app in gone:
                del self._rows[app]
            self._write()

    def _put(self, app: str, row: dict[str, object]) -> None:
        self._rows[app] = row
        self._write()

    def _write(self) -> None:
        self._store.set_meta(ROW, json.dumps(self._rows, sort_keys=True))
        self.moved = True

    def document(self) -> Mapping[str, object]:
        """The status file."""
        rows = []
        for app, row in sorted(self._rows.items()):
            name = {"app": app} if app else {}
            rows.append(name | {key: row[key] for key in _ORDER if key in row})
        return {"apiVersion": "propeller.dev/v1alpha1", "kind": "Sources", "sources": rows}


_ORDER = (
    "source",
    "applied",
    "attempted",
    "ready",
    "reason",
    "message",
    "faults",
    "more",
    "signedBy",
    "since",
)
