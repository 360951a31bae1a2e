"""Promotions: what jobs propose goes to the way out, and what was opened into the job's row.

The loop's part is `Promotions`; `edit` is what the way out is given to make the change with. A
proposal is offered again after every start until the row says that it was opened, so a branch is
pushed at least once whoever is killed, and never twice under two names (`plan.promotion`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Uid
from propeller.model.promotion import Opened, Proposal
from propeller.plan.promotion import proposal
from propeller.reconcile.world import World
from propeller.sources.modelrows import model_row, spec_files
from propeller.sources.select import IGNORE_FILE
from propeller.state.failpoints import fail_point
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings
    from propeller.writeback.promotions import Target
    from propeller.writeback.sidebranch import Base


class Promotions:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._offered: dict[Uid, Proposal] = {}

    def tell(self) -> None:
        """Offer what is proposed now, take back what is not any more. After the commit."""
        known = self._world.learning.known
        for uid in [uid for uid in self._offered if uid not in known]:
            del self._offered[uid]
            self._around.propose(uid, None)
        for uid, learning in known.items():
            job, held = learning.job, self._world.objects.get(uid)
            if job is None or (job.candidate == job.proposed and uid not in self._offered):
                continue
            wanted = None if held is None else proposal(held, job)
            if wanted == self._offered.get(uid):
                continue
            fail_point("promotion.offered")
            self._around.propose(uid, wanted)
            if wanted is None:
                del self._offered[uid]
            else:
                self._offered[uid] = wanted

    def take(self, opened: Opened, now: int) -> None:
        """Write down what was opened. Inside a transaction."""
        one = opened.proposal
        learning = self._world.learning.known.get(one.uid)
        job = learning.job if learning is not None else None
        if learning is None or job is None or job.job != one.job or job.proposed >= one.round:
            return
        fail_point("promotion.opened")
        branch = one.branch if opened.commit else ""
        job = replace(job, proposed=one.round, branch=branch)
        self._world.put_learning(one.uid, replace(learning, job=job))
        words = f"round {one.round} for {one.to}: "
        if branch:
            reason = "PromotionOpened"
            words += f"branch {branch} at {opened.commit[:12]} waits for a review"
        else:
            reason, words = "PromotionNotNeeded", words + "its spec has that model already"
        self._world.store.add_event(
            Event(at=now, severity="Info", reason=reason, message=words, key=one.key)
        )


def edit(proposal: Proposal, base: Base, target: Target) -> Mapping[str, bytes]:
    """The file of the base that the proposal changes; none where the model is there already.

    Raises UsageError, SpecError where the row is not there or cannot be edited.
    """
    ignore = target.read(base, [IGNORE_FILE] if IGNORE_FILE in base.files else [])
    names = spec_files(base.files, ignore.get(IGNORE_FILE, b""))
    row = model_row(target.read(base, names), proposal.to, proposal.row or None, where="")
    if row.holds(proposal.model):
        return {}
    return {row.file: row.edited(proposal.model)}
