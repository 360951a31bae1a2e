"""What guests took in the last hour: bounded, one point a minute, forgotten in time."""

from __future__ import annotations

from propeller.gateway.dashboard.usage import GAP, line, percent
from propeller.gateway.trends import MINUTE, MOST, POINTS, Trends
from propeller.model.ids import PropletId
from propeller.model.seen import Presence, Seen

UID = "9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902"
NOW = 1_800_000_000_000 // MINUTE * MINUTE


def told(at, *, name="gw-1", **metrics):
    """A proplet that reported `cpu=`, `rss=` of a guest, or names of its own."""
    return Seen(
        id=PropletId(name),
        declared=True,
        presence=Presence.ONLINE,
        metrics_at=at,
        metrics={f"{kind}/{UID[:8]}": value for kind, value in metrics.items()},
    )


def test_one_point_a_minute_and_an_hour_of_them():
    """Reports of one minute are one point, the newest; what is older than an hour is left out."""
    trends = Trends()
    for second in range(0, 2 * 3600, 20):
        trends.note(told(NOW + second * 1000, cpu=second, rss=1))
    end = NOW + 2 * 3_600_000 - 20_000
    points = trends.of("gw-1", UID, end)
    assert len(points) == POINTS
    assert points[-1].cpu == 2 * 3600 - 20
    assert points[0].at > end - 3_600_000
    assert trends.of("gw-1", UID, end + 3_600_000) == ()
    assert trends.of("gw-2", UID, end) == ()


def test_the_same_report_or_an_older_one_changes_nothing():
    """A picture taken again between two reports adds no point, and time does not run back."""
    trends = Trends()
    for at in (NOW, NOW, NOW - 5 * MINUTE):
        trends.note(told(at, cpu=7))
    assert [(one.at, one.cpu, one.memory) for one in trends.of("gw-1", UID, NOW)] == [
        (NOW, 7, None)
    ]


def test_who_comes_when_it_is_full_waits_until_others_were_silent_for_an_hour():
    """Memory is bounded whatever devices report, and does not stay full of what is gone."""
    trends = Trends()
    for number in range(MOST):
        trends.note(told(NOW, name=f"gw-{number}", cpu=1))
    trends.note(told(NOW + MINUTE, name="late", cpu=1))
    assert trends.of("late", UID, NOW + MINUTE) == ()
    later = NOW + POINTS * MINUTE + MINUTE
    trends.note(told(later, name="late", cpu=1))
    assert len(trends.of("late", UID, later)) == 1


def test_a_curve_is_broken_where_nobody_knows():
    """Two points far apart are not joined; its words say from what to what."""
    at = [NOW - 20 * MINUTE, NOW - 19 * MINUTE, NOW - 19 * MINUTE + GAP + 1, NOW]
    made = line("CPU", list(zip(at, (10, 20, 500, 250), strict=True)), percent, NOW)
    assert [one[0] for one in made.path.split()] == ["M", "L", "M", "M"]
    assert made.path.endswith("M120.0,12.0")
    assert made.words == "CPU in 20 min: from 1.0% to 50.0%"
    assert line("CPU", [(NOW, 3), (NOW - MINUTE, None)], percent, NOW).path == ""
