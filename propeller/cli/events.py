"""`propeller events`: what happened, oldest first, equal ones counted."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import age, now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.output import Row, add_output, print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError
from propeller.model.conditions import moment
from propeller.model.ids import Key, PropletId

if TYPE_CHECKING:
    from propeller.state.records import Event
    from propeller.state.sqlite import SqliteStore

POLL = 0.3
"""Seconds between two looks of `--watch`."""

HEADS = ("LAST", "SEVERITY", "REASON", "OBJECT", "MESSAGE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `events`."""
    add_state(parser)
    parser.add_argument(
        "--for", dest="about", metavar="X", help="only about this object, or proplet/ID"
    )
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="at most this many (100)"
    )
    parser.add_argument("-w", "--watch", action="store_true", help="go on with what happens")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    if not 1 <= args.limit <= 100_000:
        raise UsageError("--limit must be from 1 to 100000")
    store = open_store(existing_state(args))
    try:
        key, proplet = _about(store, args.about)
        found = _read(store, key, proplet, args.limit)
        if not found and not args.watch:
            say("no events")
            if args.output in ("table", "wide", "name"):
                return 0
        _print(args.output, found, again=False)
        if args.watch:
            _follow(store, args, key, proplet, found)
    finally:
        store.close()
    return 0


def event_item(event: Event) -> dict[str, Any]:
    """An event as data."""
    return {
        "at": moment(event.at),
        "firstAt": moment(event.first_at or event.at),
        "count": event.count,
        "severity": event.severity,
        "reason": event.reason,
        "object": str(event.key) if event.key is not None else None,
        "proplet": event.proplet,
        "revision": event.revision,
        "message": event.message,
        "atMs": event.at,
    }


def _about(store: SqliteStore, text: str | None) -> tuple[Key | None, PropletId | None]:
    if text is None:
        return None, None
    kind, slash, name = text.partition("/")
    if slash and kind.lower() in ("proplet", "proplets") and "/" not in name:
        return None, PropletId(name)
    from propeller.cli.find import find

    _, key = find(store, text)
    return (None, PropletId(key.name)) if key.kind == "Proplet" else (key, None)


def _read(
    store: SqliteStore, key: Key | None, proplet: PropletId | None, limit: int
) -> list[Event]:
    found = store.events(key=key, proplet=proplet, limit=limit)
    if proplet is not None:
        # A declared proplet is an object too: what happened to it as one belongs here.
        declared = {
            row.key
            for row in store.statuses()
            if row.key.kind == "Proplet" and row.key.name == proplet
        }
        for one in sorted(declared):
            found += [event for event in store.events(key=one, limit=limit) if event not in found]
        found = sorted(found, key=lambda event: event.at, reverse=True)[:limit]
    return list(reversed(found))


def _print(form: str, found: Sequence[Event], *, again: bool) -> None:
    now = now_ms()

    def row(item: Mapping[str, Any]) -> Row:
        last = age(item["atMs"], now)
        times = f"{last} (x{item['count']})" if item["count"] > 1 else last
        tone = "bad" if item["severity"] == "Warning" else ""
        about = item["object"] or (f"Proplet/{item['proplet']}" if item["proplet"] else "-")
        return (times, Cell(item["severity"], tone), item["reason"], about, item["message"])

    items = [event_item(event) for event in found]
    print_list(
        form,
        items,
        heads=HEADS,
        row=row,
        name=lambda item: str(item["reason"]),
        wide_heads=("AT", "REVISION"),
        wide_row=lambda item: (item["at"], item["revision"]),
        headless=again,
    )


def _follow(
    store: SqliteStore,
    args: argparse.Namespace,
    key: Key | None,
    proplet: PropletId | None,
    shown: Sequence[Event],
) -> None:
    """Print what comes, until interrupted."""
    before = set(shown)
    serial = store.serial()
    while True:
        time.sleep(POLL)
        if store.serial() == serial:
            continue
        serial = store.serial()
        found = _read(store, key, proplet, args.limit)
        fresh = [event for event in found if event not in before]
        if fresh:
            _print(args.output, fresh, again=True)
        before = set(found)
