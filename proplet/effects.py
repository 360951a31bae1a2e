"""What the pure agent asks its shell to do, and the time it is given. Data only.

The shell performs every Persist effect of one turn in one durable transaction, then the others in
order: nothing is acted on that a power cut could make us forget.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from propeller.wire.messages import (
    BlobGet,
    BlobRef,
    Entry,
    Hello,
    Observed,
    OpAnswer,
    Report,
    Status,
)
from proplet.records import Key, RunRecord, Silence, Times


class Now(NamedTuple):
    """`mono`: ms of a clock that never steps. `wall`: Unix ms, trusted only when `synced`."""

    mono: int
    wall: int
    synced: bool = True


class Topic(StrEnum):
    """Where a message was heard."""

    DESIRED = "desired"
    OP = "op"
    BLOB_DATA = "blob/data"
    BLOB_ACK = "blob/ack"
    TRUST = "trust"
    MANAGER = "manager/status"
    RELEASES = "releases"


class Purpose(StrEnum):
    """What a blob is for: a document's body is handed back as bytes, a module stays a file."""

    BODY = "body"
    MODULE = "module"


# -- persisted, before anything else of the turn --------------------------------------------------


@dataclass(frozen=True, slots=True)
class SaveDesired:
    """The document just accepted. signer: kid of the key that signed it."""

    observed: Observed
    iat: int
    entries: tuple[Entry, ...]
    signer: str = ""


@dataclass(frozen=True, slots=True)
class SaveRun:
    """A run's record, at its start or its end."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class DropRun:
    """The record is not needed any more."""

    key: Key


@dataclass(frozen=True, slots=True)
class SaveTrust:
    """The newest trust frame, as it came."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class SaveReleases:
    """The newest release list, as it came, and the modules that were held while it was good."""

    frame: bytes
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaveUpload:
    """A blob the manager must still get."""

    blob: BlobRef


@dataclass(frozen=True, slots=True)
class DropUpload:
    """The manager has it (or it was given up); its bytes may go."""

    digest: str


@dataclass(frozen=True, slots=True)
class SaveSilence:
    """When the manager was there last, and for how long it was not."""

    silence: Silence


@dataclass(frozen=True, slots=True)
class SaveTimes:
    """A schedule that is kept here, before a run of it begins and after it ended. None: no more."""

    key: Key
    times: Times | None


Persist = (
    SaveTimes
    | SaveSilence
    | SaveDesired
    | SaveRun
    | DropRun
    | SaveTrust
    | SaveReleases
    | SaveUpload
    | DropUpload
)

# -- the broker -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE; `again` means UNSUBSCRIBE first, so that the retained message comes once more."""

    topics: tuple[Topic, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a message. The shell signs and encodes by its type."""

    message: Report | Status | Hello | OpAnswer | BlobGet
    retain: bool = False


@dataclass(frozen=True, slots=True)
class SendChunk:
    """Read `length` bytes at `off` of a kept blob and put them up."""

    digest: str
    off: int
    length: int
    total: int


# -- blobs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Have this blob. Answered by `fetched`, `fetch_failed`, or `fetch_from` (ask over MQTT).

    image: where it may be pulled from; without a digest of its own where the blob was made a moment
    ago, and may be on its way there.
    """

    digest: str
    size: int
    purpose: Purpose
    image: str | None = None


@dataclass(frozen=True, slots=True)
class WriteChunk:
    """Append bytes at `off`; at `total` verify, then answer `fetched` or `fetch_failed`."""

    digest: str
    off: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True)
class KeepBlob:
    """Keep these bytes for an upload that need not survive a reboot (a large report)."""

    blob: BlobRef
    data: bytes


@dataclass(frozen=True, slots=True)
class FreeBlob:
    """Bytes kept for an upload, or of a module that made way for another, may go."""

    digest: str


@dataclass(frozen=True, slots=True)
class InUse:
    """The blobs that eviction must spare, whenever that set changed."""

    digests: frozenset[str]


# -- guests ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check the module against the entry and compile it. Answered by `prepared` or `unfit`."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Start:
    """Start the guest. `restarts` names this incarnation. Answered by `ended`."""

    entry: Entry
    restarts: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the guest: at once, or after `grace` ms if it has not ended by itself."""

    key: Key
    grace: int = 0


@dataclass(frozen=True, slots=True)
class ForgetRun:
    """The run left the inventory: its logs may go."""

    key: Key


@dataclass(frozen=True, slots=True)
class TailLog:
    """Read a run's log for an operation; answered by `log_piece` until its last one."""

    op: str
    key: Key
    stream: str
    tail: int
    follow: int


# -- the loop -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wake:
    """Call `tick` at this monotonic ms at the latest."""

    at: int


@dataclass(frozen=True, slots=True)
class Quit:
    """Drained: publish what is queued, close, leave."""


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the agent's own log. level: info | warning | error."""

    level: str
    text: str


Effect = (
    Persist
    | Subscribe
    | Publish
    | SendChunk
    | Fetch
    | WriteChunk
    | KeepBlob
    | FreeBlob
    | InUse
    | Prepare
    | Start
    | Stop
    | ForgetRun
    | TailLog
    | Wake
    | Quit
    | Say
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a guest ended. `ok` is exit 0 or a return; `error` says otherwise in words.

    result: inline text (at most 256 bytes); blob: where it is longer (already kept by the shell).
    """

    ok: bool
    exit: int | None = None
    result: str | None = None
    blob: BlobRef | None = None
    error: str = ""
