"""One consistent state of a spec tree, as `directory` and `git` hand it to `load`.

`files` may read lazily: a blob of a pinned commit, or a file checked against the digest the
snapshot saw. Whatever was not taken (too large, a symlink out of the tree) is named in `problems`
and becomes a fault only where a spec needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

MAX_MODULE_BYTES: Final = 64 << 20
MAX_FILES: Final = 150_000
MAX_TOTAL_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class Tree:
    """Paths are posix text relative to the root of the specs.

    name: the revision's (`main@sha1:<40 hex>`, `dir@sha256:<64 hex>`). ids: content ids of files,
    equal for equal bytes; a file without one is digested when needed. problems: path -> why it was
    not taken. skipped: what was left out on purpose (submodules). time: Unix milliseconds, 0 for
    none. only: the one spec file meant, where a file and not a folder was asked for. signed_by: who
    signed the commit, "" where nobody was asked. overlay: the folder of the overlay that was chosen
    to stand for the whole tree, "" for none.
    """

    name: str
    files: Mapping[str, bytes]
    author: str = ""
    message: str = ""
    time: int = 0
    ids: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    only: str | None = None
    signed_by: str = ""
    overlay: str = ""

    def mounted(self, real: Mapping[str, str], *, alone: bool) -> Tree:
        """The tree where each path of `real` is the file it names. alone: nothing else is in it."""
        ids = {path: self.ids[where] for path, where in real.items() if where in self.ids}
        problems = {
            path: self.problems[where] for path, where in real.items() if where in self.problems
        }
        if not alone:
            ids = {**self.ids, **ids}
            problems = {**self.problems, **problems}
        return replace(self, files=_Mounted(self.files, real, alone), ids=ids, problems=problems)

    def content_id(self, path: str) -> str:
        """Equal for equal bytes. Raises KeyError when there is no such file."""
        known = self.ids.get(path)
        return known or "sha256:" + hashlib.sha256(self.files[path]).hexdigest()


class _Mounted(Mapping[str, bytes]):
    """Files under other paths than they lie at; see `Tree.mounted`."""

    def __init__(self, files: Mapping[str, bytes], real: Mapping[str, str], alone: bool) -> None:
        self._files = files
        self._real = {path: where for path, where in real.items() if where in files}
        self._alone = alone

    def __getitem__(self, path: str) -> bytes:
        where = self._real.get(path)
        if where is None and self._alone:
            raise KeyError(path)
        return self._files[where if where is not None else path]

    def __contains__(self, path: object) -> bool:
        return path in self._real or (not self._alone and path in self._files)

    def __iter__(self) -> Iterator[str]:
        yield from self._real
        if not self._alone:
            yield from (path for path in self._files if path not in self._real)

    def __len__(self) -> int:
        return sum(1 for _ in self)
