"""One consistent state of a spec tree, as `directory` and `git` hand it to `load`.

`files` may read lazily: a blob of a pinned commit, or a file checked against the digest the
snapshot saw. Whatever was not taken (too large, a symlink out of the tree) is named in `problems`
and becomes a fault only where a spec needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    def content_id(self, path: str) -> str:
        """Equal for equal bytes. Raises KeyError when there is no such file."""
        known = self.ids.get(path)
        return known or "sha256:" + hashlib.sha256(self.files[path]).hexdigest()
