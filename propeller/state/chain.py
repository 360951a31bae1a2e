"""Tables that only explain: what each plan was, and how far each document came.

Nothing is decided from them; `why` and `history` read them.
"""

from __future__ import annotations

from propeller.model.ids import PropletId
from propeller.state.columns import from_json, to_json
from propeller.state.database import Database
from propeller.state.quotas import Quotas, clip
from propeller.state.records import GuardRecord, Handing, PlanRecord

MOST_GUARDS = 100
"""Guards written down of one plan."""


class ChainTables:
    """The part of the Store about plans and documents on their way; see `base.Store`."""

    _db: Database
    _quotas: Quotas

    def plans(self, limit: int = 1_000) -> list[PlanRecord]:
        return [
            PlanRecord(
                source=source,
                revision=revision,
                digest=digest,
                at=at,
                done=done,
                created=created,
                changed=changed,
                deleted=deleted,
                guards=tuple(GuardRecord(*row) for row in from_json(guards)),
            )
            for (
                source, revision, digest, at, done, created, changed, deleted, guards,
            ) in self._db.rows(
                "SELECT source, revision, digest, at, done, created, changed, deleted, guards"
                " FROM plan ORDER BY at DESC, source, revision, digest LIMIT ?",
                (limit,),
            )
        ]  # fmt: skip

    def put_plan(self, plan: PlanRecord) -> None:
        guards = [
            [one.app, one.guard, clip(one.message, self._quotas.event_text), one.digest, one.by]
            for one in plan.guards[:MOST_GUARDS]
        ]
        self._db.write(
            "INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (source, revision, digest) DO UPDATE SET done = excluded.done,"
            " created = excluded.created, changed = excluded.changed,"
            " deleted = excluded.deleted, guards = excluded.guards",
            (
                plan.source,
                plan.revision,
                plan.digest,
                plan.at,
                plan.done,
                plan.created,
                plan.changed,
                plan.deleted,
                to_json(guards),
            ),
        )
        self._db.write(
            "DELETE FROM plan WHERE (source, revision, digest) IN (SELECT source, revision, digest"
            " FROM plan ORDER BY at DESC LIMIT -1 OFFSET ?)",
            (self._quotas.plans,),
        )

    def handings(self) -> list[Handing]:
        return [
            Handing(
                proplet=PropletId(proplet),
                fence=fence,
                gen=gen,
                published=published,
                kept=kept,
                taken=taken,
                refused=refused,
                why=why,
            )
            for proplet, fence, gen, published, kept, taken, refused, why in self._db.rows(
                "SELECT proplet, fence, gen, published, kept, taken, refused, why FROM handing"
                " ORDER BY proplet"
            )
        ]

    def put_handing(self, handing: Handing) -> None:
        self._db.write(
            "INSERT INTO handing VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proplet) DO UPDATE SET fence = excluded.fence, gen = excluded.gen,"
            " published = excluded.published, kept = excluded.kept, taken = excluded.taken,"
            " refused = excluded.refused, why = excluded.why",
            (
                handing.proplet,
                handing.fence,
                handing.gen,
                handing.published,
                handing.kept,
                handing.taken,
                handing.refused,
                clip(handing.why, self._quotas.error_text),
            ),
        )
