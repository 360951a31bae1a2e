"""Who has fallen silent, and whether it is they or we."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.seen import Presence, Seen
from propeller.plan.liveness import Path, judge

NOW = 1_750_000_000_000
P1 = PropletId("p1")
SECOND = 1_000


def _path(since: int = NOW, last: int | None = None) -> Path:
    return Path(since=since, last=since if last is None else last)


def _one(w: Any, **more: Any) -> dict[PropletId, Seen]:
    return {P1: w.proplet("p1", **more)}


def test_three_missed_heartbeats_are_offline(w: Any) -> None:
    """Not a moment earlier; its silence began with the last word heard of it."""
    fleet = _one(w, last_heard=NOW, heartbeat=10_000)
    before = judge(fleet, _path(last=NOW + 29_999), now=NOW + 29_999)
    assert (before.changes, before.due) == ({}, NOW + 30_000)
    after = judge(fleet, _path(last=NOW + 30_000), now=NOW + 30_000)
    assert after.changes == {P1: (Presence.OFFLINE, NOW)}


def test_a_device_that_sleeps_is_offline_only_when_it_is_late(w: Any) -> None:
    """Its silence and the will of its last connection say nothing until its wake interval and the
    heartbeats it may miss have passed."""
    late = NOW + 3_600_000 + 3 * 10_000
    asleep = _one(w, last_heard=NOW, will_at=NOW + 1_000, heartbeat=10_000, wake=3_600_000)
    before = judge(asleep, _path(last=late - 1), now=late - 1)
    assert (before.changes, before.due) == ({}, late)
    after = judge(asleep, _path(last=late), now=late)
    assert after.changes == {P1: (Presence.OFFLINE, NOW + 1_000)}


def test_a_will_counts_after_half_a_minute(w: Any) -> None:
    """Under 3.1.1 wills are immediate, and most of those devices are back at once."""
    fleet = _one(w, last_heard=NOW, will_at=NOW + 1_000, heartbeat=60_000)
    assert judge(fleet, _path(last=NOW + 30_999), now=NOW + 30_999).changes == {}
    after = judge(fleet, _path(last=NOW + 31_000), now=NOW + 31_000)
    assert after.changes == {P1: (Presence.OFFLINE, NOW + 1_000)}


def test_silence_does_not_count_while_our_own_echo_is_missing(w: Any) -> None:
    """We may be the ones who are cut off."""
    fleet = _one(w, last_heard=NOW, heartbeat=10_000)
    later = NOW + 10**7
    for path in (Path(), _path().lost(NOW), _path().reconnected(NOW), _path(last=NOW)):
        verdict = judge(fleet, path, now=later)
        assert (verdict.changes, verdict.due) == ({}, None)


def test_every_deadline_begins_anew_when_the_echo_is_back(w: Any) -> None:
    """A manager that was away for a day gives everyone their three heartbeats."""
    fleet = _one(w, last_heard=NOW, heartbeat=10_000)
    back = NOW + 86_400_000
    path = _path().lost(NOW + 1).reconnected(back - 1).heard(back)
    assert judge(fleet, path, now=back).due == back + 30_000
    path = path.heard(back + 30_000)
    assert judge(fleet, path, now=back + 30_000).changes == {P1: (Presence.OFFLINE, NOW)}


def test_an_echo_after_a_gap_is_a_new_beginning() -> None:
    """And one in time is not."""
    path = Path().heard(NOW)
    assert path.heard(NOW + 10_000).since == NOW
    assert path.heard(NOW + 35_001).since == NOW + 35_001


@pytest.mark.parametrize("presence", [Presence.OFFLINE, Presence.UNKNOWN])
def test_only_who_was_online_can_fall_silent(w: Any, presence: Presence) -> None:
    """Never heard is not offline."""
    fleet = _one(w, presence=presence, last_heard=0, offline_since=None)
    verdict = judge(fleet, _path(), now=NOW)
    assert (verdict.changes, verdict.due) == ({}, None)


def _fleet(w: Any, online: int, offline: list[int]) -> dict[PropletId, Seen]:
    rows = [w.proplet(f"on{n}", last_heard=NOW, heartbeat=10**6) for n in range(online)]
    rows += [
        w.proplet(f"off{n}", presence=Presence.OFFLINE, offline_since=at)
        for n, at in enumerate(offline)
    ]
    return {seen.id: seen for seen in rows}


@pytest.mark.parametrize(
    ("online", "offline", "silent"),
    [
        (8, [NOW, NOW + 1], False),
        (7, [NOW, NOW + 1, NOW + 2], True),
        (7, [NOW, NOW + 70_000, NOW + 140_000], False),
        (7, [NOW, NOW + 30_000, NOW + 59_000], True),
        (0, [NOW, NOW, NOW, NOW], False),
        (0, [NOW] * 5, True),
        (10, [], False),
    ],
)
def test_more_than_a_fifth_within_a_minute_is_the_fleet_falling_silent(
    w: Any, online: int, offline: list[int], silent: bool
) -> None:
    """Of those that were there when it began, and in a fleet of at least five."""
    verdict = judge(_fleet(w, online, offline), _path(), now=NOW)
    assert verdict.fleet_silent is silent


def test_the_fleet_is_silent_until_enough_are_back(w: Any) -> None:
    """It looks at what is so: nobody has to remember it."""
    start = _fleet(w, 7, [NOW, NOW, NOW])
    assert judge(start, _path(), now=NOW).fleet_silent
    back = {**start, PropletId("off0"): w.proplet("off0", heartbeat=10**6)}
    assert not judge(back, _path(), now=NOW).fleet_silent


def test_an_operator_may_confirm_a_silence(w: Any) -> None:
    """A site was switched off: what fell silent up to then holds up nothing."""
    fleet = _fleet(w, 7, [NOW, NOW, NOW])
    assert not judge(fleet, _path(), now=NOW, confirmed=NOW).fleet_silent


def test_the_verdict_counts_who_falls_silent_in_it(w: Any) -> None:
    """The moves must be held in the same turn."""
    rows = [w.proplet(f"p{n}", last_heard=NOW, heartbeat=10_000) for n in range(3)]
    rows += [w.proplet(f"q{n}", last_heard=NOW + 30_000, heartbeat=10_000) for n in range(4)]
    verdict = judge({seen.id: seen for seen in rows}, _path(last=NOW + 30_000), now=NOW + 30_000)
    assert sorted(verdict.changes) == ["p0", "p1", "p2"]
    assert (verdict.fleet_silent, verdict.together) == (True, (3, 7))


def _site(w: Any, name: str, *, away: list[int], here: int) -> dict[PropletId, Seen]:
    """Proplets of one site: those that fell silent then, and those that are there."""
    rows = [
        w.proplet(
            f"{name}-off{n}", presence=Presence.OFFLINE, offline_since=at, labels={"site": name}
        )
        for n, at in enumerate(away)
    ]
    rows += [
        w.proplet(f"{name}-on{n}", last_heard=NOW, heartbeat=10**6, labels={"site": name})
        for n in range(here)
    ]
    return {seen.id: seen for seen in rows}


@pytest.mark.parametrize(
    ("away", "here", "silent"),
    [
        ([NOW] * 3, 0, True),
        ([NOW] * 2, 0, False),
        ([NOW, NOW + 30_000, NOW + 60_000], 2, True),
        ([NOW] * 3, 3, False),
        ([NOW, NOW + 70_000, NOW + 140_000], 0, False),
    ],
)
def test_a_site_is_silent_when_most_of_it_fell_silent_together(
    w: Any, away: list[int], here: int, silent: bool
) -> None:
    """A small part of the fleet: nobody speaks of the fleet's silence, only its copies are held."""
    fleet = _fleet(w, 40, []) | _site(w, "north", away=away, here=here)
    verdict = judge(fleet, _path(), now=NOW)
    assert not verdict.fleet_silent
    assert bool(verdict.sites) is silent
    lost = {name for name in fleet if name.startswith("north-off")}
    assert set(verdict.held) == (lost if silent else set())
    assert set(verdict.held.values()) <= {"site=north"}


def test_a_silent_site_is_held_until_it_is_back_or_somebody_says_go_on(w: Any) -> None:
    """What falls silent after that is judged anew, and other sites are no part of it."""
    fleet = _fleet(w, 40, []) | _site(w, "north", away=[NOW] * 4, here=0)
    fleet |= _site(w, "south", away=[NOW], here=3)
    verdict = judge(fleet, _path(), now=NOW)
    assert (verdict.sites, len(verdict.held)) == ({"site=north": (4, 4)}, 4)
    assert judge(fleet, _path(), now=NOW, confirmed=NOW).held == {}
    back = fleet | _site(w, "north", away=[NOW] * 2, here=2)
    del back[PropletId("north-off2")], back[PropletId("north-off3")]
    assert judge(back, _path(), now=NOW).held == {}
