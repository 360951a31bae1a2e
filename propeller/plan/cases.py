"""One object while it is planned, and what all objects of one plan share.

Called by `planner`, filled in by `survey` (phase 1) and `filling` (phase 2). Only keeps; the
decisions are made there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.scoring import Asking
from propeller.model.seen import Presence, Seen
from propeller.model.specs import Daemon, Task
from propeller.model.versions import Course
from propeller.plan.admission import admitted
from propeller.plan.adoption import Strays
from propeller.plan.helm import Helm, ended, is_steered, steer
from propeller.plan.lifecycle import Aim, Verdict, aim
from propeller.plan.notes import Note
from propeller.plan.placement import Looks, Stand, Standing
from propeller.plan.runs import Cause
from propeller.plan.types import (
    Action,
    Adopt,
    Advance,
    Assign,
    Fire,
    Gone,
    Release,
    Snapshot,
    Wakeup,
)
from propeller.plan.windows import Gate
from propeller.plan.workflow import gate_of

NO_NOTES: tuple[Note, ...] = ()
NO_COPIES: Mapping[PropletId, Assignment] = {}


class Grounds:
    """What every case of one plan shares.

    scope: the proplets that changed, None for all. whole: objects that are looked at everywhere
    all the same.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        now: int,
        *,
        scope: frozenset[PropletId] | None,
        whole: frozenset[Uid],
        looks: Looks,
    ) -> None:
        self.snapshot = snapshot
        self.now = now
        self.scope = None if scope is None else sorted(scope)
        self.whole = whole
        self.looks = looks
        self.strays = Strays(snapshot, None)
        self.near = self.strays if scope is None else Strays(snapshot, self.scope)
        self._everywhere: list[tuple[PropletId, Seen, int]] | None = None
        self._steps: dict[Uid, dict[str, Held]] | None = None

    def is_there(self, uid: Uid) -> bool:
        """Whether some device holds something of this object, as far as is known."""
        return uid in self.snapshot.assignments or bool(self.strays.of(uid))

    def steps(self, workflow: Uid) -> Mapping[str, Held]:
        """The Tasks that carry out the steps of a Workflow, by step."""
        if self._steps is None:
            self._steps = {}
            for held in self.snapshot.objects.values():
                task = held.object
                if isinstance(task, Task) and task.step is not None and held.deleted_at is None:
                    mine = self._steps.setdefault(task.step.workflow, {})
                    mine[task.step.name] = held
        return self._steps.get(workflow, {})

    def look(self, seen: Seen) -> int:
        """A number that proplets share which placement cannot tell apart."""
        return self.looks.of(seen.id, seen)

    @property
    def everywhere(self) -> list[tuple[PropletId, Seen, int]]:
        """Every proplet with its look, sorted by id."""
        if self._everywhere is None:
            look = self.looks.of
            self._everywhere = [
                (proplet, seen, look(proplet, seen))
                for proplet, seen in sorted(self.snapshot.proplets.items())
            ]
        return self._everywhere


@dataclass(slots=True)
class Case:
    """One live Task or Daemon while it is planned.

    pinned: the names its placement is limited to, None for all. widely: it says where it wants to
    be proplet by proplet (`perProplet` or pinned names) and not by a number of copies.
    scope: the proplets to ask then, None for all. helm: which version each copy is to have, None
    where all follow the spec.
    counted: copies that make up the number wanted (or, widely, wait for room), with what becomes of
    each. lame, silent: copies that do not count (see `Fate`). missing: proplets that should hold a
    copy and do not. refused: why proplets cannot hold what they should.
    """

    held: Held
    wish: Aim
    copies: Mapping[PropletId, Assignment]
    standing: Standing
    pinned: Container[PropletId] | None
    widely: bool
    scope: list[PropletId] | None
    helm: Helm | None = None
    counted: dict[PropletId, Verdict] = field(default_factory=dict)
    lame: dict[PropletId, Verdict] = field(default_factory=dict)
    silent: list[PropletId] = field(default_factory=list)
    adopted: set[PropletId] = field(default_factory=set)
    missing: list[PropletId] = field(default_factory=list)
    refused: dict[PropletId, str] = field(default_factory=dict)
    short: tuple[str, str] | None = None
    actions: list[Action] = field(default_factory=list)
    wakeups: list[Wakeup] = field(default_factory=list)
    asks: list[Asking] = field(default_factory=list)
    """What plugins have to answer before it can be placed."""

    @property
    def uid(self) -> Uid:
        return self.held.uid

    @property
    def key(self) -> Key:
        return self.held.object.meta.key

    @property
    def joining(self) -> Aim:
        """What is wanted of a new copy."""
        return self.wish if self.helm is None else self.helm.joining

    def aim_of(self, copy: Assignment) -> Aim:
        """What is wanted of a copy that is there."""
        return self.wish if self.helm is None else self.helm.of(copy)

    def stands(self, copy: Assignment | None) -> Standing:
        """How what that copy has (a new one gets) stands to proplets."""
        return self.standing if self.helm is None else self.helm.stands(copy)

    def may_begin(self, proplet: PropletId) -> bool:
        """Whether a copy that is missing there may come now."""
        helm = self.helm
        return self.joining.starts and (helm is None or not helm.fresh or proplet in helm.allowed)

    def stand(self, proplet: PropletId, seen: Seen) -> Stand:
        """How the object stands to that proplet, pinned names included."""
        stand = self.stands(self.copies.get(proplet)).of(proplet, seen)
        if self.pinned is not None and proplet not in self.pinned:
            return Stand("is not named in placement.proplets", False, False, None)
        return stand

    def assign(self, proplet: PropletId, reason: str, attempt: int = 1) -> None:
        """Put the run that is meant there now on `proplet`."""
        copy = self.copies.get(proplet)
        wish = self.joining if copy is None or copy.releasing else self.aim_of(copy)
        base = wish.base
        assert base is not None
        self.actions.append(
            Assign(
                uid=self.uid,
                key=self.key,
                proplet=proplet,
                run=wish.name(base, attempt)(proplet),
                cause=str(Cause(base, attempt)),
                attempt=attempt,
                reason=reason,
                version=wish.version,
            )
        )

    def adopt(self, proplet: PropletId, run: RunId, cause: Cause, version: Digest) -> None:
        """Take in what `proplet` reports."""
        self.adopted.add(proplet)
        self.actions.append(
            Adopt(
                uid=self.uid,
                key=self.key,
                proplet=proplet,
                run=run,
                cause=str(cause),
                attempt=cause.attempt,
                reason="the proplet already holds it",
                version=version,
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


def open_case(held: Held, grounds: Grounds, gate: Gate) -> Case:
    """The case of a live Task or Daemon, before its copies were looked at.

    gate: whether its window is open, and what its module is while it is not.
    """
    obj = held.object
    assert isinstance(obj, Task | Daemon)
    snapshot = grounds.snapshot
    copies = snapshot.assignments.get(held.uid, NO_COPIES)
    resolved = gate.module or admitted(held, snapshot.modules.get(obj.module), snapshot.policy)
    module = resolved if isinstance(resolved, Module) else None
    helm = None
    if is_steered(held, snapshot):
        helm = steer(
            held,
            resolved,
            snapshot,
            looks=grounds.looks,
            everywhere=lambda: grounds.everywhere,
            now=grounds.now,
            closed=gate.closed,
        )
    apps = snapshot.policy.discovery_apps
    if helm is None:
        step = gate_of(held, snapshot, grounds.now)
        wish = aim(held, resolved, copies, grounds.now, snapshot.secrets, gate=step)
    else:
        wish = helm.wish
    names = obj.placement.proplets
    case = Case(
        held=held,
        wish=wish,
        copies=copies,
        standing=Standing(obj, module, grounds.looks, apps) if helm is None else helm.standing,
        pinned=frozenset(names) if names else None,
        widely=obj.placement.per_proplet or bool(names),
        scope=None if held.uid in grounds.whole or (helm and helm.moving) else grounds.scope,
        helm=helm,
    )
    _follow(case, helm, snapshot, grounds.now)
    for due in wish.due:
        case.wake(due)
    if wish.fired is not None:
        case.actions.append(
            Fire(uid=held.uid, key=case.key, slot=wish.fired.slot, reason=wish.fired.reason)
        )
    return case


def _follow(case: Case, helm: Helm | None, snapshot: Snapshot, now: int) -> None:
    """Write down what becomes of the course, and when to look at it again."""
    before = snapshot.courses.get(case.uid, Course(uid=case.uid))
    if helm is None:
        course, notes = ended(before, now), NO_NOTES
    else:
        course, notes = helm.course, tuple(helm.notes)
        for due in helm.due:
            case.wake(due)
    if course != before:
        case.actions.append(Advance(uid=case.uid, key=case.key, course=course, notes=notes))


def is_online(seen: Seen) -> bool:
    """Whether it would hear of something now, as far as is known."""
    return seen.presence is Presence.ONLINE
