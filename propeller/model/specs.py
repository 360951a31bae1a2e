"""What people write, after the schema: one frozen dataclass a kind.

Durations are integers in milliseconds, sizes integers in bytes; `None` where the schema's
`Unlimited` stands. `spec` on every object is the canonical form (defaults filled, quantities as
integers): its digest moves the generation, its fields are what `diff` compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from propeller.model.ceilings import FREE, Ceilings
from propeller.model.drift import Drift, IgnoreDrift
from propeller.model.federated import FederatedTask
from propeller.model.functions import Calls, Trigger
from propeller.model.ids import Digest, Key
from propeller.model.parts import (
    Access,
    HttpGrant,
    Limits,
    Meta,
    ModelFile,
    ModuleRef,
    Mount,
    OnOffline,
    Origin,
    PlacementSpec,
    PointGrant,
    Prune,
    RunSpec,
    SecretVar,
    Suspend,
    TopicGrant,
)
from propeller.model.rollout import Amount, Rollout
from propeller.model.scaling import Autoscale
from propeller.model.steps import Step
from propeller.model.windows import Window

__all__ = [
    "Access",
    "FederatedTask",
    "HttpGrant",
    "Limits",
    "Meta",
    "ModelFile",
    "ModuleRef",
    "Mount",
    "OnOffline",
    "Origin",
    "PlacementSpec",
    "PointGrant",
    "Prune",
    "RunSpec",
    "SecretVar",
    "Suspend",
    "TopicGrant",
]


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
    """A cron schedule on the reconciler's clock. `starting_deadline`: ms until a slot is missed.

    jitter: ms by which a slot is fired later, at most; each object has a time of its own.
    """

    cron: str
    time_zone: str
    missed: Missed
    overlap: Overlap
    starting_deadline: int
    jitter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyWhen:
    """A Daemon's quorum: `min_percent` of copies healthy `within` ms, else Stalled; None waits."""

    min_percent: int = 100
    within: int | None = None


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
    step: Step | None = None
    """Its place in the Workflow that it is a step of; nobody writes that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Steps that run once each, in the order of a directed graph.

    steps: in the order written; each is carried out by a Task (`Step`). key: what is to be run, all
    of it: another key is another run. timeout: ms from the first step's beginning, None: none.
    max_parallel: steps under way at once, None: any number.
    """

    meta: Meta
    steps: tuple[Step, ...]
    key: str
    max_parallel: int | None = None
    timeout: int | None = None
    schedule: Schedule | None = None
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
    autoscale: Autoscale | None = None
    windows: tuple[Window, ...] = ()
    prune: Prune = Prune.ENABLED
    depends_on: tuple[Key, ...] = ()
    suspend: Suspend | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Daemon):
    """A module that waits to be called. Placed, rolled out, drained and healed as a Daemon is.

    It never ends by itself, so the restart policy it inherits says nothing.
    """

    calls: Calls
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Daemon):
    """A Task whose schedule its devices keep (`schedule.runOn: Proplet`).

    Written as a Task; placed, edited, drained and healed as a Daemon is: what is there to stay is
    the schedule. history: results that a device holds. retries: of one time, on the device.
    """

    schedule: Schedule
    history: int
    retries: Retries
    run_key: str = ""


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
    `wake`: ms within which a device that sleeps is heard again, 0: it does not sleep.
    `blob_chunk`, `blob_rate`: bytes of a blob at once and a second it is sent at most; None: as it
    asks.
    `public_key`: `ed25519:<base64>` or `p256:<base64>` enrolled for it, None to pin the first seen.
    `encryption_key`: what secrets are sealed to, as `wire.boxes`; None: see `reconcile.devices`.
    `time_zone`: IANA name of where it stands, for windows in device time; None where nobody said.
    """

    meta: Meta
    proplet_class: str = "linux"
    scheduling: Scheduling = Scheduling.ENABLED
    memory: int | None = None
    tasks: int | None = None
    heartbeat: int
    wake: int = 0
    blob_chunk: int | None = None
    blob_rate: int | None = None
    public_key: str | None = None
    encryption_key: str | None = None
    time_zone: str | None = None
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
    ceilings: Ceilings = FREE
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
"""A Function is a Daemon."""
Modular = Task | Daemon | FederatedTask
"""What runs a module on devices."""
Object = Alert | App | Proplet | Secret | Task | Daemon | FederatedTask | Workflow


def models_of(obj: Object) -> frozenset[Digest]:
    """Blobs an object needs that no run starts: models guests read, modules that fold or score."""
    if isinstance(obj, FederatedTask) and obj.terms.aggregator:
        return frozenset({obj.terms.aggregator})
    if not isinstance(obj, Task | Daemon):
        return frozenset()
    return frozenset(
        {model.digest for model in obj.run.models}
        | {one.digest for one in obj.meta.scorers if not one.python}
    )
