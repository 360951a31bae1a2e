"""The numbers of a report, and those of guests that it had no room for.

Called by `hear`. A device with many guests tells of some of them in each report, in turn, and of
what a guest tells of itself (`g/1a2b3c4d/name`) of a few names. What it said of the others stands
until their turn comes, or until it holds them no more. A report with room to spare left nobody out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from propeller.model.seen import Seen

NAMED = 8
"""Digits of a uid in a name (`cpu/1a2b3c4d`)."""
MOST = 512
"""Numbers known of one device."""
LONGEST = 300_000
"""ms for which what was told of a guest stands."""
FULL = 64 - 12
"""Names in a report from which on a guest may have been left out (`proplet.turns`)."""
SOME = 4
"""Numbers a guest tells of itself in one report, at most."""


def taken(seen: Seen, told: Mapping[str, int], now: int) -> Seen:
    """`seen` with the numbers of a report that came now (Unix ms)."""
    older = [name for name in seen.metrics if "/" in name and name not in told]
    names = Counter(mark_of(name) for name in told if name.startswith("g/"))
    turns = {mark for mark, count in names.items() if count >= SOME}
    if not older or not (turns or len(told) > FULL):
        return replace(seen, metrics=told, metrics_at=now, guests_at=_NOBODY)
    marks = {mark_of(name) for name in told}
    held = {uid[:NAMED] for (uid, _), run in seen.runs.items() if not run.state.ended}
    kept: dict[str, int] = {}
    at: dict[str, int] = {}
    for name in sorted(older):
        mark = mark_of(name)
        word = name if name.startswith("g/") else mark
        since = seen.told_at(name)
        waits = mark in turns if mark in marks else len(told) > FULL
        if not waits or mark not in held or now - since > LONGEST:
            continue
        if mark in marks and word == mark:
            continue
        if len(kept) + len(told) >= MOST:
            break
        kept[name], at[word] = seen.metrics[name], since
    return replace(seen, metrics={**kept, **told}, metrics_at=now, guests_at=at)


def mark_of(name: str) -> str:
    """The guest that a number is about, "" for the device itself."""
    return name.split("/", 2)[1] if "/" in name else ""


_NOBODY: Mapping[str, int] = {}
