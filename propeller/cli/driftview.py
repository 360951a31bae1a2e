"""Drift as `diff` and `plan` show it: what devices say, beside what specs would change.

Reads the store by the rules the loop goes by (`plan.findings`), under the specs that are compared:
what they ignore is not shown. Not part of the plan's digest: nobody approves what a device did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from propeller.errors import WireError
from propeller.model.drift import Drift
from propeller.model.ids import Digest, Key, PropletId, RunId, Uid
from propeller.model.specs import Daemon
from propeller.plan.findings import Finding, find_drift, strays_among
from propeller.plan.types import Snapshot

if TYPE_CHECKING:
    from propeller.model.inventory import Assignment, Held
    from propeller.model.revision import Revision
    from propeller.model.seen import SeenRun
    from propeller.state.base import Store

CORRECTED, LEFT, FLAPPING = "corrected", "left", "flapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """One difference on one device. does: what the loop does about it."""

    key: Key
    finding: Finding
    does: str

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "object": str(self.key),
            "proplet": str(self.finding.proplet),
            "reason": str(self.finding.reason),
            "message": self.finding.words,
            "does": self.does,
            "fields": [
                {"path": one.path, "asked": one.before, "reported": one.after}
                for one in self.finding.fields
            ],
        }


def drift_under(
    store: Store,
    snapshot: Snapshot,
    revision: Revision,
    read_blob: Callable[[str], bytes | None],
    *,
    now: int,
) -> tuple[Drifted, ...]:
    """Every difference that the specs of `revision` do not ignore, by object and proplet."""
    from propeller.reconcile.deliver import delivered

    asked = {row.proplet: row for row in store.load_asked()}
    entries = _Entries(store, read_blob)
    seen = replace(
        snapshot,
        delivered=frozenset(
            name for name, one in snapshot.proplets.items() if delivered(one, asked.get(name))
        ),
        strays=strays_among(snapshot.proplets, snapshot.assignments),
        current=entries.current,
        entry=entries.digest,
        asked_at=lambda name: asked[name].asked_at if name in asked else 0,
    )
    flapping = {row.uid: row.generation for row in store.corrections() if row.flapping}
    return tuple(_all(seen, revision, flapping, now))


def _all(
    snapshot: Snapshot, revision: Revision, flapping: Mapping[Uid, int], now: int
) -> Iterator[Drifted]:
    helds = sorted(snapshot.objects.values(), key=lambda one: (one.object.meta.key, one.uid))
    for held in helds:
        thing = revision.objects.get(held.object.meta.key)
        if thing is None or thing.meta.uid != held.uid:
            continue  # it is not of these specs, or leaves with them
        under = replace(held, object=thing)
        same = thing.meta.spec_digest == held.object.meta.spec_digest
        stopped = same and flapping.get(held.uid) == held.generation
        for finding in find_drift(under, snapshot, now).found:
            yield Drifted(key=thing.meta.key, finding=finding, does=_does(under, stopped=stopped))


def _does(held: Held, *, stopped: bool) -> str:
    thing = held.object
    if not isinstance(thing, Daemon) or thing.drift is not Drift.CORRECT:
        return LEFT
    return FLAPPING if stopped else CORRECTED


class _Entries:
    """Digests of the entries that the documents asked last list; each document is read once."""

    def __init__(self, store: Store, read_blob: Callable[[str], bytes | None]) -> None:
        self._store = store
        self._read_blob = read_blob
        self._known: dict[PropletId, dict[tuple[Uid, RunId], str]] = {}

    def digest(self, copy: Assignment) -> str:
        """Of the entry asked for that copy, "" where it cannot be read."""
        from propeller.reconcile.documents import entries_of

        known = self._known.get(copy.proplet)
        if known is None:
            try:
                rows = entries_of(self._store.asked_body(copy.proplet), self._read_blob)
            except WireError:
                rows = ()  # nothing was asked, or it is no document of this version
            known = {(Uid(row.uid), RunId(row.run)): row.digest for row in rows}
            self._known[copy.proplet] = known
        return known.get((copy.uid, copy.run), "")

    def current(self, copy: Assignment, run: SeenRun) -> bool:
        """Whether it runs that entry, as far as is known."""
        asked = self.digest(copy)
        return not asked or run.digest == Digest(asked)
