"""What only explains: plans as they were, and how far documents came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from propeller.model.ids import PropletId
from propeller.state.base import Store
from propeller.state.quotas import Quotas
from propeller.state.records import GuardRecord, Handing, PlanRecord

Opener = Callable[..., Store]


def test_plans_are_kept_once_a_revision_and_say_who_let_them_through(open_store: Opener) -> None:
    """The same plan again keeps its first time; the oldest go beyond the quota."""
    store = open_store(quotas=Quotas(plans=2))
    waits = GuardRecord("line", "maxDelete", "2 of 3", "sha256:" + "a" * 64, "")
    first = PlanRecord(
        source="", revision="main@1", digest="sha256:" + "b" * 64, at=5, done=0,
        created=1, changed=2, deleted=3, guards=(waits,),
    )  # fmt: skip
    later = replace(first, at=9, done=9, guards=(replace(waits, by="ada"),))
    with store.transaction():
        store.put_plan(first)
        store.put_plan(later)
    assert store.plans() == [replace(later, at=5)]
    with store.transaction():
        for at in (6, 7):
            store.put_plan(replace(first, revision=f"main@{at}", at=at))
    assert [one.revision for one in store.plans()] == ["main@7", "main@6"]
    assert [one.revision for one in store.plans(1)] == ["main@7"]


def test_how_far_a_document_came_leaves_with_what_was_asked(
    open_store: Opener, samples: Any
) -> None:
    """One row a proplet, overwritten; none without a document, none after it."""
    store = open_store()
    one = Handing(proplet=PropletId("p1"), fence=7, gen=3, published=5)
    with store.transaction():
        store.put_asked(samples.asked())
        store.put_handing(replace(one, gen=2))
        store.put_handing(replace(one, taken=8, refused=9, why="x" * 5_000))
    store.close()
    store = open_store()
    (found,) = store.handings()
    assert (found.gen, found.taken, found.refused, len(found.why)) == (3, 8, 9, 1_024)
    with store.transaction():
        store.drop_asked(one.proplet)
    assert store.handings() == []
