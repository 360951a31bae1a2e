"""Numbers of guests that a report had no room for stand until their turn comes."""

from __future__ import annotations

from dataclasses import replace

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.reconcile.gauges import FULL, LONGEST, taken

NOW = 1_800_000_000_000


def holding(*marks: str, metrics: dict[str, int]) -> Seen:
    """A proplet with a run of each of these guests."""
    runs = {}
    for mark in marks:
        uid = Uid(f"{mark}-0000-0000-0000-000000000000")
        run = SeenRun(
            uid=uid,
            run=RunId("r"),
            digest=Digest(""),
            cause="daemon",
            state=RunState.RUNNING,
        )
        runs[uid, run.run] = run
    seen = Seen(id=PropletId("p"), declared=True, presence=Presence.ONLINE, runs=runs)
    return replace(seen, metrics_at=NOW, metrics=metrics)


def full(**names: int) -> dict[str, int]:
    """A report that had room for no more."""
    told = {f"x{n}": n for n in range(FULL)}
    return told | {name.replace("_", "/"): value for name, value in names.items()}


def test_a_guest_left_out_of_a_full_report_keeps_its_numbers() -> None:
    """With the time they are of, and no longer than they are worth anything."""
    seen = holding("aaaaaaaa", "bbbbbbbb", metrics={"cpu/aaaaaaaa": 5, "rssBytes": 1})
    seen = taken(seen, full(cpu_bbbbbbbb=7), NOW + 1000)
    assert (seen.metrics["cpu/aaaaaaaa"], seen.metrics["cpu/bbbbbbbb"]) == (5, 7)
    assert (seen.told_at("cpu/aaaaaaaa"), seen.told_at("cpu/bbbbbbbb")) == (NOW, NOW + 1000)
    assert "rssBytes" not in seen.metrics
    seen = taken(seen, full(cpu_bbbbbbbb=8), NOW + LONGEST + 1)
    assert "cpu/aaaaaaaa" not in seen.metrics


def test_a_report_with_room_left_nobody_out() -> None:
    """What it does not tell is not known any more."""
    seen = holding("aaaaaaaa", metrics={"cpu/aaaaaaaa": 5})
    assert taken(seen, {"rssBytes": 1}, NOW + 1000).metrics == {"rssBytes": 1}


def test_of_a_guest_that_is_gone_nothing_stands() -> None:
    """Nor of one that a device made up: what is kept is bounded by what it holds."""
    seen = holding("bbbbbbbb", metrics={"cpu/aaaaaaaa": 5})
    assert "cpu/aaaaaaaa" not in taken(seen, full(cpu_bbbbbbbb=7), NOW + 1).metrics


def test_numbers_a_guest_tells_take_turns() -> None:
    """Four names of one guest in a report: the others of it stand, by name."""
    seen = holding("aaaaaaaa", metrics={"g/aaaaaaaa/old": 3, "cpu/aaaaaaaa": 1})
    told = {f"g/aaaaaaaa/m{n}": n for n in range(4)} | {"cpu/aaaaaaaa": 2}
    seen = taken(seen, told, NOW + 1000)
    assert seen.metrics["g/aaaaaaaa/old"] == 3
    assert seen.metrics["cpu/aaaaaaaa"] == 2
    assert seen.told_at("g/aaaaaaaa/old") == NOW
    assert seen.told_at("g/aaaaaaaa/m1") == NOW + 1000
