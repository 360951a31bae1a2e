"""Phase 2 of a plan: place what is missing, object by object in the order of their keys.

Called by `planner` after every object was surveyed. Here objects meet, because they share room: the
first key gets it. What cannot be placed is told with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from propeller.model.ids import PropletId
from propeller.model.seen import Seen
from propeller.plan.cases import Case, Grounds, is_online
from propeller.plan.fit import NO_KEY, NOT_HEARD
from propeller.plan.lifecycle import Fate, Verdict
from propeller.plan.placement import NO_ROOM, OUT, Loads, choose
from propeller.plan.preemption import make_room
from propeller.plan.quotas import BEYOND, Allowance
from propeller.plan.scores import weigh
from propeller.plan.types import Advance, Assign, Blocked, Fire

SHOWN = 3
"""Proplets named in a message; `Blocked.refused` has them all."""

LISTED = 100
"""Refusals kept for an object that wants a number of copies anywhere."""


@dataclass(slots=True)
class TurnedDown:
    """Proplets that take no copy, by how little it would need for them to take one."""

    full: dict[PropletId, str] = field(default_factory=dict)
    offline: list[PropletId] = field(default_factory=list)
    unheard: list[PropletId] = field(default_factory=list)
    unfit: dict[PropletId, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    def lame(self, proplet: PropletId, reason: str) -> None:
        """It holds a copy that should be elsewhere: what keeps it from being the place itself."""
        if reason.startswith(NO_ROOM):
            self.full[proplet] = reason
        elif reason == "is offline":
            self.offline.append(proplet)
        elif reason == "is cordoned":
            self.others[reason] += 1
        else:
            self.unfit[proplet] = reason

    def why(self) -> tuple[str, str]:
        """The reason nearest to success: it names the smallest change that would help."""
        if self.full:
            return "NoCapacity", told(self.full)
        if self.offline:
            return "AllOffline", f"{named(self.offline)} could run it, but cannot be reached"
        if self.unheard:
            return "NotHeard", f"{named(self.unheard)}: {NOT_HEARD}"
        if self.unfit:
            return _unfit_word(self.unfit.values()), told(self.unfit)
        if not self.others:
            return "NoMatch", "no proplet is known"
        reasons = "; ".join(f"{why} ({count})" for why, count in sorted(self.others.items()))
        return "NoMatch", f"no proplet takes it: {reasons}"


def fill(case: Case, loads: Loads, allowance: Allowance, grounds: Grounds) -> None:
    """Assign what the survey found missing, as far as there is room and a quota allows."""
    if case.widely:
        _fill_widely(case, loads, allowance, grounds)
    else:
        _fill_replicas(case, loads, allowance, grounds)


def wait(case: Case) -> bool:
    """Take back what would begin: what it depends on is not ready. Whether anything would."""
    kept = [one for one in case.actions if not isinstance(one, Assign | Fire | Advance)]
    held_back = len(kept) < len(case.actions)
    case.actions[:] = kept
    if case.widely:
        return held_back or bool(case.missing)
    return held_back or len(case.counted) < case.wish.obj.placement.replicas


def _fill_widely(case: Case, loads: Loads, allowance: Allowance, grounds: Grounds) -> None:
    proplets = grounds.snapshot.proplets
    reruns = dict(case.counted)
    new = {proplet for proplet in case.missing if case.may_begin(proplet)}
    for proplet in sorted(new | reruns.keys()):
        full = loads.room(case.uid, proplets[proplet]) or allowance.lacks(case.uid)
        if full:
            case.refused[proplet] = full
            continue
        verdict = reruns.get(proplet)
        loads.take(case.uid, proplet)
        allowance.take(case.uid, proplet)
        if verdict is not None:
            case.assign(proplet, verdict.reason, verdict.attempt)
        else:
            case.assign(proplet, "wanted on this proplet")


def _fill_replicas(case: Case, loads: Loads, allowance: Allowance, grounds: Grounds) -> None:
    _rerun_in_place(case, loads, allowance, grounds)
    wanted = case.wish.obj.placement.replicas
    missing = wanted - len(case.counted)
    chosen: list[PropletId] = []
    now = missing if case.helm is None or not case.helm.fresh else min(missing, case.helm.places)
    if now > 0 and case.joining.starts:
        chosen = _place(case, now, loads, allowance, grounds)
    # A copy that should be elsewhere leaves when another one has come for it, not before.
    spare = max(0, missing - len(chosen))
    for index, proplet in enumerate(sorted(case.lame)):
        if index >= spare:
            case.refused.pop(proplet, None)
            case.release(proplet, case.lame[proplet].reason)


def _rerun_in_place(case: Case, loads: Loads, allowance: Allowance, grounds: Grounds) -> None:
    for proplet, verdict in sorted(case.counted.items()):
        if verdict.fate is not Fate.RERUN:
            continue
        beyond = allowance.lacks(case.uid)
        if beyond:
            case.refused[proplet] = beyond
            continue
        full = loads.room(case.uid, grounds.snapshot.proplets[proplet])
        if not full:
            loads.take(case.uid, proplet)
            allowance.take(case.uid, proplet)
            case.assign(proplet, verdict.reason, verdict.attempt)
        elif verdict.attempt > 1:
            case.refused[proplet] = full  # a retry waits for room where the first attempt was
        else:
            del case.counted[proplet]
            case.lame[proplet] = Verdict(Fate.LAME, full)


def _place(
    case: Case, missing: int, loads: Loads, allowance: Allowance, grounds: Grounds
) -> list[PropletId]:
    """Assign up to `missing` copies to the best proplets; says why when that is not all."""
    uid, placement = case.uid, case.wish.obj.placement
    held = {name for name, copy in case.copies.items() if not copy.releasing} | case.adopted
    turned = TurnedDown()
    candidates: list[Seen] = []
    standing = case.stands(None)
    for proplet, seen, look in grounds.everywhere:
        stand = standing.to(look)
        if proplet in case.lame:
            turned.lame(proplet, case.lame[proplet].reason)
        elif proplet in held:
            turned.others["has a copy already"] += 1
        elif stand.out:
            turned.others[stand.out.partition(" (")[0]] += 1
        elif stand.cordoned or stand.draining:
            turned.others["is cordoned"] += 1
        elif stand.unfit == NOT_HEARD:
            turned.unheard.append(proplet)
        elif stand.unfit is not None:
            turned.unfit[proplet] = stand.unfit
        elif not is_online(seen):
            turned.offline.append(proplet)
        elif no_room := loads.room(uid, seen):
            turned.full[proplet] = no_room
        else:
            candidates.append(seen)
    scored = _scored(case, candidates, turned, grounds)
    if scored is None:
        return []
    candidates, points = scored
    allowed, beyond = _allowed(case, missing, allowance)
    chosen = choose(
        allowed,
        candidates,
        uid=uid,
        zone_of=lambda seen: seen.labels.get(placement.spread, "") if placement.spread else "",
        crowd=_crowd(held, placement.spread, grounds),
        rank=lambda seen: (
            0 if seen.id in case.copies else 1,
            -points.get(seen.id, 0),
            loads.tasks(seen.id),
        ),
    )
    reason = _why_placed(case)
    for proplet in chosen:
        loads.take(uid, proplet)
        allowance.take(uid, proplet)
        case.assign(proplet, reason)
    if len(chosen) < missing:
        have = f"{len(case.counted) + len(chosen)} of {placement.replicas} copies placed"
        made: list[PropletId] = []
        if placement.preempts and len(chosen) < allowed:
            made = make_room(case, allowed - len(chosen), turned.full, loads, grounds)
        word, why = turned.why()
        if beyond and len(chosen) == allowed:
            word, why = "QuotaExceeded", beyond.removeprefix(BEYOND)
        if made:
            word, why = "NoCapacity", f"room is being made on {named(made)}"
        case.short = (word, f"{have}: {why}")
        case.refused.update(list((turned.full | turned.unfit).items())[:LISTED])
    return chosen


def _scored(
    case: Case, candidates: list[Seen], turned: TurnedDown, grounds: Grounds
) -> tuple[list[Seen], Mapping[PropletId, int]] | None:
    """Who is left and their points, by the object's scorers; None while an answer is missing."""
    if not (case.held.object.meta.scorers and candidates):
        return candidates, {}
    weighed = weigh(case.held, candidates, grounds.snapshot, grounds.now, grounds.look)
    if weighed.again is not None:
        case.wake(weighed.again)
    if weighed.missing:
        case.asks += weighed.missing
        names = sorted({one.scorer.version for one in weighed.missing})
        word, why = "PluginPending", f"waits for the answer of {', '.join(names)}"
        case.short = (word, why)
        return None
    turned.unfit.update(weighed.unfit)
    return [seen for seen in candidates if seen.id not in weighed.unfit], weighed.points


def _allowed(case: Case, missing: int, allowance: Allowance) -> tuple[int, str]:
    """How many of the missing copies a quota allows, and why not more. What leaves once another
    one has come in its place makes no more of them."""
    moves = len(case.lame) + len(case.silent)
    for count in range(missing):
        beyond = allowance.lacks(case.uid, more=moves - count)
        if beyond:
            return count, beyond
    return missing, ""


def _crowd(held: Iterable[PropletId], spread: str | None, grounds: Grounds) -> Mapping[str, int]:
    if spread is None:
        return {}
    proplets = grounds.snapshot.proplets
    return Counter(
        seen.labels.get(spread, "") for name in held if (seen := proplets.get(name)) is not None
    )


def _why_placed(case: Case) -> str:
    if case.silent:
        return f"in place of the copy on {case.silent[0]}, which has been silent for too long"
    if case.lame:
        proplet, verdict = sorted(case.lame.items())[0]
        return f"in place of the copy on {proplet}, which {verdict.reason.removeprefix(NO_ROOM)}"
    return "a copy was missing"


def told(refused: Mapping[PropletId, str]) -> str:
    """The first few refusals with their reasons."""
    shown = [f"{name}: {reason}" for name, reason in sorted(refused.items())[:SHOWN]]
    more = len(refused) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def named(proplets: Iterable[PropletId]) -> str:
    """The first few names."""
    names = sorted(proplets)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def blocked(
    case: Case, *, refused_elsewhere: Mapping[PropletId, str], held_back: str
) -> Blocked | None:
    """Why the object cannot have all it wants, None when it has it or nothing is in the way.

    refused_elsewhere: what is known of proplets that this plan did not look at. held_back: why
    its actions were dropped, "" when they were not.
    """
    wish = case.wish
    refused = {**refused_elsewhere, **case.refused} if refused_elsewhere else case.refused
    word, message = "", ""
    if wish.blocked:
        return Blocked(uid=case.uid, key=case.key, reason=wish.blocked, message=wish.why_blocked)
    if held_back:
        word, message = "Held", held_back
    elif case.short is not None:
        word, message = case.short
    elif refused:
        word, message = _why_refused(refused), told(refused)
    elif case.widely and wish.starts and not _has_copies(case):
        word, message = "NoMatch", "no proplet matches that takes new work"
    if not word:
        return None
    return Blocked(uid=case.uid, key=case.key, reason=word, message=message, refused=refused)


def _why_refused(refused: Mapping[PropletId, str]) -> str:
    reasons = set(refused.values())
    if any(reason.startswith(BEYOND) for reason in reasons):
        return "QuotaExceeded"
    if any(reason.startswith(NO_ROOM) for reason in reasons):
        return "NoCapacity"
    others = reasons - {NOT_HEARD}
    if not others:
        return "NotHeard"
    if all(reason.startswith(_NOT_TAKEN) for reason in others):
        return "NoMatch"
    return _unfit_word(reason for reason in others if not reason.startswith(_NOT_TAKEN))


def _unfit_word(reasons: Iterable[str]) -> str:
    """Where nothing but a key is lacking, that is what to look for."""
    return "SecretKeyUnknown" if all(one.startswith(NO_KEY) for one in reasons) else "Unfit"


_NOT_TAKEN = (*OUT, "is cordoned", "is not a known")


def _has_copies(case: Case) -> bool:
    if case.missing or case.adopted or case.counted:
        return True
    return any(not copy.releasing for copy in case.copies.values())
