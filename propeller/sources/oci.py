"""A published spec tree as a source: `oci://HOST/REPOSITORY:TAG`, or pinned with `@sha256:...`.

The head is the digest of the manifest, the tree is what lies under it, and that never changes.
Registries belong to another room: whoever opens the source hands in the shelf to ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from propeller.model.ids import sha256_digest
from propeller.sources.directory import size_problem
from propeller.sources.polling import poll
from propeller.sources.select import IGNORE_FILE, Selection
from propeller.sources.tree import Tree

SCHEMES: Final = ("oci://", "oci-layout://")
_INTERVAL: Final = 60.0
_LOCAL_INTERVAL: Final = 1.0
_AUTHORS: Final = "org.opencontainers.image.authors"
_DESCRIPTION: Final = "org.opencontainers.image.description"


class Published(Protocol):
    """A tree as it was published."""

    @property
    def files(self) -> Mapping[str, bytes]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...


class Shelf(Protocol):
    """What `propeller.registry.specs.SpecShelf` does."""

    def check(self, text: str) -> str | None:
        """The digest that a name pins, None for a tag. Raises UsageError."""
        ...

    def head(self, text: str) -> str:
        """The digest a name means now. Raises Unavailable."""
        ...

    def fetch(self, text: str, digest: str) -> Published:
        """The tree with this digest. Raises Unavailable or SpecError."""
        ...


class OciSource:
    """One name in one registry or layout directory."""

    def __init__(self, text: str, shelf: Shelf, *, interval: float | None = None) -> None:
        self.name = text
        self._shelf = shelf
        self._pinned = shelf.check(text)
        local = text.startswith("oci-layout://")
        self._interval = interval or (_LOCAL_INTERVAL if local else _INTERVAL)
        self._last: Tree | None = None

    def head(self) -> str:
        """`sha256:...` of the manifest; a pinned one needs no question. Raises Unavailable."""
        return self._pinned or self._shelf.head(self.name)

    def read(self, head: str | None = None) -> Tree:
        """The tree of `head`, or of what the name means now. Raises Unavailable, SpecError."""
        digest = head or self.head()
        name = f"oci@{digest}"
        if self._last is None or self._last.name != name:
            self._last = _tree(name, self._shelf.fetch(self.name, digest))
        return self._last

    def accepted(self, tree: Tree) -> None:
        """Tags may be moved at will: pin a digest where that is not wanted."""

    def trusted_from(self, revision: str) -> None:
        """See `accepted`."""

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        """Asks now and then; calls `on_change` when the answer, or its lack, is new."""
        if self._pinned is not None:
            stop.wait()
            return
        poll(self.head, on_change, stop, every=self._interval, slowest=300.0)


def _tree(name: str, published: Published) -> Tree:
    files = published.files
    selection = Selection(files.get(IGNORE_FILE, b""))
    taken: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for path, data in files.items():
        if path == IGNORE_FILE:
            taken[path] = data
        elif selection.is_spec(path) or selection.is_module(path):
            wrong = size_problem(path, len(data))
            if wrong:
                problems[path] = wrong
            else:
                taken[path] = data
    return Tree(
        name=name,
        files=taken,
        author=published.annotations.get(_AUTHORS, "")[:256],
        message=published.annotations.get(_DESCRIPTION, "")[:4096],
        ids={path: sha256_digest(data) for path, data in taken.items()},
        problems=problems,
    )
