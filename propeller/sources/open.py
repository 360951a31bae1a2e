"""What a person names as the source -> the `Source` that reads it.

`serve`, `up`, `validate`, `diff` and the rest open sources here and nowhere else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from propeller.errors import UsageError
from propeller.sources.address import GitAddress, parse_address
from propeller.sources.oci import SCHEMES, OciSource, Shelf
from propeller.sources.tree import Tree

if TYPE_CHECKING:
    from propeller.sources.access import Access
    from propeller.sources.trust import Trust


class Source(Protocol):
    """Where specs come from. `name` is for people; passwords in it are masked."""

    name: str

    def head(self) -> str:
        """What would be read now, found cheaply: a commit, or the digest of a folder.

        Raises Unavailable.
        """
        ...

    def read(self, head: str | None = None) -> Tree:
        """The tree of `head`, or of now. Raises Unavailable, or SpecError for the author."""
        ...

    def accepted(self, tree: Tree) -> None:
        """`tree` was taken. A repository remembers it: what comes next must grow out of it.

        Raises Unavailable.
        """
        ...

    def trusted_from(self, revision: str) -> None:
        """The revision of this source taken last, for a source that forgot; "" for none."""
        ...

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        """Blocks until `stop`; calls `on_change` when `head` may have changed."""
        ...


def open_source(
    text: str,
    *,
    cache: Path,
    ref: str | None = None,
    git: bool = False,
    exclude: Iterable[Path] = (),
    environ: Mapping[str, str] | None = None,
    interval: float | None = None,
    access: Access | None = None,
    trust: Trust | None = None,
    shelf: Shelf | None = None,
    overlay: str = "",
) -> Source:
    """The source `text` names. Nothing is read yet. Raises UsageError.

    cache: a private folder for bare repositories. exclude: folders that are never specs (the state
    directory). environ: what git may be told (PATH, the ssh agent, proxies); default: our own.
    interval: seconds between two questions to a repository. access: logins by git host. trust: what
    is asked of a commit; by default that it grows out of the last accepted one. shelf: who fetches
    published trees, `oci://...`. overlay: the folder of the overlay that stands for the whole tree.
    """
    if overlay:
        inner = open_source(
            text,
            cache=cache,
            ref=ref,
            git=git,
            exclude=exclude,
            environ=environ,
            interval=interval,
            access=access,
            trust=trust,
            shelf=shelf,
        )
        return Overlaid(inner, overlay_folder(overlay))
    if text.startswith(SCHEMES):
        if shelf is None:
            raise UsageError(f"{text}: a published tree cannot be read here")
        if ref is not None or git:
            raise UsageError(f"{text}: is no git repository", hint="leave out --git and --ref")
        return OciSource(text, shelf, interval=interval)
    address = parse_address(text, ref=ref, git=git)
    if isinstance(address, GitAddress):
        from propeller.sources.git import GitSource
        from propeller.sources.trust import Trust

        given = os.environ if environ is None else environ
        (trust or Trust()).check()
        return GitSource(
            address,
            cache=cache.absolute(),
            environ=given,
            interval=interval,
            access=access,
            trust=trust,
        )
    if ref is not None:
        raise UsageError(
            f"{text}: a folder has no ref {ref!r}",
            hint="add --git to read it as a repository: a plain path means its files",
        )
    if not address.exists():
        raise UsageError(f"{text}: no such file or folder")
    from propeller.sources.directory import DirectorySource

    return DirectorySource(address, exclude=tuple(exclude))


class Overlaid:
    """A source of which one overlay stands for the whole tree; see `overlays`."""

    def __init__(self, source: Source, folder: str) -> None:
        self._source = source
        self._folder = folder
        self.name = source.name

    @property
    def inner(self) -> Source:
        """The source it was chosen in."""
        return self._source

    def head(self) -> str:
        """As of the source."""
        return self._source.head()

    def read(self, head: str | None = None) -> Tree:
        """The whole tree, with the overlay that was chosen."""
        return replace(self._source.read(head), overlay=self._folder)

    def accepted(self, tree: Tree) -> None:
        """As of the source."""
        self._source.accepted(tree)

    def trusted_from(self, revision: str) -> None:
        """As of the source."""
        self._source.trusted_from(revision)

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        """As of the source."""
        self._source.watch(on_change, stop)


def address_of(source: Source) -> GitAddress | None:
    """The repository that a source reads; None for a folder and for a registry."""
    from propeller.sources.git import GitSource

    inner = source.inner if isinstance(source, Overlaid) else source
    return inner.address if isinstance(inner, GitSource) else None


def overlay_folder(text: str) -> str:
    """The folder `--overlay` means, relative to the root of the specs. Raises UsageError."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or text.startswith("/") or "\\" in text:
        raise UsageError(
            f"--overlay {text}: must be a folder inside the spec tree",
            hint="relative to the root of the specs, for instance environments/production",
        )
    return "/".join(parts)
