"""What a guest took in the last hour, and the curve of it."""

from __future__ import annotations

from propeller.gateway.dashboard.usage import GAP, line, percent
from propeller.gateway.trends import Point, points_of
from propeller.model.ids import PropletId
from propeller.model.samples import MINUTE, Sample

UID = "9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902"
NOW = 1_800_000_000_000 // MINUTE * MINUTE


def test_points_are_those_of_one_guest():
    """Of a proplet's minutes only what is about it, a number that was not told left open."""
    mark, other = UID[:8], "ffffffff"
    past = [
        Sample(
            proplet=PropletId("gw-1"),
            span=MINUTE,
            at=NOW + number * MINUTE,
            mean=mean,
        )
        for number, mean in enumerate(
            (
                {f"cpu/{mark}": 7, f"rss/{mark}": 9, f"cpu/{other}": 1},
                {f"cpu/{other}": 1, "rssBytes": 3},
                {f"rss/{mark}": 8},
                {f"calls/{mark}": 8},
            )
        )
    ]
    assert points_of(past, UID) == (Point(NOW, 7, 9), Point(NOW + 2 * MINUTE, None, 8))


def test_a_curve_is_broken_where_nobody_knows():
    """Two points far apart are not joined; its words say from what to what."""
    at = [NOW - 20 * MINUTE, NOW - 19 * MINUTE, NOW - 19 * MINUTE + GAP + 1, NOW]
    made = line("CPU", list(zip(at, (10, 20, 500, 250), strict=True)), percent, NOW)
    assert [one[0] for one in made.path.split()] == ["M", "L", "M", "M"]
    assert made.path.endswith("M120.0,12.0")
    assert made.words == "CPU in 20 min: from 1.0% to 50.0%"
    assert line("CPU", [(NOW, 3), (NOW - MINUTE, None)], percent, NOW).path == ""
