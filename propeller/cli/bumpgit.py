"""What `bump` does with git: commit its edits, on this branch or on one of their own, and push.

Uses the git of whoever types, with their name, keys and hooks. A branch of its own is made by
plumbing: the work tree, the index and the branch that is checked out stay as they are. Nothing is
ever forced.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from propeller.errors import Conflict, Unavailable, UsageError
from propeller.sources.address import mask

TRAILER = "Propeller-Bump: true"
PATIENCE = 120
"""Seconds that git may take."""


def add_commit(parser: argparse.ArgumentParser) -> None:
    """The options of verbs that edit specs and may commit what they edited."""
    parser.add_argument("--commit", action="store_true", help="commit the edits with git")
    parser.add_argument(
        "--branch",
        metavar="NAME",
        help="commit them as this branch on top of the last commit; files here stay as they are",
    )
    parser.add_argument(
        "--push", action="store_true", help="push the branch; goes with --commit or --branch"
    )
    parser.add_argument(
        "--remote", default="origin", metavar="R", help="where --push sends it (default origin)"
    )
    parser.add_argument("-m", "--message", metavar="TEXT", help="of the commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was committed, also where it was so already. branch: "" for none."""

    branch: str
    commit: str
    pushed: bool = False


class Repository:
    """The repository that a folder lies in. Raises UsageError where there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = self._run("rev-parse", "--show-prefix").strip()
        self.head = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        self.branch = self._run("symbolic-ref", "--quiet", "--short", "HEAD", code=True).strip()
        """The one that is checked out, "" for none."""
        self._top = Path(self._run("rev-parse", "--show-toplevel").strip())

    def refuse_edits(self, files: Mapping[str, bytes]) -> None:
        """Raises Conflict where a file to be edited has edits that are not committed."""
        paths = [self._path(name) for name in files]
        told = self._run("status", "--porcelain", "-z", "--", *paths, folder=self._top)
        dirty = sorted(one[3:] for one in told.split("\0") if one)
        if dirty:
            raise Conflict(
                f"{dirty[0]}: has edits that are not committed", hint="commit or stash them first"
            )

    def commit_here(self, files: Mapping[str, bytes], message: str) -> Made:
        """Commit the files, which were written already, and nothing else that is staged."""
        paths = [self._path(name) for name in files]
        self._run("commit", "--quiet", "--message", message, "--", *paths, folder=self._top)
        return Made(branch=self.branch, commit=self._run("rev-parse", "HEAD").strip())

    def commit_apart(self, files: Mapping[str, bytes], message: str, branch: str) -> Made:
        """Commit the files on top of HEAD as `branch`, without a look at the work tree.

        Raises Conflict where the branch has something else that HEAD has not.
        """
        ref = self._ref(branch)
        tree = self._tree(files)
        before = self._run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", code=True)
        before = before.strip()
        if f"branch {ref}\n" in self._run("worktree", "list", "--porcelain"):
            raise Conflict(f"branch {branch} is checked out", hint="say --commit instead")
        if before and self._run("rev-parse", f"{before}^{{tree}}").strip() == tree:
            return Made(branch=branch, commit=before)
        if before and not self._is_ancestor(before):
            raise Conflict(
                f"branch {branch} has commits that are not merged",
                hint="merge or delete it, or name another branch",
            )
        text = f"{message.rstrip()}\n\n{TRAILER}\n"
        commit = self._run("commit-tree", tree, "-p", self.head, stdin=text.encode()).strip()
        self._run("update-ref", ref, commit, before or "0" * len(commit))
        return Made(branch=branch, commit=commit)

    def push(self, made: Made, remote: str) -> Made:
        """Send the branch; somebody else's commits there are never overwritten."""
        ref = self._ref(made.branch)
        try:
            self._run("push", "--quiet", "--", remote, f"{made.commit}:{ref}")
        except UsageError as error:
            words = str(error)
            if any(one in words for one in ("rejected", "non-fast-forward", "fetch first")):
                raise Conflict(
                    f"{remote} has another {made.branch}; it was not overwritten",
                    hint="merge or delete it there, or name another branch",
                ) from error
            raise Unavailable(words, hint="the commit is made; push it later") from error
        return Made(branch=made.branch, commit=made.commit, pushed=True)

    # -- inside -------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _ref(self, branch: str) -> str:
        ref = f"refs/heads/{branch}"
        try:
            self._run("check-ref-format", "--branch", branch)
        except UsageError:
            raise UsageError(f"{branch!r} is no name of a branch") from None
        return ref

    def _tree(self, files: Mapping[str, bytes]) -> str:
        with tempfile.TemporaryDirectory(prefix="propeller-bump-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._run("read-tree", self.head, extra=index)
            for name, data in files.items():
                path = self._path(name)
                listed = self._run("ls-files", "--stage", "-z", "--", path, extra=index,
                                   folder=self._top)  # fmt: skip
                if not listed:
                    raise Conflict(f"{path}: is not in the last commit", hint="commit it first")
                blob = self._run("hash-object", "-w", "--stdin", stdin=data).strip()
                entry = f"{listed.split()[0]},{blob},{path}"
                self._run("update-index", "--cacheinfo", entry, extra=index, folder=self._top)
            return self._run("write-tree", extra=index).strip()

    def _is_ancestor(self, commit: str) -> bool:
        base = self._run("merge-base", commit, self.head, code=True).strip()
        return base == commit

    def _run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        folder: Path | None = None,
        code: bool = False,
    ) -> str:
        """What git printed. code: "" where it fails. Raises UsageError with git's words."""
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(extra or {})}
        try:
            done = subprocess.run(
                ["git", "--no-pager", "-C", str(folder or self._folder), *arguments],
                input=stdin,
                capture_output=True,
                env=environment,
                timeout=PATIENCE,
                check=False,
            )
        except OSError as error:
            raise UsageError(f"git cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise Unavailable(f"git {arguments[0]}: no answer in {PATIENCE} s") from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "surrogateescape")
        if code:
            return ""
        words = mask((done.stderr or done.stdout).decode("utf-8", "replace")).strip()
        hint = "git config user.name and user.email" if "tell me who you are" in words else ""
        raise UsageError(f"git {arguments[0]}: {words[-500:] or 'failed'}", hint=hint)
