"""A branch that holds a folder: read what it has, put a commit on top, push. Plumbing only.

Works in a bare repository of its own, without work tree and index. A push never forces: when
somebody else was first, the newest commit is fetched and ours is built again on top of it, so what
others put on the branch stays. A branch that nobody of this fleet ever wrote to is left alone.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from propeller.errors import Conflict, Unavailable

TRAILER: Final = "Propeller-Status: true"
FLEET_TRAILER: Final = "Propeller-Fleet"

LOOK_BACK: Final = 20
"""Commits of the branch that are looked through for our own."""

MOST_BYTES: Final = 512 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_DRAFT, _REMOTE = "refs/propeller/draft", "refs/propeller/remote"
_MOVED: Final = ("[rejected]", "non-fast-forward", "fetch first", "stale info", "cannot lock ref")
_BROKEN: Final = (
    ".lock': File exists",
    "bad object",
    "corrupt",
    "could not parse",
    "missing",
    "not a git repository",
    "unable to read",
)
"""What git says when our own repository is damaged."""


class GitCommand(Protocol):
    """How git is started; `propeller.sources.gitcli.Git` is one."""

    def run(
        self,
        *arguments: str,
        repository: Path | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        most: int = 16 << 20,
    ) -> bytes:
        """What git printed. Raises Unavailable; what git said is in its `said` where it has one."""
        ...


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
        self._git = git
        self._repository = repository.absolute()
        self._remote = remote
        self._ref = f"refs/heads/{branch}"
        self._fleet = fleet
        self._folder = folder
        self._signing_key = signing_key
        self._signs = False
        self._known: Tip | None = None
        self.patience = 60.0

    def tip(self) -> Tip:
        """What the branch holds now; NOTHING where it does not exist.

        Raises Unavailable when the remote does not answer, Conflict when the branch is not ours.
        """
        self._prepare()
        commit = self._ask()
        if self._known is None or self._known.commit != commit:
            self._known = self._read() if commit else NOTHING
        return self._known

    def read(self, blobs: Mapping[str, str]) -> dict[str, bytes]:
        """The content of files by their blob ids."""
        wanted = sorted(set(blobs.values()))
        if not wanted:
            return {}
        raw = self._run("cat-file", "--batch", stdin="".join(f"{b}\n" for b in wanted).encode())
        found: dict[str, bytes] = {}
        at = 0
        for blob in wanted:
            end = raw.index(b"\n", at)
            size = int(raw[at:end].split()[2])
            found[blob] = raw[end + 1 : end + 1 + size]
            at = end + size + 2
        return {path: found[blob] for path, blob in blobs.items()}

    def push(self, tip: Tip, changes: Mapping[str, bytes | None], message: str, at: int) -> str:
        """Put `changes` (None removes) on top of `tip`; the new commit. at: Unix ms.

        Raises Conflict when the branch has moved on from `tip`, Unavailable for anything else.
        """
        self._prepare()
        draft = _stream(tip.commit, self._folder, changes, at)
        self._run("fast-import", "--quiet", "--force", "--date-format=raw", stdin=draft)
        parent = ("-p", tip.commit) if tip.commit else ()
        sign = ("-S",) if self._signing_key is not None else ()
        raw = self._run(
            "commit-tree", *sign, *parent, f"{_DRAFT}^{{tree}}", stdin=self._signed_off(message)
        )
        commit = raw.decode().strip()
        try:
            self._run(
                "push",
                "--quiet",
                f"--force-with-lease={self._ref}:{tip.commit}",
                "--",
                self._remote,
                f"{commit}:{self._ref}",
            )
        except Unavailable as error:
            said = str(getattr(error, "said", error.what))
            if any(word in said for word in _MOVED):
                self._known = None
                raise Conflict(f"{self._ref} has moved on") from error
            raise
        self._known = Tip(commit, self._list(commit))
        return commit

    # -- inside -------------------------------------------------------------------------------

    def _signed_off(self, message: str) -> bytes:
        return f"{message.rstrip()}\n\n{TRAILER}\n{FLEET_TRAILER}: {self._fleet}\n".encode()

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            return self._git.run(
                *arguments,
                repository=self._repository,
                stdin=stdin,
                timeout=self.patience,
                most=MOST_BYTES,
            )
        except Unavailable as error:
            said = str(getattr(error, "said", ""))
            if any(word in said for word in _BROKEN):
                # Ours is only a copy: what a power cut left of it is thrown away.
                shutil.rmtree(self._repository, ignore_errors=True)
                self._known = None
            raise

    def _prepare(self) -> None:
        """The bare repository, with who commits and signs written into its own configuration."""
        if not (self._repository / "HEAD").is_file():
            self._make()
        if self._signing_key is not None and not self._signs:
            self._run("config", "gpg.format", "ssh")
            self._run("config", "user.signingKey", str(self._signing_key))
            self._signs = True

    def _make(self) -> None:
        fresh = self._repository.with_suffix(".new")
        self._signs = False
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.parent.mkdir(parents=True, exist_ok=True)
            self._git.run("init", "--quiet", "--bare", "--template=", "--", str(fresh))
            settings = {"user.name": "Propeller", "user.email": "propeller@localhost"}
            for name, value in settings.items():
                self._git.run("config", name, value, repository=fresh)
            shutil.rmtree(self._repository, ignore_errors=True)
            fresh.rename(self._repository)
        except OSError as error:
            raise Unavailable(f"{self._repository}: {error.strerror}") from error

    def _ask(self) -> str:
        """The commit the remote has, "" for none."""
        out = self._run("ls-remote", "--symref", "--", self._remote, "HEAD", self._ref)
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
        self._run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            "--update-shallow",
            f"--depth={LOOK_BACK}",
            "--",
            self._remote,
            f"+{self._ref}:{_REMOTE}",
        )
        newest = self._run("rev-parse", _REMOTE).decode().strip()
        self._check_ours()
        self._run("gc", "--auto", "--quiet")
        return Tip(newest, self._list(newest))

    def _check_ours(self) -> None:
        log = self._run("log", f"--max-count={LOOK_BACK}", "--format=%B%x00", _REMOTE)
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
        raw = self._run("ls-tree", "-rz", "--full-tree", commit, f"{self._folder}/")
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
    parts = [f"commit {_DRAFT}\ncommitter x <x> {at // 1000} +0000\ndata 0\n".encode()]
    if parent:
        parts.append(f"from {parent}\n".encode())
    for path, data in sorted(changes.items()):
        if data is None:
            parts.append(f"D {folder}/{path}\n".encode())
        else:
            parts.append(f"M 100644 inline {folder}/{path}\ndata {len(data)}\n".encode())
            parts += [data, b"\n"]
    return b"".join(parts)
