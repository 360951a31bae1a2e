"""One schedule on a device's clock: zones, jitter, missed times, what is held. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from propeller.slots import fires_at
from propeller.wire.messages import Entry, PastRun, WireModule
from propeller.wire.timed_messages import WireSchedule, slot_run
from proplet.effects import Now, Outcome
from proplet.records import Times
from proplet.timetable import Timetable, wrong_schedule

MINUTE = 60_000
SCHEDULE = WireSchedule(cron="*/10 * * * *", keep=2)
ENTRY = Entry(
    uid="00000000-0000-0000-0000-000000000001",
    ref="Task/default/t",
    run="1" * 32,
    cause="daemon",
    mode="timed",
    digest="",
    module=WireModule(digest="sha256:" + "a" * 64, size=10),
    entrypoint="run",
    max_restarts=0,
    schedule=SCHEDULE,
)
DONE = Outcome(ok=True, exit=0, result="42")
BAD = Outcome(ok=False, exit=3, error="exit 3")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


BEGAN = at("2026-03-28 12:01")


def table(schedule: WireSchedule = SCHEDULE, **times: object) -> Timetable:
    given = Times(began=BEGAN, **times)  # type: ignore[arg-type]  # fields by name
    return Timetable(replace(ENTRY, schedule=schedule), given, "o|a")


def tick(one: Timetable, wall: int) -> Entry | None:
    return one.tick(Now(0, wall))[0]


def over(one: Timetable, outcome: Outcome, wall: int, *, alone: bool = False) -> list[object]:
    return list(one.over(outcome, Now(0, wall), why="", alone=alone, delay=lambda _: 1000))


def test_a_run_is_an_entry_of_its_own_that_is_begun_once() -> None:
    """Named by the entry's run, the slot and the attempt; the slot is used up when it begins."""
    one = table()
    slot = at("2026-03-28 12:10")
    assert (tick(one, slot - 1), one.due()) == (None, slot)
    run = tick(one, slot)
    assert run is not None
    assert (run.run, run.cause, run.mode, run.schedule) == (
        slot_run(ENTRY.run, slot, 1),
        f"cron:{slot}",
        "once",
        None,
    )
    assert tick(one, slot + 1) is None
    assert one.due() == slot + 10 * MINUTE
    assert over(one, DONE, slot + 5) == []
    assert one.told() == (
        PastRun(slot=slot, state="Succeeded", exit=0, result="42", started=slot, ended=slot + 5),
    )


def test_a_time_zone_moves_a_slot_and_a_clock_change_leaves_none_out_and_runs_none_twice() -> None:
    """02:30 in Belgrade does not exist on 29 March and comes twice on 25 October."""
    daily = replace(SCHEDULE, cron="30 2 * * *", zone="Europe/Belgrade", keep=64)
    one = table(daily)
    ran = []
    for hour in range(24 * 4):
        wall = BEGAN + hour * 60 * MINUTE
        if tick(one, wall) is not None:
            ran.append(one.times.last)
            over(one, DONE, wall)
    assert [datetime.fromtimestamp(slot / 1000, UTC).strftime("%d %H:%M") for slot in ran] == [
        "29 01:00",
        "30 00:30",
        "31 00:30",
        "01 00:30",
    ]
    one = Timetable(one.entry, Times(began=at("2026-10-24 12:00")), "o|a")
    ran = []
    for half in range(2 * 24 * 2):
        wall = at("2026-10-24 12:00") + half * 30 * MINUTE
        if tick(one, wall) is not None:
            ran.append(one.times.last)
            over(one, DONE, wall)
    assert len(ran) == 2


def test_jitter_is_this_devices_own_and_always_the_same() -> None:
    """It does not come a moment earlier, and not later than it may."""
    jitter = replace(SCHEDULE, jitter=5 * MINUTE)
    one = table(jitter)
    slot = at("2026-03-28 12:10")
    fires = fires_at(slot, 5 * MINUTE, "o|a")
    assert slot <= fires <= slot + 5 * MINUTE
    assert (one.due(), tick(one, fires - 1)) == (fires, None)
    assert tick(one, fires) is not None
    assert len({fires_at(slot, 5 * MINUTE, f"o|{name}") for name in "abcdef"}) > 1


@pytest.mark.parametrize(("missed", "runs"), [("RunLatest", True), ("Skip", False)])
def test_of_missed_times_the_newest_counts(missed: str, runs: bool) -> None:
    """Five hours later: one run, or none, and the next time is the next."""
    one = table(replace(SCHEDULE, missed=missed, deadline=MINUTE))
    late = at("2026-03-28 17:05")
    assert (tick(one, late) is not None) is runs
    assert one.times.last == at("2026-03-28 17:00")
    assert one.due() == at("2026-03-28 17:10")


def test_what_is_due_within_its_deadline_is_not_missed() -> None:
    """A minute late of two: it runs, whatever `missed` says."""
    one = table(replace(SCHEDULE, missed="Skip", deadline=2 * MINUTE))
    assert tick(one, at("2026-03-28 12:11")) is not None


def test_a_failed_run_is_tried_again_as_often_as_the_entry_says() -> None:
    """Two more of one slot, a second apart; the next slot begins anew."""
    one = table()
    one.entry = replace(one.entry, max_restarts=1)
    slot = at("2026-03-28 12:10")
    assert tick(one, slot) is not None
    over(one, BAD, slot + 5)
    assert (one.due(), tick(one, slot + 1004)) == (slot + 1005, None)
    again = tick(one, slot + 1005)
    assert again is not None
    assert again.run == slot_run(ENTRY.run, slot, 2)
    over(one, BAD, slot + 2000)
    assert tick(one, slot + MINUTE) is None
    assert [(past.attempt, past.state) for past in one.told()] == [(1, "Failed"), (2, "Failed")]


def test_only_so_many_results_are_held_and_those_nobody_heard_of_are_counted() -> None:
    """`keep: 2`: the oldest goes; lost is what went while there was no manager."""
    one = table()
    slot = at("2026-03-28 12:10")
    for number, alone in enumerate((True, True, False, True)):
        wall = slot + number * 10 * MINUTE
        assert tick(one, wall) is not None
        gone = over(one, DONE, wall + 1, alone=alone)
        assert len(gone) == (1 if number >= 2 else 0)
    assert [past.slot for past in one.told()] == [slot + 20 * MINUTE, slot + 30 * MINUTE]
    assert one.times.lost == 1


def test_a_run_of_the_last_boot_is_interrupted_and_its_slot_is_not_run_again() -> None:
    """Without retries; with them it is another attempt."""
    slot = at("2026-03-28 12:10")
    cut = PastRun(slot=slot, state="Running", started=slot)
    one = table(last=slot, attempt=1, running=cut)
    assert one.booted(Now(0, slot + MINUTE), delay=lambda _: 1000) == []
    assert one.booted(Now(0, slot + MINUTE), delay=lambda _: 1000) is None
    assert [past.state for past in one.told()] == ["Interrupted"]
    assert tick(one, slot + 2 * MINUTE) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "once"}, "an entry says when it is run"),
        ({"schedule": None}, "an entry says when it is run"),
        ({"schedule": replace(SCHEDULE, zone="Mars/Olympus")}, "'Mars/Olympus' is not known here"),
        ({"schedule": replace(SCHEDULE, zone="../etc/passwd")}, "is not known here"),
        ({"schedule": replace(SCHEDULE, cron="not a cron")}, "never comes"),
        ({"schedule": replace(SCHEDULE, cron="0 0 31 2 *")}, "never comes"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_in_words(
    change: dict[str, object], words: str
) -> None:
    """Whoever signed it."""
    assert words in wrong_schedule(replace(ENTRY, **change))  # type: ignore[arg-type]
    assert wrong_schedule(ENTRY) == ""
