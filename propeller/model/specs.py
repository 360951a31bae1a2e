"""What people write, after the schema: one frozen dataclass a kind.

Durations are integers in milliseconds, sizes integers in bytes; `None` where the schema's
`Unlimited` stands. `spec` on every object is the canonical form (defaults filled, quantities as
integers): its digest moves the generation, its fields are what `diff` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.model.canonical import Value
from propeller.model.drift import Drift, IgnoreDrift
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.rollout import Amount, Rollout
from propeller.model.selector import Selector
from propeller.model.windows import Window


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where an object was written: path inside the spec tree and first line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The part every object shares. `app` owns it (`default`: the implicit one).

    moved: names it had before. known_as: the name that devices know it by, None for its own: a
    device is not told of a move, for that would restart what it runs.
    """

    key: Key
    uid: Uid
    app: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    protect: bool = False
    moved: tuple[Key, ...] = ()
    known_as: Key | None = None
    origin: Origin = Origin("", 0)
    spec: Mapping[str, Value] = field(default_factory=dict)
    spec_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """A stop a person asked for. `until` is Unix milliseconds; None means until lifted."""

    reason: str
    by: str
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ModuleRef:
    """How a spec names its module: exactly one of file, image, url.

    For `file`, `digest` is that of the bytes as written (`.wat` source or `.wasm`) and is always
    set after loading; for `image` it pins the manifest's module layer, if given.
    """

    file: str | None = None
    image: str | None = None
    url: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.file or self.image or self.url or ""


class Access(StrEnum):
    """What a guest may do in a mount."""

    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


@dataclass(frozen=True, slots=True)
class Mount:
    """A named directory of the proplet, shown to the guest at `path` (default `/<name>`)."""

    name: str
    path: str
    access: Access = Access.READ_ONLY


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretVar:
    """A variable of the environment whose value is `key` of a Secret of the same namespace."""

    name: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What is run and with what. `args` are text; an export's own types parse them.

    `env` is ordered as written; `stdin` is text given to the guest, None for an empty one.
    `secrets` are the variables that come from Secrets; the guest sees them after the others.
    """

    entrypoint: str = "_start"
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[SecretVar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ceilings the proplet enforces. None means Unlimited.

    memory: bytes of linear memory. fuel: wasmtime fuel units (about one a Wasm instruction).
    timeout: milliseconds of wall clock. output: bytes kept of each of stdout and stderr.
    """

    memory: int | None
    fuel: int | None
    timeout: int | None
    output: int


class OnOffline(StrEnum):
    """What the planner does with a copy on a device silent for longer than tolerated."""

    KEEP = "Keep"
    RESCHEDULE = "Reschedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementSpec:
    """Where copies go. At most one copy of an object on one proplet.

    Exactly one of: `replicas` (that many distinct proplets), `per_proplet` (every match), or
    `proplets` (pinned by name; replicas is then their number).
    `offline_tolerance`: milliseconds of silence that are the network and not a failure.
    """

    selector: Selector = Selector()
    replicas: int = 1
    per_proplet: bool = False
    proplets: tuple[PropletId, ...] = ()
    spread: str | None = None
    offline_tolerance: int
    on_offline: OnOffline


class RestartPolicy(StrEnum):
    """When a proplet starts a Daemon's module again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling from `base` to `cap`, both in milliseconds."""

    base: int
    cap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a failed or interrupted run of a Task is followed by another attempt."""

    limit: int
    backoff: Backoff


class Missed(StrEnum):
    """What happens to cron slots nobody was there to fire."""

    RUN_LATEST = "RunLatest"
    SKIP = "Skip"


class Overlap(StrEnum):
    """What happens when a slot comes while the last run has not ended."""

    FORBID = "Forbid"
    REPLACE = "Replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron schedule on the reconciler's clock. `starting_deadline`: ms until a slot is missed."""

    cron: str
    time_zone: str
    missed: Missed
    overlap: Overlap
    starting_deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyWhen:
    """A Daemon's quorum: `min_percent` of copies healthy `within` ms, else Stalled; None waits."""

    min_percent: int = 100
    within: int | None = None


class Prune(StrEnum):
    """Whether an object that left the source leaves the fleet."""

    ENABLED = "Enabled"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A module run to completion: once, or on a cron schedule."""

    meta: Meta
    module: ModuleRef
    placement: PlacementSpec
    run: RunSpec
    limits: Limits
    retries: Retries
    run_key: str = ""
    schedule: Schedule | None = None
    rollout: Rollout | None = None
    windows: tuple[Window, ...] = ()
    prune: Prune = Prune.ENABLED
    depends_on: tuple[Key, ...] = ()
    suspend: Suspend | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A module kept running."""

    meta: Meta
    module: ModuleRef
    placement: PlacementSpec
    run: RunSpec
    limits: Limits
    restart: RestartPolicy
    backoff: Backoff
    ready_after: int
    max_restarts: int | None
    ready_when: ReadyWhen
    drift: Drift = Drift.CORRECT
    ignore_drift: tuple[IgnoreDrift, ...] = ()
    rollout: Rollout | None = None
    windows: tuple[Window, ...] = ()
    prune: Prune = Prune.ENABLED
    depends_on: tuple[Key, ...] = ()
    suspend: Suspend | None = None


class Scheduling(StrEnum):
    """Whether a proplet takes work. Cordon keeps what runs; Drain moves it away or stops it."""

    ENABLED = "Enabled"
    CORDON = "Cordon"
    DRAIN = "Drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proplet:
    """A declared device. Its id on the wire is `metadata.name`.

    `memory` and `tasks` are capacities the planner may not exceed (None: what hello says).
    `heartbeat`: ms between reports; three missed ones mean offline.
    `public_key`: `ed25519:<base64>` or `p256:<base64>` enrolled for it, None to pin the first seen.
    `encryption_key`: `x25519:<base64>`, what secrets are sealed to; None: see `reconcile.devices`.
    """

    meta: Meta
    proplet_class: str = "linux"
    scheduling: Scheduling = Scheduling.ENABLED
    memory: int | None = None
    tasks: int | None = None
    heartbeat: int
    public_key: str | None = None
    encryption_key: str | None = None
    suspend: Suspend | None = None


class Discovery(StrEnum):
    """Whether undeclared proplets that announce themselves get work from this App."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """How much of an App one revision may change unasked. None: any number of its objects."""

    max_delete: Amount | None = None
    max_restart: Amount | None = None
    never_empty: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A unit of reconciliation. Exactly one of `path` and `address` is not empty.

    path: its folder, relative to the root of the tree that declares it. address: a source of its
    own, as `sources.open` takes it. interval: ms between two looks at that, None where it is
    watched or by default. jitter: percent of the interval. cron: times to look at instead.
    """

    meta: Meta
    path: str = ""
    address: str = ""
    interval: int | None = None
    jitter: int = 10
    cron: str = ""
    time_zone: str = "UTC"
    namespace: str
    prune: Prune = Prune.ENABLED
    discovery: Discovery = Discovery.DENY
    guards: Guards = Guards()
    windows: tuple[Window, ...] = ()
    depends_on: tuple[Key, ...] = ()
    suspend: Suspend | None = None


class Tls(StrEnum):
    """How a connection to a mail server is made private."""

    START_TLS = "StartTls"
    TLS = "Tls"
    NONE = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSink:
    """POST as JSON. Exactly one of `url` and `url_ref`; a `..._ref` names a secret, no path."""

    url: str | None = None
    url_ref: str | None = None
    hmac_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSink:
    """POST in the shape of Slack's incoming webhooks."""

    url_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSink:
    """Publish on a topic of the fleet's broker."""

    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSink:
    """Send as e-mail. `server` is HOST:PORT."""

    server: str
    tls: Tls
    username: str | None
    password_ref: str | None
    sender: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """One place where messages of an Alert go."""

    name: str
    way: WebhookSink | SlackSink | MqttSink | SmtpSink


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are told; an empty tuple lets any through. In `names`, `*` is anything."""

    warnings_only: bool = True
    kinds: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Where events go. `dedup`: ms in which the same reason for the same object is told once."""

    meta: Meta
    sinks: tuple[Sink, ...]
    events: EventFilter
    dedup: int
    recovery: bool
    suspend: Suspend | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Values that are sealed in the source: `meta.spec` holds them as they were written.

    keys: their names. plaintext: whether the source may hold values that are not sealed.
    """

    meta: Meta
    keys: tuple[str, ...]
    plaintext: bool = False
    suspend: Suspend | None = None


Workload = Task | Daemon
Object = Alert | App | Proplet | Secret | Task | Daemon
