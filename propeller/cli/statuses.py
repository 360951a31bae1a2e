"""Status documents as the store has them, and the few facts every table wants of them.

A document is what the status file holds (see `reconcile.project`); here it stays a mapping, since
whatever it has is shown as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import age
from propeller.cli.names import short_revision
from propeller.cli.table import Cell
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

Document = Mapping[str, Any]

RUN_APP = "run"
"""The App of what `propeller run` started: no source has it."""

_CONDITION = (
    "type",
    "status",
    "observedGeneration",
    "reason",
    "message",
    "lastTransitionTime",
)

TONES = {"True": "good", "False": "bad", "Unknown": "odd"}


def documents(store: SqliteStore) -> Iterator[Document]:
    """Every status document, sorted by kind, namespace and name."""
    for row in store.statuses():
        yield ordered(json.loads(row.document))


def ordered(document: Document) -> dict[str, Any]:
    """The fields in the order people read them: what it is, then how it is, conditions last."""
    whole = dict(document)
    for part, first, last in (
        ("metadata", ("name", "namespace", "uid", "generation", "app"), ()),
        ("status", ("observedGeneration",), ("devices", "copies", "conditions")),
    ):
        fields = document[part]
        middle = [name for name in fields if name not in (*first, *last)]
        order = [name for name in (*first, *middle, *last) if name in fields]
        whole[part] = {name: fields[name] for name in order}
    whole["status"]["conditions"] = [
        {name: one[name] for name in _CONDITION if name in one}
        for one in whole["status"]["conditions"]
    ]
    return whole


def key_text(document: Document) -> str:
    """`Task/plant-a/add`."""
    meta = document["metadata"]
    return f"{document['kind']}/{meta['namespace']}/{meta['name']}"


def condition(document: Document, kind: str) -> Mapping[str, Any] | None:
    """The condition of that type (any case), None where it is not there."""
    for one in document["status"]["conditions"]:
        if one["type"].lower() == kind.lower():
            found: Mapping[str, Any] = one
            return found
    return None


def ready_cell(document: Document) -> Cell:
    """True, False or Unknown, in its colour."""
    ready = condition(document, "Ready")
    status = ready["status"] if ready is not None else "Unknown"
    return Cell(status, TONES.get(status, "odd"))


def message(document: Document) -> str:
    """What the Ready condition says, and how devices have drifted."""
    ready = condition(document, "Ready")
    text = (ready["message"] or ready["reason"]) if ready is not None else "not looked at yet"
    drift = condition(document, "DriftDetected")
    if drift is not None and drift["reason"] != (ready or {}).get("reason"):
        text = f"{text}; drift: {drift['message']}"
    return str(text)


def devices(document: Document) -> str:
    """`3/3`, or `37/40 (3 offline)`; "-" for what has no copies."""
    counts = document["status"].get("devices")
    if not counts:
        objects = document["status"].get("objects")
        if objects:
            return f"{objects['ready']}/{objects['total']} objects"
        steps = document["status"].get("counts")
        return f"{steps['succeeded']}/{steps['total']} steps" if steps else "-"
    text = f"{counts['ready']}/{counts['desired']}"
    silent = counts.get("offline", 0)
    return f"{text} ({silent} offline)" if silent else text


def revision(document: Document) -> str:
    """The revision it is at, short; `(main@1234567)` behind it names one that was refused."""
    return short_revision(str(document["status"]["lastAppliedRevision"]))


def since(document: Document) -> int:
    """When it came into the inventory (Unix ms); where that is not said, when Ready changed."""
    created = document["metadata"].get("created")
    if created is None:
        ready = condition(document, "Ready")
        created = ready["lastTransitionTime"] if ready is not None else None
    return moment_ms(created) if created is not None else 0


def age_of(document: Document, now: int) -> str:
    """How long it has been there."""
    return age(since(document), now)


def moment_ms(text: str) -> int:
    """A time of a status document as Unix ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def selector(text: str | None) -> Callable[[Document], bool]:
    """`Ready=false,Stalled=True` as a test of documents; an absent condition is False.

    Raises UsageError.
    """
    wanted: list[tuple[str, bool, str]] = []
    for part in (text or "").split(","):
        if not part:
            continue
        name, equals, status = part.partition("=")
        negate = name.endswith("!")
        statuses = {"true": "True", "false": "False", "unknown": "Unknown"}
        if not equals or status.lower() not in statuses:
            raise UsageError(
                f"--status-selector {part!r} is not TYPE=STATUS",
                hint="for instance Ready=False or Stalled=True, several with commas",
            )
        wanted.append((name.rstrip("!"), not negate, statuses[status.lower()]))

    def fits(document: Document) -> bool:
        for name, same, status in wanted:
            found = condition(document, name)
            if ((found["status"] if found is not None else "False") == status) is not same:
                return False
        return True

    return fits
