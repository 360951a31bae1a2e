"""A branch beside the one that is watched: what that one has now, and one commit on top. Plumbing.

The watched branch is only read. A side branch is made once: where the remote has one of that name,
whatever it holds by now is somebody's, and it is left as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from propeller.errors import Conflict, Unavailable
from propeller.writeback.bare import DRAFT, MOVED, Bare, GitCommand

TRAILER: Final = "Propeller-Promote: true"
FLEET_TRAILER: Final = "Propeller-Fleet"
MOST_FILE: Final = 1 << 20
"""Bytes of a spec file that is looked at; the reader of specs takes no larger ones either."""
_BASE: Final = "refs/propeller/base"
_HEADS: Final = "refs/heads/"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_PLAIN: Final = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class Base:
    """The newest commit of the watched branch. files: path below the folder -> (mode, blob id)."""

    commit: str
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class SideBranches:
    """Of one remote. Not for several threads at once.

    watched: the branch that specs come from, "" for the remote's default. folder: where they lie
    in it. fleet: who we are.
    """

    def __init__(
        self,
        git: GitCommand,
        repository: Path,
        *,
        remote: str,
        watched: str,
        fleet: str,
        folder: str = "",
        signing_key: Path | None = None,
    ) -> None:
        self._bare = Bare(git, repository, signing_key=signing_key)
        self._remote = remote
        self._watched = watched if watched.startswith("refs/") or not watched else _HEADS + watched
        self._fleet = fleet
        self._folder = folder

    def be_quick(self, seconds: float) -> None:
        """From now on a git command may take so long."""
        self._bare.patience = seconds

    def base(self) -> Base:
        """What the watched branch holds now. Raises Unavailable, Conflict where it is none."""
        self._bare.prepare()
        ref = self._watched or "HEAD"
        commit = self._ask(ref)
        if not commit:
            raise Conflict(f"there is no branch {self._watched or 'yet'}", hint="name a branch")
        self._bare.fetch(self._remote, f"+{ref}:{_BASE}", 1)
        commit = self._bare.run("rev-parse", f"{_BASE}^{{commit}}").decode().strip()
        self._bare.run("gc", "--auto", "--quiet")
        return Base(commit, self._list(commit))

    def read(self, base: Base, paths: list[str]) -> dict[str, bytes]:
        """The content of these files of it."""
        return self._bare.read({path: base.files[path][1] for path in paths})

    def tip(self, branch: str) -> str:
        """The commit a side branch has, "" where it does not exist. Raises Unavailable."""
        self._bare.prepare()
        return self._ask(_HEADS + branch)

    def push(
        self, base: Base, changes: Mapping[str, bytes], branch: str, message: str, at: int
    ) -> str:
        """Make `branch` of `base` with these files changed; the commit. at: Unix ms.

        Raises Conflict where somebody made it meanwhile, Unavailable for anything else.
        """
        self._bare.prepare()
        parts = [f"commit {DRAFT}\ncommitter x <x> {at // 1000} +0000\ndata 0\n".encode()]
        parts.append(f"from {base.commit}\n".encode())
        for path, data in sorted(changes.items()):
            whole = _quoted(posixpath.join(self._folder, path))
            mode = base.files[path][0]
            parts.append(b"M %s inline %s\ndata %d\n" % (mode.encode(), whole, len(data)))
            parts += [data, b"\n"]
        words = f"{message.rstrip()}\n\n{TRAILER}\n{FLEET_TRAILER}: {self._fleet}\n"
        commit = self._bare.commit(b"".join(parts), base.commit, words.encode())
        ref = _HEADS + branch
        try:
            self._bare.run(
                "push",
                "--quiet",
                f"--force-with-lease={ref}:",  # only where there is none
                "--",
                self._remote,
                f"{commit}:{ref}",
            )
        except Unavailable as error:
            said = str(getattr(error, "said", error.what))
            if any(word in said for word in MOVED):
                raise Conflict(f"{branch} is there already") from error
            raise
        return commit

    # -- inside -------------------------------------------------------------------------------

    def _ask(self, ref: str) -> str:
        out = self._bare.run("ls-remote", "--", self._remote, ref)
        for line in out.decode("utf-8", "replace").splitlines():
            commit, _, name = line.partition("\t")
            if name == ref and _COMMIT.match(commit):
                return commit
        return ""

    def _list(self, commit: str) -> dict[str, tuple[str, str]]:
        """Plain files of a size that specs have."""
        folder = f"{self._folder}/" if self._folder else ""
        raw = self._bare.run(
            "ls-tree", "-rlz", "--full-tree", commit, *([folder] if folder else ())
        )
        files = {}
        for row in raw.split(b"\0"):
            about, tab, path = row.partition(b"\t")
            if not tab:
                continue
            mode, _, blob, size = about.decode().split()
            if mode in _PLAIN and int(size) <= MOST_FILE:
                name = path.decode("utf-8", "surrogateescape")
                files[name.removeprefix(folder)] = (mode, blob)
        return files


def _quoted(path: str) -> bytes:
    """A path as `git fast-import` reads it whatever is in it."""
    raw = path.encode("utf-8", "surrogateescape")
    escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'
