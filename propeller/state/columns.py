"""How values that are not one number or text stand in a column, and sharing on the way back.

Ten thousand proplets repeat the same few labels, digests and causes; reading them back through
`shared` and `Memo` keeps one of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from sys import intern as shared
from typing import Any, Generic, TypeVar

__all__ = ["Memo", "from_json", "shared", "to_json"]

T = TypeVar("T")


def to_json(value: object) -> str:
    """Compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> Any:
    """What `to_json` wrote."""
    return json.loads(text)


class Memo(Generic[T]):
    """Parses each distinct text once; the same text gives the same (read-only) value again."""

    def __init__(self, parse: Callable[[str], T]) -> None:
        self._parse = parse
        self._known: dict[str, T] = {}

    def __call__(self, text: str) -> T:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self._parse(text)
        return found
