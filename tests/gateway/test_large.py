"""A large fleet: looking at it again costs what changed, not what there is."""

from __future__ import annotations

from dataclasses import replace

from propeller.gateway.gallery import Gallery
from propeller.model.ids import PropletId
from propeller.model.seen import Presence, Seen


def test_a_report_of_one_device_makes_one_row_anew(fleet, state):
    """Of a thousand proplets, all but the one that spoke are the same objects again."""
    with fleet.store.transaction():
        for number in range(1_000):
            fleet.store.put_seen(
                Seen(id=PropletId(f"gw-{number:04}"), declared=True, presence=Presence.ONLINE)
            )
    gallery = Gallery(state.database, lambda: fleet.now)
    first = gallery.picture()
    assert gallery.picture() is first
    one = next(seen for seen in first.seen if seen.id == "gw-0500")
    with fleet.store.transaction():
        fleet.store.put_seen(replace(one, last_heard=fleet.now, presence=Presence.OFFLINE))
    second = gallery.picture()
    pairs = zip(second.proplets, first.proplets, strict=True)
    fresh = [row.name for row, old in pairs if row is not old]
    assert fresh == ["gw-0500"]
    assert all(row is old for row, old in zip(second.objects, first.objects, strict=True))
