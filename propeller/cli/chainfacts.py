"""What the store says for a chain, each table read once.

`chain` and `copychain` look things up here, so that ten thousand copies cost one read and not one
each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from propeller.cli.links import Ready
from propeller.plan.apps import apps_of

if TYPE_CHECKING:
    from propeller.model.ids import Key, PropletId, Uid
    from propeller.model.inventory import Assignment, Held
    from propeller.model.module import Resolved
    from propeller.model.seen import Seen
    from propeller.model.specs import App, ModuleRef
    from propeller.model.versions import Course
    from propeller.state.records import (
        Asked,
        Handing,
        Pause,
        PlanRecord,
        PropletHold,
        RevisionRecord,
        StatusRow,
    )
    from propeller.state.sqlite import SqliteStore

ATTEMPTS = 1_000
"""Attempts to take a source that are looked through for the commit of an object."""

EVENTS = 50
"""Events of one copy that are looked through for why it was placed."""

Conditions = Mapping[str, Mapping[str, Any]]
"""By type, as status documents have them."""


@dataclass(frozen=True)
class Facts:
    """See the module. Read inside one transaction of `store`. now: Unix ms."""

    store: SqliteStore
    now: int

    @cached_property
    def revisions(self) -> list[RevisionRecord]:
        """Newest first."""
        return self.store.revisions(ATTEMPTS)

    @cached_property
    def inventory(self) -> dict[Uid, Held]:
        """By uid."""
        return {held.uid: held for held in self.store.inventory()}

    @cached_property
    def assignments(self) -> list[Assignment]:
        """All."""
        return self.store.assignments()

    @cached_property
    def fleet(self) -> dict[PropletId, Seen]:
        """By id."""
        return {one.id: one for one in self.store.fleet()}

    @cached_property
    def asked(self) -> dict[PropletId, Asked]:
        """By proplet, without the bodies."""
        return {one.proplet: one for one in self.store.load_asked()}

    @cached_property
    def courses(self) -> dict[Uid, Course]:
        """By uid; most objects have none."""
        return {one.uid: one for one in self.store.courses()}

    @cached_property
    def modules(self) -> dict[ModuleRef, Resolved]:
        """As references were resolved."""
        return self.store.modules()

    @cached_property
    def pauses(self) -> dict[str, Pause]:
        """By App."""
        return {one.app: one for one in self.store.pauses()}

    @cached_property
    def plans(self) -> list[PlanRecord]:
        """What revisions meant for the inventory, newest first."""
        return self.store.plans()

    @cached_property
    def handings(self) -> dict[PropletId, Handing]:
        """How far documents came, by proplet."""
        return {one.proplet: one for one in self.store.handings()}

    @cached_property
    def broker(self) -> Mapping[str, Any]:
        """The reconciler's way to the broker, as `reconcile.handings` notes it; {}: no word yet."""
        found: dict[str, Any] = json.loads(self.store.meta("broker") or "{}")
        return found

    @cached_property
    def sources(self) -> Mapping[str, Mapping[str, Any]]:
        """How each source stands, by its App, as `reconcile.sourcestory` notes it."""
        return sources_in(self.store)

    @cached_property
    def apps(self) -> dict[str, App]:
        """The Apps of the inventory, by name."""
        return apps_of(self.inventory.values())

    @cached_property
    def holds(self) -> dict[PropletId, PropletHold]:
        """What operators said about proplets."""
        return {one.proplet: one for one in self.store.proplet_holds()}

    @cached_property
    def statuses(self) -> list[StatusRow]:
        """Of every object, sorted by key."""
        return list(self.store.statuses())

    def conditions(self, uid: Uid) -> Conditions:
        """As last projected; {} before that."""
        row = next((row for row in self.statuses if row.uid == uid), None)
        return conditions_in(row) if row is not None else {}

    def record(self, name: str) -> RevisionRecord | None:
        """The attempt in which that revision was accepted; None when it was too long ago."""
        return next(
            (one for one in self.revisions if one.name == name and one.outcome == "accepted"), None
        )

    def plan_of(self, revision: str, app: str) -> PlanRecord | None:
        """The newest plan of that revision, of its App's own source where there are several."""
        found = [one for one in self.plans if one.revision == revision]
        return next((one for one in found if one.source == app), found[0] if found else None)

    def why_placed(self, key: Key, proplet: PropletId) -> str:
        """The planner's reason for the copy there; "" when it is too long ago."""
        for event in self.store.events(key=key, proplet=proplet, limit=EVENTS):
            if event.reason in ("Assigned", "Adopted"):
                return event.message.removesuffix(f": on {proplet}")
        return ""


def sources_in(store: SqliteStore) -> Mapping[str, Mapping[str, Any]]:
    """How each source stands, by its App; {} before the first was read."""
    found: dict[str, Mapping[str, Any]] = json.loads(store.meta("sources") or "{}")
    return found


def conditions_in(row: StatusRow) -> Conditions:
    """Of a status row, by type."""
    found = json.loads(row.document)["status"]["conditions"]
    return {one["type"]: one for one in found}


def ready_of(conditions: Conditions) -> Ready:
    """The Ready condition; Unknown where nothing was projected yet."""
    from propeller.cli.statuses import moment_ms

    found = conditions.get("Ready")
    if found is None:
        return Ready("Unknown", "", "not looked at yet")
    since = moment_ms(str(found["lastTransitionTime"]))
    return Ready(str(found["status"]), str(found["reason"]), str(found["message"]), since)
