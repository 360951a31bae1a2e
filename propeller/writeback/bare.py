"""A bare repository of our own: made when it is needed, thrown away when it is damaged.

Without work tree and index; `branch` and `sidebranch` build commits in it and push them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, Protocol

from propeller.errors import Unavailable

MOST_BYTES: Final = 512 << 20
DRAFT: Final = "refs/propeller/draft"
MOVED: Final = ("[rejected]", "non-fast-forward", "fetch first", "stale info", "cannot lock ref")
"""What git says when somebody else was first."""
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


class Bare:
    """See the module. Not for several threads at once. signing_key: an OpenSSH private key file.

    patience: seconds one command may take. lost: how often it was thrown away.
    """

    def __init__(
        self, git: GitCommand, repository: Path, *, signing_key: Path | None = None
    ) -> None:
        self._git = git
        self._repository = repository.absolute()
        self._signing_key = signing_key
        self._signs = False
        self.patience = 60.0
        self.lost = 0

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git printed. Raises Unavailable."""
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
                self.lost += 1
            raise

    def prepare(self) -> None:
        """Have it there, with who commits and signs written into its own configuration."""
        if not (self._repository / "HEAD").is_file():
            self._make()
        if self._signing_key is not None and not self._signs:
            self.run("config", "gpg.format", "ssh")
            self.run("config", "user.signingKey", str(self._signing_key))
            self._signs = True

    def commit(self, draft: bytes, parent: str, message: bytes) -> str:
        """A commit of the tree that the stream `draft` leaves in DRAFT; parent: "" for none."""
        self.run("fast-import", "--quiet", "--force", "--date-format=raw", stdin=draft)
        before = ("-p", parent) if parent else ()
        sign = ("-S",) if self._signing_key is not None else ()
        raw = self.run("commit-tree", *sign, *before, f"{DRAFT}^{{tree}}", stdin=message)
        return raw.decode().strip()

    def fetch(self, remote: str, refspec: str, depth: int) -> None:
        """Bring the newest commits of a ref."""
        self.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            "--update-shallow",
            f"--depth={depth}",
            "--",
            remote,
            refspec,
        )

    def read(self, blobs: dict[str, str]) -> dict[str, bytes]:
        """The content of files by their blob ids."""
        wanted = sorted(set(blobs.values()))
        if not wanted:
            return {}
        raw = self.run("cat-file", "--batch", stdin="".join(f"{b}\n" for b in wanted).encode())
        found: dict[str, bytes] = {}
        at = 0
        for blob in wanted:
            end = raw.index(b"\n", at)
            size = int(raw[at:end].split()[2])
            found[blob] = raw[end + 1 : end + 1 + size]
            at = end + size + 2
        return {path: found[blob] for path, blob in blobs.items()}

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
