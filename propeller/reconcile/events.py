"""What enters the inbox. An event only says "look again" or carries what was heard.

Made by threads that wait for the outside (source, broker, workers, API); read by the loop only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.errors import Fault
from propeller.model.checks import Probe, Reading
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.module import Resolved
from propeller.model.plugins import Answer as PluginAnswer
from propeller.model.promotion import Opened
from propeller.model.revision import Revision
from propeller.model.scoring import Asking
from propeller.model.specs import ModuleRef, Object, Suspend
from propeller.reconcile.asked import Asked
from propeller.reconcile.deposits import Deposit, Withdraw
from propeller.reconcile.learning import Answer
from propeller.transport.base import Connected, Disconnected, Received


@dataclass(frozen=True, slots=True)
class SpecsTaken:
    """The source was read whole.

    app: the App whose own source it is, "" for the tree that is followed.
    expect: the digest of the plan that somebody approved; a revision that means another one now is
    not taken. reply: is told whether it was (`stale`), after the turn was committed.
    took: ms that reading it took. bound: the plugins of the tree that were asked about it, by the
    name of their `Binding`.
    """

    revision: Revision
    source: str
    expect: str = ""
    reply: Callable[[Mapping[str, object]], None] | None = None
    app: str = ""
    took: int = 0
    bound: str = ""


@dataclass(frozen=True, slots=True)
class SpecsRefused:
    """The source is wrong; the last accepted revision stands. `head` names what was read.

    again: the same head may be good at the next look (who is trusted stands in files of ours).
    """

    source: str
    head: str
    faults: tuple[Fault, ...]
    again: bool = False
    app: str = ""


@dataclass(frozen=True, slots=True)
class SourceSilent:
    """The source could not be read; the last accepted revision stands."""

    source: str
    reason: str
    app: str = ""


@dataclass(frozen=True, slots=True)
class ModuleResolved:
    """A worker finished with a module reference, well or not."""

    ref: ModuleRef
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class BlobStored:
    """An upload is whole, verified and in the blob store."""

    proplet: PropletId
    digest: Digest


@dataclass(frozen=True, slots=True)
class Learned:
    """A worker finished with something of a federated job."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Measured:
    """A worker made a measurement that a rollout asked for, or could not."""

    probe: Probe
    reading: Reading


@dataclass(frozen=True, slots=True)
class Scored:
    """A worker asked a plugin what a plan wanted to know, or could not."""

    asking: Asking
    answer: PluginAnswer


@dataclass(frozen=True, slots=True)
class Wanted:
    """Calls of a Function wait at a gateway for a first copy. Said again while they do."""

    uid: Uid
    calls: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Something is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A thread beside the loop has something to say to people: it becomes an event."""

    severity: str
    reason: str
    message: str
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class PromotionOpened:
    """A promotion needs nothing more: its branch is pushed, or was there."""

    opened: Opened


Reply = Callable[[Mapping[str, object]], None]
"""How a request is answered: called once or, for a stream, until a mapping with `done: true`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHold:
    """Suspend an object at run time, or lift that."""

    key: Key
    suspend: Suspend | None
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProplet:
    """Cordon, drain, enable or label a proplet at run time. A label of None is removed."""

    proplet: PropletId
    scheduling: str | None
    labels: Mapping[str, str | None] = field(default_factory=dict)
    by: str
    reason: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnce:
    """Run one object that no source holds (`propeller run`); it leaves when `Drop` says so."""

    object: Object
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Take an object of `propeller run` away again."""

    key: Key
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Operate:
    """Send an operation (`logs`, `cancel`, `restart`) to the proplets that hold an object.

    proplet narrows it to one; answers go to `reply` as they come.
    """

    verb: str
    key: Key
    proplet: PropletId | None = None
    stream: str = "both"
    tail: int = 65536
    follow: int = 0
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """An operator says: go on.

    what: `fleet`, although not every declared proplet was heard (rule f); or the digest of a plan,
    although a guard tripped. The reply to a digest has `waited`: whether such a plan was there.
    """

    what: str
    by: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Let go of an object that left the source: prune what was kept, wait for no silent proplet.

    The reply names the proplets that were not waited for: `unheard`.
    """

    key: Key
    by: str
    reason: str
    reply: Reply


class SteerVerb(StrEnum):
    """What an operator may ask of the versions of an object."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    REJECT = "reject"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """Pause, resume or abort a rollout, reject a version, go back to an earlier one.

    digest: the version meant, or the beginning of its digest; "" for the one that is wanted.
    generation: where to go back to, None for the last good one.
    """

    key: Key
    verb: SteerVerb
    digest: str = ""
    generation: int | None = None
    by: str
    reason: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryFlow:
    """Let the run of a Workflow that failed go on from the steps that failed."""

    key: Key
    by: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindow:
    """Let the edit that waits for a window through; of an App: of all its objects."""

    key: Key
    by: str
    reason: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStanding:
    """How far is everything? Answered after the turn, with revision, exit code and lines."""

    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRound:
    """The gateway of this site asks for a round of the fleet above, or how far it is."""

    asked: Asked
    reply: Reply


Request = (
    SetHold
    | SetProplet
    | RunOnce
    | Drop
    | Deposit
    | Withdraw
    | Operate
    | Confirm
    | GiveUp
    | Steer
    | OpenWindow
    | RetryFlow
    | AskStanding
    | AskRound
)
Event = (
    SpecsTaken
    | SpecsRefused
    | SourceSilent
    | ModuleResolved
    | Learned
    | BlobStored
    | Received
    | Connected
    | Disconnected
    | Measured
    | Scored
    | Wanted
    | Tick
    | Remark
    | PromotionOpened
    | Request
)
