"""What the schema of `run.topics` cannot say: whether a topic may be one, and for whom.

Called by `rules` on the canonical form of whatever runs a module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from propeller.sources.function_rules import topic_problem
from propeller.sources.nodes import Path
from propeller.wire.topic_messages import MAX_TOPIC, PROPLET


def problems(kind: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Path, str]]:
    """Paths are relative to `spec`."""
    if rows and kind == "FederatedTask":
        yield ("run", "topics"), "must not be given to a training module: only updates get out"
        return
    names: set[str] = set()
    for index, row in enumerate(rows):
        at: Path = ("run", "topics", index)
        if row["name"] in names:
            yield (*at, "name"), f'the topic "{row["name"]}" is given twice'
        names.add(row["name"])
        if ("publish" in row) == ("subscribe" in row):
            yield at, "needs exactly one of publish and subscribe"
            continue
        way = "publish" if "publish" in row else "subscribe"
        if way == "subscribe" and kind == "Function":
            words = "does not go with a Function, which is called: give it a trigger with mqtt"
            yield (*at, way), words
        wrong = _topic_problem(row[way], way)
        if wrong:
            yield (*at, way), wrong


def _topic_problem(topic: str, way: str) -> str:
    if len(topic.encode()) > MAX_TOPIC:
        return f"must have at most {MAX_TOPIC} bytes"
    levels = topic.split("/")
    if levels[0] == PROPLET:
        return f"must not begin with {PROPLET}: put a level before it"
    if any(PROPLET in level and level != PROPLET for level in levels):
        return f"{PROPLET} is a whole level"
    if way == "publish" and {"+", "#"} & set(levels):
        return "must have no + and no #: it is one topic"
    return topic_problem(topic)
