"""Phase 1 of a plan: for each object by itself, which copies stay, which leave, what is missing.

Called by `planner`. A `Case` is one object while it is planned; `survey` fills it in. Nothing here
looks at another object or at room, so the order of objects does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from propeller.model.ids import Key, PropletId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.seen import Presence, RunState, Seen
from propeller.model.specs import Daemon, OnOffline, Task
from propeller.plan.adoption import Strays, adoptable
from propeller.plan.lifecycle import Aim, Fate, Verdict, aim, judge, silent_since
from propeller.plan.placement import Looks, Standing
from propeller.plan.runs import DAEMON, ONCE, Cause
from propeller.plan.types import (
    Action,
    Adopt,
    Assign,
    Fire,
    Forget,
    Gone,
    Release,
    Snapshot,
    Wakeup,
)

NONE: Mapping[PropletId, Assignment] = {}


@dataclass(slots=True)
class Case:
    """One live Task or Daemon while it is planned.

    counted: copies that make up the number wanted, with what becomes of each. lame, silent: copies
    that do not count (see `Fate`). missing: proplets that should hold a copy of an object that
    says so by proplet. widely: it says so by proplet (`perProplet` or pinned names), not by number.
    """

    held: Held
    wish: Aim
    copies: Mapping[PropletId, Assignment]
    standing: Standing
    pinned: frozenset[PropletId] | None
    widely: bool
    counted: dict[PropletId, Verdict] = field(default_factory=dict)
    lame: dict[PropletId, Verdict] = field(default_factory=dict)
    silent: list[PropletId] = field(default_factory=list)
    missing: list[PropletId] = field(default_factory=list)
    refused: dict[PropletId, str] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    wakeups: list[Wakeup] = field(default_factory=list)
    placed: int = 0

    @property
    def uid(self) -> Uid:
        return self.held.uid

    @property
    def key(self) -> Key:
        return self.held.object.meta.key

    def assign(self, proplet: PropletId, reason: str, attempt: int = 1) -> None:
        """Put the run that is meant now on `proplet`."""
        base = self.wish.base
        assert base is not None
        self.placed += 1
        self.actions.append(
            Assign(
                uid=self.uid,
                key=self.key,
                proplet=proplet,
                run=self.wish.name(base, attempt)(proplet),
                cause=str(Cause(base, attempt)),
                attempt=attempt,
                reason=reason,
            )
        )

    def release(self, proplet: PropletId, reason: str) -> None:
        """Take the copy off `proplet`."""
        self.actions.append(Release(uid=self.uid, key=self.key, proplet=proplet, reason=reason))

    def gone(self, proplet: PropletId, reason: str) -> None:
        """The copy is not on `proplet` any more."""
        self.actions.append(Gone(uid=self.uid, key=self.key, proplet=proplet, reason=reason))

    def wake(self, due: int, proplet: str = "") -> None:
        """Look again at `due`."""
        self.wakeups.append(Wakeup(due=due, uid=self.uid, proplet=proplet))


@dataclass(frozen=True, slots=True)
class Grounds:
    """What every case of one plan shares. scope: proplets to look at, None for all."""

    snapshot: Snapshot
    now: int
    looks: Looks
    strays: Strays
    near: Strays
    scope: list[PropletId] | None
    everywhere: list[tuple[PropletId, Seen, int]]


def open_case(held: Held, grounds: Grounds) -> Case:
    """The case of a live Task or Daemon, before anything was looked at."""
    obj = held.object
    assert isinstance(obj, Task | Daemon)
    snapshot = grounds.snapshot
    copies = snapshot.assignments.get(held.uid, NONE)
    resolved = snapshot.modules.get(obj.module)
    module = resolved if isinstance(resolved, Module) else None
    wish = aim(held, resolved, copies, grounds.now)
    case = Case(
        held=held,
        wish=wish,
        copies=copies,
        standing=Standing(obj, module, grounds.looks, snapshot.policy.discovery_apps),
        pinned=frozenset(obj.placement.proplets) if obj.placement.proplets else None,
        widely=obj.placement.per_proplet or bool(obj.placement.proplets),
    )
    for due in wish.due:
        case.wake(due)
    if wish.fired is not None:
        case.actions.append(
            Fire(uid=held.uid, key=case.key, slot=wish.fired.slot, reason=wish.fired.reason)
        )
    return case


def survey(case: Case, grounds: Grounds) -> None:
    """Decide about every copy that is there, and note what is missing."""
    if case.widely:
        _survey_widely(case, grounds)
    else:
        _survey_replicas(case, grounds)


def bury(held: Held, snapshot: Snapshot) -> list[Action]:
    """A deleted object: take back every copy; forget it once the last one is confirmed gone."""
    uid, key = held.uid, held.object.meta.key
    actions: list[Action] = []
    left = 0
    for proplet, copy in sorted(snapshot.assignments.get(uid, NONE).items()):
        why = confirmed(copy, snapshot)
        if why and (copy.releasing or not _was_reached(proplet, snapshot)):
            actions.append(Gone(uid=uid, key=key, proplet=proplet, reason=why))
            continue
        left += 1
        if not copy.releasing:
            reason = "removed from the source"
            actions.append(Release(uid=uid, key=key, proplet=proplet, reason=reason))
    if not left:
        reason = "removed from the source, and gone from every proplet"
        actions.append(Forget(uid=uid, key=key, reason=reason))
    return actions


def confirmed(copy: Assignment, snapshot: Snapshot) -> str:
    """How it is known that a released copy is gone, "" while it is not."""
    seen = snapshot.proplets.get(copy.proplet)
    if seen is None:
        return "its proplet was forgotten"
    if not seen.inst:
        return "its proplet never heard of it"
    if (
        copy.proplet in snapshot.delivered
        and seen.reported
        and not any(uid == copy.uid for uid, _ in seen.runs)
    ):
        return "the proplet confirmed it"
    return ""


def _was_reached(proplet: PropletId, snapshot: Snapshot) -> bool:
    seen = snapshot.proplets.get(proplet)
    return seen is not None and bool(seen.inst)


def _survey_widely(case: Case, grounds: Grounds) -> None:
    """An object that wants a copy on every proplet of a set: each is a question of its own."""
    places = _places(case, grounds)
    settled = _settled(case)
    quiet = case.wish.suspended is None and case.wish.starts
    copies, pinned, standing = case.copies, case.pinned, case.standing
    known = 0
    for proplet, seen, look in places:
        copy = copies.get(proplet)
        if copy is None:
            _consider(case, proplet, seen, look)
            continue
        known += 1
        # The common case first and without a call more than needed: nothing has changed.
        if quiet and not copy.releasing and settled(copy, seen) and standing.to(look).settled:
            if pinned is None or proplet in pinned:
                continue
        _judge_one(case, proplet, copy, seen, grounds)
    _missing_proplets(case, grounds, known)
    _adopt_widely(case, grounds)


def _places(case: Case, grounds: Grounds) -> Iterable[tuple[PropletId, Seen, int]]:
    if grounds.scope is None and case.pinned is None:
        return grounds.everywhere
    proplets, looks = grounds.snapshot.proplets, grounds.looks
    names: Iterable[PropletId]
    if grounds.scope is not None:
        names = grounds.scope
    else:
        assert case.pinned is not None
        names = sorted(case.pinned | case.copies.keys())
    return [
        (name, seen, looks.of(name, seen))
        for name in names
        if (seen := proplets.get(name)) is not None
    ]


class _settled:  # noqa: N801 - a function with its constants bound once, it runs per copy
    """Whether a copy that is not being released needs no second look for its run's sake."""

    __slots__ = ("_base", "_name", "_states", "_task", "_uid", "_wish")

    def __init__(self, case: Case) -> None:
        wish = case.wish
        self._wish = wish
        self._uid = case.uid
        self._base = wish.base or ""
        self._task = isinstance(wish.obj, Task)
        plain = self._base in (ONCE, DAEMON) and wish.digest is not None
        self._name = wish.name(self._base) if plain else None
        self._states = _NEED_A_LOOK

    def __call__(self, copy: Assignment, seen: Seen) -> bool:
        if self._name is not None and copy.attempt == 1:
            if copy.run != self._name(copy.proplet):
                return False
        elif not self._wish.meant(copy):
            return False
        if not self._task:
            return True
        run = seen.runs.get((self._uid, copy.run))
        return run is None or run.state not in self._states


_NEED_A_LOOK = frozenset({RunState.FAILED, RunState.INTERRUPTED})


def _consider(case: Case, proplet: PropletId, seen: Seen, look: int) -> None:
    """A proplet without a copy: should it have one?"""
    if case.pinned is not None and proplet not in case.pinned:
        return
    stand = case.standing.to(look)
    if stand.open:
        case.missing.append(proplet)
    elif not stand.out and not stand.cordoned and not stand.draining:
        assert stand.unfit is not None
        case.refused[proplet] = stand.unfit
    elif case.pinned is not None:
        case.refused[proplet] = stand.out or "is cordoned"


def _missing_proplets(case: Case, grounds: Grounds, known: int) -> None:
    """Copies on proplets that were forgotten, and pinned names nobody has heard of."""
    proplets = grounds.snapshot.proplets
    names: Iterable[PropletId] = ()
    if grounds.scope is not None:
        names = grounds.scope
    elif case.pinned is not None or known != len(case.copies):
        names = sorted(case.copies.keys() | (case.pinned or frozenset()))
    for proplet in names:
        if proplet in proplets:
            continue
        if proplet in case.copies:
            case.gone(proplet, "its proplet was forgotten")
        if case.pinned is not None and proplet in case.pinned:
            case.refused[proplet] = "is not a known proplet"


def _judge_one(
    case: Case, proplet: PropletId, copy: Assignment, seen: Seen, grounds: Grounds
) -> None:
    stand = case.standing.of(proplet, seen)
    if case.pinned is not None and proplet not in case.pinned:
        stand = _replace_out(stand, "is not named in placement.proplets")
    if copy.releasing:
        why = confirmed(copy, grounds.snapshot)
        if why:
            case.gone(proplet, why)
        if stand.open and case.wish.suspended is None:
            case.missing.append(proplet)
        elif not stand.out and not stand.draining and not stand.cordoned:
            if stand.unfit is not None:
                case.refused[proplet] = stand.unfit
        return
    verdict = judge(case.wish, copy, seen, stand, silent=False, now=grounds.now)
    _note(case, proplet, verdict)
    match verdict.fate:
        case Fate.UPDATE:
            case.assign(proplet, verdict.reason, verdict.attempt)
        case Fate.RERUN:
            case.counted[proplet] = verdict
        case Fate.RELEASE:
            case.release(proplet, verdict.reason)
        case Fate.KEEP | Fate.LAME | Fate.SILENT | Fate.GONE:
            pass


def _note(case: Case, proplet: PropletId, verdict: Verdict) -> None:
    if verdict.refused:
        case.refused[proplet] = verdict.refused
    if verdict.due is not None:
        case.wake(verdict.due, proplet)


def _adopt_widely(case: Case, grounds: Grounds) -> None:
    strays = grounds.strays if grounds.scope is None else grounds.near
    if not case.missing and not case.refused and len(case.copies) > 0 and grounds.scope is None:
        return
    found = strays.of(case.uid)
    if not found:
        return
    taken = set()
    for proplet, runs in found.items():
        if case.pinned is not None and proplet not in case.pinned:
            continue
        seen = grounds.snapshot.proplets[proplet]
        stray = adoptable(case.wish, proplet, runs, case.standing.of(proplet, seen))
        if stray is not None:
            taken.add(proplet)
            case.refused.pop(proplet, None)
            _adopt(case, stray.proplet, stray.run.run, stray.cause)
    case.missing = [proplet for proplet in case.missing if proplet not in taken]


def _adopt(case: Case, proplet: PropletId, run: object, cause: Cause) -> None:
    raise NotImplementedError
