"""What this device holds: each run that is listed or not gone yet, and what is told of it. Pure.

Taken up from what was stored, changed by every new list. `runs` moves it towards what is listed;
`agent` reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from propeller.wire.messages import Entry, Free, RunReport
from proplet.capacity import Room
from proplet.effects import Effect, ForgetRun, Now, SaveRun, SaveTimes
from proplet.live import Live, Phase, cut, fresh
from proplet.records import AgentConfig, Key, RunRecord, State, Times, report_of
from proplet.timetable import Timetable
from proplet.tombstones import Tombstones

_MOVING = frozenset({Phase.FETCHING, Phase.PREPARING, Phase.STOPPING})

Emit = Callable[[Effect], None]


class Inventory:
    """See the module. `changed` is set whenever a report would read differently.

    tables: of runs that are kept by a schedule. times: of schedules that were stored and have none
    yet.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._hello = config.hello
        self._tombstones = Tombstones(config.tombstones)
        self.live: dict[Key, Live] = {}
        self.tables: dict[Key, Timetable] = {}
        self.times: dict[Key, Times] = {}
        self.changed = False

    # -- what is listed ---------------------------------------------------------------------------

    def load(
        self,
        entries: Iterable[Entry],
        records: Iterable[RunRecord],
        now: Now,
        emit: Emit,
        times: Iterable[tuple[Key, Times]] = (),
    ) -> None:
        """Take up what was stored. Guests of the last boot are dead: a once-run is Interrupted."""
        self.times = dict(times)
        known: dict[Key, RunRecord] = {}
        for record in records:
            if record.mode == "once" and record.state is State.RUNNING:
                ended = replace(
                    record,
                    state=State.INTERRUPTED,
                    error="cut short: the proplet went down while it ran",
                    ended=now.wall,
                )
                emit(SaveRun(ended))
                known[record.key] = ended
            else:
                known[record.key] = record
        for entry in entries:
            live = fresh(entry)
            stored = known.pop(live.key, None)
            if stored is not None:
                self._resume(live, stored)
            self.live[live.key] = live
        for record in known.values():
            self._tombstones.bury(record, emit)
        self.changed = True

    @staticmethod
    def _resume(live: Live, stored: RunRecord) -> None:
        live.record = stored
        over = (State.SUCCEEDED, State.FAILED, State.INTERRUPTED, State.REFUSED)
        if stored.state in over and (stored.mode == "once" or not live.stale):
            live.phase = Phase.ENDED
            live.ready = stored.state is State.SUCCEEDED

    def want(self, entries: tuple[Entry, ...], emit: Emit) -> None:
        """The list as it now is, whole."""
        listed = {(entry.uid, entry.run): entry for entry in entries}
        for key, live in self.live.items():
            live.wanted = key in listed
        for key, entry in listed.items():
            known = self.live.get(key)
            if known is None:
                self.live[key] = self._arrive(entry, emit)
            elif known.entry.digest == entry.digest:
                known.entry = entry  # only how it takes over may differ
            else:
                self._change(known, entry)
        self.changed = True

    def _arrive(self, entry: Entry, emit: Emit) -> Live:
        live = fresh(entry)
        buried = self._tombstones.dig_up(live.key)
        if buried is not None:
            live.record = buried
            live.phase = Phase.ENDED
            live.ready = buried.state is State.SUCCEEDED
            emit(SaveRun(live.record))
        return live

    def _change(self, live: Live, entry: Entry) -> None:
        live.entry = entry
        live.trouble = ""
        never_ran = live.record.starts == 0
        if never_ran and live.record.mode != entry.mode:
            live.record = replace(fresh(entry).record, state=live.record.state)
        if live.phase is Phase.ENDED and (live.daemon or never_ran):
            live.record = replace(live.record, failures=0, error="")
            live.go(Phase.WAITING)
        elif live.phase is Phase.BACK_OFF:
            live.record = replace(live.record, failures=0)
            live.due = 0

    def drop(self, live: Live, emit: Emit) -> None:
        """It is gone: only a once-run that was started is remembered."""
        del self.live[live.key]
        table = self.tables.pop(live.key, None)
        if table is not None or self.times.pop(live.key, None) is not None:
            emit(SaveTimes(live.key, None))
        if table is not None:
            for past in table.told():
                emit(ForgetRun(table.key_of(past)))
        self.changed = True
        self._tombstones.bury(live.record, emit)
        emit(ForgetRun(live.key))

    # -- what is told -----------------------------------------------------------------------------

    def find(self, key: Key) -> Live | None:
        """The run, if the inventory holds it."""
        return self.live.get(key)

    def log_key(self, key: Key) -> Key:
        """Where the logs of a run are: of a schedule, those of its newest run."""
        table = self.tables.get(key)
        told = () if table is None else table.told()
        return table.key_of(told[-1]) if table is not None and told else key

    def modules(self) -> frozenset[str]:
        """Of everything that is listed."""
        return frozenset(live.entry.module.digest for live in self.live.values() if live.wanted)

    def holding(self) -> tuple[Entry, ...]:
        """Of every run that has not ended."""
        children = (table.child for table in self.tables.values())
        held = (live.entry for live in self.live.values() if live.phase is not Phase.ENDED)
        return (*held, *(child for child in children if child is not None))

    def budgets(self) -> tuple[int, int] | None:
        """The least and the greatest autonomy of what is listed, None where nothing has one."""
        found = (live.entry.autonomy for live in self.live.values() if live.wanted)
        held = [each for each in found if each is not None]
        return (min(held), max(held)) if held else None

    @property
    def idle(self) -> bool:
        """No guest is alive."""
        return not any(live.alive for live in self.live.values())

    @property
    def moving(self) -> bool:
        """Whether some run is on its way to something else, and will mostly be there in ms."""
        return any(live.phase in _MOVING for live in self.live.values())

    def reports(self) -> tuple[RunReport, ...]:
        """The inventory, sorted by (uid, run)."""
        return tuple(self._report(live) for _, live in sorted(self.live.items()))

    def _report(self, live: Live) -> RunReport:
        told = report_of(
            live.record,
            state=live.state,
            ready=live.ready,
            error=live.record.error or cut(live.trouble),
        )
        table = self.tables.get(live.key)
        if table is None:
            return told
        return replace(told, past=table.told(), lost=table.times.lost)

    def free(self, storage: int) -> Free:
        """What is left for more."""
        return Room(self._hello, self.live.values()).free(storage)

    def due(self, now: Now) -> int | None:
        """When something is to be done by the clock alone (monotonic ms)."""
        times = [live.due for live in self.live.values() if live.phase is Phase.BACK_OFF]
        times += [
            live.began + live.entry.ready_after
            for live in self.live.values()
            if live.phase is Phase.RUNNING and live.daemon and not live.ready
        ]
        for key, table in self.tables.items():
            at = table.due() if self.live[key].phase is Phase.RUNNING else None
            if at is not None and not self.live[key].trouble:
                # Looked at every minute: a wall clock can be set.
                times.append(now.mono + min(60_000, max(1, at - now.wall)))
        return min(times, default=None)
