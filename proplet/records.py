"""What the agent remembers across reboots, and the words for where a run stands. Pure data.

Written by `agent` through `effects`, kept by `store`. Times are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from propeller.wire.messages import BlobRef, Entry, Hello, Observed, PastRun, RunReport
from proplet.ceilings import NONE, Ceilings

Key = tuple[str, str]
"""(uid, run): what is started at most once."""


class State(StrEnum):
    """Where a run stands, as reported (the words of the protocol)."""

    PENDING = "Pending"
    FETCHING = "Fetching"
    RUNNING = "Running"
    BACK_OFF = "BackOff"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"
    REFUSED = "Refused"


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.INTERRUPTED, State.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as persisted: at its start and at its end, nothing in between.

    digest: of the entry it was last started from. starts: how often the guest was started (a
    once-run: at most 1). failures: ends in a row without a stable stretch. tombstone: no longer
    listed by `desired`, kept so that the same run is never started again. spent: when it was
    stopped last because its autonomy was spent; None: never.
    """

    uid: str
    run: str
    digest: str
    cause: str
    mode: str
    state: State
    exit: int | None = None
    result: str | None = None
    result_blob: BlobRef | None = None
    error: str = ""
    starts: int = 0
    failures: int = 0
    started: int = 0
    ended: int = 0
    tombstone: bool = False
    spent: int | None = None

    @property
    def key(self) -> Key:
        return (self.uid, self.run)

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)


def report_of(record: RunRecord, *, state: State, ready: bool, error: str) -> RunReport:
    """A record as a line of the inventory."""
    return RunReport(
        uid=record.uid,
        run=record.run,
        digest=record.digest,
        cause=record.cause,
        state=state.value,
        exit=record.exit,
        result=record.result,
        result_blob=record.result_blob,
        error=error,
        restarts=record.restarts,
        ready=ready,
        started=record.started,
        ended=record.ended,
        spent=record.spent or 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A schedule that is kept here, as persisted. Times are Unix ms, 0: none.

    began: from when on its slots count. last: the newest one used up; attempt: how often it was
    run; due: when it is run, or run again. lost: results that made way with nobody to tell.
    """

    began: int = 0
    last: int = 0
    attempt: int = 0
    due: int = 0
    running: PastRun | None = None
    past: tuple[PastRun, ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """How long there was no word of the manager, as it was saved last.

    word: when the manager was there last, Unix ms, 0 where no clock was set. elapsed: ms since.
    """

    word: int = 0
    elapsed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything read back at boot. trust, releases: signed frames as they came, verified again.

    silence: how long there was no word of the manager. times: schedules kept here. signer: kid of
    the key that signed the accepted document. held: modules that were held by a good release list.
    None: never saved.
    """

    observed: Observed = field(default_factory=Observed)
    iat: int = 0
    entries: tuple[Entry, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    trust: bytes = b""
    signer: str | None = None
    releases: bytes | None = None
    held: tuple[str, ...] | None = None
    uploads: tuple[BlobRef, ...] = ()
    silence: Silence | None = None
    times: tuple[tuple[Key, Times], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What the pure agent must know of itself.

    hello: what it says it is (id, inst, boot, heartbeat, capacities); the limits here are enforced.
    chunk: most bytes of one blob request. grace: ms a once-run may go on while draining.
    debounce: ms a change waits for others before it is reported. ship_training: whether the logs of
    a guest that trains may be read from elsewhere: they can hold anything it saw. ceilings: what no
    entry may go beyond. disown: what a key asked that the root took back counts as never asked.
    """

    hello: Hello
    chunk: int = 65536
    grace: int = 2000
    debounce: int = 30
    max_desired: int = 4 * 1024 * 1024
    max_entries: int = 1000
    tombstones: int = 1000
    ship_training: bool = False
    disown: bool = False
    ceilings: Ceilings = NONE
