"""Which guests run: turns what `desired` lists into fetches, starts and stops. Pure.

Called by `agent` with every new list and every answer of the shell; `settle` then looks at the
whole state and asks for what is missing. Knows nothing of frames, reports or the broker.

Three promises live here: a once-run is started at most once, however often it is listed and
whatever was cut short; a replacement is downloaded and checked before the old guest is stopped; two
versions of one object never run side by side. An entry may ask for the contrary of the last two
(`update`): `takeover` says when the old run goes then.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from propeller.wire.messages import Entry
from proplet.capacity import Room, need, refusal
from proplet.effects import (
    ForgetRun,
    FreeBlob,
    InUse,
    Now,
    Outcome,
    Prepare,
    SaveRun,
    SaveTimes,
    Start,
    Stop,
)
from proplet.endings import daemon_ended, delay, once_ended
from proplet.inventory import Emit, Inventory
from proplet.live import Live, Phase, Why, cut
from proplet.modules import Modules
from proplet.records import AgentConfig, Key, RunRecord, State, Times
from proplet.takeover import awaited, older
from proplet.timetable import Timetable
from proplet.words import milliseconds

May = Callable[[str, Now], str]
"""Why no module of a digest may be started now, "" where it may."""


def _may_all(_digest: str, _now: Now) -> str:
    return ""


class Runs:
    """See the module. held: the inventory that it moves towards what is listed."""

    def __init__(self, config: AgentConfig, rng: random.Random, *, may: May = _may_all) -> None:
        self._hello = config.hello
        self._may = may
        self._ceilings = config.ceilings
        self._grace = config.grace
        self._rng = rng
        self.held = Inventory(config)
        self._modules = Modules()
        self._in_use: frozenset[str] = frozenset()
        self._silence = 0
        self._now = Now(0, 0)
        self.draining = False

    def want(self, entries: tuple[Entry, ...], emit: Emit) -> None:
        """The list as it now is, whole."""
        self.held.want(entries, emit)
        self.retry_fetches()

    # -- answers of the shell ---------------------------------------------------------------------

    def fetched(self, digest: str) -> None:
        """The module is on disk, verified."""
        self._modules.fetched(digest)

    def fetch_failed(self, digest: str, words: str, now: Now) -> None:
        """It could not be had; tried again when the list changes, a manager comes online, or in a
        while."""
        self._modules.gave_up(digest, words, now)
        self.held.changed = True

    def retry_fetches(self) -> None:
        """Forget which fetches were given up."""
        self._modules.retry()

    def prepared(self, key: Key, digest: str) -> None:
        """The module fits the entry `digest` of the run and is compiled."""
        live = self.held.live.get(key)
        if live is not None and live.asked == digest:
            live.prepared, live.unfit = digest, ""

    def unfit(self, key: Key, digest: str, words: str) -> None:
        """The module cannot do what the entry `digest` says, and why."""
        live = self.held.live.get(key)
        if live is not None and live.asked == digest:
            live.unfit = words

    def ended(self, key: Key, outcome: Outcome, now: Now, emit: Emit) -> None:
        """A guest is gone. Anything but a live run is ignored."""
        self._now = now
        for owner, table in self.held.tables.items():
            child = table.child
            if child is not None and (child.uid, child.run) == key:
                self._slot_over(self.held.live[owner], table, outcome, now, emit)
                return
        live = self.held.live.get(key)
        if live is None or not live.alive:
            return
        self.held.changed = True
        record = replace(
            live.record,
            exit=outcome.exit,
            result=outcome.result,
            result_blob=outcome.blob,
            error="" if outcome.ok else cut(outcome.error),
            ended=now.wall,
        )
        why, live.why, live.ready = live.why, Why.NONE, False
        if not live.daemon:
            self._end(live, once_ended(record, why=why, ok=outcome.ok), emit)
            return
        ran = now.mono - live.began
        record = daemon_ended(live.entry, record, why=why, ok=outcome.ok, ran=ran)
        match record.state:
            case State.PENDING:
                live.record = record
                live.go(Phase.STOPPING)
                live.go(Phase.WAITING)
            case State.BACK_OFF:
                live.record = record
                live.due = now.mono + delay(live.entry, record.failures, self._rng)
                live.go(Phase.BACK_OFF)
                emit(SaveRun(record))
            case _:
                self._end(live, record, emit)

    def _end(self, live: Live, record: RunRecord, emit: Emit) -> None:
        live.record = record
        live.ready = record.state is State.SUCCEEDED
        live.trouble = ""
        live.go(Phase.ENDED)
        self.held.changed = True
        emit(SaveRun(record))

    # -- operations -------------------------------------------------------------------------------

    def cancel(self, key: Key, emit: Emit) -> str:
        """Stop a run for good. Returns why it cannot be, or ""."""
        live = self.held.live.get(key)
        if live is None:
            return "no such run"
        if live.phase is Phase.ENDED:
            return f"already {live.record.state.value}"
        for one in older(live, self.held.live.values()):
            if one.phase is Phase.RUNNING:  # it would go on until this one is ready
                self._stop(one, Why.REMOVED, emit)
        if live.alive:
            self._stop(live, Why.CANCELLED, emit)
        else:
            words = "cancelled by an operator"
            self._end(live, replace(live.record, state=State.FAILED, error=words), emit)
        return ""

    def restart(self, key: Key, emit: Emit) -> str:
        """Start a daemon afresh. Returns why it cannot be, or ""."""
        live = self.held.live.get(key)
        if live is None or not live.wanted:
            return "no such run"
        if not live.daemon:
            return "a task's run is never started again; give it a new runKey"
        live.record = replace(live.record, failures=0)
        if live.alive:
            self._stop(live, Why.RESTARTED, emit)
        else:
            live.due = 0
            if live.phase is Phase.ENDED:
                live.go(Phase.WAITING)
        self.held.changed = True
        return ""

    def drain(self, emit: Emit) -> None:
        """Start nothing any more and stop what runs; once-runs and calls may use the grace."""
        self.draining = True
        for live in self.held.live.values():
            if live.phase is Phase.RUNNING:
                self._stop(
                    live,
                    Why.DRAINED,
                    emit,
                    grace=0 if live.record.mode == "daemon" else self._grace,
                )

    def _stop(self, live: Live, why: Why, emit: Emit, *, grace: int = 0) -> None:
        if live.phase is Phase.STOPPING and grace == 0 and why is not Why.CANCELLED:
            return
        live.why, live.ready = why, False
        live.go(Phase.STOPPING)
        self.held.changed = True
        table = self.held.tables.get(live.key)
        if table is None or table.child is not None:
            child = None if table is None else table.child
            emit(Stop(live.key if child is None else (child.uid, child.run), grace))
        else:  # between two times there is no guest to wait for
            self.ended(live.key, Outcome(ok=False), self._now, emit)

    # -- towards what is listed -------------------------------------------------------------------

    def settle(self, now: Now, emit: Emit, *, silence: int = 0) -> None:
        """Ask for everything that is due. Calling it twice asks for nothing new.

        silence: ms without a word of the manager.
        """
        self._silence, self._now = silence, now
        room = Room(self._hello, self.held.live.values())
        for live in self.held.live.values():
            if live.wanted:
                self._advance(live, room, now, emit)
        unwanted = [live for live in self.held.live.values() if not live.wanted]
        gone = [live for live in unwanted if self._retire(live, emit)]
        used = self._modules.needed(
            live.entry for live in self.held.live.values() if live.phase is not Phase.ENDED
        )
        if used != self._in_use:
            self._in_use = used
            self._modules.keep_only(used)
            emit(InUse(used))
        for new in [live for live in self.held.live.values() if live.wanted and live.kills_first]:
            before = [live for live in gone if live.record.uid == new.record.uid]
            for digest in {live.entry.module.digest for live in before} - used:
                emit(FreeBlob(digest))
            if before:
                self._advance(new, Room(self._hello, self.held.live.values()), now, emit)

    def _advance(self, live: Live, room: Room, now: Now, emit: Emit) -> None:
        match live.phase:
            case Phase.ENDED | Phase.STOPPING:
                return
            case Phase.RUNNING:
                if (
                    live.daemon
                    and not live.ready
                    and now.mono - live.began >= live.entry.ready_after
                ):
                    live.ready = True
                    self.held.changed = True
                if live.timed:
                    self._keep_time(live, now, emit)
                elif live.daemon and self._alone(live.entry):
                    live.record = replace(live.record, spent=now.wall)
                    emit(SaveRun(live.record))
                    self._stop(live, Why.ALONE, emit)
                elif live.stale and not self.draining:
                    first = live.kills_first and not (
                        refusal(live, self._hello, self._ceilings)
                        or self._may(live.entry.module.digest, now)
                    )
                    if first or self._obtain(live, now, emit):
                        self._stop(live, Why.REPLACED, emit)
            case Phase.BACK_OFF if now.mono < live.due:
                return
            case Phase.WAITING | Phase.FETCHING | Phase.PREPARING | Phase.BACK_OFF:
                if self._obtain(live, now, emit) and not self.draining and room.fits(live):
                    room.take(need(live.entry))
                    self._start(live, now, emit)

    # -- schedules --------------------------------------------------------------------------------

    def _keep_time(self, live: Live, now: Now, emit: Emit) -> None:
        """Begin what its time has come for; take in what an edit says between two runs."""
        table = self.held.tables[live.key]
        if live.stale and table.child is None and self._obtain(live, now, emit):
            live.record = replace(live.record, digest=live.entry.digest)
            table.entry = live.entry
            self.held.changed = True
            emit(SaveRun(live.record))
        words = self._alone(live.entry) or ("" if now.synced else "its clock is not set")
        if words and words != live.trouble and now.synced:
            live.record = replace(live.record, spent=now.wall)
            emit(SaveRun(live.record))
        if not live.stale or words:
            self._trouble(live, words)
        if words or self.draining or live.stale:
            return
        before = table.times
        fired, cuts = table.tick(now)
        if table.times != before:
            emit(SaveTimes(live.key, table.times))
        if fired is not None:
            self.held.changed = True
            emit(Start(fired, 0))
        elif cuts and table.child is not None and not table.cutting:
            table.cutting = True
            emit(Stop((table.child.uid, table.child.run)))

    def _slot_over(
        self, live: Live, table: Timetable, outcome: Outcome, now: Now, emit: Emit
    ) -> None:
        """A run of a schedule has ended."""
        why = "" if live.why is Why.NONE else "cut short: no longer listed"
        if live.why is Why.DRAINED:
            why = "cut short: the proplet was stopped"
        elif table.cutting:
            why = "cut short: its next time had come"
        table.cutting = False
        gone = table.over(
            outcome,
            now,
            why="" if outcome.ok else why,
            alone=self._silence > 0,
            delay=lambda failed: delay(table.entry, failed, self._rng),
        )
        emit(SaveTimes(live.key, table.times))
        for key in gone:
            emit(ForgetRun(key))
        self.held.changed = True
        if live.phase is Phase.STOPPING:
            self.ended(live.key, Outcome(ok=False), now, emit)

    def _table(self, live: Live, now: Now, emit: Emit) -> None:
        """Its schedule is kept from now on."""
        if live.key in self.held.tables:
            self.held.tables[live.key].entry = live.entry
            return
        times = self.held.times.pop(live.key, Times())
        name = f"{live.entry.uid}|{self._hello.id}"
        table = self.held.tables[live.key] = Timetable(live.entry, times, name)
        gone = table.booted(now, delay=lambda failed: delay(table.entry, failed, self._rng))
        if gone is not None:
            emit(SaveTimes(live.key, table.times))
            for key in gone:
                emit(ForgetRun(key))

    def _obtain(self, live: Live, now: Now, emit: Emit) -> bool:
        """Whether the entry can be started; asks for what is missing. Refuses what never can."""
        entry, running = live.entry, live.phase is Phase.RUNNING
        words = refusal(live, self._hello, self._ceilings) or (
            live.unfit if live.asked == entry.digest else ""
        )
        if words:
            if running:
                self._trouble(live, words)
            else:
                refused = replace(live.record, state=State.REFUSED, error=cut(words))
                self._end(live, replace(refused, digest=entry.digest), emit)
            return False
        words = self._alone(entry) or self._may(entry.module.digest, now)
        if words:  # before anything of it is fetched or compiled; it may be released later
            self._trouble(live, words)
            self._show(live, Phase.WAITING)
            return False
        if live.kills_first and older(live, self.held.live.values()):
            return False
        blob = self._modules.want(entry, now, emit)
        if not blob.present:
            self._trouble(live, blob.failed)
            self._show(live, Phase.FETCHING)
            return False
        if live.prepared == entry.digest:
            self._trouble(live, "")
            return True
        if live.asked != entry.digest:
            live.asked, live.unfit = entry.digest, ""
            emit(Prepare(entry))
        self._show(live, Phase.PREPARING)
        return False

    def _alone(self, entry: Entry) -> str:
        """Why the entry may not go on without the manager any longer, ""."""
        if entry.autonomy is None or self._silence < entry.autonomy:
            return ""
        return f"no word of the manager for {milliseconds(entry.autonomy)} (placement.autonomy)"

    def spent_in(self) -> int | None:
        """Ms of silence from the last `settle` on until one more budget is spent."""
        left = (
            live.entry.autonomy - self._silence
            for live in self.held.live.values()
            if live.entry.autonomy is not None and live.phase is not Phase.ENDED
        )
        return min((each for each in left if each > 0), default=None)

    def _trouble(self, live: Live, words: str) -> None:
        if live.trouble != words:
            live.trouble = words
            self.held.changed = True

    def _show(self, live: Live, phase: Phase) -> None:
        if live.phase is not Phase.RUNNING and live.phase is not phase:
            live.go(phase)
            self.held.changed = True

    def _start(self, live: Live, now: Now, emit: Emit) -> None:
        assert live.daemon or live.record.starts == 0, f"{live.key}: started twice"
        if live.phase is Phase.BACK_OFF:
            live.go(Phase.WAITING)
        live.record = replace(
            live.record,
            digest=live.entry.digest,
            state=State.RUNNING,
            exit=None,
            result=None,
            result_blob=None,
            error="",
            starts=live.record.starts + 1,
            started=now.wall,
            ended=0,
        )
        live.began, live.why = now.mono, Why.NONE
        live.memory = need(live.entry)
        live.ready = live.daemon and live.entry.ready_after == 0
        live.go(Phase.RUNNING)
        self.held.changed = True
        emit(SaveRun(live.record))
        self._modules.started(live.entry)
        if live.timed:
            self._table(live, now, emit)
        else:
            emit(Start(live.entry, live.record.restarts))

    def _retire(self, live: Live, emit: Emit) -> bool:
        """Towards gone: a live guest is stopped first, unless its successor still needs it. Whether
        it is gone now."""
        if live.phase is Phase.STOPPING:
            return False
        if live.phase is Phase.RUNNING:
            if self.draining or not awaited(live, self.held.live.values(), self._hello, emit):
                self._stop(live, Why.REMOVED, emit)
            if live.alive:
                return False
        self.held.drop(live, emit)
        return True

    # -- time -------------------------------------------------------------------------------------

    def due(self) -> int | None:
        """When `settle` has something to do by the clock alone (monotonic ms)."""
        times = (self.held.due(self._now), self._modules.due())
        return min((at for at in times if at is not None), default=None)
