"""What a person names as the source -> the `Source` that reads it.

`serve`, `up`, `validate`, `diff` and the rest open sources here and nowhere else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from propeller.errors import UsageError
from propeller.sources.access import Access
from propeller.sources.address import GitAddress, parse_address
from propeller.sources.tree import Tree
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
) -> Source:
    """The source `text` names. Nothing is read yet. Raises UsageError.

    cache: a private folder for bare repositories. exclude: folders that are never specs (the state
    directory). environ: what git may be told (PATH, the ssh agent, proxies); default: our own.
    interval: seconds between two questions to a repository. access: logins by git host. trust: what
    is asked of a commit; by default that it grows out of the last accepted one.
    """
    address = parse_address(text, ref=ref, git=git)
    if isinstance(address, GitAddress):
        from propeller.sources.git import GitSource

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
