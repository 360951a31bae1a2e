"""When the inventory is told and in which form. Pure.

Called by `agent` after every turn. A change waits for others: `QUIET` ms once no run is on its way
to another state, `debounce` ms at most; full reports keep `debounce` ms between them. Without a
change a heartbeat goes out every `heartbeat` ms, which names the inventory by its digest and is not
retained. A list too long for one message travels as a blob.
"""

from __future__ import annotations

from collections.abc import Callable

from propeller.wire.messages import Free, Observed, Refused, Report, RunReport
from proplet.effects import Effect, FreeBlob, KeepBlob, Now, Publish
from proplet.records import AgentConfig
from proplet.seals import body_of_runs, encoded_size, inventory_name
from proplet.uploads import Uploads

LARGEST = 8 * 1024
AGAIN = (20, 10, 5, 5)
"""Parts of a heartbeat after which news is told again, each time counted from the time before: a
report that a broker lost is not missed until the next heartbeat. The same report, so that whoever
had it sees at once that it is no news; and with a long heartbeat, which means that bytes are dear
or the way is slow, seldom."""

QUIET = 4
"""Ms after which nothing more is expected to follow a change."""

REFUSAL_EVERY = 10_000
"""Ms in which the same refusal is told once."""

HELLO_EVERY = 10
"""Heartbeats between two hellos: one that a broker lost is not missed for long. The first and the
third heartbeat of a connection bring one as well."""


class Reporting:
    """Counts reports within this boot and remembers what was last told."""

    def __init__(self, config: AgentConfig) -> None:
        self._hello = config.hello
        self._debounce = config.debounce
        self._seq = 0
        self._due: int | None = None
        self._early: int | None = None
        self._not_before = 0
        self._told = 0
        self._refused: Refused | None = None
        self._refused_at = 0
        self._beats = 0
        self._news: tuple[object, ...] = ()
        self._last: Report | None = None
        self._repeats: list[int] = []

    def announced(self) -> None:
        """A hello has just gone out."""
        self._beats = 0

    def mark(self, now: Now) -> None:
        """Something a report shows has changed."""
        if self._due is None:
            self._due = max(now.mono + self._debounce, self._not_before)
        self._early = None

    def settled(self, now: Now) -> None:
        """No run is on its way anywhere: waiting for more changes would gain little."""
        if self._due is not None and self._early is None:
            self._early = max(now.mono + QUIET, self._not_before)

    def at_once(self, now: Now) -> None:
        """Tell everything in this turn."""
        self._due = self._early = now.mono

    def again(self, now: Now) -> None:
        """The last report never left: tell everything a second from now."""
        self._due = self._early = self._not_before = now.mono + 1000

    def refuse(self, refused: Refused, now: Now) -> bool:
        """A document was not accepted. False when the same was told a moment ago."""
        if refused == self._refused and now.mono - self._refused_at < REFUSAL_EVERY:
            return False
        self._refused, self._refused_at = refused, now.mono
        self.mark(now)
        return True

    def accepted(self) -> None:
        """A document was accepted: earlier refusals are history."""
        self._refused = None

    def tick(
        self,
        now: Now,
        *,
        conn: int,
        observed: Observed,
        runs: tuple[RunReport, ...],
        free: Free,
        metrics: Callable[[], tuple[tuple[str, int], ...]],
        clock: str,
        uploads: Uploads,
        out: list[Effect],
    ) -> None:
        """Publish what is due. Called only while connected. metrics: asked for a report."""
        at = self._full_at()
        full = at is not None and now.mono >= at
        if not full and now.mono - self._told < self._hello.heartbeat:
            self._repeat(now, out)
            return
        report = Report(
            id=self._hello.id,
            inst=self._hello.inst,
            boot=self._hello.boot,
            seq=self._seq,
            conn=conn,
            observed=observed,
            inventory=inventory_name(runs),
            tasks=runs if full else None,
            refused=self._refused,
            free=free,
            metrics=metrics(),
            clock=clock,
        )
        self._seq += 1
        self._told = now.mono
        if full:
            self._due = self._early = None
            self._not_before = now.mono + self._debounce
            report = self._shrink(report, runs, uploads, out)
            newest = report.body.digest if report.body else ""
            out.extend(FreeBlob(digest) for digest in uploads.drop_passing(but=newest))
        out.append(Publish(report, retain=full))
        if full:
            self._plan_repeats(report, now)
        else:
            self._beats += 1
            if self._beats in (1, 3) or self._beats % HELLO_EVERY == 0:
                out.append(Publish(self._hello, retain=True))

    def asked_again(self, now: Now) -> None:
        """We were asked for what we hold: whoever asks has not heard that. Tell it once more."""
        if self._last is not None and now.mono >= self._not_before:
            self._not_before = now.mono + self._debounce
            self._repeats = [now.mono, *self._repeats]

    def _plan_repeats(self, report: Report, now: Now) -> None:
        self._last = report
        news = (report.boot, report.observed, report.inventory, report.refused)
        if news == self._news:
            return
        self._news, self._repeats = news, []
        at = now.mono
        for part in AGAIN:
            at += max(1, self._hello.heartbeat // part)
            self._repeats.append(at)

    def _repeat(self, now: Now, out: list[Effect]) -> None:
        if self._last is None or not self._repeats or now.mono < self._repeats[0]:
            return
        self._repeats.pop(0)
        if not self._last.observed.digest:
            out.append(Publish(self._hello, retain=True))  # nobody has shown that he knows us
        out.append(Publish(self._last, retain=True))

    def _shrink(
        self, report: Report, runs: tuple[RunReport, ...], uploads: Uploads, out: list[Effect]
    ) -> Report:
        most = min(LARGEST, self._hello.max_payload)
        if encoded_size(report) <= most:
            return report
        blob, data = body_of_runs(runs)
        out.append(KeepBlob(blob, data))
        uploads.add(blob, lasting=False)
        return Report(
            id=report.id,
            inst=report.inst,
            boot=report.boot,
            seq=report.seq,
            conn=report.conn,
            observed=report.observed,
            inventory=report.inventory,
            body=blob,
            refused=report.refused,
            free=report.free,
            metrics=report.metrics,
            clock=report.clock,
        )

    def due(self) -> int:
        """When `tick` has something to say (monotonic ms)."""
        beat = self._told + self._hello.heartbeat
        times = (beat, self._full_at(), *self._repeats[:1])
        return min(at for at in times if at is not None)

    def _full_at(self) -> int | None:
        if self._due is None or self._early is None:
            return self._due
        return min(self._due, self._early)
