"""What the schema of `run.points` cannot say: which way each goes, and for whom.

Called by `rules` on whatever runs a module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from propeller.sources.nodes import Path


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """The grant with the guest's name for it: the device's own where the spec gives none."""
    return {"name": row.get("read") or row.get("write"), **row}


def problems(kind: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Path, str]]:
    """Paths are relative to `spec`."""
    if rows and kind == "FederatedTask":
        yield ("run", "points"), "must not be given to a training module: it sees /data alone"
        return
    names: set[str] = set()
    for index, row in enumerate(rows):
        at: Path = ("run", "points", index)
        if ("read" in row) == ("write" in row):
            yield at, "needs exactly one of read and write"
            continue
        name = named(row)["name"]
        if name in names:
            yield (*at, "name"), f'the point "{name}" is given twice'
        names.add(name)
