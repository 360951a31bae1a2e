"""The messages of protocol version 1, as data. Pure: no bytes here, those are in `codec`.

Field names are the JSON names in snake case (`not_after` is `notAfter`). Every message is
immutable; constructing one does not validate, decoding does (see `codec`). Times are Unix
milliseconds of the sender's clock, sizes bytes, digests `sha256:<hex>`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from propeller.wire.call_messages import Call, CallAnswer, WireServe
from propeller.wire.http_messages import WireHttp
from propeller.wire.point_messages import WirePoint
from propeller.wire.timed_messages import WireSchedule
from propeller.wire.topic_messages import WireTopic

VERSION = 1
INLINE_LIMIT = 256
"""Bytes of a result or an error that travel inside a report; longer ones are blobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """A body or result that travels as a blob."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAot:
    """Native code of a module. target: `arch/runtime-version`, one that the device offered."""

    digest: str
    size: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WireModule:
    """The module of an entry. `image` (`registry/repo@sha256:...`) where Direct pull may help.

    plain: it is encrypted, and this is the digest of what is inside. key: where a key service has
    what opens it; absent, the device has it. aot: fetched and run instead of the Wasm, only by a
    device that offered its target.
    """

    digest: str
    size: int
    image: str | None = None
    plain: str | None = None
    key: str | None = None
    aot: WireAot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMount:
    """A named directory of the device at `path` in the guest; `access` is ReadOnly or ReadWrite."""

    name: str
    path: str
    access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WireModel:
    """A blob that the guest reads as `/models/<name>`."""

    name: str
    blob: BlobRef


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSecure:
    """Of a round whose updates are only ever seen as a sum.

    range: of each weighted number, as decimal text. bits: of a number in the sum. most: the largest
    weight. members: the most updates that are summed. blob: what the step is about: the keys of all
    (`shares`), the shares for this device (`train`), whose update is in the sum (`open`).
    """

    range: str
    bits: int
    most: int
    members: int
    blob: BlobRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTraining:
    """What a round of federated learning asks of one device.

    Several devices share `job`, `round` and `attempt`; `nonce` is of this one. `seed` stays the
    same when an interrupted run is tried again, so that the same data give the same update.
    Without `model` training starts at zero, without `layout` the parameters are one flat list.
    clip, noise: what the device does to its update before it leaves: its largest L2 norm, and the
    standard deviation of noise as a multiple of that. control: state of the strategy that trainers
    need (SCAFFOLD). image: the repository that has a large model, where Direct pull may help.
    """

    job: str
    round: int
    attempt: int
    step: str
    format: str
    nonce: str
    seed: str
    model: BlobRef | None = None
    layout: BlobRef | None = None
    params: tuple[tuple[str, str], ...] = ()
    guest: str = "Env"
    samples: int | None = None
    clip: str | None = None
    noise: str | None = None
    secure: WireSecure | None = None
    control: BlobRef | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One task of a desired document: everything a device needs to run it, nothing else.

    cause: `once`, `daemon`, `cron:<slot>` or `round:<n>.<attempt>` (`evaluate:...`), with `#<try>`
    from the second try on; the report echoes it, so that a manager that lost its store knows from
    reports alone which run it is. fl: only of a round.
    mode: `once` (run to completion), `daemon` (kept running), `timed` (run to completion whenever
    `schedule` says, `max_restarts` times more where it fails) or `serve` (kept ready for calls, as
    `serve` says; `timeout` and `fuel` are those of one call, `memory` of one instance).
    `ref` is kind/namespace/name.
    `digest` is over the canonical JSON of the entry without `digest` itself and `update`, which is
    no part of what is run (`entry_digest`).
    Absent limits are unlimited. `restart`: Always | OnFailure | Never (daemon only).
    update: KillThenDownload | HandOver, None: the old run goes once this one could start.
    autonomy: ms that the device keeps it going, or begins it, without a word of the manager; None:
    for ever.
    `external`: the device's engine of that name runs it, not the agent's own.
    `sealed`: variables whose values only this device can open (`boxes`), as base64, by name.
    """

    uid: str
    ref: str
    run: str
    cause: str
    mode: str
    digest: str
    module: WireModule
    entrypoint: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None
    mounts: tuple[WireMount, ...] = ()
    memory: int | None = None
    fuel: int | None = None
    timeout: int | None = None
    output: int = 65536
    restart: str = "Never"
    backoff_base: int = 1000
    backoff_cap: int = 300_000
    max_restarts: int | None = None
    ready_after: int = 0
    sealed: tuple[tuple[str, str], ...] = ()
    fl: WireTraining | None = None
    update: str | None = None
    serve: WireServe | None = None
    models: tuple[WireModel, ...] = ()
    external: str | None = None
    topics: tuple[WireTopic, ...] = ()
    autonomy: int | None = None
    schedule: WireSchedule | None = None
    points: tuple[WirePoint, ...] = ()
    http: WireHttp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything one device should hold. Signed by the manager; replaces the one before it whole.

    Either `tasks` or `body` (the canonical tasks list as a blob) is given; `digest` is over the
    canonical JSON of the tasks list either way, and is what `observed.digest` echoes.
    trace: W3C's traceparent of what led to it, "" where nobody traces.
    """

    to: str
    inst: str
    fence: int
    gen: int
    iat: int
    digest: str
    tasks: tuple[Entry, ...] | None = None
    body: BlobRef | None = None
    not_after: int | None = None
    trace: str = ""
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The last document the device accepted and persisted; zeros and "" before the first."""

    fence: int = 0
    gen: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A document the device did not accept, and why (`stale`, `other_digest`, `unknown_kid`)."""

    fence: int
    gen: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run that a device began by a schedule. slot: Unix ms; the rest as in `RunReport`."""

    slot: int
    state: str
    attempt: int = 1
    exit: int | None = None
    result: str | None = None
    result_blob: BlobRef | None = None
    error: str = ""
    started: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run in an inventory; states are those of `propeller.model.seen.RunState`.

    spent: when the device stopped it last because it had no word of the manager for `autonomy`.
    past: of a schedule, what became of its last times, in order; lost: results that made way for
    newer ones while there was no manager to tell.
    """

    uid: str
    run: str
    digest: str
    cause: str
    state: str
    exit: int | None = None
    result: str | None = None
    result_blob: BlobRef | None = None
    error: str = ""
    restarts: int = 0
    ready: bool = False
    started: int = 0
    ended: int = 0
    spent: int = 0
    past: tuple[PastRun, ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What is left on the device: bytes of memory for guests, task slots, bytes of storage."""

    memory: int = 0
    tasks: int = 0
    storage: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A device's inventory. Without `tasks` and `body` it is a heartbeat: `inventory` says which.

    `inventory` is `sha256:` over the canonical JSON of the tasks list. `clock`: Synced | Unsynced.
    `metrics` are named integers (for instance `cpuPermille`, `rssBytes`).
    """

    id: str
    inst: str
    boot: int
    seq: int
    conn: int
    observed: Observed
    inventory: str
    tasks: tuple[RunReport, ...] | None = None
    body: BlobRef | None = None
    refused: Refused | None = None
    free: Free = Free()
    metrics: tuple[tuple[str, int], ...] = ()
    clock: str = "Synced"
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`online` or `offline`; the offline one is also the will (unsigned)."""

    id: str
    state: str
    inst: str
    boot: int
    conn: int
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a device is. `key` is `ed25519:<base64>` or `p256:<base64>`; see `model.seen.Facts`.

    `box` is what secrets are sealed to, by the scheme of its first word (`wire.boxes`); "": none.
    points: sensors that guests may read, by name, and outputs, whose names end in `:w`.
    """

    id: str
    inst: str
    boot: int
    arch: str
    os: str
    runtime: str
    runtime_version: str
    agent: str
    memory: int
    storage: int
    tasks: int
    max_module: int
    max_payload: int
    min_run_interval: int
    heartbeat: int
    imports: tuple[str, ...]
    components: bool
    mounts: tuple[str, ...]
    encodings: tuple[str, ...]
    algs: tuple[str, ...]
    fetch: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    key: str
    versions: tuple[int, ...] = (VERSION,)
    box: str = ""
    points: tuple[str, ...] = ()
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation, for one connection of one device.

    verb: logs | cancel | restart | collect (invoke, upgrade come with their features).
    `src` names the sender's counter, `n` its value; a device drops any n not above the last of src.
    `uid`, `run` say what it is about ("" for collect). logs: `stream` stdout|stderr|both,
    `tail` bytes from the end, `follow` ms to keep sending (0: once).
    """

    id: str
    verb: str
    to: str
    inst: str
    boot: int
    conn: int
    src: str
    n: int
    uid: str = ""
    run: str = ""
    stream: str = "both"
    tail: int = 65536
    follow: int = 0
    not_after: int | None = None
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class OpAnswer:
    """A device's answer. state: accepted | progress | done | refused. `n` counts from 0 per op.

    `text` is at most 4 KiB (a log piece, a reason); `blob` stands for more. `dropped` counts bytes
    of log that were lost between pieces.
    """

    id: str
    op: str
    inst: str
    boot: int
    n: int
    state: str
    stream: str = ""
    text: str = ""
    blob: BlobRef | None = None
    dropped: int = 0
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGet:
    """Ask for `len` bytes at `off` of a blob. `req` is echoed in the answer."""

    id: str
    digest: str
    off: int
    len: int
    req: int
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobChunk:
    """A binary body on `blob/data`: bytes at `off` of `total` of the blob, or `error` and no bytes.

    error words: unknown_digest, not_yours, out_of_range, busy, unavailable.
    """

    digest: str
    off: int
    total: int
    req: int
    data: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPut:
    """A binary body upwards: bytes at `off` of `total`, all signed. Empty data opens or asks."""

    id: str
    inst: str
    digest: str
    off: int
    total: int
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAck:
    """How much of an upload is fsynced and committed. state: open | stored | refused (with reason).

    Signed: on `stored` the device frees its bytes.
    """

    id: str
    digest: str
    have: int
    state: str
    reason: str = ""
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatus:
    """Whether a manager is there: `online` is signed, `offline` is the will.

    On `online` devices re-send open blob requests and their report.
    """

    state: str
    fence: int
    src: str
    conn: int
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What a manager sends to itself: a marker behind its subscriptions, proof that its path works.

    `conn` tells its connections apart, `n` grows within one; `at` is its clock, only for itself.
    """

    src: str
    conn: int
    n: int
    at: int = 0
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key and what it may sign: roles out of manager, gateway, release, device."""

    kid: str
    alg: int
    pub: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The fleet's keys, signed by the offline root. `version` only ever grows."""

    version: int
    keys: tuple[TrustedKey, ...] = field(default_factory=tuple)
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """Every module that may be started at all, signed by the release role. `version` only grows.

    After `not_after` (Unix ms) a device starts nothing new by it; what it held goes on.
    """

    version: int
    modules: tuple[str, ...] = ()
    not_after: int | None = None
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A batch of log lines, QoS 0. `n` counts batches per (boot, run).

    `dropped` counts bytes lost before it. Without `uid` and `run` the lines are the agent's own.
    """

    id: str
    boot: int
    n: int
    stream: str
    text: str
    uid: str = ""
    run: str = ""
    dropped: int = 0
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A batch of named integers, QoS 0."""

    id: str
    boot: int
    n: int
    at: int
    values: tuple[tuple[str, int], ...]
    dropped: int = 0
    v: int = VERSION


Message = (
    Desired
    | Report
    | Status
    | Hello
    | Op
    | OpAnswer
    | Call
    | CallAnswer
    | BlobGet
    | BlobChunk
    | BlobPut
    | BlobAck
    | ManagerStatus
    | Echo
    | Trust
    | Releases
    | Log
    | Metrics
)
