"""`propeller top --since T`: what proplets and copies took over a time, as the store has it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from propeller.cli.output import print_list
from propeller.model.conditions import moment
from propeller.model.quantities import size_text
from propeller.model.samples import NAMED, Sample
from propeller.state.samples import past_of

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

HEADS = {
    "tasks": ("OBJECT", "PROPLET", "CPU", "MOST", "MEMORY", "CALLS", "RESTARTS", "CURVE"),
    "proplets": ("PROPLET", "CPU", "MOST", "MEMORY", "CURVE"),
}
WIDE = 24
"""Places of a curve."""
BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def proplets(store: SqliteStore, since: int, now: int) -> Iterator[dict[str, Any]]:
    """Of each proplet, what its agent took."""
    for seen in store.fleet():
        past = past_of(store, seen.id, since=since, now=now)
        own = {"cpuPermille": "cpu", "rssBytes": "rss", "blobBytes": "blobs"}
        points = [_point(one, own) for one in past if "rssBytes" in one.mean]
        if points:
            yield {"proplet": str(seen.id), **_summed(points)}


def copies(store: SqliteStore, since: int, now: int) -> Iterator[dict[str, Any]]:
    """Of each guest of an object of the inventory, whether its copy is still there or not."""
    marks = {held.uid[:NAMED]: held for held in store.inventory()}
    for seen in store.fleet():
        past = past_of(store, seen.id, since=since, now=now)
        known = {name.split("/", 2)[1] for one in past for name in one.mean if "/" in name}
        for mark in sorted(known & marks.keys()):
            held = marks[mark]
            mine = (one.of_guest(held.uid) for one in past)
            points = [_point(one, None) for one in mine if one is not None]
            yield {
                "object": str(held.object.meta.key),
                "proplet": str(seen.id),
                **_summed(points),
            }


def _point(sample: Sample, names: Mapping[str, str] | None) -> dict[str, Any]:
    """One point. names: which numbers, and what they are called; None: all, as they are."""

    def told(numbers: Mapping[str, int]) -> dict[str, int]:
        if names is None:
            return dict(sorted(numbers.items()))
        return {names[name]: value for name, value in numbers.items() if name in names}

    return {
        "at": moment(sample.at),
        "atMs": sample.at,
        "spanMs": sample.span,
        "mean": told(sample.mean),
        "most": told({**sample.mean, **sample.most}),
    }


def _summed(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cpu = [one["mean"]["cpu"] for one in points if "cpu" in one["mean"]]
    return {
        "cpuPermille": sum(cpu) // len(cpu) if cpu else None,
        "cpuMostPermille": _most(points, "cpu"),
        "memoryBytes": _most(points, "rss"),
        "calls": _grown(points, "taken"),
        "restarts": _grown(points, "restarts"),
        "points": list(points),
    }


def _most(points: Sequence[Mapping[str, Any]], name: str) -> int | None:
    return max((one["most"][name] for one in points if name in one["most"]), default=None)


def _grown(points: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """By how much a counter grew; one that began anew counts from nothing."""
    values: list[int] = [one["most"][name] for one in points if name in one["most"]]
    if not values:
        return None
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def show(args: argparse.Namespace, items: list[dict[str, Any]], since: int, now: int) -> None:
    """Print."""

    def row(item: Mapping[str, Any]) -> tuple[str, ...]:
        cells = (
            _percent(item["cpuPermille"]),
            _percent(item["cpuMostPermille"]),
            "-" if item["memoryBytes"] is None else _rough(item["memoryBytes"]),
        )
        drawn = curve(item["points"], since, now)
        if args.what == "proplets":
            return (item["proplet"], *cells, drawn)
        calls = "-" if item["calls"] is None else str(item["calls"])
        restarts = "-" if item["restarts"] is None else str(item["restarts"])
        return (item["object"], item["proplet"], *cells, calls, restarts, drawn)

    print_list(
        args.output,
        items,
        heads=HEADS[args.what],
        row=row,
        name=lambda item: item.get("object") or f"Proplet/{item['proplet']}",
    )


def curve(points: Sequence[Mapping[str, Any]], since: int, now: int) -> str:
    """CPU from `since` to now in so many places; a blank where nobody knows."""
    places: list[int | None] = [None] * WIDE
    span = max(1, now - since)
    for one in points:
        value = one["most"].get("cpu")
        at = min(WIDE - 1, max(0, (one["atMs"] - since) * WIDE // span))
        if value is not None:
            places[at] = max(value, places[at] or 0)
    most = max((value for value in places if value is not None), default=0) or 1
    return "".join(
        " " if value is None else BARS[max(0, value) * (len(BARS) - 1) // most] for value in places
    )


def _percent(permille: int | None) -> str:
    return "-" if permille is None else f"{permille / 10:.1f}%"


def _rough(count: int) -> str:
    return f"{count >> 20}MiB" if count >= 1 << 20 else size_text(count)
