"""What a commit holds below the specs' folder: a listing, its symlinks, and blobs by id.

Called by `git`, which has made the commit present in the mirror. A blob never changes, so it is
read when it is wanted, and many at a time where many will be.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from propeller.errors import Unavailable
from propeller.sources.gitcli import Git, nul_fields
from propeller.sources.select import IGNORE_FILE
from propeller.sources.tree import MAX_TOTAL_BYTES

_HOPS: Final = 40
_FEW: Final = 8
_MAX_TARGET: Final = 4096
_LINK, _SUBMODULE = b"120000", b"160000"


@dataclass(slots=True)
class Listing:
    """The tree of a commit below the specs' folder.

    files: path -> (blob, size). links: path -> what the symlink says.
    """

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    submodules: list[str] = field(default_factory=list)


def list_commit(git: Git, mirror: Path, commit: str, folder: str) -> Listing:
    """Everything below `folder` of a commit. Raises GitFailed when there is no such folder."""
    raw = git.run(
        "ls-tree",
        "-rlz",
        "--full-tree",
        f"{commit}:{folder}",
        repository=mirror,
        most=256 << 20,
    )
    listing = Listing()
    links: dict[str, str] = {}
    for row in nul_fields(raw):
        about, _, raw_path = row.partition(b"\t")
        mode, _, blob, size = about.split()
        path = raw_path.decode("utf-8", "backslashreplace")
        if mode == _SUBMODULE:
            listing.submodules.append(path)
        elif mode == _LINK:
            links[path] = blob.decode() if int(size) <= _MAX_TARGET else ""
        else:
            listing.files[path] = (blob.decode(), int(size))
    blobs = Blobs(git, mirror)
    blobs.expect(name for name in links.values() if name)
    for path, name in links.items():
        # a target no file system could follow leads out, not nowhere: it must not look deleted
        listing.links[path] = blobs.get(name).decode("utf-8", "replace") if name else "/"
    return listing


def follow(listing: Listing, path: str) -> tuple[str, int] | str:
    """The file a symlink of the tree leads to, or why it leads to none."""
    for _ in range(_HOPS):
        step = _step(listing, path)
        if step is None:
            found = listing.files.get(path)
            return found if found is not None else "is a symlink to nothing"
        if step.startswith(("/", "../")) or step == "..":
            return "is a symlink that leaves the spec tree"
        path = step
    return "is a symlink that leads in a circle"


def _step(listing: Listing, path: str) -> str | None:
    """`path` with its first symlink replaced by what it says; None when there is none in it."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        link = "/".join(parts[:end])
        if link in listing.links:
            target = posixpath.join(posixpath.dirname(link), listing.links[link], *parts[end:])
            return posixpath.normpath(target)
    return None


class Blobs:
    """Blobs of the mirror by id. Those expected to be wanted are read together, the first time."""

    def __init__(self, git: Git, mirror: Path) -> None:
        self._git = git
        self._mirror = mirror
        self._likely: frozenset[str] = frozenset()
        self._rest: frozenset[str] = frozenset()
        self._singles = 0
        self._held: dict[str, bytes] = {}

    def expect(self, likely: Iterable[str], rest: Iterable[str] = ()) -> None:
        """`likely` come with the first of them, `rest` once several were asked for one by one."""
        self._likely, self._rest = frozenset(likely), frozenset(rest)

    def get(self, blob: str) -> bytes:
        """The bytes of one blob. Raises Unavailable when the cache was emptied under us."""
        if blob not in self._held:
            wanted = frozenset((blob,))
            if blob in self._likely:
                wanted, self._likely = self._likely, frozenset()
            elif blob in self._rest:
                self._singles += 1
                if self._singles > _FEW:
                    wanted, self._rest = self._rest, frozenset()
            self._held.update(self._batch(sorted(wanted - self._held.keys())))
        return self._held[blob]

    def _batch(self, blobs: list[str]) -> Iterator[tuple[str, bytes]]:
        raw = self._git.run(
            "cat-file",
            "--batch",
            repository=self._mirror,
            stdin="".join(f"{blob}\n" for blob in blobs).encode(),
            most=MAX_TOTAL_BYTES + 100 * len(blobs),
        )
        at = 0
        for blob in blobs:
            end = raw.find(b"\n", at)
            words = raw[at:end].split()
            if end < 0 or len(words) != 3 or words[1] != b"blob":
                raise Unavailable(f"object {blob} is gone from the cache; it is fetched again")
            size = int(words[2])
            yield blob, raw[end + 1 : end + 1 + size]
            at = end + 1 + size + 1


class BlobFiles(Mapping[str, bytes]):
    """The chosen files of a commit, read when they are asked for."""

    def __init__(self, blobs: Blobs, chosen: Mapping[str, str], ignore: bytes) -> None:
        self._blobs = blobs
        self._chosen = chosen
        self._ignore = ignore

    def __getitem__(self, path: str) -> bytes:
        return self._ignore if path == IGNORE_FILE else self._blobs.get(self._chosen[path])

    def __contains__(self, path: object) -> bool:
        return path == IGNORE_FILE or path in self._chosen

    def __iter__(self) -> Iterator[str]:
        yield IGNORE_FILE
        yield from self._chosen

    def __len__(self) -> int:
        return len(self._chosen) + 1
