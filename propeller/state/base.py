"""The Store: what the reconciler knows and must not forget, behind one Protocol.

`sqlite.SqliteStore` is the embedded default. One writer (the loop) holds it open for writing;
everyone else opens it read-only. All times are Unix milliseconds. Methods that write must be
called inside `transaction()`; reads may be called anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from propeller.model.checks import Reading

    # Only named here: commands that show what is stored start without the model.
    from propeller.model.drift import Corrections
    from propeller.model.flow import Flow
    from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
    from propeller.model.inventory import Assignment, Held
    from propeller.model.module import Resolved
    from propeller.model.rounds import Job, Learning, Round
    from propeller.model.samples import Sample
    from propeller.model.scaling import Scale
    from propeller.model.seen import Seen, SeenRun
    from propeller.model.specs import ModuleRef
    from propeller.model.versions import Course, Version
    from propeller.model.withheld import Override, Withheld
    from propeller.state.callables import CopyRow
from propeller.state.records import (
    Approval,
    Asked,
    Event,
    Handing,
    HistoryRow,
    OpRow,
    Pause,
    PlanRecord,
    PropletHold,
    RevisionRecord,
    RunRecord,
    StatusRow,
    Upload,
)


class Store(Protocol):
    """See the module. Implementations pass tests/state/test_store_*.py."""

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """BEGIN IMMEDIATE .. COMMIT; ROLLBACK when the block raises. Not nestable.

        A power cut may lose the newest transactions, whole ones and in order; never one committed
        before or by a `durable` one (say it before a run is started). On a read-only store: one
        consistent picture for the whole block.
        Raises Unavailable when the disk is full or the file cannot be written."""

    def close(self) -> None: ...

    # -- meta, fence --------------------------------------------------------------------------
    def meta(self, name: str) -> str | None: ...
    def set_meta(self, name: str, value: str) -> None: ...
    def take_fence(self, now: int) -> int:
        """`max(stored + 1, now)`, stored durably (synchronous=FULL) before it returns.

        A transaction of its own: call it outside one."""

    def serial(self) -> int:
        """Grows with every committed transaction that changed something, and only then.

        Two equal serials of one database file saw the same state (staleness of saved plans)."""

    @property
    def fresh(self) -> bool:
        """Whether this store was created by this open (an empty or lost database)."""

    @property
    def moved_aside(self) -> str:
        """Where the damaged file that was here lies now; "" when there was none."""

    # -- revisions ----------------------------------------------------------------------------
    def note_revision(self, record: RevisionRecord) -> None:
        """A repeat of the newest (name, digest, source, outcome, faults) is not noted again."""

    def revisions(self, limit: int = 50) -> list[RevisionRecord]:
        """Newest first."""

    # -- inventory ----------------------------------------------------------------------------
    def inventory(self) -> list[Held]: ...
    def put_held(self, held: Held) -> None: ...
    def drop_held(self, uid: Uid) -> None: ...
    def functions(self) -> list[Held]:
        """Every Function, sorted by uid."""

    def copies_up(self, uid: Uid) -> list[CopyRow]:
        """The copies of a Function that take calls, sorted by proplet."""

    def assignments(self) -> list[Assignment]: ...
    def put_assignment(self, assignment: Assignment) -> None: ...
    def drop_assignment(self, uid: Uid, proplet: PropletId) -> None: ...
    def modules(self) -> dict[ModuleRef, Resolved]: ...
    def put_module(self, ref: ModuleRef, resolved: Resolved) -> None: ...
    def drop_module(self, ref: ModuleRef) -> None: ...

    # -- drift --------------------------------------------------------------------------------
    def corrections(self) -> list[Corrections]: ...
    def put_corrections(self, row: Corrections) -> None: ...
    def drop_corrections(self, uid: Uid) -> None: ...

    # -- windows ------------------------------------------------------------------------------
    def withheld(self) -> list[Withheld]: ...
    def put_withheld(self, withheld: Withheld) -> None: ...
    def drop_withheld(self, uid: Uid) -> None: ...
    def flows(self) -> list[Flow]: ...
    def put_flow(self, flow: Flow) -> None: ...
    def drop_flow(self, uid: Uid) -> None: ...
    def scales(self) -> list[Scale]: ...
    def put_scale(self, scale: Scale) -> None: ...
    def drop_scale(self, uid: Uid) -> None: ...
    def overrides(self) -> list[Override]: ...
    def put_override(self, override: Override) -> None: ...
    def drop_override(self, uid: Uid) -> None: ...

    # -- measurements -------------------------------------------------------------------------
    def put_sample(self, sample: Sample) -> None:
        """One row a proplet, span and beginning: the same again replaces it."""

    def samples(
        self, proplet: PropletId, span: int, *, since: int, until: int, limit: int = 2_000
    ) -> list[Sample]:
        """Those that began from `since` on and before `until` (Unix ms), oldest first; of more than
        `limit` the newest."""

    def drop_samples(self, proplet: PropletId) -> None: ...

    # -- federated learning -------------------------------------------------------------------
    def learnings(self) -> dict[Uid, Learning]:
        """Each job with its newest round and that one's parts."""

    def put_job(self, job: Job) -> None: ...
    def rounds(self, uid: Uid, limit: int = 50) -> list[Round]:
        """Newest first, attempts of their own; those of earlier jobs too. Old ones lack parts."""

    def put_round(self, after: Round, before: Round | None = None) -> None:
        """`before` is the same round as stored last: parts that are equal are not written again.

        The parts of the newest 100 rounds are kept, and 10,000 rounds, of each object."""

    def drop_learning(self, uid: Uid) -> None:
        """Its job and all rounds."""

    def learning_blobs(self) -> set[Digest]:
        """Models, states and updates of jobs and their newest 100 rounds: what a clean-up of the
        blob store must keep."""

    # -- versions -----------------------------------------------------------------------------
    def courses(self) -> list[Course]: ...
    def put_course(self, course: Course) -> None: ...
    def readings(self) -> list[tuple[Uid, str, Reading]]: ...
    def put_reading(self, uid: Uid, name: str, reading: Reading) -> None: ...
    def drop_course(self, uid: Uid) -> None:
        """With the versions of that object."""

    def versions(self, uid: Uid) -> list[Version]:
        """Those that were accepted, newest first; at most ten are kept."""

    def holders_of_version(self, prefix: str) -> list[Uid]:
        """The objects with an accepted version whose digest begins so."""

    def newest_versions(self) -> dict[Uid, Digest]:
        """The digest of the newest of each object."""

    def version_modules(self) -> set[Digest]:
        """Blobs that versions speak of: what a clean-up of the blob store must keep."""

    def note_version(self, uid: Uid, version: Version, at: int) -> None:
        """It was accepted at `at` (Unix ms), for the first time or again."""

    # -- approvals ----------------------------------------------------------------------------
    def pauses(self) -> list[Pause]: ...
    def put_pause(self, pause: Pause) -> None: ...
    def drop_pause(self, app: str) -> None: ...
    def approvals(self) -> list[Approval]: ...
    def put_approval(self, approval: Approval) -> None: ...
    def drop_approval(self, digest: str) -> None: ...

    # -- what explains ------------------------------------------------------------------------
    def plans(self, limit: int = 1_000) -> list[PlanRecord]:
        """Newest first; at most 2,000 are kept."""

    def put_plan(self, plan: PlanRecord) -> None:
        """Of the same source, revision and digest again: keeps when it was planned first."""

    def handings(self) -> list[Handing]: ...
    def put_handing(self, handing: Handing) -> None:
        """Of a proplet that was asked; leaves with what was asked of it."""

    # -- fleet --------------------------------------------------------------------------------
    def fleet(self) -> list[Seen]:
        """Every known proplet with its runs."""

    def sightings(self, known: dict[str, Any]) -> list[Seen]:
        """Every known proplet without its runs, by id. known: what an earlier call left there, or
        empty; whose row did not change is the same object again."""

    def member(self, proplet: PropletId) -> Seen | None:
        """One proplet with its runs."""

    def count_runs(self, proplet: PropletId) -> int:
        """How many runs it holds."""

    def run_states(self) -> dict[str, int]:
        """How many runs there are of each state."""

    def put_seen(self, seen: Seen) -> None:
        """Everything of `seen` but `runs`."""

    def put_runs(
        self, proplet: PropletId, changed: Iterable[SeenRun], gone: Iterable[tuple[Uid, RunId]]
    ) -> None:
        """After `put_seen` of that proplet, in the same transaction or an earlier one.

        Beyond the quota (4,096 a proplet) ended runs go first, then those started longest ago."""

    def drop_seen(self, proplet: PropletId) -> None:
        """With its runs."""

    def load_asked(self) -> list[Asked]: ...
    def asked_body(self, proplet: PropletId) -> bytes: ...
    def put_asked(self, asked: Asked) -> None:
        """An empty `body` keeps the stored one."""

    def drop_asked(self, proplet: PropletId) -> None: ...
    def proplet_holds(self) -> list[PropletHold]: ...
    def put_proplet_hold(self, hold: PropletHold) -> None:
        """One with neither scheduling nor labels lifts the hold."""

    # -- history ------------------------------------------------------------------------------
    def put_run(self, record: RunRecord) -> None: ...
    def runs(self, uid: Uid, limit: int = 100) -> list[RunRecord]:
        """Newest first."""

    def has_run(self, uid: Uid, run: RunId) -> bool:
        """Whether the history has this run."""

    def current_runs(self) -> Iterator[RunRecord]:
        """The record of the run each assignment names, where there is one."""

    def result_digests(self) -> set[Digest]:
        """Blobs that run records speak of: what a clean-up of the blob store must keep."""

    def add_event(self, event: Event) -> None:
        """One that says the same as the newest of its (key, proplet) is counted there instead."""

    def events(
        self, *, key: Key | None = None, proplet: PropletId | None = None, limit: int = 100
    ) -> list[Event]:
        """Newest first."""

    def put_status(self, row: StatusRow) -> None: ...
    def drop_status(self, uid: Uid) -> None: ...
    def statuses(self) -> Iterator[StatusRow]: ...
    def statuses_since(self, known: dict[Uid, StatusRow]) -> list[StatusRow]:
        """As `statuses`. known: what an earlier call left there, or empty; a status that did not
        change is the same object again."""

    def note_history(self, uid: Uid, row: HistoryRow) -> None:
        """Adds to the row of (uid, digest, outcome): earliest first, latest last, counts summed."""

    def history(self, uid: Uid) -> list[HistoryRow]: ...

    # -- operations, uploads ------------------------------------------------------------------
    def put_op(self, row: OpRow) -> None: ...
    def ops(self) -> list[OpRow]: ...
    def put_upload(self, upload: Upload) -> None: ...
    def uploads(self) -> list[Upload]: ...
    def drop_upload(self, proplet: PropletId, digest: Digest) -> None: ...

    # -- quotas -------------------------------------------------------------------------------
    def prune_history(self, now: int) -> None:
        """Keep every table a device can fill within its quota. Call it every minute or so."""


class Journal(Protocol):
    """What neither the source nor the fleet can tell again: append-only, fsynced, read at start.

    Kinds used now: `hold` {uid, suspend|null}, `propletHold`, `slot` {uid, slot}, `confirm` {what},
    `reject` {what: uid/digest, at, by, why, lifted}, `good` {uid, version}, `steer` {uid, paused},
    `window` {uid, mark, by, reason, at}, `round` (see `reconcile.learning`).
    """

    def append(self, kind: str, entry: Mapping[str, object]) -> None:
        """Durable before it returns."""

    def read(self) -> Iterator[tuple[str, Mapping[str, object]]]:
        """In order. A torn last line (power cut) is dropped; a torn middle raises WireError."""
