"""The workers of one function, and its calls that run and wait. Owned by `pools`.

A worker takes one call at a time and stays for the next; each call has a process to itself while it
runs, so one that must be killed takes nobody along. Whatever happens to a worker, its call gets
exactly one answer.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from propeller.wire.messages import Entry
from proplet.gauges import NAMED
from proplet.outcomes import died
from proplet.pending import Pending, Result, refused
from proplet.records import Key
from proplet.runtime.capture import Capture
from proplet.runtime.talk import Words
from proplet.workers import LATE_MS, Worker

IDLE_MS = 30_000
"""A worker beyond those that are kept ready goes when nobody called it for so long."""

START_MS = 20_000
"""Until a process must be ready: it loads compiled code, nothing else."""

MOST_BAD = 3
"""Workers in a row that end before they are ready, after which the function has failed here."""

MOST_KEPT = 16
"""Numbers that a guest tells of itself and that are kept: those it told first."""

_GAUGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LARGEST = 2**53 - 1


def keep_told(known: dict[str, int], metrics: Mapping[object, object]) -> None:
    """Take in what a guest told: in thousandths, finite, under a name that a report can bear."""
    for name, value in metrics.items():
        if not isinstance(name, str) or _GAUGE.fullmatch(name) is None:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            continue
        if name in known or len(known) < MOST_KEPT:
            known[name] = max(-_LARGEST, min(_LARGEST, round(value * 1000)))


class Hosts(Protocol):
    """Where workers come from: `Workers`, or what a test has in its place."""

    def take(self) -> Worker: ...
    def warm(self) -> None: ...
    def send(self, worker: Worker, message: Words) -> None: ...
    def kill(self, worker: Worker) -> None: ...


@dataclass(slots=True)
class Tally:
    """Counts of one function since it was started here."""

    taken: int = 0
    done: int = 0
    failed: int = 0
    refused: int = 0
    instance_us: int = 0
    fuel: int = 0
    metrics: dict[str, int] = field(default_factory=dict)


class Pool:
    """The workers of one entry. closing: monotonic ms until which running calls may go on."""

    def __init__(
        self,
        entry: Entry,
        job: Mapping[str, object],
        workers: Hosts,
        clock: Callable[[], int],
        *,
        logs: Path,
        log_limit: int,
        broken: Callable[[Pool], None],
    ) -> None:
        assert entry.serve is not None
        self.entry = entry
        self.serve = entry.serve
        self.key: Key = (entry.uid, entry.run)
        self._job = job
        self._workers = workers
        self._clock = clock
        self._logs = logs
        self._log_limit = log_limit
        self._broken = broken
        self._warming: set[int] = set()
        self._bad = 0
        self._log: Capture | None = None
        self._idle: list[tuple[Worker, int]] = []
        self._busy: dict[int, Pending] = {}
        self._queue: deque[Pending] = deque()
        self.tally = Tally()
        self.closing: int | None = None
        self.trouble = ""
        self._again: int | None = None
        self._asked = self._counted = self._quiet = clock()
        self._area = self._waited = 0

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._busy)

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._queue)

    @property
    def size(self) -> int:
        """Workers it has."""
        return len(self._busy) + len(self._idle) + len(self._warming)

    def load(self, now: int) -> tuple[int, int]:
        """Calls that ran or waited, and those that waited alone: thousandths, on average since this
        was asked last."""
        self._account()
        span = max(1, now - self._asked)
        area, waited = self._area, self._waited
        self._area, self._waited, self._asked = 0, 0, now
        return area * 1000 // span, waited * 1000 // span

    def gauges(self, now: int) -> list[tuple[str, int]]:
        """Its numbers for the report: load, ms since a call was here, calls that it took, fuel
        they used where it is counted, and what the guest told last, in thousandths."""
        mark = self.key[0][:NAMED]
        calls, queue = self.load(now)
        idle = 0 if self.running or self.waiting else max(0, now - self._quiet)
        told = [("calls", calls), ("queue", queue), ("idle", idle), ("taken", self.tally.taken)]
        if self.entry.fuel is not None:
            told.append(("fuel", self.tally.fuel))
        rows = [(f"{name}/{mark}", value) for name, value in told]
        for name, number in sorted(self.tally.metrics.items()):
            rows.append((f"g/{mark}/{name}", number))
        return rows

    def _account(self) -> None:
        """Before the number of calls changes."""
        now = self._clock()
        self._area += (now - self._counted) * (self.running + self.waiting)
        self._waited += (now - self._counted) * self.waiting
        if self.running or self.waiting:
            self._quiet = now
        self._counted = now

    # -- calls -----------------------------------------------------------------------------------

    def fill(self) -> None:
        """Have as many workers as are to be kept ready."""
        while self.closing is None and self.size < self.serve.ready and not self.trouble:
            if not self._hire():
                return

    def submit(self, pending: Pending) -> None:
        """Run it, or let it wait for its turn, or refuse it."""
        if self.closing is not None:
            self._refuse(pending, "stopping", "the function is being stopped here")
            return
        if self.trouble:
            self._refuse(pending, "absent", self.trouble)
            return
        if self.running + self.waiting >= self.serve.concurrency + self.serve.queue:
            self._refuse(pending, "busy", f"{self.running} calls run and {self.waiting} wait")
            return
        self._account()
        self.tally.taken += 1
        self._quiet = self._clock()
        self._queue.append(pending)
        self._dispatch()

    def cancel(self, id_: str) -> bool:
        """Stop a call. False where it is not under way."""
        for pending in self._queue:
            if pending.id == id_:
                self._account()
                self._queue.remove(pending)
                self._refuse(pending, "cancelled", "was cancelled before it began")
                return True
        for pending in self._busy.values():
            if pending.id == id_ and pending.worker is not None:
                pending.cause = "cancelled"
                self._workers.send(pending.worker, {"do": "cancel", "id": id_})
                pending.worker.deadline = self._clock() + LATE_MS
                return True
        return False

    def _refuse(self, pending: Pending, cause: str, error: str) -> None:
        self.tally.refused += 1
        pending.answer(refused(cause, error))

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            worker, _ = self._idle.pop()  # the one whose caches are warm
            self._give(worker, self._queue.popleft())
        while len(self._warming) < len(self._queue) and self.size < self.serve.concurrency:
            if not self._hire():
                return

    def _give(self, worker: Worker, pending: Pending) -> None:
        now = self._clock()
        left = pending.ends - now
        pending.began, pending.worker = now, worker
        self._busy[worker.number] = pending
        worker.deadline, worker.cause = pending.ends + LATE_MS, "timeout"
        self._workers.send(
            worker, {"do": "call", "id": pending.id, "timeout": max(1, left), **pending.request}
        )

    def _hire(self) -> bool:
        """Have one more process get ready; it takes calls once it is. False where none is to be
        had."""
        try:
            worker = self._workers.take()
        except OSError as error:
            self._again = self._clock() + 200
            if not self.size:
                while self._queue:
                    words = f"no process could be started: {error.strerror}"
                    self._refuse(self._queue.popleft(), "busy", words)
            return False
        worker.key, worker.pool = self.key, self
        worker.deadline, worker.cause = self._clock() + START_MS, "timeout"
        self._warming.add(worker.number)
        self._workers.send(worker, self._job)
        self._workers.warm()
        return True

    # -- what workers say ------------------------------------------------------------------------

    def said(self, worker: Worker, message: Words) -> None:
        """Part of `Ears`."""
        match message.get("event"):
            case "served" if "trouble" in message:
                self._break(f"it cannot be loaded: {message['trouble']}")
            case "served":
                self._warming.discard(worker.number)
                self._bad = 0
                self.tally.instance_us = cast(int, message["us"])
                worker.pid = cast(int, message["pid"])
                worker.deadline = None
                if self.closing is not None:
                    self._let_go(worker)
                    return
                self._idle.append((worker, self._clock()))
                self._account()
                self._dispatch()
            case "answered":
                self._account()
                pending = self._busy.pop(worker.number, None)
                if pending is None or pending.id != message.get("id"):
                    return
                worker.deadline = None
                self._settle(pending, message)
                if self.closing is not None or "last" in message:
                    self._let_go(worker)
                    self._refill()
                else:
                    self._idle.append((worker, self._clock()))
                    self._dispatch()
            case "logged":
                pending = self._busy.get(worker.number)
                if pending is not None and pending.id == message.get("id"):
                    pending.heard(str(message["text"]), cast(int, message["lost"]))
            case _:
                pass

    def _let_go(self, worker: Worker) -> None:
        """It is needed no more."""
        worker.pool, worker.done = None, True
        self._workers.kill(worker)

    def _break(self, words: str) -> None:
        """Nobody can be served: who waits is told, and the agent begins again later."""
        self.trouble = words
        while self._queue:
            self._refuse(self._queue.popleft(), "absent", words)
        self._broken(self)

    def _settle(self, pending: Pending, told: Words) -> None:
        self._write(told)
        metrics = told.get("metrics")
        if isinstance(metrics, dict):
            keep_told(self.tally.metrics, metrics)
        fuel = told.get("fuel")
        if isinstance(fuel, int) and fuel > 0:
            self.tally.fuel = min(_LARGEST, self.tally.fuel + fuel)
        state = str(told["state"])
        if state == "done":
            self.tally.done += 1
        else:
            self.tally.failed += 1
        headers = cast("list[list[str]]", told.get("headers", ()))
        pending.answer(
            Result(
                state=state,
                cause=str(told.get("cause", "")),
                status=cast(int, told.get("status", 0)),
                headers=tuple((name, value) for name, value in headers),
                body=str(told.get("body", "")),
                error=str(told.get("error", "")),
                wait=(pending.began - pending.came) * 1000,
                took=cast(int, told.get("took", 0)),
            )
        )

    def _write(self, told: Words) -> None:
        text = told.get("log")
        if not isinstance(text, str) or not self._log_limit:
            return
        try:
            if self._log is None:
                self._log = Capture(self._logs, "stderr", limit=self._log_limit, ring=True)
            self._log.write(text.encode())
        except OSError:
            self._log = None  # a full disk costs the log, not the call

    def gone(self, worker: Worker, status: int) -> None:
        """Part of `Ears`: speak for a worker that said nothing."""
        self._idle = [(one, since) for one, since in self._idle if one is not worker]
        self._account()
        pending = self._busy.pop(worker.number, None)
        if pending is not None:
            late = self._clock() >= pending.ends
            cause = pending.cause or ("timeout" if late else "interrupted")
            words = {"timeout": "took longer than it may", "cancelled": "was cancelled"}
            self.tally.failed += 1
            error = words.get(cause) or f"its process ended: {died(status)}"
            pending.answer(Result(state="failed", cause=cause, error=error))
        if worker.number in self._warming:
            self._warming.discard(worker.number)
            self._bad += 1
        if self.closing is None and not self.trouble:
            if self._bad >= MOST_BAD:
                self._break(f"its process ends before it is ready: {died(status)}")
                return
            self._refill()

    def _refill(self) -> None:
        """A worker is gone."""
        if self.closing is None:
            self._dispatch()
            self.fill()

    # -- time ------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Refuse what waited too long; let go of workers that nobody needs."""
        now = self._clock()
        self._account()
        for pending in [one for one in self._queue if now >= one.ends]:
            self._queue.remove(pending)
            self._refuse(pending, "busy", "it waited for as long as it might have taken")
        if self._again is not None and now >= self._again:
            self._again = None
            self._dispatch()
        if self.closing is not None and now >= self.closing:
            for pending in self._busy.values():
                if pending.worker is not None:
                    self._workers.kill(pending.worker)
        keep = self.serve.ready
        while self._idle and self.size > keep and now - self._idle[0][1] >= IDLE_MS:
            worker, _ = self._idle.pop(0)
            self._let_go(worker)

    def due(self) -> int | None:
        """When that is (monotonic ms)."""
        times = [pending.ends for pending in self._queue]
        if self._again is not None:
            times.append(self._again)
        if self.closing is not None and self._busy:
            times.append(self.closing)
        if self._idle and self.size > self.serve.ready:
            times.append(self._idle[0][1] + IDLE_MS)
        return min(times, default=None)

    def close(self, until: int) -> None:
        """Take no more calls; those that run may go on until then (monotonic ms)."""
        self.closing = until
        while self._queue:
            self._refuse(self._queue.popleft(), "stopping", "the function was stopped here")
        for worker, _ in self._idle:
            self._let_go(worker)
        self._idle.clear()
        if not self._busy:
            self.end()

    def end(self) -> None:
        """Nobody writes any more."""
        if self._log is not None:
            self._log.close()
            self._log = None
