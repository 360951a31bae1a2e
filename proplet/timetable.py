"""One schedule that this device keeps: which time has come, what became of those before. Pure.

Owned by `runs`, one for each entry of mode `timed`. The same rules as the manager's for its own
schedules (`propeller.plan.lifecycle`), on the same slots (`propeller.slots`), by this device's
clock: a time is used up once, whatever is started anew; of those missed the newest counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfoNotFoundError

from propeller.slots import fires_at, newest_due, slot_after
from propeller.wire.messages import Entry, PastRun
from propeller.wire.timed_messages import slot_run
from proplet.effects import Now, Outcome
from proplet.live import cut
from proplet.records import Key, State, Times


def wrong_schedule(entry: Entry) -> str:
    """Why this device cannot keep the schedule of an entry, or ""."""
    if (entry.mode == "timed") != (entry.schedule is not None):
        return "an entry says when it is run if it is run by a schedule"
    if entry.schedule is None:
        return ""
    try:
        found = slot_after(entry.schedule.cron, entry.schedule.zone, 0)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"the time zone {entry.schedule.zone!r} is not known here"
    return "" if found is not None else f"{entry.schedule.cron!r} never comes"


@dataclass(slots=True)
class Timetable:
    """See the module. times: what must not be forgotten. name: what the moment of a slot hangs on.

    cutting: the run that is under way was asked to make way for the next.
    """

    entry: Entry
    times: Times
    name: str
    cutting: bool = False

    @property
    def child(self) -> Entry | None:
        """What runs now, as an entry of its own."""
        running = self.times.running
        return None if running is None else self._child(running.slot, running.attempt)

    def key_of(self, past: PastRun) -> Key:
        """The key of one of its runs."""
        return self.entry.uid, slot_run(self.entry.run, past.slot, past.attempt)

    def _child(self, slot: int, attempt: int) -> Entry:
        return replace(
            self.entry,
            run=slot_run(self.entry.run, slot, attempt),
            cause=f"cron:{slot}",
            mode="once",
            schedule=None,
        )

    def told(self) -> tuple[PastRun, ...]:
        """For the report: in order, the one that runs last."""
        running = self.times.running
        return self.times.past if running is None else (*self.times.past, running)

    # -- time ------------------------------------------------------------------------------------

    def tick(self, now: Now) -> tuple[Entry | None, bool]:
        """The run to begin now, if any; and whether the one that runs has to make way first.

        Changes `times` where a slot is used up or a run begins: save them before anything is begun.
        """
        schedule, times = self.entry.schedule, self.times
        assert schedule is not None
        if not times.began:
            times = self.times = replace(times, began=now.wall)
        slot = self._came(now.wall)
        if slot is not None:
            late = now.wall - fires_at(slot, schedule.jitter, self.name)
            run = not (late > schedule.deadline and schedule.missed == "Skip")
            if times.running is not None and schedule.overlap == "Forbid":
                run = False
            due = now.wall if run else 0
            times = self.times = replace(times, last=slot, attempt=0, due=due)
        if not times.due or now.wall < times.due:
            return None, False
        if times.running is not None:
            return None, True
        attempt = times.attempt + 1
        running = PastRun(
            slot=times.last, state=State.RUNNING.value, attempt=attempt, started=now.wall
        )
        self.times = replace(times, attempt=attempt, due=0, running=running)
        return self._child(times.last, attempt), False

    def _came(self, wall: int) -> int | None:
        """The newest slot whose time has come and that was not used up."""
        schedule = self.entry.schedule
        assert schedule is not None
        since = max(self.times.last, self.times.began)
        upcoming = slot_after(schedule.cron, schedule.zone, since)
        if upcoming is None or fires_at(upcoming, schedule.jitter, self.name) > wall:
            return None
        newest = newest_due(
            schedule.cron, schedule.zone, jitter=schedule.jitter, name=self.name, now=wall
        )
        return max(upcoming, newest or 0)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        schedule = self.entry.schedule
        assert schedule is not None
        since = max(self.times.last, self.times.began)
        upcoming = slot_after(schedule.cron, schedule.zone, since)
        at = None if upcoming is None else fires_at(upcoming, schedule.jitter, self.name)
        if self.times.due and self.times.running is None:
            return self.times.due if at is None else min(at, self.times.due)
        return at

    # -- what became of a run ----------------------------------------------------------------------

    def over(
        self,
        outcome: Outcome,
        now: Now,
        *,
        why: str,
        alone: bool,
        delay: Callable[[int], int],
    ) -> list[Key]:
        """The run has ended. Keys of runs that are held no more.

        why: what cut it short, "" where nothing did. alone: there is no manager to tell. delay: ms
        until another attempt, by how many failed.
        """
        running = self.times.running
        assert running is not None
        state = State.SUCCEEDED if outcome.ok else State.INTERRUPTED if why else State.FAILED
        past = replace(
            running,
            state=state.value,
            exit=outcome.exit,
            result=outcome.result,
            result_blob=outcome.blob,
            error="" if outcome.ok else cut(why or outcome.error),
            ended=now.wall,
        )
        return self._note(past, now, alone=alone, again=not outcome.ok, delay=delay)

    def booted(self, now: Now, *, delay: Callable[[int], int]) -> list[Key] | None:
        """Guests of the last boot are dead: keys of runs that are held no more; None: none was."""
        running = self.times.running
        if running is None:
            return None
        words = "cut short: the proplet went down while it ran"
        past = replace(running, state=State.INTERRUPTED.value, error=words, ended=now.wall)
        return self._note(past, now, alone=True, again=True, delay=delay)

    def _note(
        self, past: PastRun, now: Now, *, alone: bool, again: bool, delay: Callable[[int], int]
    ) -> list[Key]:
        schedule, times = self.entry.schedule, self.times
        assert schedule is not None
        every = (*times.past, past)
        gone, held = every[: -schedule.keep], every[-schedule.keep :]
        due = times.due
        if again and not due and times.last == past.slot:
            most = self.entry.max_restarts
            if most is None or past.attempt <= most:
                due = now.wall + max(1, delay(past.attempt))
        lost = times.lost + (len(gone) if alone else 0)
        self.times = replace(times, running=None, past=held, due=due, lost=lost)
        return [self.key_of(one) for one in gone]
