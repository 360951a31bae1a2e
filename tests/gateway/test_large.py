"""A large fleet: looking at it again costs what changed, not what there is."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.facts import proplet_row
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


def rows_of(count, silent):
    """Proplets, a thousand to a site, the named ones silent."""
    return [
        proplet_row(
            Seen(
                id=PropletId(f"gw-{n:05}"),
                declared=True,
                presence=Presence.OFFLINE if n in silent else Presence.ONLINE,
                labels={"site": f"s{n // 1_000}"},
            )
        )
        for n in range(count)
    ]


def test_the_page_of_a_large_fleet_holds_what_a_screen_can():
    """At most so many proplets in all, those in trouble first, and how many there are."""
    tiles = facts.tiles(rows_of(10_000, {9_999, 5_555}), "site")
    assert sum(len(one.members) for one in tiles) <= facts.MOST_DOTS
    assert [one.total for one in tiles] == [1_000] * 10
    assert {tiles[0].members[0].name, tiles[1].members[0].name} == {"gw-05555", "gw-09999"}


def test_a_group_has_pages_that_together_are_all_of_it(open_door, fleet):
    """Followed from one to the next; no proplet is missing or twice."""
    with fleet.store.transaction():
        for number in range(250):
            fleet.store.put_seen(
                Seen(
                    id=PropletId(f"gw-{number:04}"),
                    declared=True,
                    presence=Presence.ONLINE,
                    labels={"hall": "a & b"},
                )
            )
    door = open_door(open_to_anyone=True)
    found, path = [], "/proplets?by=hall&is=a+%26+b"
    while path:
        text = door.ask("GET", path, headers={"Accept": "text/html"}).text
        found += re.findall(r'href="/proplets/(gw-\d{4})"', text)
        more = re.search(r'href="(\?[^"]*)">More<', text)
        path = "/proplets" + unescape(more[1]) if more else ""
    assert found == [f"gw-{number:04}" for number in range(250)]


def test_a_first_picture_that_cannot_be_taken_is_no_trouble(tmp_path):
    """The store may not be there yet; whoever asks is told so then."""
    Gallery(tmp_path / "none.sqlite", lambda: 0).warm()
