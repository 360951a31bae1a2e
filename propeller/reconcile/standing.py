"""Where everything stands: what is Ready, what has failed for good, what is still on its way.

The exit codes of `up`, `apply`, `wait` and `reconcile --once` are this, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from propeller.model.conditions import Condition
from propeller.model.ids import Key
from propeller.model.specs import Task

if TYPE_CHECKING:
    from propeller.reconcile.reconciler import Reconciler


_AT_REST = frozenset({"Suspended", "Orphaned"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts and words. failed and pending: (object, why), sorted.

    paused: what waits for a person's yes (`approvals`), a line each.
    """

    ready: int
    failed: tuple[tuple[Key, str], ...]
    pending: tuple[tuple[Key, str], ...]
    paused: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Objects looked at."""
        return self.ready + len(self.failed) + len(self.pending)

    @property
    def settled(self) -> bool:
        """Whether nothing will move by itself."""
        return not self.pending

    @property
    def exit_code(self) -> int:
        """0 all Ready, 3 something failed, 4 something is on its way, 5 a guard tripped."""
        if self.pending:
            return 4
        if self.paused:
            return 5
        return 3 if self.failed else 0

    def lines(self) -> list[str]:
        """What is not Ready, one line each."""
        return [
            *(f"failed   {key}: {why}" for key, why in self.failed),
            *(f"pending  {key}: {why}" for key, why in self.pending),
            *self.paused,
        ]


def of_reconciler(reconciler: Reconciler) -> Standing:
    """The standing of a reconciler in this process."""
    rows: list[tuple[Key, Sequence[Condition]]] = []
    for held in reconciler.world.objects.values():
        thing = held.object
        if thing.meta.app == "run" or (isinstance(thing, Task) and thing.step is not None):
            continue  # a step counts as its Workflow does
        conditions: Sequence[Condition] = reconciler.projection.conditions(held.uid)
        if held.deleted_at is not None and not held.orphan:
            conditions = ()
        elif reconciler.projection.behind(held):
            conditions = ()  # nobody is told what was true of an older spec
        rows.append((held.object.meta.key, conditions))
    return replace(_standing(rows), paused=reconciler.specs.approvals.lines())


def of_documents(documents: Iterable[Mapping[str, object]]) -> Standing:
    """The standing told by status documents (of another process's store)."""
    rows = []
    for document in documents:
        metadata, status = document["metadata"], document["status"]
        assert isinstance(metadata, Mapping)
        assert isinstance(status, Mapping)
        if metadata["app"] == "run" or "partOf" in metadata:
            continue
        key = Key(str(document["kind"]), str(metadata["namespace"]), str(metadata["name"]))
        conditions = [Condition.from_mapping(item) for item in status["conditions"]]
        if "deleted" in metadata and not _is_at_rest(conditions):
            conditions = []
        rows.append((key, conditions))
    return _standing(rows)


def _is_at_rest(conditions: Iterable[Condition]) -> bool:
    """Whether somebody meant it to stay as it is: nobody waits for that."""
    return any(one.type == "Ready" and one.reason in _AT_REST for one in conditions)


def _standing(rows: Iterable[tuple[Key, Sequence[Condition]]]) -> Standing:
    ready = 0
    failed, pending = [], []
    for key, conditions in rows:
        by_type = {condition.type: condition for condition in conditions}
        summary, stalled = by_type.get("Ready"), by_type.get("Stalled")
        if _is_at_rest(conditions):
            continue
        if summary is not None and summary.status == "True":
            ready += 1
        elif stalled is not None and stalled.status == "True":
            failed.append((key, stalled.message or stalled.reason))
        else:
            why = summary.message or summary.reason if summary is not None else "not looked at yet"
            pending.append((key, why))
    return Standing(ready, tuple(sorted(failed)), tuple(sorted(pending)))
