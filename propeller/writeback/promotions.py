"""Opens promotions: a branch with the one edit, pushed to where the specs come from.

Decides nothing about models: what is proposed comes from the loop, again after each start until it
is told to be done. So everything here may be cut off anywhere: a branch that is there is done, and
so is a spec that has the model. What cannot be done is said once and tried again later, since a
person may write the missing row, or the remote come back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from propeller.errors import Conflict, PropellerError
from propeller.model.ids import Key, Uid
from propeller.model.promotion import Opened, Proposal
from propeller.writeback.news import Batch
from propeller.writeback.retry import backoff
from propeller.writeback.sidebranch import Base

Edit = Callable[[Proposal, Base, "Target"], Mapping[str, bytes]]
"""The files of the base that a proposal changes; none where it has the model already. Raises
PropellerError where the edit cannot be made."""
Remark = Callable[[str, str, str, Key], None]
"""Tells the fleet's people something: severity, reason, message, about whom."""

FINISH_PATIENCE: Final = 8.0
"""Seconds one git command may take while the process ends."""


class Target(Protocol):
    """The repository; `sidebranch.SideBranches` is one."""

    def be_quick(self, seconds: float) -> None: ...
    def base(self) -> Base: ...
    def read(self, base: Base, paths: list[str]) -> dict[str, bytes]: ...
    def tip(self, branch: str) -> str: ...
    def push(
        self, base: Base, changes: Mapping[str, bytes], branch: str, message: str, at: int
    ) -> str: ...


@dataclass(slots=True)
class _Waiting:
    """One proposal. trouble: the last one that was told."""

    proposal: Proposal
    failures: int = 0
    due: int = 0
    trouble: str = ""


class Promotions:
    """The desk. done: told of each proposal that needs nothing more."""

    def __init__(
        self,
        target: Target,
        *,
        edit: Edit,
        done: Callable[[Opened], None],
        remark: Remark,
        rng: random.Random,
    ) -> None:
        self._target = target
        self._edit = edit
        self._done = done
        self._remark = remark
        self._rng = rng
        self._waiting: dict[Uid, _Waiting] = {}

    def take(self, batch: Batch, now: int) -> None:
        """Note what is proposed; a newer one of the same object takes its place."""
        for uid, proposal in batch.proposals.items():
            known = self._waiting.get(uid)
            if proposal is None:
                self._waiting.pop(uid, None)
            elif known is None or known.proposal != proposal:
                self._waiting[uid] = _Waiting(proposal, due=now)

    def work(self, now: int) -> int | None:
        """Open what is due."""
        for uid, one in sorted(self._waiting.items()):
            if one.due <= now and self._open(one, now):
                del self._waiting[uid]
        return min((one.due for one in self._waiting.values()), default=None)

    def finish(self, now: int) -> None:
        """Open what is left, unless it is in trouble already."""
        self._target.be_quick(FINISH_PATIENCE)
        for uid, one in sorted(self._waiting.items()):
            if not one.failures and self._open(one, now):
                del self._waiting[uid]

    def _open(self, one: _Waiting, now: int) -> bool:
        proposal = one.proposal
        try:
            commit = self._pushed(proposal, now)
        except PropellerError as error:
            one.failures += 1
            one.due = now + backoff(one.failures, self._rng)
            words = f"{error.what}; {error.hint}" if error.hint else error.what
            if words != one.trouble:
                one.trouble = words
                self._remark(
                    "Warning",
                    "PromotionFailed",
                    f"round {proposal.round} is not promoted to {proposal.to}: {words};"
                    " it is tried again",
                    proposal.key,
                )
            return False
        self._done(Opened(proposal=proposal, commit=commit))
        return True

    def _pushed(self, proposal: Proposal, now: int) -> str:
        """The commit on top of the branch, "" where the spec has the model already."""
        tip = self._target.tip(proposal.branch)
        if tip:
            return tip
        base = self._target.base()
        changes = self._edit(proposal, base, self._target)
        if not changes:
            return ""
        try:
            return self._target.push(base, changes, proposal.branch, proposal.message, now)
        except Conflict:
            tip = self._target.tip(proposal.branch)
            if not tip:
                raise
            return tip
