"""What the schema of `run.http` and `ceilings.http` cannot say: whether each rule is one.

Called by `rules` on the canonical form of whatever runs a module, and of an App.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from propeller.outgoing import parse_rule
from propeller.sources.nodes import Path


def problems(kind: str, given: Mapping[str, Any] | None) -> Iterator[tuple[Path, str]]:
    """Of `run.http`; paths are relative to `spec`."""
    if given is None:
        return
    if kind == "FederatedTask":
        yield ("run", "http"), "must not be given to a training module: only updates get out"
        return
    yield from rules(("run", "http", "allow"), given["allow"])


def rules(at: Path, texts: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Of a list of rules."""
    seen: dict[str, int] = {}
    for index, text in enumerate(texts):
        try:
            rule = str(parse_rule(text))
        except ValueError as error:
            yield (*at, index), str(error)
            continue
        if seen.setdefault(rule, index) != index:
            yield (*at, index), f"says the same as the one before: {rule}"
