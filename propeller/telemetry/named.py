"""Metrics by name: each is said once, with its kind and meaning, and documented from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One metric. kind: gauge, counter, histogram."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


def table(metrics: Iterable[Named]) -> str:
    """For the reference, as Markdown."""
    rows = ["| name | type | labels | meaning |\n|---|---|---|---|\n"]
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |\n")
    return "".join(rows)
