"""What the planner is given and what it answers: plain data, no behaviour.

`plan(snapshot, now, touched)` is a pure function (law 2). It never mutates the snapshot; the
caller writes the actions down in one transaction and asks again.
docs/explanation/planning.md tells the whole story.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.model.checks import Probe, Reading
from propeller.model.drift import Corrections
from propeller.model.flow import Flow
from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Resolved
from propeller.model.privacy import Noise, Purse
from propeller.model.quotas import Quota
from propeller.model.rounds import Learning, Round, Step
from propeller.model.scaling import Called, Scale
from propeller.model.scoring import Asking, Score
from propeller.model.secrets import Secrets
from propeller.model.seen import Seen, SeenRun
from propeller.model.signing import Rule
from propeller.model.specs import ModuleRef
from propeller.model.versions import Course
from propeller.model.windows import Window
from propeller.model.withheld import Withheld
from propeller.plan.notes import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for the whole fleet.

    hold: why no run may start, stop or move anywhere ("" when they may): a lost store.
    no_moves: why no copy may be replaced for its proplet's silence ("" when it may): FleetSilent.
    silent_sites: proplets whose copies stay theirs for the same reason, though the fleet's do not:
    by the name of the site that fell silent with them (`site=north`).
    discovery_apps: Apps whose work may go to undeclared proplets.
    echo_since: silence counts from here at the earliest (Unix ms, protocol rule h).
    windows: when edits may reach devices, by App.
    released: modules that may be started at all, None where any may.
    signing: who has to vouch for modules.
    quotas: how much a namespace may have, by its name.
    """

    hold: str = ""
    no_moves: str = ""
    silent_sites: Mapping[PropletId, str] = field(default_factory=dict)
    discovery_apps: frozenset[str] = frozenset({"default"})
    echo_since: int = 0
    windows: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    released: frozenset[str] | None = None
    signing: tuple[Rule, ...] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)


def _is_current(_copy: Assignment, _run: SeenRun) -> bool:
    return True


def _no_entry(_copy: Assignment) -> str:
    return ""


def _no_blob(_digest: Digest) -> bytes | None:
    return None


def _long_ago(_proplet: PropletId) -> int:
    return 0


def _full(_uid: Uid, _noise: Noise) -> Purse:
    return Purse()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a decision rests on. Mappings may be live views: read, never kept, never written.

    modules: how each ModuleRef resolved; a missing key means resolution is still under way.
    delivered: proplets that hold exactly the document last asked of them, where that document is in
    line with `assignments` (a Release not yet asked for takes the proplet out).
    waits: what an object depends on and cannot begin without, in words, "" when it may begin; None
    where nothing depends on anything.
    holders: the same assignments by proplet, so that one report need not walk all of them; built
    from `assignments` when None.
    courses: of objects that have a rollout, or had one.
    current: whether a run was begun from what its copy is asked for now, and not from an earlier
    version of the same run (edited limits, for one).
    secrets: what is known of the Secrets that are there.
    withheld: edits that wait for a window. overrides: those that somebody let through, by mark.
    corrections: what was done about drift. strays: where a run of an object is up that nobody asked
    for. entry: the digest of the entry a copy is told. asked_at: when a proplet was last asked for
    anything (Unix ms).
    learning: how far each FederatedTask is. told: rounds (`Round.name`) whose cohort is in the
    status, where anybody can see it before it is invited.
    readings: what was measured outside, newest a check. purse: what an object has spent of its
    privacy budget.
    scales: how many copies objects with `autoscale` are to have.
    scores: what plugins answered, by the name of the question.
    wanted: when a gateway last said that calls wait for a first copy, and how many (`Called`).
    flows: how far each Workflow is. blob: a result that is a blob; None while it is not here.
    """

    objects: Mapping[Uid, Held]
    proplets: Mapping[PropletId, Seen]
    assignments: Mapping[Uid, Mapping[PropletId, Assignment]]
    modules: Mapping[ModuleRef, Resolved]
    policy: Policy = Policy()
    waits: Callable[[Uid], str] | None = None
    delivered: Container[PropletId] = frozenset()
    holders: Mapping[PropletId, Collection[Uid]] | None = None
    courses: Mapping[Uid, Course] = field(default_factory=dict)
    current: Callable[[Assignment, SeenRun], bool] = _is_current
    secrets: Secrets = field(default_factory=dict)
    withheld: Mapping[Uid, Withheld] = field(default_factory=dict)
    overrides: Mapping[Uid, str] = field(default_factory=dict)
    corrections: Mapping[Uid, Corrections] = field(default_factory=dict)
    strays: Mapping[Uid, Collection[PropletId]] = field(default_factory=dict)
    entry: Callable[[Assignment], str] = _no_entry
    asked_at: Callable[[PropletId], int] = _long_ago
    learning: Mapping[Uid, Learning] = field(default_factory=dict)
    told: Container[tuple[Uid, str, int, int, Step]] = frozenset()
    readings: Mapping[Uid, Mapping[str, Reading]] = field(default_factory=dict)
    purse: Callable[[Uid, Noise], Purse] = _full
    flows: Mapping[Uid, Flow] = field(default_factory=dict)
    scales: Mapping[Uid, Scale] = field(default_factory=dict)
    wanted: Mapping[Uid, Called] = field(default_factory=dict)
    blob: Callable[[Digest], bytes | None] = _no_blob
    scores: Mapping[Digest, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Put this run on this proplet, in place of the assignment the object had there, if any.

    version: what the copy runs, "" where it follows the spec.
    """

    uid: Uid
    key: Key
    proplet: PropletId
    run: RunId
    cause: str
    attempt: int
    reason: str
    version: Digest = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """The device already holds this wanted run (our store lost it): take it into the inventory."""

    uid: Uid
    key: Key
    proplet: PropletId
    run: RunId
    cause: str
    attempt: int
    reason: str
    version: Digest = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take this object off this proplet; it stays in the inventory until the device confirms."""

    uid: Uid
    key: Key
    proplet: PropletId
    reason: str
    preempted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The device confirmed that a released copy is gone, or never got it: drop the assignment."""

    uid: Uid
    key: Key
    proplet: PropletId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A deleted object with no copy left anywhere leaves the inventory."""

    uid: Uid
    key: Key
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """A cron slot (Unix ms) is used up: fired, or skipped with the reason."""

    uid: Uid
    key: Key
    slot: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """A rollout goes on, stops or is undone: its row becomes this. notes: what to tell of it."""

    uid: Uid
    key: Key
    course: Course
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LetIn:
    """The window of this object is open: the edit that waited is what it means now."""

    uid: Uid
    key: Key
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correct:
    """These proplets do not hold what they said they took: ask them anew. The row becomes this."""

    uid: Uid
    key: Key
    proplets: tuple[PropletId, ...]
    corrections: Corrections
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """The rows of a FederatedTask become these. ended: rounds that are over now, oldest first."""

    uid: Uid
    key: Key
    learning: Learning
    ended: tuple[Round, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceed:
    """The row of a Workflow's run becomes this. notes: what to tell of it."""

    uid: Uid
    key: Key
    flow: Flow
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale:
    """The row about the number of copies of an object becomes this. notes: what to tell of it."""

    uid: Uid
    key: Key
    scale: Scale
    notes: tuple[Note, ...] = ()


Action = (
    Assign
    | Adopt
    | Release
    | Gone
    | Forget
    | Fire
    | Advance
    | LetIn
    | Correct
    | Conduct
    | Proceed
    | Rescale
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why an object cannot have all it wants now. reason: that of its condition, CamelCase.

    Reasons: Suspended, ModuleUnresolved, ModuleInvalid, ModuleUnsigned (nobody vouches for it),
    NotEncrypted, NotReleased, SecretMissing, SecretLocked (it cannot be
    opened), SecretKeyUnknown (no proplet's key to seal it to), NoMatch, Unfit, NotHeard,
    NoCapacity, QuotaExceeded, AllOffline, Held, DependencyNotReady, WindowClosed, PluginPending
    (one has not answered yet); of a FederatedTask also ModelInvalid, ModelUnavailable,
    TooFewProplets; of a step StepWaiting, StepSkipped.
    refused: per proplet, why it cannot run this ("needs 512 KiB of memory, has 256 KiB").
    """

    uid: Uid
    key: Key
    reason: str
    message: str
    refused: Mapping[PropletId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Wakeup:
    """Plan this object again at `due` (Unix ms): a retry, a cron slot, an offline tolerance.

    proplet: the one proplet it is about, "" when it is about the object as a whole.
    """

    due: int
    uid: Uid
    proplet: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions sorted by (key, proplet, kind of action), blocked by key, wakeups by due time.

    An object may have a Gone and then an Assign for one proplet: carry them out in order.
    planned: the objects that were looked at; None means all. `blocked` holds all of their blocks:
    one of them that is not in it is blocked no longer.
    asks: what plugins have to answer before something can be placed; until the snapshot has it.
    probes: what to measure outside; asked for again until the snapshot has a reading of that slot.
    """

    actions: tuple[Action, ...] = ()
    blocked: Mapping[Uid, Blocked] = field(default_factory=dict)
    wakeups: tuple[Wakeup, ...] = ()
    planned: frozenset[Uid] | None = None
    probes: tuple[Probe, ...] = ()
    asks: tuple[Asking, ...] = ()


class ChangeOp(StrEnum):
    """What happens to an object between two revisions."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field of the canonical spec. `before`/`after` are None where it is absent."""

    path: str
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of `diff`, with its reason.

    how: what it does to devices: `start`, `restart`, `rerun`, `stop`, `move`, `none`.
    devices, offline: proplets concerned, and how many of those are silent.
    kept: it leaves the source, but what runs is left alone (`protect`, `prune: Never`).
    """

    op: ChangeOp
    key: Key
    uid: Uid
    how: str
    reason: str
    fields: tuple[FieldDiff, ...] = ()
    devices: int = 0
    offline: int = 0
    kept: bool = False
