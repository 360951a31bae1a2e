"""The rows of the store: what was tried, asked, said, seen and done, as values.

`base.Store` takes and gives them. All times are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Only named here: commands that show what is stored start without the model.
    from propeller.model.ids import Digest, Key, PropletId, RunId, Uid


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord:
    """One attempt to take the source. outcome: accepted | rejected. faults: lines of text.

    signed_by: who signed the commit, "" where signatures are not asked for.
    """

    name: str
    digest: str
    source: str
    at: int
    outcome: str
    author: str = ""
    message: str = ""
    time: int = 0
    faults: tuple[str, ...] = ()
    signed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The desired document we last asked a proplet to hold.

    digest: of its tasks list. body: the canonical document body as signed over (re-sent byte for
    byte); kept out of memory by `load_asked`, which leaves it empty: read it with `asked_body`.
    due: when to ask again while not observed (Unix ms); attempts counts asks of this (fence, gen).
    """

    proplet: PropletId
    inst: str
    fence: int
    gen: int
    digest: str
    asked_at: int
    due: int
    attempts: int
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run in the history: outlives the assignment, so `tasks results` can still show it."""

    uid: Uid
    key: Key
    run: RunId
    proplet: PropletId
    cause: str
    attempt: int
    state: str
    exit: int | None = None
    result: str | None = None
    result_digest: str | None = None
    error: str = ""
    restarts: int = 0
    assigned_at: int = 0
    started: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a person may want to know. Equal ones in a row are one row with a count.

    severity: Info | Warning. reason: one CamelCase word. key or proplet may be None.
    """

    at: int
    severity: str
    reason: str
    message: str
    key: Key | None = None
    proplet: PropletId | None = None
    revision: str = ""
    count: int = 1
    first_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """An object's status as last projected; `document`: the whole file as canonical JSON."""

    uid: Uid
    key: Key
    ready: str
    document: str
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """An object's past: (spec digest, outcome) once, with first, last and count. Newest first."""

    uid: Uid
    digest: Digest
    generation: int
    outcome: str
    revision: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PropletHold:
    """What an operator said about a proplet at run time; journalled."""

    proplet: PropletId
    scheduling: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """An App's part of a revision that waits for a person, because a guard tripped.

    guard: the field of `spec.guards`. digest: what to confirm. whole: the digest of the whole plan
    it was part of, which may be confirmed as well. source: the App whose source the revision is of,
    "" for the tree.
    """

    app: str
    source: str
    guard: str
    message: str
    digest: str
    whole: str
    revision: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's yes to the plan of this digest, until such a plan was carried out."""

    digest: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class GuardRecord:
    """A guard that a plan went through. by: who confirmed it, "" while it waits."""

    app: str
    guard: str
    message: str
    digest: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """What a revision meant for the inventory. digest: what is confirmed (`plan.guards`).

    source: the App whose source the revision is of, "" for the tree. at: when it was planned
    first; done: when all of it was written down, 0 while a guard holds part of it back.
    """

    source: str
    revision: str
    digest: str
    at: int
    done: int
    created: int
    changed: int
    deleted: int
    guards: tuple[GuardRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handing:
    """How far the document asked last of a proplet came. Times are Unix ms, 0: not (yet) known.

    published: the broker took it from us first. kept: it was read back
    from there equal, or our echo that followed it came back. taken:
    the device said that it holds it. refused, why: when the device last said no, and its reason.
    """

    proplet: PropletId
    fence: int
    gen: int
    published: int = 0
    kept: int = 0
    taken: int = 0
    refused: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """An operation under way or just ended. state: sent | accepted | done | refused | Unknown."""

    id: str
    proplet: PropletId
    verb: str
    uid: str
    run: str
    boot: int
    conn: int
    n: int
    state: str
    at: int
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A blob on its way up. `have` bytes are fsynced in the spool."""

    proplet: PropletId
    digest: Digest
    total: int
    have: int
    state: str
    at: int
