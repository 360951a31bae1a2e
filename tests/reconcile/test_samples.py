"""Reports become minutes and hours; whatever a device says, the rows stay few and small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.samples import HOUR, MINUTE
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.reconcile.samples import MOST_NAMES, History
from propeller.state.sqlite import SqliteStore

NOW = 1_800_000_000_000 // HOUR * HOUR
GW = PropletId("gw-1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path / "propeller.db")
    yield made
    made.close()


def reporting(**metrics: int) -> Seen:
    """A proplet that says that, and holds a run that began three times."""
    uid = Uid("9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902")
    run = SeenRun(
        uid=uid,
        run=RunId("r"),
        digest=Digest(""),
        cause="daemon",
        state=RunState.RUNNING,
        restarts=2,
    )
    return Seen(
        id=GW,
        declared=True,
        presence=Presence.ONLINE,
        runs={(uid, run.run): run},
        metrics=metrics,
    )


def hear(store: SqliteStore, history: History, seen: Seen, at: int) -> None:
    with store.transaction():
        history.note(seen, at)
        history.tick(at)


def test_one_row_a_minute_and_one_for_the_hour_once_it_is_over(store: SqliteStore) -> None:
    """However often it reports; restarts are counted by us, and what it dropped is not kept."""
    history = History(store)
    for second in range(0, 3_600, 10):
        seen = reporting(cpu=second // 60, **{"dropped.stale": 3})
        hear(store, history, seen, NOW + second * 1_000)
    minutes = store.samples(GW, MINUTE, since=NOW, until=NOW + HOUR)
    assert [one.mean["cpu"] for one in minutes] == list(range(60))
    assert minutes[0].mean == {"cpu": 0, "restarts/9b1c8a44": 2}
    assert store.samples(GW, HOUR, since=0, until=NOW + HOUR) == []
    hear(store, history, reporting(cpu=0), NOW + HOUR)
    (hour,) = store.samples(GW, HOUR, since=0, until=NOW + 2 * HOUR)
    assert (hour.at, hour.mean["cpu"], hour.highest("cpu")) == (NOW, 29, 59)
    assert history.due() is None


def test_an_hour_that_ended_while_nobody_was_there_is_made_later(store: SqliteStore) -> None:
    """By the next process, from the minutes there are; once."""
    hear(store, History(store), reporting(cpu=4), NOW + 59 * MINUTE)
    history = History(store)
    hear(store, history, reporting(cpu=9), NOW + HOUR + 5 * MINUTE)
    (hour,) = store.samples(GW, HOUR, since=0, until=NOW + HOUR)
    assert (hour.at, hour.mean["cpu"]) == (NOW, 4)


def test_what_a_device_makes_up_is_refused_and_counted(store: SqliteStore) -> None:
    """Names that are none, and more of them than there is room for."""
    history = History(store)
    odd = {"a b": 1, "x" * 97: 1, "": 1}
    hear(store, history, reporting(**odd, **{f"n{n}": n for n in range(300)}), NOW)
    (minute,) = store.samples(GW, MINUTE, since=0, until=NOW + 1)
    assert len(minute.mean) == MOST_NAMES
    assert history.refused == {"metric_name": 3, "metric_quota": 300 + 1 - MOST_NAMES}


def test_a_proplet_that_is_forgotten_leaves_nothing(store: SqliteStore) -> None:
    """Its rows go with it."""
    history = History(store)
    hear(store, history, reporting(cpu=1), NOW)
    with store.transaction():
        history.forget(GW)
    assert store.samples(GW, MINUTE, since=0, until=NOW + 1) == []
