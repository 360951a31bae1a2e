"""The pieces that specs of several kinds are made of. `specs` gives them out under its own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.model.canonical import Value
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.scoring import Scorer
from propeller.model.selector import Selector
from propeller.outgoing import Rule


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where an object was written: path inside the spec tree and first line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The part every object shares. `app` owns it (`default`: the implicit one).

    moved: names it had before. known_as: the name that devices know it by, None for its own: a
    device is not told of a move, for that would restart what it runs. scorers: plugins that say
    which proplets are good places for it.
    """

    key: Key
    uid: Uid
    app: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    protect: bool = False
    moved: tuple[Key, ...] = ()
    known_as: Key | None = None
    scorers: tuple[Scorer, ...] = ()
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
    encrypted: plain bytes will not do. aot: devices that say so may be given native code for it.
    """

    file: str | None = None
    image: str | None = None
    url: str | None = None
    digest: Digest | None = None
    encrypted: bool = False
    aot: bool = False

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
class ModelFile:
    """Bytes a guest reads as `/models/<name>`. size: bytes. At most one of file and image is set.

    file: of the spec tree, whose digest and size were filled in. image: the repository that has it;
    with neither it is a blob of this fleet, such as what a FederatedTask made.
    """

    name: str
    digest: Digest
    size: int
    file: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicGrant:
    """A topic of the channel that the guest knows as `name`. One of publish and subscribe is set.

    size: bytes of a message. rate: messages a second it may publish. keep: messages kept while the
    device has no link, or until the guest takes them.
    """

    name: str
    publish: str | None = None
    subscribe: str | None = None
    size: int
    rate: int
    keep: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointGrant:
    """A point of the device that the guest knows as `name`: a sensor to read or an output to write.

    One of read and write is set, the name the device has for it. rate: of either, a second.
    """

    name: str
    read: str | None = None
    write: str | None = None
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpGrant:
    """HTTP requests a guest may send. allow: rules of `propeller.outgoing`, sorted.

    requests: in one call, and in each minute of what runs longer. timeout: ms of one request.
    body: bytes of one body, either way.
    """

    allow: tuple[Rule, ...]
    requests: int
    timeout: int
    body: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What is run and with what. `args` are text; an export's own types parse them.

    `env` is ordered as written; `stdin` is text given to the guest, None for an empty one.
    `secrets` are the variables that come from Secrets; the guest sees them after the others.
    `capabilities` are what it is granted besides (`propeller.capabilities`); None grants all.
    `models` are files it may read. `topics` are those it may publish to and hear. `external`: the
    engine that runs it, "" for the proplet's own. `points` are the device's it may read and write.
    `http`: requests it may send, None for none.
    """

    entrypoint: str = "_start"
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[SecretVar, ...] = ()
    capabilities: tuple[str, ...] | None = None
    models: tuple[ModelFile, ...] = ()
    external: str = ""
    topics: tuple[TopicGrant, ...] = ()
    points: tuple[PointGrant, ...] = ()
    http: HttpGrant | None = None


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
    `autonomy`: ms that a device keeps it going with no word of the manager, None: for ever.
    `priority`: the higher gets room first. `preempts`: where nothing fits, copies of objects with a
    lower one are taken off a proplet.
    """

    selector: Selector = Selector()
    replicas: int = 1
    per_proplet: bool = False
    proplets: tuple[PropletId, ...] = ()
    spread: str | None = None
    offline_tolerance: int
    on_offline: OnOffline
    autonomy: int | None = None
    priority: int = 0
    preempts: bool = False


class Prune(StrEnum):
    """Whether an object that left the source leaves the fleet."""

    ENABLED = "Enabled"
    NEVER = "Never"
