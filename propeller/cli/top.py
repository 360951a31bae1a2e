"""`propeller top`: what proplets and the copies on them take, as they last reported it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli import tophistory
from propeller.cli.clock import ago, now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.output import add_output, print_list
from propeller.errors import UsageError
from propeller.model.conditions import moment
from propeller.model.quantities import duration_ms, size_text
from propeller.plan.scaling import NAMED

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

HEADS = {
    "tasks": ("OBJECT", "PROPLET", "CPU", "MEMORY", "RESTARTS", "HEARD"),
    "proplets": ("PROPLET", "CPU", "MEMORY", "BLOBS", "COPIES", "HEARD"),
}


SHOWN = 3
"""Numbers of a guest in a line; `-o json` has them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `top`."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("tasks", "proplets"),
        default="tasks",
        help="copies of Tasks and Daemons (default), or the proplets themselves",
    )
    parser.add_argument("-n", "--namespace", metavar="NS", help="only objects of this namespace")
    parser.add_argument(
        "--sort", choices=("cpu", "memory", "name"), default="cpu", help="which come first"
    )
    parser.add_argument(
        "--every", metavar="SECONDS", type=float, help="print again, until it is interrupted"
    )
    parser.add_argument(
        "--since",
        metavar="T",
        help="over the last T (15m, 6h, 7d) in place of now: minutes are kept for a day, hours for"
        " 30 days",
    )
    add_state(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    span = _span(args.since) if args.since is not None else None
    while True:
        now = now_ms()
        store = open_store(existing_state(args))
        try:
            items = list(_items(store, args.what, None if span is None else now - span, now))
        finally:
            store.close()
        if args.namespace is not None and args.what == "tasks":
            items = [one for one in items if one["object"].split("/")[1] == args.namespace]
        items.sort(key=lambda one: _order(one, args.sort))
        if span is None:
            _print(args, items, now)
        else:
            tophistory.show(args, items, now - span, now)
        if args.every is None:
            return 0
        time.sleep(max(0.2, args.every))


def _span(text: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        raise UsageError(f"--since {text!r}: {error}") from error


def _items(store: SqliteStore, what: str, since: int | None, now: int) -> Iterator[dict[str, Any]]:
    if since is not None:
        kind = tophistory.proplets if what == "proplets" else tophistory.copies
        return kind(store, since, now)
    return _proplets(store) if what == "proplets" else _copies(store)


def _order(item: dict[str, Any], by: str) -> tuple[int, str, str]:
    value = {"cpu": item["cpuPermille"], "memory": item["memoryBytes"], "name": None}[by]
    name = item.get("object", "")
    return (-1 if value is None else value) * -1, name, item["proplet"]


def _proplets(store: SqliteStore) -> Iterator[dict[str, Any]]:
    for seen in store.fleet():
        told = seen.metrics
        yield {
            "proplet": str(seen.id),
            "cpuPermille": told.get("cpuPermille"),
            "memoryBytes": told.get("rssBytes"),
            "blobBytes": told.get("blobBytes"),
            "messagesWaiting": told.get("topicWaiting", 0),
            "messagesDropped": sum(
                count for name, count in told.items() if name.startswith("dropped.topic")
            ),
            "copies": sum(not run.state.ended for run in seen.runs.values()),
            "at": moment(seen.metrics_at) if seen.metrics_at else None,
            "heardMs": seen.metrics_at,
        }


def _copies(store: SqliteStore) -> Iterator[dict[str, Any]]:
    """Of each run that has not ended; what its device has not told is None."""
    fleet = {seen.id: seen for seen in store.fleet()}
    names = {held.uid: held.object.meta.key for held in store.inventory()}
    for copy in store.assignments():
        seen = fleet.get(copy.proplet)
        run = None if seen is None else seen.runs.get((copy.uid, copy.run))
        if seen is None or run is None or run.state.ended:
            continue
        mark = copy.uid[:NAMED]
        yield {
            "object": str(names.get(copy.uid, copy.uid)),
            "proplet": str(copy.proplet),
            "cpuPermille": seen.metrics.get(f"cpu/{mark}"),
            "memoryBytes": seen.metrics.get(f"rss/{mark}"),
            "restarts": run.restarts,
            "gauges": {
                name.split("/", 2)[2]: value / 1000
                for name, value in sorted(seen.metrics.items())
                if name.startswith(f"g/{mark}/")
            },
            "at": moment(seen.metrics_at) if seen.metrics_at else None,
            "heardMs": seen.metrics_at,
        }


def _print(args: argparse.Namespace, items: list[dict[str, Any]], now: int) -> None:
    heads: tuple[str, ...] = HEADS[args.what]
    tell = any(item.get("gauges") for item in items)
    if tell:
        heads = (*heads, "GUEST")

    def row(item: Mapping[str, Any]) -> tuple[str, ...]:
        cpu, memory = item["cpuPermille"], item["memoryBytes"]
        cells = (
            "-" if cpu is None else f"{cpu / 10:.1f}%",
            "-" if memory is None else _rough(memory),
        )
        heard = ago(item["heardMs"], now) if item["heardMs"] else "-"
        if args.what == "proplets":
            blobs = "-" if item["blobBytes"] is None else _rough(item["blobBytes"])
            return (item["proplet"], *cells, blobs, str(item["copies"]), heard)
        guest = (_told(item["gauges"]),) if tell else ()
        return (item["object"], item["proplet"], *cells, str(item["restarts"]), heard, *guest)

    print_list(
        args.output,
        items,
        heads=heads,
        row=row,
        name=lambda item: item.get("object") or f"Proplet/{item['proplet']}",
    )


def _told(gauges: Mapping[str, float]) -> str:
    """What a guest tells, as far as a line has room for it."""
    words = [f"{name}={value:g}" for name, value in gauges.items()]
    return " ".join(words[:SHOWN]) + (" ..." if len(words) > SHOWN else "") or "-"


def _rough(count: int) -> str:
    """Bytes for people: whole MiB from one on."""
    return f"{count >> 20}MiB" if count >= 1 << 20 else size_text(count)
