"""From rows of the store to what pages show: plain data, no HTML, no clock of its own.

Everything that a device, a commit or a module wrote is text here and is escaped by the templates;
control characters are taken out, lists are cut to what a page can hold and say so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from propeller.model.ids import Key
from propeller.model.rounds import Round
from propeller.model.seen import Presence, Seen
from propeller.state.records import Event, HistoryRow, RevisionRecord, StatusRow

HOUR = 3_600_000
MOST_ROWS = 200
MOST_TEXT = 400
MOST_DOTS = 1_500
LEAST_DOTS = 6
"""Proplets on the page of the fleet, in all and of each group: more have pages of their own."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """One object in a list. ready: True, False, Unknown, since then (Unix ms, 0: not told).

    devices: `3/3` or "". applied: its revision in full.
    """

    key: Key
    ready: str
    message: str
    devices: str
    revision: str
    app: str
    stalled: bool
    applied: str = ""
    since: int = 0

    @property
    def path(self) -> str:
        """Of its page."""
        return f"/objects/{self.key.kind}/{self.key.namespace}/{self.key.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PropletRow:
    """One proplet. state: Online, Silent, Unknown, Quarantined. since: Unix ms of its silence."""

    name: str
    state: str
    since: int
    heard: int
    labels: Mapping[str, str]
    declared: bool
    scheduling: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The proplets with one value of a label. counts: by state. value: as it is; name: to show.

    members: troubled ones first, as many as a page can hold.
    """

    name: str
    value: str
    counts: Mapping[str, int]
    total: int
    members: tuple[PropletRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """revision: the newest that was accepted. refused: the newest attempt, if that was refused."""

    revision: RevisionRecord | None
    refused: RevisionRecord | None


def clean(text: object) -> str:
    """Text for a page: no control characters, not endless."""
    words = "".join(one if one.isprintable() else " " for one in str(text))
    return words if len(words) <= MOST_TEXT else words[: MOST_TEXT - 1] + "…"


def live(revisions: Sequence[RevisionRecord]) -> Live:
    """From the newest first."""
    accepted = next((one for one in revisions if one.outcome == "accepted"), None)
    newest = revisions[0] if revisions else None
    refused = newest if newest is not None and newest.outcome != "accepted" else None
    return Live(revision=accepted, refused=refused)


def object_row(row: StatusRow) -> ObjectRow:
    """From its status document."""
    document: Document = json.loads(row.document)
    conditions = {one["type"]: one for one in document["status"]["conditions"]}
    ready = conditions.get("Ready")
    counts = document["status"].get("devices")
    inner = document["status"].get("objects")
    devices = ""
    if counts:
        devices = f"{counts['ready']}/{counts['desired']}"
    elif inner:
        devices = f"{inner['ready']}/{inner['total']}"
    elif "steps" in document["status"]:
        steps = document["status"]["counts"]
        devices = f"{steps['succeeded']}/{steps['total']} steps"
    stalled = conditions.get("Stalled", {}).get("status") == "True"
    message = (ready["message"] or ready["reason"]) if ready is not None else "not looked at yet"
    return ObjectRow(
        key=row.key,
        ready=row.ready or "Unknown",
        message=clean(message),
        devices=devices,
        revision=short(str(document["status"].get("lastAppliedRevision", ""))),
        app=str(document["metadata"].get("app", "")),
        stalled=stalled,
        applied=str(document["status"].get("lastAppliedRevision", "")),
        since=_unix_ms(ready.get("lastTransitionTime", "")) if ready is not None else 0,
    )


def _unix_ms(text: str) -> int:
    """0 for what is no moment."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0


def proplet_row(seen: Seen) -> PropletRow:
    """From what was last heard of it. Silence has an age; unknown is not online."""
    state = {
        Presence.ONLINE: "Online",
        Presence.OFFLINE: "Silent",
        Presence.UNKNOWN: "Unknown",
    }[seen.presence]
    return PropletRow(
        name=str(seen.id),
        state="Quarantined" if seen.quarantine else state,
        since=seen.offline_since
        or (seen.last_heard if seen.presence is not Presence.ONLINE else 0),
        heard=seen.last_heard,
        labels=dict(sorted(seen.labels.items())),
        declared=seen.declared,
        scheduling="Draining" if seen.draining else "Cordoned" if seen.cordoned else "",
        trouble=clean(seen.quarantine),
    )


def tiles(rows: Iterable[PropletRow], by: str) -> list[Tile]:
    """Grouped by the value of a label, the largest trouble first, then by name."""
    groups: dict[str, list[PropletRow]] = {}
    for row in rows:
        groups.setdefault(value_of(row, by), []).append(row)
    room = max(LEAST_DOTS, min(MOST_ROWS, MOST_DOTS // max(1, len(groups))))
    made = [
        Tile(
            name=clean(name),
            value=name,
            counts=Counter(row.state for row in members),
            total=len(members),
            members=tuple(troubled_first(members)[:room]),
        )
        for name, members in groups.items()
    ]
    return sorted(made, key=lambda one: (-(one.total - one.counts.get("Online", 0)), one.name))


def value_of(row: PropletRow, label: str) -> str:
    """What a proplet has there."""
    return row.labels.get(label, "(none)")


def troubled_first(rows: Iterable[PropletRow]) -> list[PropletRow]:
    """Those that are not online, then the others, each by name."""
    return sorted(rows, key=lambda row: (row.state == "Online", row.name))


def label_names(rows: Iterable[PropletRow]) -> list[str]:
    """Labels to group by: those most proplets have first; at most a dozen."""
    counted = Counter(name for row in rows for name in row.labels)
    return [name for name, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:12]]


def recent(events: Sequence[Event], now: int, *, span: int = HOUR) -> list[Event]:
    """Events of the last `span` ms, newest first."""
    return [one for one in events if one.at >= now - span][:MOST_ROWS]


def curve(rounds: Sequence[Round], metric: str, *, width: int, height: int) -> str:
    """The points of an SVG polyline of one metric over the committed rounds; "" without any."""
    found = []
    for one in sorted(rounds, key=lambda one: (one.number, one.attempt)):
        for name, value in one.metrics:
            if name == metric:
                try:
                    found.append((one.number, float(value)))
                except ValueError:
                    continue
    if len(found) < 2:
        return ""
    low, high = min(value for _, value in found), max(value for _, value in found)
    first, last = found[0][0], found[-1][0]
    tall, wide = (high - low) or 1.0, (last - first) or 1
    return " ".join(
        f"{(number - first) / wide * width:.1f},{height - (value - low) / tall * height:.1f}"
        for number, value in found
    )


def metric_names(rounds: Sequence[Round]) -> list[str]:
    """Every metric of these rounds, sorted."""
    return sorted({name for one in rounds for name, _ in one.metrics})


def is_metric(name: str) -> bool:
    """Whether a name can be a heading: a trainer chose it."""
    return 0 < len(name) <= 64 and name.isprintable()


def buckets(one: Round) -> dict[str, int]:
    """How the invited of a round ended, counted."""
    return dict(sorted(Counter(str(part.bucket) for part in one.parts.values()).items()))


def history(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Newest first, cut."""
    return sorted(rows, key=lambda row: -row.last)[:MOST_ROWS]


def short(revision: str) -> str:
    """`main@1234567` of `main@sha1:1234567...`."""
    name, at, rest = revision.rpartition("@")
    if not at:
        return clean(revision[:24])
    digest = rest.rpartition(":")[2]
    return clean(f"{name}@{digest[:7]}")


def find_status(rows: Iterable[StatusRow], key: Key) -> StatusRow | None:
    """The row of `key`."""
    return next((row for row in rows if row.key == key), None)


def copies_on(row: StatusRow) -> list[str]:
    """The proplets that hold a copy of it, each once."""
    copies = json.loads(row.document)["status"].get("copies", ())
    return sorted({str(one["proplet"]) for one in copies})
