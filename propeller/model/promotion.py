"""A change to somebody's spec that a job asks for: this model instead of the one it has.

Made by `plan.promotion` out of rows, carried out beside the loop by `writeback.promotions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import Key, Uid
from propeller.model.rounds import Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One edit, as a branch to be reviewed.

    key: the FederatedTask. to: whose `run.models` is edited; row: the name in it, "" for the only
    one. branch: says run, round and digest, so that the same proposal is the same branch.
    """

    uid: Uid
    job: str
    key: Key
    round: int
    model: Blob
    to: Key
    row: str
    branch: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What became of it. commit: on top of the branch, "" where the spec has the model already."""

    proposal: Proposal
    commit: str = ""
