"""Numbers of a minute and of an hour."""

from __future__ import annotations

from propeller.model.ids import PropletId
from propeller.model.samples import HOUR, MINUTE, Sample, of_an_hour

GW = PropletId("gw-1")
UID = "9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902"


def minute(number: int, **mean: int) -> Sample:
    """`_` stands for `/`."""
    named = {name.replace("_", "/"): value for name, value in mean.items()}
    return Sample(proplet=GW, span=MINUTE, at=number * MINUTE, mean=named)


def test_an_hour_has_the_mean_and_the_most_of_its_minutes() -> None:
    """Each name over the minutes that have it; where all were equal the most is not said twice."""
    made = of_an_hour(GW, 0, [minute(0, cpu=10, rss=5), minute(1, cpu=40), minute(2, rss=5)])
    assert (made.span, made.mean, made.most) == (HOUR, {"cpu": 25, "rss": 5}, {"cpu": 40})
    assert (made.highest("cpu"), made.highest("rss"), made.highest("calls")) == (40, 5, None)


def test_the_numbers_of_one_guest() -> None:
    """By their first word; what it tells itself keeps its name; nothing where nothing is."""
    one = minute(0, cpu_9b1c8a44=1, g_9b1c8a44_queue=2, cpu_ffffffff=3, rssBytes=4)
    mine = one.of_guest(UID)
    assert mine is not None
    assert mine.mean == {"cpu": 1, "g/queue": 2}
    assert one.of_guest("00000000-0000") is None
    assert one.only({"ffffffff"}).mean == {"cpu/ffffffff": 3, "rssBytes": 4}
