"""Status in git: decides when a commit is worth making, and makes it through `branch`.

A commit is made when something a person would call news has changed, at most once an interval and
with everything that came in between. What changes without being news (restart counters, times,
ages in messages) travels along but never causes a commit. Whatever the remote does, nothing else
waits for it: the trouble is told once and the push is tried again later.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final, Protocol

from propeller.errors import Conflict, PropellerError
from propeller.writeback.branch import Tip, blob_id
from propeller.writeback.news import Batch
from propeller.writeback.retry import backoff

Remark = Callable[[str, str, str], None]
"""Tells the fleet's people something: severity, reason, message."""

SETTLE: Final = 1_000
"""ms to wait for more after the first change, so that one turn of the loop is one commit."""

ATTEMPTS: Final = 5
"""How often a push is built again on top of what others pushed, before it counts as a failure."""

FINISH_PATIENCE: Final = 8.0
"""Seconds one git command may take while the process ends."""

SHOWN: Final = 20
"""Changed objects named in a commit message."""

_QUIET = (
    "attempt", "attempted", "ended", "lastScheduled", "lastTransitionTime", "message",
    "observedAt", "restarts", "run", "since", "started",
)  # fmt: skip
_QUIET_LINE = re.compile(rb"^[ -]*(?:%s): .*\n" % "|".join(_QUIET).encode(), re.MULTILINE)


def news_in(text: bytes) -> bytes:
    """A status file without what changes all the time."""
    return _QUIET_LINE.sub(b"", text)


class Target(Protocol):
    """The branch; `branch.Branch` is one."""

    patience: float

    def tip(self) -> Tip: ...
    def read(self, blobs: Mapping[str, str]) -> dict[str, bytes]: ...
    def push(self, tip: Tip, changes: Mapping[str, bytes | None], message: str, at: int) -> str: ...


class StatusBranch:
    """The desk that keeps a branch equal to the status files. `start` is their text at the start.

    shown: how the branch is called in messages. interval: ms between two commits, at least.
    """

    def __init__(
        self,
        branch: Target,
        *,
        shown: str,
        interval: int,
        remark: Remark,
        rng: random.Random,
        start: Callable[[], Mapping[str, bytes]],
    ) -> None:
        self._branch = branch
        self._shown = shown
        self._interval = interval
        self._remark = remark
        self._rng = rng
        self._start = start
        self._files: dict[str, bytes] | None = None
        self._revision = ""
        self._changed_at: int | None = None
        self._last = 0
        self._failures = 0
        self._retry_at = 0
        self._trouble = ""
        self.commits = 0

    def take(self, batch: Batch, now: int) -> None:
        """Note changed files."""
        if self._files is None:
            self._files = dict(self._start())
            self._changed_at = now
        for path, text in batch.files.items():
            before = self._files.get(path)
            if text is None:
                self._files.pop(path, None)
            else:
                self._files[path] = text
            is_news = news_in(before or b"") != news_in(text or b"")
            if is_news and self._changed_at is None:
                self._changed_at = now
        for took in batch.took:
            if took.accepted:
                self._revision = took.name

    def work(self, now: int) -> int | None:
        """Commit when it is time."""
        if self._changed_at is None:
            return None
        due = max(self._changed_at + SETTLE, self._last + self._interval, self._retry_at)
        if now < due:
            return due
        self._try(now)
        return self._retry_at or None

    def finish(self, now: int) -> None:
        """Commit what is left, unless the remote is in trouble already."""
        if self._changed_at is not None and not self._failures:
            self._branch.patience = FINISH_PATIENCE
            self._try(now)

    def _try(self, now: int) -> None:
        try:
            commit = self._write(now)
        except PropellerError as error:
            self._failures += 1
            self._retry_at = now + backoff(self._failures, self._rng)
            self._tell_trouble(error.what)
            return
        self._changed_at, self._failures, self._retry_at = None, 0, 0
        if commit:
            self._last = now
            self.commits += 1
        if self._trouble:
            self._trouble = ""
            self._remark("Info", "StatusBranchWritten", f"{self._shown} is written again")

    def _tell_trouble(self, what: str) -> None:
        if what != self._trouble:
            self._trouble = what
            words = f"{self._shown} cannot be written: {what}; it is tried again"
            self._remark("Warning", "StatusBranchFailed", words)

    def _write(self, now: int) -> str:
        """Make the branch hold our files; the new commit, "" where there was no news in them."""
        for left in reversed(range(ATTEMPTS)):
            tip = self._branch.tip()
            changes, names = self._changes(tip)
            if not names:
                return ""
            try:
                return self._branch.push(tip, changes, self._message(names), now)
            except Conflict:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _changes(self, tip: Tip) -> tuple[dict[str, bytes | None], list[str]]:
        """What differs from the branch, and the lines of those files in which it is news."""
        files = self._files or {}
        changes: dict[str, bytes | None] = {path: None for path in tip.files if path not in files}
        names = [f"- {_name(path)}" for path in changes]
        known = {
            path: tip.files[path]
            for path, text in files.items()
            if path in tip.files and blob_id(text) != tip.files[path]
        }
        before = self._branch.read(known)
        for path, text in files.items():
            if path not in tip.files:
                names.append(f"+ {_name(path)}")
            elif path not in known or text == before[path]:
                continue
            elif news_in(text) != news_in(before[path]):
                names.append(f"~ {_name(path)}")
            changes[path] = text
        return changes, sorted(names, key=lambda line: line[2:])

    def _message(self, names: list[str]) -> str:
        more = [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        one = names[0][2:] if len(names) == 1 else f"{len(names)} objects"
        lines = [f"Status of {one}", "", *names[:SHOWN], *more]
        if self._revision:
            lines += ["", f"Revision {self._revision}"]
        return "\n".join(lines)


def _name(path: str) -> str:
    """`plant/Task/add.yaml` is `Task/plant/add`."""
    parts = PurePosixPath(path).with_suffix("").parts
    if path == "source.yaml":
        return "the source"
    return f"{parts[1]}/{parts[0]}/{parts[2]}" if len(parts) == 3 else path
