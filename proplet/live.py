"""One run in the agent's memory: where it stands, and which steps it may take.

`runs` moves these along; `PHASES` is the whole table of moves, and a move outside it is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from propeller.wire.messages import Entry
from proplet.records import Key, RunRecord, State


class Phase(Enum):
    """Where a run stands for the agent; `REPORTED` says how that is told."""

    WAITING = "waiting"
    FETCHING = "fetching"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    BACK_OFF = "backoff"
    ENDED = "ended"


PHASES: Mapping[Phase, frozenset[Phase]] = {
    Phase.WAITING: frozenset({Phase.FETCHING, Phase.PREPARING, Phase.RUNNING, Phase.ENDED}),
    Phase.FETCHING: frozenset({Phase.WAITING, Phase.PREPARING, Phase.RUNNING, Phase.ENDED}),
    Phase.PREPARING: frozenset({Phase.WAITING, Phase.FETCHING, Phase.RUNNING, Phase.ENDED}),
    Phase.RUNNING: frozenset({Phase.STOPPING, Phase.BACK_OFF, Phase.ENDED}),
    Phase.STOPPING: frozenset({Phase.WAITING, Phase.ENDED}),
    Phase.BACK_OFF: frozenset({Phase.WAITING, Phase.FETCHING, Phase.PREPARING, Phase.ENDED}),
    Phase.ENDED: frozenset({Phase.WAITING}),
}

REPORTED: Mapping[Phase, State] = {
    Phase.WAITING: State.PENDING,
    Phase.FETCHING: State.FETCHING,
    Phase.PREPARING: State.PENDING,
    Phase.RUNNING: State.RUNNING,
    Phase.STOPPING: State.STOPPING,
    Phase.BACK_OFF: State.BACK_OFF,
}


class Why(Enum):
    """Why the agent itself stops a guest; NONE while it does not."""

    NONE = "none"
    REMOVED = "removed"
    REPLACED = "replaced"
    RESTARTED = "restarted"
    CANCELLED = "cancelled"
    DRAINED = "drained"
    ALONE = "alone"


@dataclass(slots=True)
class Live:
    """A run of the inventory.

    entry: the newest one listed. due: monotonic ms a BACK_OFF ends at. began: monotonic ms of the
    last start; memory: bytes its guest was granted then. asked, prepared: digest of the entry a
    Prepare was sent, answered for. trouble: words shown while it has not ended.
    """

    entry: Entry
    record: RunRecord
    phase: Phase = Phase.WAITING
    wanted: bool = True
    why: Why = Why.NONE
    due: int = 0
    began: int = 0
    memory: int = 0
    ready: bool = False
    asked: str = ""
    prepared: str = ""
    unfit: str = ""
    trouble: str = ""

    @property
    def key(self) -> Key:
        return self.record.key

    @property
    def daemon(self) -> bool:
        """Whether it is to stay: a guest kept running or ready for calls, a schedule."""
        return self.record.mode in ("daemon", "serve", "timed")

    @property
    def timed(self) -> bool:
        """Whether what is kept is a schedule: guests come and go by it."""
        return self.record.mode == "timed"

    @property
    def alive(self) -> bool:
        """Whether a guest process may exist for it."""
        return self.phase in (Phase.RUNNING, Phase.STOPPING)

    @property
    def hands_over(self) -> bool:
        """Whether an older run of its object goes on until this one is ready."""
        return self.daemon and self.entry.update == "HandOver"

    @property
    def kills_first(self) -> bool:
        """Whether an older run of its object goes before anything of this one is fetched."""
        return self.daemon and self.entry.update == "KillThenDownload"

    @property
    def stale(self) -> bool:
        """A daemon that runs what an older entry said."""
        return self.daemon and self.record.digest != self.entry.digest

    @property
    def state(self) -> State:
        return self.record.state if self.phase is Phase.ENDED else REPORTED[self.phase]

    def go(self, phase: Phase) -> None:
        """Take one step of the table."""
        if phase is self.phase:
            return
        assert phase in PHASES[self.phase], f"{self.key}: {self.phase} -> {phase}"
        self.phase = phase


def fresh(entry: Entry) -> Live:
    """A run nobody has started."""
    record = RunRecord(
        uid=entry.uid,
        run=entry.run,
        digest=entry.digest,
        cause=entry.cause,
        mode=entry.mode,
        state=State.PENDING,
    )
    return Live(entry=entry, record=record)


def cut(text: str, limit: int = 256) -> str:
    """At most `limit` bytes of UTF-8, whole characters."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "..."
