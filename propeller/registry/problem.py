"""Why an artifact could not be had: one error with a reason word, in words for people.

A verb lets it reach the terminal; `resolve` turns it into a ModuleProblem of the plan.
"""

from __future__ import annotations

from propeller.errors import UsageError
from propeller.model.module import ModuleProblem


class ArtifactError(UsageError):
    """The artifact is not there, not ours to have, or not what it should be.

    reason: NotFound, Denied, PlainHttp, BadManifest, UnknownLayout, NotWasm, TooLarge,
    DigestMismatch, BadReference, Rejected. retry: whether trying again without a change can help.
    """

    def __init__(self, reason: str, what: str, *, hint: str = "", retry: bool = False) -> None:
        super().__init__(what, hint=hint)
        self.reason = reason
        self.retry = retry

    def as_problem(self) -> ModuleProblem:
        """The same, as the planner takes it."""
        return ModuleProblem(self.reason, str(self), self.retry)
