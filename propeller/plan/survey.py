"""Phase 1 of a plan: for each object by itself, which copies stay, which leave, what is missing.

Called by `planner`. Nothing here looks at another object or at room, so the order of objects does
not matter. Runs that devices report and nobody knows are taken in before anything counts as
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from propeller.model.ids import Digest, PropletId
from propeller.model.inventory import Assignment, Held
from propeller.model.seen import RunState, Seen, SeenRun
from propeller.model.specs import OnOffline, Task
from propeller.plan.adoption import Stray, Strays, adoptable
from propeller.plan.cases import NO_COPIES, Case, Grounds, is_online
from propeller.plan.lifecycle import KEPT, Fate, Verdict, judge, silent_since
from propeller.plan.placement import Stand
from propeller.plan.runs import DAEMON, ONCE
from propeller.plan.types import Action, Forget, Gone, Release, Snapshot

NEW_VERSION = "its turn in the rollout"

_NEED_A_LOOK = frozenset({RunState.FAILED, RunState.INTERRUPTED})


def survey(case: Case, grounds: Grounds) -> None:
    """Decide about every copy that is there, and note what is missing."""
    if case.widely:
        _widely(case, grounds)
    else:
        _replicas(case, grounds)


def bury(held: Held, snapshot: Snapshot) -> list[Action]:
    """A deleted object: take back every copy; forget it once the last one is known to be gone."""
    uid, key = held.uid, held.object.meta.key
    actions: list[Action] = []
    left = 0
    for proplet, copy in sorted(snapshot.assignments.get(uid, NO_COPIES).items()):
        why = confirmed(copy, snapshot) if copy.releasing else _never_got_it(proplet, snapshot)
        if why:
            actions.append(Gone(uid=uid, key=key, proplet=proplet, reason=why))
            continue
        left += 1
        if not copy.releasing:
            reason = "removed from the source"
            actions.append(Release(uid=uid, key=key, proplet=proplet, reason=reason))
    if not left:
        actions.append(Forget(uid=uid, key=key, reason="removed, and gone from every proplet"))
    return actions


def _never_got_it(proplet: PropletId, snapshot: Snapshot) -> str:
    seen = snapshot.proplets.get(proplet)
    if seen is None:
        return "its proplet was forgotten"
    return "" if seen.inst else "its proplet never heard of it"


def confirmed(copy: Assignment, snapshot: Snapshot) -> str:
    """How it is known that a released copy is gone, "" while it is not (law 4)."""
    never = _never_got_it(copy.proplet, snapshot)
    if never:
        return never
    seen = snapshot.proplets[copy.proplet]
    listed = any(uid == copy.uid for uid, _ in seen.runs)
    if seen.reported and not listed and copy.proplet in snapshot.delivered:
        return "the proplet confirmed it"
    return ""


# -- a copy on each of these proplets -----------------------------------------------------------


def _widely(case: Case, grounds: Grounds) -> None:
    """Every proplet is a question of its own, so only those in scope are asked."""
    settled = _settled(case)
    quiet = case.wish.suspended is None
    copies, pinned, standing = case.copies, case.pinned, case.standing
    version = case.wish.version
    known, bare = 0, False
    for proplet, seen, look in _places(case, grounds):
        copy = copies.get(proplet)
        if copy is None:
            bare = _consider(case, proplet, seen) or bare
            continue
        known += 1
        # The common case first and with no call too many: nothing has changed.
        if (
            quiet
            and copy.version == version
            and not copy.releasing
            and standing.to(look).settled
            and (pinned is None or proplet in pinned)
            and settled(copy, seen)
        ):
            continue
        _judge_widely(case, copy, seen, grounds)
    _forgotten(case, grounds, known)
    if bare:
        strays = grounds.strays if case.scope is None else grounds.near
        _adopt_widely(case, strays, grounds.snapshot)


def _places(case: Case, grounds: Grounds) -> Iterable[tuple[PropletId, Seen, int]]:
    if case.scope is None and case.pinned is None:
        return grounds.everywhere
    names: Iterable[PropletId] | None = case.scope
    if names is None:
        names = sorted({*case.wish.obj.placement.proplets, *case.copies})
    proplets, look = grounds.snapshot.proplets, grounds.looks.of
    known = ((name, proplets.get(name)) for name in names)
    return [(name, seen, look(name, seen)) for name, seen in known if seen is not None]


def _settled(case: Case) -> Callable[[Assignment, Seen], bool]:
    """Whether a copy needs no second look for its run's sake; made once, called for every copy."""
    wish, uid = case.wish, case.uid
    base = wish.base
    task = isinstance(wish.obj, Task)
    name = wish.name(base) if base in (ONCE, DAEMON) and wish.digest is not None else None

    def settled(copy: Assignment, seen: Seen) -> bool:
        if name is not None and copy.attempt == 1:
            if copy.run != name(copy.proplet):
                return False
        elif not wish.meant(copy):
            return False
        if not task:
            return True
        run = seen.runs.get((uid, copy.run))
        return run is None or run.state not in _NEED_A_LOOK

    return settled


def _consider(case: Case, proplet: PropletId, seen: Seen) -> bool:
    """A proplet without a copy: should it have one? Returns whether it might hold one already."""
    named = case.pinned is not None and proplet in case.pinned
    if case.pinned is not None and not named:
        return False
    stand = case.stands(None).of(proplet, seen)
    if stand.open:
        case.missing.append(proplet)
    elif stand.out or stand.cordoned or stand.draining:
        if named:
            case.refused[proplet] = stand.out or "is cordoned"
    else:
        assert stand.unfit is not None
        case.refused[proplet] = stand.unfit
    return not stand.out


def _judge_widely(case: Case, copy: Assignment, seen: Seen, grounds: Grounds) -> None:
    proplet = copy.proplet
    stand = case.stand(proplet, seen)
    if copy.releasing:
        why = confirmed(copy, grounds.snapshot)
        if why:
            case.gone(proplet, why)
        if case.wish.suspended is None:
            _consider(case, proplet, seen)
        return
    verdict = judge(case.aim_of(copy), copy, seen, stand, silent=False, now=grounds.now)
    _note(case, proplet, verdict)
    if _goes_over(case, copy, verdict):
        case.assign(proplet, NEW_VERSION, copy.attempt)
        return
    match verdict.fate:
        case Fate.UPDATE:
            case.assign(proplet, verdict.reason, verdict.attempt)
        case Fate.RERUN:
            case.counted[proplet] = verdict
        case Fate.RELEASE:
            case.release(proplet, verdict.reason)
        case Fate.KEEP | Fate.LAME | Fate.SILENT:
            pass


def _goes_over(case: Case, copy: Assignment, verdict: Verdict) -> bool:
    """Whether the run stays the same one and only what its device is told of it changes."""
    wish = case.aim_of(copy)
    if verdict.fate is not Fate.KEEP or wish.digest is None or wish.suspended is not None:
        return False
    return copy.version != wish.version and wish.meant(copy)


def _note(case: Case, proplet: PropletId, verdict: Verdict) -> None:
    if verdict.refused:
        case.refused[proplet] = verdict.refused
    if verdict.due is not None:
        case.wake(verdict.due, proplet)


def _forgotten(case: Case, grounds: Grounds, known: int) -> None:
    """Copies on proplets that were forgotten, and pinned names nobody has heard of."""
    names: Iterable[PropletId] = ()
    if case.scope is not None:
        names = case.scope
    elif case.pinned is not None or known != len(case.copies):
        names = sorted({*case.wish.obj.placement.proplets, *case.copies})
    for proplet in names:
        if proplet in grounds.snapshot.proplets:
            continue
        if proplet in case.copies:
            case.gone(proplet, "its proplet was forgotten")
        if case.pinned is not None and proplet in case.pinned:
            case.refused[proplet] = "is not a known proplet"


def _adopt_widely(case: Case, strays: Strays, snapshot: Snapshot) -> None:
    for proplet, runs in sorted(strays.of(case.uid).items()):
        stand = case.stand(proplet, snapshot.proplets[proplet])
        found = None if stand.out else _ours(case, proplet, runs, stand)
        if found is not None:
            stray, version = found
            case.refused.pop(proplet, None)
            case.adopt(proplet, stray.run.run, stray.cause, version)
    if case.adopted:
        case.missing = [proplet for proplet in case.missing if proplet not in case.adopted]


def _ours(
    case: Case, proplet: PropletId, runs: list[SeenRun], stand: Stand
) -> tuple[Stray, Digest] | None:
    """The run to take in, and the version it is taken for: the accepted one where it fits both."""
    for wish in (case.joining, case.wish):
        stray = adoptable(wish, proplet, runs, stand)
        if stray is not None:
            return stray, wish.version
    return None


# -- a number of copies --------------------------------------------------------------------------


def _replicas(case: Case, grounds: Grounds) -> None:
    """Copies are counted, so each is looked at; fewer than wanted is left to phase 2."""
    snapshot = grounds.snapshot
    for proplet, copy in sorted(case.copies.items()):
        seen = snapshot.proplets.get(proplet)
        if seen is None:
            case.gone(proplet, "its proplet was forgotten")
        elif copy.releasing:
            why = confirmed(copy, snapshot)
            if why:
                case.gone(proplet, why)
        else:
            _judge_counted(case, copy, seen, grounds)
    wanted = case.wish.obj.placement.replicas
    if len(case.counted) < wanted:
        _adopt_counted(case, wanted - len(case.counted), grounds)
    elif len(case.counted) > wanted:
        for proplet in sorted(case.counted, key=lambda one: _worth(case, one, snapshot))[wanted:]:
            del case.counted[proplet]
            case.refused.pop(proplet, None)
            case.release(proplet, f"{wanted} wanted, and others are worth keeping more")
    for proplet, verdict in case.counted.items():
        if verdict.fate is Fate.UPDATE:
            case.assign(proplet, verdict.reason, verdict.attempt)
        elif proplet in case.copies and _goes_over(case, case.copies[proplet], verdict):
            case.assign(proplet, NEW_VERSION, case.copies[proplet].attempt)


def _judge_counted(case: Case, copy: Assignment, seen: Seen, grounds: Grounds) -> None:
    proplet = copy.proplet
    verdict = judge(
        case.aim_of(copy),
        copy,
        seen,
        case.stand(proplet, seen),
        silent=_is_silent(case, seen, grounds),
        now=grounds.now,
    )
    if verdict.fate is Fate.RERUN and verdict.attempt == 1 and not is_online(seen):
        verdict = Verdict(Fate.LAME, "is offline")  # a new run need not wait for it
    _note(case, proplet, verdict)
    match verdict.fate:
        case Fate.KEEP | Fate.UPDATE | Fate.RERUN:
            case.counted[proplet] = verdict
        case Fate.LAME:
            case.lame[proplet] = verdict
        case Fate.SILENT:
            case.silent.append(proplet)
        case Fate.RELEASE:
            case.release(proplet, verdict.reason)


def _is_silent(case: Case, seen: Seen, grounds: Grounds) -> bool:
    """Whether its copy is to be replaced for its silence; else says when to look again."""
    placement, policy = case.wish.obj.placement, grounds.snapshot.policy
    if placement.on_offline is not OnOffline.RESCHEDULE or policy.no_moves:
        return False
    if seen.id in policy.silent_sites:
        return False  # until enough of its site are back, or a person says go on
    since = silent_since(seen, policy)
    if since is None:
        return False
    due = since + placement.offline_tolerance
    if due > grounds.now:
        case.wake(due)
    return due <= grounds.now


def _worth(case: Case, proplet: PropletId, snapshot: Snapshot) -> tuple[bool, bool, int, PropletId]:
    """The order in which surplus copies are kept: good ones on online proplets, then the oldest."""
    copy, seen = case.copies[proplet], snapshot.proplets[proplet]
    run = seen.runs.get((case.uid, copy.run))
    online = is_online(seen)
    if isinstance(case.wish.obj, Task):
        good = run is not None and run.state is RunState.SUCCEEDED
    else:
        good = run is not None and run.ready and online
    return (not good, not online, copy.assigned_at, proplet)


def _adopt_counted(case: Case, wanted: int, grounds: Grounds) -> None:
    snapshot = grounds.snapshot
    found = []
    for proplet, runs in grounds.strays.of(case.uid).items():
        seen = snapshot.proplets[proplet]
        ours = _ours(case, proplet, runs, case.stand(proplet, seen))
        if ours is not None:
            stray, version = ours
            good = stray.run.ready or stray.run.state is RunState.SUCCEEDED
            found.append(((not good, not is_online(seen), proplet), stray, version))
    for _, stray, version in sorted(found, key=lambda row: row[0])[:wanted]:
        case.counted[stray.proplet] = KEPT
        case.adopt(stray.proplet, stray.run.run, stray.cause, version)
