"""What each namespace has of what it may have, from the store: for whoever looks.

The reconciler notes in the store what its configuration allows, so that a command or a gateway that
has another configuration, or none, tells the same. Counted as plans count (`plan.quotas`).
"""

from __future__ import annotations

from collections.abc import Mapping

from propeller.model.canonical import canonical_bytes
from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Assignment
from propeller.model.quotas import Quota
from propeller.plan.quotas import Share, shares
from propeller.plan.types import Policy, Snapshot
from propeller.state.base import Store
from propeller.state.columns import from_json

_META = "quotas"


def note_quotas(store: Store, quotas: Mapping[str, Quota]) -> None:
    """What is allowed from now on. Inside a transaction."""
    rows = {
        name: {
            field: value
            for field, value in (
                ("copies", quota.copies),
                ("memory", quota.memory),
                ("calls", quota.calls),
            )
            if value is not None
        }
        for name, quota in quotas.items()
    }
    text = canonical_bytes(rows).decode() if rows else ""
    if (store.meta(_META) or "") != text:
        store.set_meta(_META, text)


def noted_quotas(store: Store) -> dict[str, Quota]:
    """What the reconciler of this store noted last."""
    text = store.meta(_META)
    return {name: Quota(**row) for name, row in from_json(text).items()} if text else {}


def allotment(store: Store) -> list[Share]:
    """One a namespace that has a quota or holds something, by name. Inside a transaction."""
    assignments: dict[Uid, dict[PropletId, Assignment]] = {}
    for one in store.assignments():
        assignments.setdefault(one.uid, {})[one.proplet] = one
    return shares(
        Snapshot(
            objects={held.uid: held for held in store.inventory()},
            proplets={seen.id: seen for seen in store.fleet()},
            assignments=assignments,
            modules=store.modules(),
            courses={course.uid: course for course in store.courses()},
            withheld={one.uid: one for one in store.withheld()},
            policy=Policy(quotas=noted_quotas(store)),
        )
    )


def share_form(share: Share) -> dict[str, object]:
    """JSON-able. limit: null for any number; memory in bytes."""
    return {
        "namespace": share.namespace,
        "copies": {"used": share.copies, "limit": share.quota.copies},
        "memory": {"used": share.memory, "limit": share.quota.memory},
        "calls": {"used": share.calls, "limit": share.quota.calls},
    }
