"""Whether a commit may become what is wanted: signed as asked, and grown out of the last one.

`git` asks before it reads a tree. What was last accepted is remembered in a file beside the mirror,
so that a restart does not forget it; where the file is lost, the store's last revision counts.
Refusing is a `Distrusted` error: the last accepted revision stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from propeller.errors import Fault, SpecError, Unavailable, UsageError
from propeller.sources.address import is_commit
from propeller.sources.gitcli import Git, GitFailed
from propeller.sources.nodes import printable
from propeller.sources.signatures import Keys, NotSigned, keys

Verify = Literal["Disabled", "Head", "Range"]
History = Literal["FastForward", "Any"]

MAX_RANGE: Final = 1000
"""Commits that are verified one by one between two looks; more want a person."""

_MAX_NOTE: Final = 64 << 10


class Distrusted(SpecError):
    """The commit is not to be trusted. It may be later: the files that name signers change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is asked of a commit.

    verify: signatures of none, of the head, or of every commit since the last accepted one.
    history: whether a head must descend from the last accepted commit.
    allowed_signers: SSH keys. gpg_keys: OpenPGP public keys.
    trusted_commit: where trust begins, and how a person vouches for a history that was rewritten.
    """

    verify: Verify = "Disabled"
    history: History = "FastForward"
    allowed_signers: Path | None = None
    gpg_keys: Path | None = None
    trusted_commit: str | None = None

    def check(self) -> None:
        """Raises UsageError for what could accept nothing."""
        if self.verify != "Disabled" and self.allowed_signers is None and self.gpg_keys is None:
            raise UsageError(
                f"git.verify: {self.verify} needs to know whose signatures count",
                hint="name them with git.allowedSigners (SSH) or git.gpgKeys (OpenPGP)",
            )
        if self.trusted_commit is not None and not is_commit(self.trusted_commit):
            raise UsageError(
                f"git.trustedCommit {self.trusted_commit!r} is no commit",
                hint="write all 40 hex digits",
            )


class Judge:
    """The trust in one ref of one repository."""

    def __init__(self, git: Git, mirror: Path, note: Path, trust: Trust) -> None:
        self._git = git
        self._mirror = mirror
        self._note = note
        self._trust = trust
        self._told: str | None = None

    @property
    def accepted(self) -> str | None:
        """The commit last accepted; None before the first. Raises Unavailable."""
        return self._read() or self._told

    @property
    def base(self) -> str | None:
        """A commit that a new head has to be measured against, if there is one."""
        return self.accepted or self._trust.trusted_commit

    def trusted_from(self, commit: str) -> None:
        """What the store says was accepted last; counts only where nothing is remembered here."""
        self._told = commit if is_commit(commit) else None

    def accept(self, commit: str) -> None:
        """Remember that this one was accepted. Raises Unavailable."""
        if commit == self._read():
            return
        keep = f"refs/propeller/accepted-{self._note.stem}"
        try:
            self._git.run("update-ref", keep, commit, repository=self._mirror)
            fresh = self._note.with_suffix(f".{os.getpid()}")
            with fresh.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"accepted": commit}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._note)
        except OSError as error:
            raise Unavailable(f"{self._note}: {error.strerror}") from error

    def judge(self, commit: str, name: str, label: str, deepen: Callable[[], None]) -> str:
        """Who signed the commit ("" when nobody is asked), or Distrusted.

        name: of the revision. label: the ref as people know it. deepen: brings what the mirror
        lacks of the history. The commit itself is in the mirror.
        """
        base = self._base_for(commit)
        words = self._rewritten(commit, base, label)
        if words and self._shallow():
            deepen()
            base = self._base_for(commit)
            words = self._rewritten(commit, base, label)
        if words:
            raise Distrusted([Fault(name, 0, "", words + self._in_whose_name(commit))])
        if self._trust.verify == "Disabled":
            return ""
        return self._signed(commit, base, name, deepen)

    # -- history ------------------------------------------------------------------------------

    def _base_for(self, commit: str) -> str | None:
        """The last accepted commit, unless a person vouched for one that it did not know."""
        accepted, trusted = self.accepted, self._trust.trusted_commit
        if accepted is None or trusted is None:
            return accepted or trusted
        if not self._descends(commit, trusted) or self._descends(accepted, trusted):
            return accepted
        # Where the mirror does not know all of the old history, only a head itself is vouched for.
        return trusted if commit == trusted or not self._shallow() else accepted

    def _rewritten(self, commit: str, base: str | None, label: str) -> str:
        """Why `commit` does not grow out of `base`, "" when it does or need not."""
        if base is None or self._trust.history == "Any" or self._descends(commit, base):
            return ""
        if self._descends(base, commit):
            return (
                f"{label} went back to commit {commit[:12]}, which is older than {base[:12]}, the"
                " last accepted one; undo with a new commit (git revert), or vouch for it with"
                f" git.trustedCommit: {commit}"
            )
        what = "the last accepted one" if base == self.accepted else "the trusted one"
        return (
            f"{label} was rewritten: commit {commit[:12]} does not descend from {base[:12]},"
            f" {what}; if that was meant, vouch for it with git.trustedCommit: {commit}"
        )

    def _descends(self, commit: str, ancestor: str) -> bool:
        if commit == ancestor:
            return True
        answer = self._git.ask(
            "merge-base", "--is-ancestor", ancestor, commit, repository=self._mirror
        )
        return answer.code == 0

    def _shallow(self) -> bool:
        out = self._git.run("rev-parse", "--is-shallow-repository", repository=self._mirror)
        return out.strip() == b"true"

    def _in_whose_name(self, commit: str) -> str:
        """Author of a refused head and, where signatures are asked for, its signer."""
        words = f" (author {self._author(commit)}"
        if self._trust.verify != "Disabled":
            with self._keys() as known:
                found = known.check(self._git, self._mirror, commit)
            words += (
                f", {found.words}"
                if isinstance(found, NotSigned)
                else f", signed by {found.signer}"
            )
        return words + ")"

    def _author(self, commit: str) -> str:
        out = self._git.run(
            "show", "--no-patch", "--format=%an <%ae>", commit, repository=self._mirror
        )
        return printable(out.decode("utf-8", "replace").strip()[:200])

    # -- signatures ---------------------------------------------------------------------------

    def _keys(self) -> AbstractContextManager[Keys]:
        return keys(self._trust.allowed_signers, self._trust.gpg_keys, path=self._git.path)

    def _signed(self, commit: str, base: str | None, name: str, deepen: Callable[[], None]) -> str:
        with self._keys() as known:
            signer, faults = self._signer(known, commit)
            if self._trust.verify == "Range" and base is not None and base != commit:
                if self._shallow():
                    deepen()
                for one in self._between(base, commit, name):
                    if one != commit:
                        faults += self._signer(known, one)[1]
        if faults:
            raise Distrusted([Fault(name, 0, "", words) for words in faults])
        return signer

    def _signer(self, known: Keys, commit: str) -> tuple[str, list[str]]:
        found = known.check(self._git, self._mirror, commit)
        if isinstance(found, NotSigned):
            return "", [f"commit {commit[:12]} by {self._author(commit)} is {found.words}"]
        return found.signer, []

    def _between(self, base: str, commit: str, name: str) -> list[str]:
        """Commits of the head that the base does not have, merged ones too."""
        try:
            out = self._git.run(
                "rev-list",
                f"--max-count={MAX_RANGE + 1}",
                commit,
                f"^{base}",
                repository=self._mirror,
            )
        except GitFailed:  # the base is gone with the old history: all of the new one is new
            out = self._git.run(
                "rev-list", f"--max-count={MAX_RANGE + 1}", commit, repository=self._mirror
            )
        found = out.decode().split()
        if len(found) > MAX_RANGE:
            words = (
                f"more than {MAX_RANGE} commits since {base[:12]}; verify them by hand and vouch"
                f" for the last one with git.trustedCommit: {commit}"
            )
            raise Distrusted([Fault(name, 0, "", words)])
        return found

    # -- memory -------------------------------------------------------------------------------

    def _read(self) -> str | None:
        try:
            with self._note.open("rb") as file:
                found = json.loads(file.read(_MAX_NOTE))["accepted"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"{self._note}: does not say which commit was accepted last",
                hint="after looking at the repository, remove the file",
            ) from error
        return found if isinstance(found, str) and is_commit(found) else None
