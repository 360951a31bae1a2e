"""A branch that holds a folder: read what it has, put a commit on top, push. Plumbing only.

Works in a bare repository of its own, without work tree and index. A push never forces: when
somebody else was first, the newest commit is fetched and ours is built again on top of it, so what
others put on the branch stays. A branch that nobody of this fleet ever wrote to is left alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from propeller.errors import Conflict, Unavailable
from propeller.writeback.bare import DRAFT, MOVED, Bare, GitCommand

TRAILER: Final = "Propeller-Status: true"
FLEET_TRAILER: Final = "Propeller-Fleet"

LOOK_BACK: Final = 20
"""Commits of the branch that are looked through for our own."""

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_REMOTE: Final = "refs/propeller/remote"


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest commit. files: path below the folder -> blob id."""

    commit: str
    files: Mapping[str, str] = field(default_factory=dict)


NOTHING: Final = Tip("")


class Branch:
    """One branch of one remote. Not for several threads at once.

    folder: the part of its tree that is ours. fleet: who we are; a branch whose last status commit
    is another fleet's is left alone. signing_key: an OpenSSH private key file.
    """

    def __init__(
        self,
        git: GitCommand,
        repository: Path,
        *,
        remote: str,
        branch: str,
        fleet: str,
        folder: str = "status",
        signing_key: Path | None = None,
    ) -> None:
        self._bare = Bare(git, repository, signing_key=signing_key)
        self._remote = remote
        self._ref = f"refs/heads/{branch}"
        self._fleet = fleet
        self._folder = folder
        self._known: Tip | None = None
        self._lost = 0

    @property
    def patience(self) -> float:
        """Seconds that one git command may take."""
        return self._bare.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._bare.patience = seconds

    def tip(self) -> Tip:
        """What the branch holds now; NOTHING where it does not exist.

        Raises Unavailable when the remote does not answer, Conflict when the branch is not ours.
        """
        self._bare.prepare()
        commit = self._ask()
        if self._lost != self._bare.lost:
            self._known, self._lost = None, self._bare.lost
        if self._known is None or self._known.commit != commit:
            self._known = self._read() if commit else NOTHING
        return self._known

    def read(self, blobs: Mapping[str, str]) -> dict[str, bytes]:
        """The content of files by their blob ids."""
        return self._bare.read(dict(blobs))

    def push(self, tip: Tip, changes: Mapping[str, bytes | None], message: str, at: int) -> str:
        """Put `changes` (None removes) on top of `tip`; the new commit. at: Unix ms.

        Raises Conflict when the branch has moved on from `tip`, Unavailable for anything else.
        """
        self._bare.prepare()
        draft = _stream(tip.commit, self._folder, changes, at)
        commit = self._bare.commit(draft, tip.commit, self._signed_off(message))
        try:
            self._bare.run(
                "push",
                "--quiet",
                f"--force-with-lease={self._ref}:{tip.commit}",
                "--",
                self._remote,
                f"{commit}:{self._ref}",
            )
        except Unavailable as error:
            said = str(getattr(error, "said", error.what))
            if any(word in said for word in MOVED):
                self._known = None
                raise Conflict(f"{self._ref} has moved on") from error
            raise
        self._known = Tip(commit, self._list(commit))
        return commit

    # -- inside -------------------------------------------------------------------------------

    def _signed_off(self, message: str) -> bytes:
        return f"{message.rstrip()}\n\n{TRAILER}\n{FLEET_TRAILER}: {self._fleet}\n".encode()

    def _ask(self) -> str:
        """The commit the remote has, "" for none."""
        out = self._bare.run("ls-remote", "--symref", "--", self._remote, "HEAD", self._ref)
        commit = ""
        for line in out.decode("utf-8", "replace").splitlines():
            left, _, right = line.partition("\t")
            if left == f"ref: {self._ref}" and right == "HEAD":
                raise Conflict(
                    f"{self._ref} is the repository's own default branch",
                    hint="give the status a branch of its own",
                )
            if right == self._ref and _COMMIT.match(left):
                commit = left
        return commit

    def _read(self) -> Tip:
        self._bare.fetch(self._remote, f"+{self._ref}:{_REMOTE}", LOOK_BACK)
        newest = self._bare.run("rev-parse", _REMOTE).decode().strip()
        self._check_ours()
        self._bare.run("gc", "--auto", "--quiet")
        return Tip(newest, self._list(newest))

    def _check_ours(self) -> None:
        log = self._bare.run("log", f"--max-count={LOOK_BACK}", "--format=%B%x00", _REMOTE)
        for message in log.decode("utf-8", "replace").split("\0"):
            lines = message.strip().splitlines()
            if TRAILER not in lines:
                continue
            if f"{FLEET_TRAILER}: {self._fleet}" not in lines:
                raise Conflict(
                    f"{self._ref} holds the status of another fleet",
                    hint="give each fleet a branch of its own",
                )
            return
        raise Conflict(
            f"{self._ref} holds commits that are no status of ours: it is left alone",
            hint="name a branch that does not exist yet",
        )

    def _list(self, commit: str) -> dict[str, str]:
        raw = self._bare.run("ls-tree", "-rz", "--full-tree", commit, f"{self._folder}/")
        files = {}
        for row in raw.split(b"\0"):
            about, tab, path = row.partition(b"\t")
            if tab:
                name = path.decode("utf-8", "backslashreplace")
                files[name.removeprefix(f"{self._folder}/")] = about.split()[2].decode()
        return files


def blob_id(data: bytes) -> str:
    """The id git gives to `data` (in a repository of SHA-1)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _stream(parent: str, folder: str, changes: Mapping[str, bytes | None], at: int) -> bytes:
    """What `git fast-import` is told: the tree we want, on a commit that nobody sees."""
    parts = [f"commit {DRAFT}\ncommitter x <x> {at // 1000} +0000\ndata 0\n".encode()]
    if parent:
        parts.append(f"from {parent}\n".encode())
    for path, data in sorted(changes.items()):
        if data is None:
            parts.append(f"D {folder}/{path}\n".encode())
        else:
            parts.append(f"M 100644 inline {folder}/{path}\ndata {len(data)}\n".encode())
            parts += [data, b"\n"]
    return b"".join(parts)
