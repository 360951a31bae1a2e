"""Who subscribed to what, found by topic in time that depends on the topic's depth alone.

Used by the broker in memory, where a scenario asks hundreds of thousands of times.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.here: dict[T, None] = {}  # a set that keeps its order: traces must repeat


class FilterTree(Generic[T]):
    """Filters and their holders. Filters are valid (`filters.check_filter`)."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, text: str, holder: T) -> None:
        """`holder` now holds the filter."""
        node = self._root
        for level in text.split("/"):
            node = node.below.setdefault(level, _Node())
        node.here[holder] = None

    def remove(self, text: str, holder: T) -> None:
        """`holder` gives the filter up; nothing happens if it did not hold it."""
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for level in text.split("/"):
            path.append((node, level))
            found = node.below.get(level)
            if found is None:
                return
            node = found
        node.here.pop(holder, None)
        for above, level in reversed(path):
            below = above.below[level]
            if below.here or below.below:
                return
            del above.below[level]

    def find(self, topic: str) -> list[T]:
        """Every holder of a filter that matches, once each, in a fixed order."""
        found: dict[T, None] = {}
        nodes = [self._root]
        levels = topic.split("/")
        for place, level in enumerate(levels):
            wild = place > 0 or not level.startswith("$")
            reached: list[_Node[T]] = []
            for node in nodes:
                below = node.below
                if wild and (rest := below.get("#")) is not None:
                    found.update(rest.here)
                if (exact := below.get(level)) is not None:
                    reached.append(exact)
                if wild and (one := below.get("+")) is not None:
                    reached.append(one)
            nodes = reached
            if not nodes:
                return list(found)
        for node in nodes:
            found.update(node.here)
            if (rest := node.below.get("#")) is not None:
                found.update(rest.here)
        return list(found)
