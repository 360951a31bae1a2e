"""What a namespace has of what it may have (`Policy.quotas`): no copy begins beyond that.

Called by `filling`, and for people (`shares`). Counts copies that are to stay and have not ended;
one that is being taken off does not count, so a move is no matter of a quota. What runs already is
never stopped for one.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import PropletId, Uid
from propeller.model.quotas import Quota
from propeller.model.specs import Daemon, Function, Task
from propeller.plan.fit import size_text
from propeller.plan.placement import Loads
from propeller.plan.types import Snapshot

FREE = Quota()
BEYOND = "quota: "
"""How every reason begins for which a namespace may have no more."""


@dataclass(slots=True)
class _Used:
    copies: int = 0
    memory: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one namespace has now; memory in bytes, calls that its Functions may run at once."""

    namespace: str
    quota: Quota
    copies: int
    memory: int
    calls: int


def shares(snapshot: Snapshot) -> list[Share]:
    """Of each namespace that has a quota or holds something, by name."""
    loads = Loads(snapshot, frozenset(), snapshot.withheld.get)
    allowance = Allowance(snapshot, loads)
    found = allowance.all()
    return [
        Share(
            namespace=name,
            quota=snapshot.policy.quotas.get(name, FREE),
            copies=used.copies,
            memory=used.memory,
            calls=used.calls,
        )
        for name, used in sorted(found.items())
        if used.copies or name in snapshot.policy.quotas
    ]


class Allowance:
    """What each namespace with a quota has; counted when first asked."""

    def __init__(self, snapshot: Snapshot, loads: Loads) -> None:
        self._snapshot = snapshot
        self._loads = loads
        self._used: dict[str, _Used] = {}
        self._taken: set[tuple[Uid, PropletId]] = set()

    def lacks(self, uid: Uid, *, more: int = 0) -> str:
        """Why one more copy of that object may not begin, "" when it may. more: copies that may
        come beyond the quota, in place of others that leave."""
        namespace = self._namespace(uid)
        quota = self._snapshot.policy.quotas.get(namespace)
        if quota is None:
            return ""
        used, each = self._of(namespace), self._each(uid)
        for name, most, has, adds in (
            ("copies", quota.copies, used.copies, each.copies),
            ("memory", quota.memory, used.memory, each.memory),
            ("calls", quota.calls, used.calls, each.calls),
        ):
            if most is not None and adds and has + adds > most + more * adds:
                return f"{BEYOND}{_words(namespace, name, most, has, adds)}"
        return ""

    def take(self, uid: Uid, proplet: PropletId) -> None:
        """This plan begins a copy there."""
        namespace = self._namespace(uid)
        if namespace not in self._snapshot.policy.quotas:
            return
        used = self._of(namespace)
        if (uid, proplet) not in self._taken:
            self._taken.add((uid, proplet))
            self._add(used, uid)

    def all(self) -> dict[str, _Used]:
        """Of every namespace, in one go over all copies."""
        for name in self._snapshot.policy.quotas:
            self._used.setdefault(name, _Used())
        for uid in self._snapshot.assignments:
            self._count(self._used.setdefault(self._namespace(uid), _Used()), uid)
        return self._used

    def _count(self, used: _Used, uid: Uid) -> None:
        """Every copy of one object that counts."""
        for proplet, copy in self._snapshot.assignments[uid].items():
            if not copy.releasing and self._loads.is_busy(uid, proplet):
                self._taken.add((uid, proplet))
                self._add(used, uid)

    def _namespace(self, uid: Uid) -> str:
        held = self._snapshot.objects.get(uid)
        return held.object.meta.key.namespace if held is not None else ""

    def _of(self, namespace: str) -> _Used:
        used = self._used.get(namespace)
        if used is None:
            used = self._used[namespace] = _Used()
            for uid in self._snapshot.assignments:
                if self._namespace(uid) == namespace:
                    self._count(used, uid)
        return used

    def _add(self, used: _Used, uid: Uid) -> None:
        each = self._each(uid)
        used.copies += each.copies
        used.memory += each.memory
        used.calls += each.calls

    def _each(self, uid: Uid) -> _Used:
        """What one copy takes. A round of learning takes nothing of a quota."""
        held = self._snapshot.objects.get(uid)
        thing = held.object if held is not None else None
        if not isinstance(thing, Task | Daemon):
            return _Used()
        calls = thing.calls.concurrency if isinstance(thing, Function) else 0
        return _Used(1, self._loads.need(uid), calls)


def _words(namespace: str, name: str, most: int, has: int, adds: int) -> str:
    if name == "memory":
        return (
            f"namespace {namespace} may have {size_text(most)} of memory and has {size_text(has)};"
            f" one more copy takes {size_text(adds)}"
        )
    what = "copies" if name == "copies" else "calls at a time"
    more = f"; one more copy takes {adds}" if name == "calls" else ""
    return f"namespace {namespace} may have {most} {what} and has {has}{more}"
