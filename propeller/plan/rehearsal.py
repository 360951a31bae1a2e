"""What a change would mean for the devices: which cannot run it, and what goes over the air.

Called for `diff`, `plan` and dry runs, beside `preview`, on the same foresight. Says what is true
in the end: a staged object is counted with all its copies, not with the first step's. Which bytes a
device holds is not told by it; what its copies needed so far is taken as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.seen import Seen
from propeller.model.specs import Modular, Workload
from propeller.plan.fit import NOT_HEARD
from propeller.plan.placement import Looks, Standing
from propeller.plan.types import Assign, Gone, Plan, Release, Snapshot

EXAMPLES = 3
"""Proplets named for each reason."""

MOST_REASONS = 8

_UNPLACED = frozenset({NOT_HEARD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why `count` proplets cannot run an object; some of them by name."""

    words: str
    count: int
    examples: tuple[PropletId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """An object that `cannot` of the `considered` proplets its placement means can not run."""

    key: Key
    considered: int
    cannot: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What devices of one class will be sent, in bytes over all of them.

    fetch: how they get modules, `mqtt` or `direct`. modules: those they did not need before.
    documents: what they should hold, as a whole. most: bytes of the one that is sent most.
    """

    sort: str
    fetch: str
    proplets: int
    modules: int
    documents: int
    most: int

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.modules + self.documents


def misfits(after: Snapshot, changed: Iterable[Uid]) -> tuple[Misfit, ...]:
    """Of the objects that change, those some proplets of their placement cannot run, by key."""
    looks = Looks()
    found = []
    for uid in changed:
        held = after.objects.get(uid)
        if held is None or held.deleted_at is not None:
            continue
        one = _misfit(held, after, looks)
        if one is not None:
            found.append(one)
    return tuple(sorted(found, key=lambda one: one.key))


def traffic(
    before: Snapshot,
    after: Snapshot,
    outcome: Plan,
    changed: Iterable[Uid],
    *,
    sort_of: Callable[[PropletId], str],
    entry_bytes: Callable[[Held, Module], int],
) -> tuple[Traffic, ...]:
    """Bytes by class of device, sorted. sort_of: a proplet's class. entry_bytes: what one copy of
    an object adds to a document."""
    was, will = _places(before), _places(after)
    for action in outcome.actions:
        match action:
            case Assign():
                will.setdefault(action.proplet, set()).add(action.uid)
            case Release() | Gone():
                will.get(action.proplet, set()).discard(action.uid)
            case _:
                pass
    moved = frozenset(changed)
    gone = {uid for uid in moved if (held := after.objects.get(uid)) is None or held.deleted_at}
    sums: dict[tuple[str, str], list[int]] = {}
    for proplet in sorted(was.keys() | will.keys()):
        held_then = was.get(proplet, set())
        held_now = will.get(proplet, set()) - gone
        if held_then == held_now and not held_now & moved:
            continue
        needed = _modules(after, held_now)
        there = _modules(before, held_then)
        fresh = sum(size for digest, size in needed.items() if digest not in there)
        document = 0
        for uid in held_now:
            module = _module(after, uid)
            if module is not None:
                document += entry_bytes(after.objects[uid], module)
        seen = after.proplets.get(proplet)
        row = sums.setdefault((sort_of(proplet), _fetch(seen)), [0, 0, 0, 0])
        row[0] += 1
        row[1] += fresh
        row[2] += document
        row[3] = max(row[3], fresh + document)
    return tuple(
        Traffic(sort=sort, fetch=fetch, proplets=n, modules=fresh, documents=document, most=most)
        for (sort, fetch), (n, fresh, document, most) in sorted(sums.items())
    )


def _misfit(held: Held, after: Snapshot, looks: Looks) -> Misfit | None:
    thing = held.object
    if not isinstance(thing, Workload):
        return None
    resolved = after.modules.get(thing.module)
    if not isinstance(resolved, Module):
        return None
    standing = Standing(thing, resolved, looks, after.policy.discovery_apps)
    pinned = frozenset(thing.placement.proplets)
    considered = 0
    words: dict[str, list[PropletId]] = {}
    for proplet, seen in sorted(after.proplets.items()):
        if pinned and proplet not in pinned:
            continue
        stand = standing.of(proplet, seen)
        if stand.out:
            continue
        considered += 1
        if stand.unfit and stand.unfit not in _UNPLACED:
            words.setdefault(stand.unfit, []).append(proplet)
    if not words:
        return None
    ranked = sorted(words.items(), key=lambda item: (-len(item[1]), item[0]))
    return Misfit(
        key=thing.meta.key,
        considered=considered,
        cannot=sum(map(len, words.values())),
        reasons=tuple(
            Reason(words=text, count=len(names), examples=tuple(names[:EXAMPLES]))
            for text, names in ranked[:MOST_REASONS]
        ),
    )


def _places(snapshot: Snapshot) -> dict[PropletId, set[Uid]]:
    """The objects each proplet has a copy of."""
    found: dict[PropletId, set[Uid]] = {}
    for uid, copies in snapshot.assignments.items():
        for proplet, copy in copies.items():
            if not copy.releasing:
                found.setdefault(proplet, set()).add(uid)
    return found


def _modules(snapshot: Snapshot, uids: Iterable[Uid]) -> Mapping[Digest, int]:
    """Digest -> size of what these objects run."""
    found = (_module(snapshot, uid) for uid in uids)
    return {module.digest: module.size for module in found if module is not None}


def _module(snapshot: Snapshot, uid: Uid) -> Module | None:
    held = snapshot.objects.get(uid)
    if held is None or not isinstance(held.object, Modular):
        return None
    resolved = snapshot.modules.get(held.object.module)
    return resolved if isinstance(resolved, Module) else None


def _fetch(seen: Seen | None) -> str:
    facts = seen.facts if seen is not None else None
    return "direct" if facts is not None and "direct" in facts.fetch else "mqtt"
