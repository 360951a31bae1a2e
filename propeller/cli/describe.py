"""`propeller describe NAME`: everything the store knows about one object, for reading."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from propeller.cli import statuses
from propeller.cli.clock import ago, now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.find import find
from propeller.cli.names import short_digest, short_revision
from propeller.cli.output import add_data, colour_on, print_data, yaml_text
from propeller.cli.table import Cell, printable, render
from propeller.errors import UsageError
from propeller.model.conditions import moment
from propeller.model.ids import PropletId, Uid

if TYPE_CHECKING:
    from propeller.model.inventory import Held
    from propeller.state.records import Event
    from propeller.state.sqlite import SqliteStore


SHOWN_ROUNDS = 10
"""Rounds of a FederatedTask that are listed, the newest first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `describe`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    store = open_store(existing_state(args))
    try:
        with store.transaction():
            uid, _ = find(store, args.name, namespace=args.namespace)
            document = _document(store, uid)
            held = next((one for one in store.inventory() if one.uid == uid), None)
            if held is None:
                raise UsageError(f"{args.name} left the inventory a moment ago")
            events = _events(store, held)
            now = now_ms()
            if args.output != "text":
                print_data(args.output, _data(held, document, events))
                return 0
            for line in _text(store, held, document, events, now):
                print(line)
    finally:
        store.close()
    return 0


def spelled_spec(held: Held) -> dict[str, Any]:
    """The spec as a person would write it, defaults filled in and secrets masked."""
    from propeller.cli.masking import Mask
    from propeller.sources.fill import spelled

    kind = held.object.meta.key.kind
    return Mask().spec(kind, spelled(kind, held.object.meta.spec))


def _document(store: SqliteStore, uid: Uid) -> Mapping[str, Any] | None:
    for row in store.statuses():
        if row.uid == uid:
            return statuses.ordered(json.loads(row.document))
    return None


def _events(store: SqliteStore, held: Held) -> list[Event]:
    key = held.object.meta.key
    found = store.events(key=key, limit=20)
    if key.kind == "Proplet":
        found += store.events(proplet=PropletId(key.name), limit=20)
    unique = {(one.at, one.reason, one.message): one for one in found}
    return sorted(unique.values(), key=lambda one: one.at)[-20:]


def _data(
    held: Held, document: Mapping[str, Any] | None, events: Sequence[Event]
) -> dict[str, Any]:
    from propeller.cli.events import event_item

    meta = held.object.meta
    whole: dict[str, Any] = dict(document) if document is not None else {"kind": meta.key.kind}
    whole["origin"] = {"file": meta.origin.file, "line": meta.origin.line}
    whole["spec"] = spelled_spec(held)
    whole["hold"] = None
    if held.hold is not None:
        until = held.hold.until
        whole["hold"] = {
            "reason": held.hold.reason,
            "by": held.hold.by,
            "until": moment(until) if until is not None else None,
        }
    whole["events"] = [event_item(event) for event in events]
    return whole


def _text(
    store: SqliteStore,
    held: Held,
    document: Mapping[str, Any] | None,
    events: Sequence[Event],
    now: int,
) -> Iterator[str]:
    meta = held.object.meta
    facts = [
        ("Name", meta.key.name),
        ("Namespace", meta.key.namespace),
        ("Kind", meta.key.kind),
        ("App", meta.app),
        ("UID", held.uid),
        ("Written in", f"{meta.origin.file}:{meta.origin.line}"),
        ("Revision", held.revision),
        ("Generation", f"{held.generation}, since {moment(held.changed_at)}"),
        ("Created", f"{moment(held.created_at)} ({ago(held.created_at, now)})"),
        ("Spec digest", short_digest(meta.spec_digest)),
    ]
    for title, mapping in (("Labels", meta.labels), ("Annotations", meta.annotations)):
        if mapping:
            facts.append((title, ", ".join(f"{k}={v}" for k, v in sorted(mapping.items()))))
    if held.deleted_at is not None:
        facts.append(("Deleted", f"{ago(held.deleted_at, now)}, until devices confirm"))
    if held.hold is not None:
        until = f" until {moment(held.hold.until)}" if held.hold.until is not None else ""
        facts.append(("Suspended", f"by {held.hold.by}{until}: {held.hold.reason}"))
    width = max(len(title) for title, _ in facts) + 2
    for title, value in facts:
        yield f"{title + ':':<{width}}{printable(value)}"
    yield from ("", "Spec:", *_indented(yaml_text(spelled_spec(held))))
    if document is not None:
        status = document["status"]
        yield from ("", "Conditions:", *_conditions(status["conditions"], now))
        if status.get("devices"):
            counts = "  ".join(f"{name} {count}" for name, count in status["devices"].items())
            yield from ("", f"Devices:  {counts}")
        if status.get("copies"):
            yield from ("", "Copies:", *_copies(status["copies"]))
        if status.get("drift"):
            yield from ("", "Drift:", *_drift(status["drift"]))
        if status.get("steps"):
            yield from ("", "Steps:", *_steps(status["steps"], now))
        if held.object.meta.key.kind == "FederatedTask":
            yield from _rounds(store, held.uid, now)
        for name in ("presence", "quarantine", "facts", "lastScheduled"):
            if name in status:
                yield from ("", *yaml_text({name: status[name]}).rstrip().split("\n"))
    past = store.history(held.uid)
    if past:
        rows = [
            (
                ago(one.last, now),
                str(one.generation),
                one.outcome,
                short_revision(one.revision),
                str(one.count),
            )
            for one in past[:10]
        ]
        heads = ("LAST", "GENERATION", "OUTCOME", "REVISION", "COUNT")
        yield from ("", "History:", *_indented(render(heads, rows)))
    if events:
        lines = [
            (
                ago(one.at, now) + (f" (x{one.count})" if one.count > 1 else ""),
                Cell(one.severity, "bad" if one.severity == "Warning" else ""),
                one.reason,
                one.message,
            )
            for one in events
        ]
        table = render(("LAST", "SEVERITY", "REASON", "MESSAGE"), lines, colour=colour_on())
        yield from ("", "Events:", *_indented(table))


def _steps(steps: Sequence[Mapping[str, Any]], now: int) -> list[str]:
    """The steps of a Workflow in the order written."""
    rows = [
        (
            str(one["name"]),
            str(one["state"]),
            ", ".join(one.get("after", ())),
            ago(statuses.moment_ms(one["ended"]), now) if "ended" in one else "",
            str(one.get("why") or one.get("result", "").strip()[:60]),
        )
        for one in steps
    ]
    return _indented(render(("STEP", "STATE", "AFTER", "ENDED", "RESULT OR WHY"), rows))


def _rounds(store: SqliteStore, uid: Uid, now: int) -> Iterator[str]:
    """The newest rounds of a FederatedTask; its round files say more."""
    rows = []
    for one in store.rounds(uid, SHOWN_ROUNDS):
        ends = ", ".join(
            f"{count} {bucket.lower()}" for bucket, count in sorted(one.counts().items())
        )
        metrics = ", ".join(f"{name} {value[:8]}" for name, value in one.metrics[:3])
        when = ago(one.ended_at or one.selected_at, now)
        number = str(one.number) + (f".{one.attempt}" if one.attempt > 1 else "")
        rows.append((number, str(one.state), when, ends, one.why or metrics))
    if rows:
        heads = ("ROUND", "STATE", "LAST", "UPDATES", "METRICS OR WHY")
        yield from ("", "Rounds:", *_indented(render(heads, rows)))


def _conditions(conditions: Sequence[Mapping[str, Any]], now: int) -> list[str]:
    good_when_false = ("Reconciling", "Stalled", "Blocked", "DriftDetected")
    rows = []
    for one in conditions:
        tone = statuses.TONES.get(one["status"], "odd")
        if one["type"] in good_when_false and one["status"] == "True":
            tone = "odd" if one["type"] == "Reconciling" else "bad"
        changed = ago(statuses.moment_ms(one["lastTransitionTime"]), now)
        rows.append(
            (one["type"], Cell(one["status"], tone), one["reason"], changed, one["message"])
        )
    heads = ("TYPE", "STATUS", "REASON", "CHANGED", "MESSAGE")
    return _indented(render(heads, rows, colour=colour_on()))


def _copies(copies: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for copy in copies:
        result = copy.get("result")
        if result is None and "resultDigest" in copy:
            result = f"{copy['resultSize']} bytes, {short_digest(copy['resultDigest'])}"
        rows.append(
            (
                copy["proplet"],
                copy["state"],
                str(copy.get("exit", "-")),
                str(copy.get("restarts", 0)),
                copy.get("started", "-"),
                copy.get("ended", "-"),
                copy.get("error") or result or "",
            )
        )
    heads = ("PROPLET", "STATE", "EXIT", "RESTARTS", "STARTED", "ENDED", "RESULT OR ERROR")
    return _indented(render(heads, rows))


def _drift(drift: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            one["proplet"],
            one["reason"],
            field["path"],
            str(field["asked"] or "-"),
            str(field["reported"] or "-"),
        )
        for one in drift
        for field in one["fields"]
    ]
    return _indented(render(("PROPLET", "REASON", "FIELD", "ASKED", "REPORTED"), rows))


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.rstrip("\n").split("\n")]
