"""Which event becomes which message of which Alert: filter, repeats, recovery. No I/O.

A reason told for an object is not told again within the Alert's `dedup`; what was left out is
counted in the next message. A warning that was told stands until its object is Ready again and has
been quiet for a moment; then one message says so. An object that fails again inside the window and
stays failed is told of at the window's end: the last word is never a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from propeller.model.ids import Key, Uid
from propeller.model.specs import Alert, EventFilter
from propeller.writeback.news import Note, Standing

ALERT, RECOVERY, OVERFLOW = "Alert", "Recovery", "Overflow"

MAX_CASES: Final = 4_096
"""Reasons an Alert remembers at once; the ones not heard of for longest go first."""

BURST: Final = 30
REFILL: Final = 2_000
"""Messages of an Alert in one go, and ms until one more; what is above is told as a number."""

QUIET: Final = 10_000
"""ms without another warning after which a Ready object has recovered."""

OWN_REASONS: Final = frozenset({"AlertFailed", "AlertDropped"})
"""Events about alerts themselves: never told by alerts, or one would lead to the next."""

CLEARS: Final[Mapping[str, frozenset[str]]] = {
    "BrokerBack": frozenset({"BrokerLost"}),
    "SourceGood": frozenset({"RevisionRefused", "SourceUnavailable"}),
    "StatusBranchWritten": frozenset({"StatusBranchFailed"}),
    "CommitStatusSent": frozenset({"CommitStatusFailed"}),
}
"""Events of the fleet as a whole that say that a warning is over."""

FLEET: Final = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to be told. kind: Alert | Recovery | Overflow. subject: what it is about.

    count: how often it happened since it was last told. since, at: first and last time, Unix ms.
    """

    alert: str
    kind: str
    severity: str
    subject: str
    reason: str
    text: str
    at: int
    since: int
    count: int = 1
    proplet: str = ""
    revision: str = ""


class CaseId(NamedTuple):
    """What is told once in a window."""

    subject: str
    severity: str
    reason: str


@dataclass(slots=True)
class Case:
    """What an Alert remembers of one reason. held: left out since `sent_at`. firing: told as a
    warning and not yet as recovered. cleared: an event said that it is over."""

    first_at: int
    last_at: int
    sent_at: int
    text: str
    proplet: str = ""
    revision: str = ""
    held: int = 0
    firing: bool = False
    cleared: bool = False


@dataclass(slots=True)
class _Desk:
    """One Alert with what it remembers."""

    alert: Alert
    cases: dict[CaseId, Case] = field(default_factory=dict)
    tokens: int = BURST
    refilled: int = 0
    overflow: int = 0
    overflow_since: int = 0

    @property
    def name(self) -> str:
        key = self.alert.meta.key
        return f"{key.namespace}/{key.name}"


Told = tuple[Uid, Message]


class Router:
    """All Alerts of a fleet. Times are Unix ms and come in as arguments."""

    def __init__(self) -> None:
        self._desks: dict[Uid, _Desk] = {}
        self._ready: dict[str, bool] = {}
        self._remembered: dict[Uid, dict[CaseId, Case]] = {}

    # -- what is there ------------------------------------------------------------------------

    def define(self, uid: Uid, alert: Alert | None) -> None:
        """An Alert is new, changed, or gone (None)."""
        if alert is None:
            self._desks.pop(uid, None)
        elif uid in self._desks:
            self._desks[uid].alert = alert
        else:
            self._desks[uid] = _Desk(alert, self._remembered.pop(uid, {}))

    def alert(self, uid: Uid) -> Alert | None:
        """The Alert as last defined."""
        desk = self._desks.get(uid)
        return desk.alert if desk is not None else None

    def standing(self, key: Key, standing: Standing) -> None:
        """How an object stands now. One that left has nothing to fail any more."""
        self._ready[_subject(key)] = standing.gone or standing.ready == "True"
        if standing.gone:
            self._ready.pop(_subject(key))
            for desk in self._desks.values():
                for case_id, case in desk.cases.items():
                    if case_id.subject == _subject(key):
                        case.cleared = True

    # -- messages -----------------------------------------------------------------------------

    def note(self, note: Note, now: int) -> list[Told]:
        """The messages an event asks for at once."""
        if note.reason in OWN_REASONS:
            return []
        subject = _subject_of(note)
        for desk in self._desks.values():
            for reason in CLEARS.get(note.reason, ()):
                case = desk.cases.get(CaseId(FLEET, "Warning", reason))
                if case is not None:
                    case.cleared = True
        told: list[Told] = []
        for uid, desk in self._desks.items():
            if not _active(desk.alert, now) or not _wanted(desk.alert.events, note, subject):
                continue
            message = self._case(desk, note, subject, now)
            if message is not None:
                told += self._send(uid, desk, message, now)
        return told

    def due_messages(self, now: int) -> list[Told]:
        """What time alone brings: recoveries, failures that outlived their window, overflow."""
        told: list[Told] = []
        for uid, desk in self._desks.items():
            if not _active(desk.alert, now):
                continue
            for message in list(self._ripe(desk, now)):
                told += self._send(uid, desk, message, now)
            _refill(desk, now)
            if desk.overflow and desk.tokens:
                told.append((uid, _overflow(desk, now)))
                desk.tokens -= 1
                desk.overflow = 0
        return told

    def due(self, now: int) -> int | None:
        """When `due_messages` may have something, without further news (Unix ms)."""
        dues = []
        for desk in self._desks.values():
            if not _active(desk.alert, now):
                stop = desk.alert.suspend
                dues += [stop.until] if stop is not None and stop.until is not None else []
                continue
            if desk.overflow:
                dues.append(desk.refilled + REFILL)
            for case_id, case in desk.cases.items():
                if case.firing and (case.cleared or self._ready.get(case_id.subject)):
                    dues.append(case.last_at if case.cleared else case.last_at + QUIET)
                elif case.held and not case.firing and case_id.severity == "Warning":
                    dues.append(case.sent_at + desk.alert.dedup)
        return min(dues, default=None)

    def _case(self, desk: _Desk, note: Note, subject: str, now: int) -> Message | None:
        case_id = CaseId(subject, note.severity, note.reason)
        case = desk.cases.pop(case_id, None)
        fresh = case is None or now - case.sent_at >= desk.alert.dedup
        if case is None:
            case = Case(now, now, now, note.message)
            while len(desk.cases) >= MAX_CASES:
                del desk.cases[next(iter(desk.cases))]
        elif not case.firing and not case.held:
            case.first_at = now
        desk.cases[case_id] = case  # now the last to go
        case.last_at, case.cleared, case.text = now, False, note.message
        case.proplet, case.revision = note.proplet or "", note.revision
        if not fresh:
            case.held += note.count
            return None
        return _tell(desk, case_id, case, now, more=note.count)

    def _ripe(self, desk: _Desk, now: int) -> Iterator[Message]:
        for case_id, case in desk.cases.items():
            if case_id.severity != "Warning":
                continue
            if self._over(case_id, case, now):
                if case.firing:
                    case.firing = False
                    yield _recovered(desk, case_id, case, now)
                case.held = 0
            elif case.held and not case.firing and now - case.sent_at >= desk.alert.dedup:
                yield _tell(desk, case_id, case, now, more=0)

    def _over(self, case_id: CaseId, case: Case, now: int) -> bool:
        if case.cleared:
            return True
        return self._ready.get(case_id.subject, False) and now - case.last_at >= QUIET

    @staticmethod
    def _send(uid: Uid, desk: _Desk, message: Message, now: int) -> Iterable[Told]:
        _refill(desk, now)
        if desk.tokens <= 0:
            desk.overflow_since = desk.overflow_since if desk.overflow else now
            desk.overflow += 1
            return ()
        desk.tokens -= 1
        return ((uid, message),)

    # -- memory -------------------------------------------------------------------------------

    def memory(self) -> list[dict[str, object]]:
        """What should outlive the process, JSON-able."""
        return [
            {"alert": uid, **case_id._asdict(), **asdict(case)}
            for uid, desk in self._desks.items()
            for case_id, case in desk.cases.items()
        ]

    def remember(self, rows: Iterable[Mapping[str, object]]) -> None:
        """The inverse of `memory`, before Alerts are defined; broken rows are left out."""
        for row in rows:
            values = dict(row)
            try:
                uid = Uid(str(values.pop("alert")))
                case_id = CaseId(*(str(values.pop(name)) for name in CaseId._fields))
                case = Case(**values)  # type: ignore[arg-type] # checked right below
                numbers = (case.first_at, case.last_at, case.sent_at, case.held)
                if not all(isinstance(number, int) for number in numbers):
                    continue
            except (KeyError, TypeError):
                continue
            self._remembered.setdefault(uid, {})[case_id] = case


def _subject(key: Key) -> str:
    """A Proplet is one thing, whatever namespace declares it: events name the device."""
    return f"Proplet/{key.name}" if key.kind == "Proplet" else str(key)


def _subject_of(note: Note) -> str:
    if note.key is not None:
        return _subject(note.key)
    return f"Proplet/{note.proplet}" if note.proplet else FLEET


def _active(alert: Alert, now: int) -> bool:
    stop = alert.suspend
    return stop is None or (stop.until is not None and stop.until <= now)


def _wanted(wanted: EventFilter, note: Note, subject: str) -> bool:
    if wanted.warnings_only and note.severity != "Warning":
        return False
    if wanted.reasons and note.reason not in wanted.reasons:
        return False
    kind, _, rest = subject.partition("/")
    if wanted.kinds and kind not in wanted.kinds:
        return False
    if wanted.namespaces and (note.key is None or note.key.namespace not in wanted.namespaces):
        return False
    name = rest.rpartition("/")[2]
    return not wanted.names or any(fnmatchcase(name, pattern) for pattern in wanted.names)


def _tell(desk: _Desk, case_id: CaseId, case: Case, now: int, *, more: int) -> Message:
    """The message of a case, with what was left out before. It fires from now on."""
    count, case.held, case.sent_at = case.held + more, 0, now
    case.firing = case_id.severity == "Warning" and desk.alert.recovery
    return Message(
        alert=desk.name,
        kind=ALERT,
        severity=case_id.severity,
        subject=case_id.subject,
        reason=case_id.reason,
        text=case.text,
        at=case.last_at,
        since=case.first_at,
        count=max(1, count),
        proplet=case.proplet,
        revision=case.revision,
    )


def _recovered(desk: _Desk, case_id: CaseId, case: Case, now: int) -> Message:
    told = _tell(desk, case_id, replace(case), now, more=0)
    return replace(told, kind=RECOVERY, severity="Info", at=now, count=1)


def _refill(desk: _Desk, now: int) -> None:
    gained = max(0, now - desk.refilled) // REFILL
    if gained:
        desk.tokens = min(BURST, desk.tokens + gained)
        desk.refilled = now


def _overflow(desk: _Desk, now: int) -> Message:
    return Message(
        alert=desk.name,
        kind=OVERFLOW,
        severity="Warning",
        subject=FLEET,
        reason="TooManyEvents",
        text=f"{desk.overflow} more events are not told one by one; see `propeller events`",
        at=now,
        since=desk.overflow_since,
        count=desk.overflow,
    )
