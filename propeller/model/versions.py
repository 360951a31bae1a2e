"""Which version of an object its copies have, and which they are to have.

A version is what a device is told of an object: module, run, limits, restarts, health. Where copies
go, when they are pruned or suspended is no part of it. The state keeps one `Course` an object that
has (or had) a rollout, a rollback or a rejected version; all others have none and simply follow
their spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from propeller.model.checks import Tally
from propeller.model.ids import Digest, Uid
from propeller.model.module import Module
from propeller.model.specs import Daemon, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version. digest: over what a device is told (`plan.versions.version_digest`).

    generation, revision: of the object when this version was first wanted. object: as it stood
    then; only what a device is told of it counts. module: as its reference was resolved then.
    """

    digest: Digest
    generation: int
    revision: str
    object: Task | Daemon
    module: Module


class Phase(StrEnum):
    """Where a course stands."""

    SETTLED = "Settled"  # every copy has, or is on its way to, the version in `good`
    WAVE = "Wave"  # copies of this step are given `target`, and waited for
    SOAK = "Soak"  # this step was good; it must stay so for a while
    PAUSED = "Paused"  # no further copy is given `target` until an operator says so
    ROLLED_BACK = "RolledBack"  # what the spec says is rejected; copies have or go to `good`

    @property
    def under_way(self) -> bool:
        """Whether two versions are meant to be there at once."""
        return self in _UNDER_WAY


_UNDER_WAY = frozenset({Phase.WAVE, Phase.SOAK, Phase.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A version that must not be rolled out again. by: who said so, "" when a rollout failed.

    generation: of the object when it was wanted, 0 where that is not known (any more).
    """

    digest: Digest
    at: int
    by: str
    why: str
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """See the module. Times are Unix ms.

    good: the last version that was accepted, None before the first. target: the one that is being
    rolled out, or that was rolled back. step: counts from 0. since: when the phase began.
    forgiven: failed copies that an operator has seen and gone on from, -1: those there are now.
    checks: what was measured in this step. unclear: it is paused because a check was inconclusive,
    and goes on by itself once that one is successful. waived: somebody went on from there, so that
    this step waits for no inconclusive check. why, by: of a pause or a rollback. rejected: newest
    last. paused: the version an operator has paused; a rollout of it begins paused.
    """

    uid: Uid
    good: Version | None = None
    target: Version | None = None
    phase: Phase = Phase.SETTLED
    step: int = 0
    since: int = 0
    forgiven: int = 0
    why: str = ""
    by: str = ""
    rejected: tuple[Rejected, ...] = ()
    checks: tuple[Tally, ...] = ()
    unclear: bool = False
    waived: bool = False
    paused: Digest = Digest("")

    @property
    def target_digest(self) -> Digest:
        """Of the target, "" when there is none."""
        return self.target.digest if self.target is not None else Digest("")

    def rejection(self, digest: Digest) -> Rejected | None:
        """Why that version must not be rolled out, None when it may."""
        return next((one for one in self.rejected if one.digest == digest), None)


MOST_REJECTED = 50
"""Rejected versions remembered for one object, the newest ones."""
