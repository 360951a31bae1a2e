"""What devices measured: kept for a time, within a quota, read by time."""

from __future__ import annotations

from collections.abc import Callable

from propeller.model.ids import PropletId
from propeller.model.samples import DAY, HOUR, MINUTE, Sample
from propeller.state.base import Store
from propeller.state.quotas import Quotas
from propeller.state.samples import past_of

NOW = 1_800_000_000_000 // HOUR * HOUR
GW = PropletId("gw-1")
Opener = Callable[..., Store]


def minute(at: int, value: int = 1, proplet: PropletId = GW) -> Sample:
    return Sample(proplet=proplet, span=MINUTE, at=at, mean={"cpu/1": value})


def test_samples_come_back_in_order_and_after_a_restart(open_store: Opener) -> None:
    """From a time on and before another; the same minute again replaces what it said."""
    store = open_store()
    hour = Sample(proplet=GW, span=HOUR, at=NOW - HOUR, mean={"a": 1, "b": 2}, most={"b": 9})
    with store.transaction():
        for at in (NOW + MINUTE, NOW, NOW - MINUTE):
            store.put_sample(minute(at, 1))
        store.put_sample(minute(NOW, 7))
        store.put_sample(minute(NOW, 5, PropletId("gw-2")))
        store.put_sample(hour)
    store.close()
    store = open_store()
    found = store.samples(GW, MINUTE, since=NOW - MINUTE, until=NOW + MINUTE)
    assert [(one.at, one.mean) for one in found] == [
        (NOW - MINUTE, {"cpu/1": 1}),
        (NOW, {"cpu/1": 7}),
    ]
    newest = store.samples(GW, MINUTE, since=0, until=NOW + DAY, limit=1)
    assert [one.at for one in newest] == [NOW + MINUTE]
    assert store.samples(GW, HOUR, since=0, until=NOW) == [hour]
    with store.transaction():
        store.drop_samples(GW)
    assert store.samples(GW, HOUR, since=0, until=NOW) == []
    assert len(store.samples(PropletId("gw-2"), MINUTE, since=0, until=NOW + 1)) == 1


def test_old_samples_go_and_more_than_the_quota_go_oldest_first(open_store: Opener) -> None:
    """Minutes after a day, hours after a month; each has a quota of its own."""
    store = open_store(quotas=Quotas(minutes=10))
    hours = [Sample(proplet=GW, span=HOUR, at=NOW - n * DAY, mean={"a": n}) for n in (1, 29, 31)]
    with store.transaction():
        for number in range(15):
            store.put_sample(minute(NOW - number * MINUTE))
        store.put_sample(minute(NOW - 2 * DAY))
        for one in hours:
            store.put_sample(one)
        store.prune_history(NOW)
    assert [one.at for one in store.samples(GW, HOUR, since=0, until=NOW)] == [
        NOW - 29 * DAY,
        NOW - DAY,
    ]
    left = [one.at for one in store.samples(GW, MINUTE, since=0, until=NOW + 1)]
    assert left == [NOW - number * MINUTE for number in range(9, -1, -1)]


def test_more_than_a_day_is_told_by_the_hour(open_store: Opener) -> None:
    """The hours that are over, and the one that is not, made of its minutes."""
    store = open_store()
    with store.transaction():
        store.put_sample(Sample(proplet=GW, span=HOUR, at=NOW - HOUR, mean={"cpu/1": 5}))
        store.put_sample(minute(NOW, 10))
        store.put_sample(minute(NOW + MINUTE, 20))
    now = NOW + 2 * MINUTE
    past = past_of(store, GW, since=now - 3 * DAY, now=now)
    assert [(one.at, one.span, one.mean) for one in past] == [
        (NOW - HOUR, HOUR, {"cpu/1": 5}),
        (NOW, HOUR, {"cpu/1": 15}),
    ]
    past = past_of(store, GW, since=now - HOUR, now=now)
    assert [one.mean["cpu/1"] for one in past] == [10, 20]
