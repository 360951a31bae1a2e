"""What the fleet reports, as last heard. Silence has an age; nothing here is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.model.ids import Digest, PropletId, RunId, Uid


class RunState(StrEnum):
    """Where a run stands on its device."""

    PENDING = "Pending"  # accepted, not begun
    FETCHING = "Fetching"  # module on its way
    RUNNING = "Running"
    BACK_OFF = "BackOff"  # a Daemon waiting to be started again
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"  # trap, non-zero exit, limit reached, restarts used up
    INTERRUPTED = "Interrupted"  # cut short by a crash or a shutdown of the agent
    REFUSED = "Refused"  # the device cannot run it; says why

    @property
    def ended(self) -> bool:
        """Whether this run will never run again by itself."""
        return self in _ENDED


_ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED, RunState.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """One run as its device reported it.

    digest: of the desired entry it was started from. exit: WASI exit status or None.
    result: inline text (at most 256 bytes); result_digest names the blob when it is longer.
    error: short words. started, ended: Unix ms on the device's clock, 0 unknown.
    ready: a Daemon that has run for its `readyAfter`; a Task that succeeded. spent: when its device
    stopped it last, because there was no word of the manager for `placement.autonomy`; 0 never.
    """

    uid: Uid
    run: RunId
    digest: Digest
    cause: str
    state: RunState
    exit: int | None = None
    result: str | None = None
    result_digest: Digest | None = None
    result_size: int = 0
    error: str = ""
    restarts: int = 0
    ready: bool = False
    started: int = 0
    ended: int = 0
    spent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a proplet says it is (`hello`). Sizes in bytes, times in ms.

    imports: import modules it provides, as `module` (all of it) or `module.name`.
    mounts: names it offers; those ending in `:rw` may be written to.
    points: sensors it has, by name, and outputs, whose names end in `:w`.
    encodings: of messages, the one it would rather read first. algs: signatures it can verify.
    """

    arch: str = ""
    os: str = ""
    runtime: str = ""
    runtime_version: str = ""
    agent_version: str = ""
    memory: int = 0
    tasks: int = 0
    max_module: int = 0
    max_payload: int = 1024
    imports: frozenset[str] = frozenset()
    components: bool = False
    mounts: frozenset[str] = frozenset()
    points: frozenset[str] = frozenset()
    encodings: tuple[str, ...] = ("json",)
    fetch: tuple[str, ...] = ("mqtt",)
    algs: tuple[str, ...] = ("ed25519",)
    labels: Mapping[str, str] = field(default_factory=dict)
    public_key: str = ""

    @property
    def cbor(self) -> bool:
        """Whether it would rather read CBOR than JSON."""
        return next((name for name in self.encodings if name in ("cbor", "json")), "") == "cbor"

    @property
    def p256(self) -> bool:
        """Whether what it is sent must be signed with ECDSA P-256: it knows no Ed25519."""
        return "p256" in self.algs and "ed25519" not in self.algs


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A proplet's encryption key, each as `x25519:<base64>`, `p256:<base64>` or "".

    announced: by its last hello. pinned: by its first. believed: what secrets are sealed to, ""
    where there is none, and `trouble` says why in words.
    """

    announced: str = ""
    pinned: str = ""
    believed: str = ""
    trouble: str = ""


class Presence(StrEnum):
    """What the last word about a proplet's connection was."""

    UNKNOWN = "Unknown"  # never heard
    ONLINE = "Online"
    OFFLINE = "Offline"  # its will, or three missed heartbeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One proplet, declared or discovered, as the reconciler knows it.

    last_heard: Unix ms on the reconciler's clock, 0 never.
    offline_since: Unix ms, None while online.
    will_at: when its will came (Unix ms); debounced before it counts, None when it is back.
    observed_*: the last desired document it accepted and persisted.
    quarantine: why it gets no work (DuplicateIdentity, IdentityMismatch, ForeignFence, ...), or "".
    labels: declared over announced, with runtime overrides: what selectors see.
    scheduling and capacities are resolved from spec, runtime holds and hello, in that order.
    wake: a device that sleeps is heard at least this often (ms), 0: it is always there.
    metrics: numbers it reports of itself, last told at metrics_at (Unix ms, 0 never).
    guests_at: when those of a guest were told, by the first digits of its uid (what it tells of
    itself: by name), where the newest report had no room for them; not kept over a restart.
    box: whether secrets can be sealed to it, and to which key.
    """

    id: PropletId
    declared: bool
    presence: Presence
    last_heard: int = 0
    offline_since: int | None = None
    will_at: int | None = None
    inst: str = ""
    boot: int = 0
    seq: int = 0
    conn: int = 0
    facts: Facts | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    observed_fence: int = 0
    observed_gen: int = 0
    observed_digest: str = ""
    runs: Mapping[tuple[Uid, RunId], SeenRun] = field(default_factory=dict)
    reported: bool = False
    quarantine: str = ""
    cordoned: bool = False
    draining: bool = False
    memory: int | None = None
    tasks: int | None = None
    heartbeat: int = 30_000
    wake: int = 0
    metrics: Mapping[str, int] = field(default_factory=dict)
    metrics_at: int = 0
    guests_at: Mapping[str, int] = field(default_factory=dict)
    box: Box = Box()

    def told_at(self, name: str) -> int:
        """When it told that number of its metrics (Unix ms)."""
        mark = name.split("/", 2)[1] if "/" in name else ""
        return self.guests_at.get(name, self.guests_at.get(mark, self.metrics_at))
