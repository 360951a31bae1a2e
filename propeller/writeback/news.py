"""What the ways out are told, in values of their own: they know neither store nor loop.

`propeller.reconcile.outlets` makes these from what was committed and hands them to each `Worker`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from propeller.model.ids import Key, Uid
from propeller.model.promotion import Proposal
from propeller.model.specs import Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An event as it was added. severity: Info | Warning. reason: one CamelCase word."""

    at: int
    severity: str
    reason: str
    message: str
    key: Key | None = None
    proplet: str | None = None
    revision: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an object stands. ready: "True", "False" or "Unknown". stalled: why it failed for good.

    A Standing whose `gone` is true says that the object left the inventory.
    """

    ready: str
    reason: str = ""
    message: str = ""
    stalled: str = ""
    stalled_message: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """An attempt to take a revision. name: as in `propeller history`. faults: lines of text."""

    name: str
    source: str
    accepted: bool
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class Batch:
    """What came since the last look, newest state of each thing.

    documents: status documents as JSON, None for an object that left; `stand` makes standings of
    them, on the thread that wants them. files: path inside the status folder -> text, None where
    the file is gone. dropped: notes that found the queue full. proposals:
    promotions to be opened, None for one that is not wanted any more. turns: ends of turns of the
    loop, after all that is in the batch.
    """

    notes: list[Note] = field(default_factory=list)
    dropped: int = 0
    documents: dict[Key, str | None] = field(default_factory=dict)
    standings: dict[Key, Standing] = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)
    took: list[Took] = field(default_factory=list)
    alerts: dict[Uid, Alert | None] = field(default_factory=dict)
    proposals: dict[Uid, Proposal | None] = field(default_factory=dict)
    turns: int = 0

    def stand(self) -> Mapping[Key, Standing]:
        """How every object of the batch stands."""
        for key, text in self.documents.items():
            self.standings[key] = (
                Standing(ready="Unknown", gone=True)
                if text is None
                else standing_of(json.loads(text)["status"])
            )
        return self.standings


def standing_of(status: Mapping[str, object]) -> Standing:
    """The standing told by the `status` of a status document."""
    conditions = status.get("conditions")
    rows = {row["type"]: row for row in conditions} if isinstance(conditions, list) else {}
    ready, stalled = rows.get("Ready", {}), rows.get("Stalled", {})
    return Standing(
        ready=str(ready.get("status", "Unknown")),
        reason=str(ready.get("reason", "")),
        message=str(ready.get("message", "")),
        stalled=str(stalled.get("reason", "")) if stalled.get("status") == "True" else "",
        stalled_message=str(stalled.get("message", "")),
    )
