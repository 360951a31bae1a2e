"""What a document comes to on this device, as spans of the trace that it carries.

Told by the shell what the agent asks for and what came of it; changes nothing, and returns at once
where nobody listens. Only what a document brings that was not held before is traced: what a device
does by itself later belongs to no commit. What is under way is forgotten with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propeller.telemetry.spans import Send, Span, SpanKind
from propeller.wire.call_messages import Call
from propeller.wire.messages import Entry, Report
from propeller.wire.trace import Context, parse
from proplet.effects import Fetch, Prepare, Purpose, SaveDesired, Start
from proplet.pending import Result
from proplet.records import Key

WAITING = ("Pending", "Fetching")
"""States of a run in a report before anything of it ran."""


@dataclass(slots=True)
class _Run:
    """An entry that the traced document brought. Times are Unix microseconds, 0: not yet."""

    entry: Entry
    preparing: int = 0
    starting: int = 0
    started: bool = False


class Tracing:
    """See the module. send: None where nobody listens. clock: Unix microseconds."""

    def __init__(self, proplet: str, clock: Callable[[], int], send: Send | None = None) -> None:
        self._proplet = proplet
        self._clock = clock
        self._send = send
        self._heard = 0
        self._document: Context | None = None
        self._held: frozenset[tuple[str, str, str]] = frozenset()
        self._runs: dict[Key, _Run] = {}
        self._fetches: dict[str, int] = {}

    def heard(self) -> None:
        """A message came that may be a document; its body may have to be fetched yet."""
        if self._send is not None:
            self._heard = self._clock()

    def saw(self, effect: object, trace: str) -> None:
        """Something is about to be done. trace: of the document accepted last."""
        if self._send is None:
            return
        match effect:
            case SaveDesired():
                self._accepted(effect, trace)
            case Fetch(purpose=Purpose.MODULE, digest=digest) if self._wants(digest):
                self._fetches.setdefault(digest, self._clock())
            case Prepare(entry):
                run = self._runs.get((entry.uid, entry.run))
                if run is not None and not run.preparing:
                    run.preparing = self._clock()
            case Start(entry, _):
                run = self._runs.get((entry.uid, entry.run))
                if run is not None and not run.starting:
                    run.starting = self._clock()
            case _:
                pass

    def _accepted(self, saved: SaveDesired, trace: str) -> None:
        before = self._held
        self._held = frozenset((one.uid, one.run, one.digest) for one in saved.entries)
        parent = parse(trace) if trace else None
        self._runs, self._fetches, self._document = {}, {}, None
        if parent is None:
            return
        self._document = parent.child("receive")
        self._runs = {
            (one.uid, one.run): _Run(one)
            for one in saved.entries
            if (one.uid, one.run, one.digest) not in before
        }
        observed = saved.observed
        words = {"propeller.document": f"{observed.fence}/{observed.gen}"}
        self._tell(
            "receive document",
            self._document,
            parent.span,
            self._heard or self._clock(),
            words,
            kind=SpanKind.CONSUMER,
        )

    def _wants(self, digest: str) -> bool:
        return any(one.entry.module.digest == digest for one in self._runs.values())

    def fetched(self, digest: str) -> None:
        """A blob is here."""
        began = self._fetches.pop(digest, 0)
        if began and self._document is not None:
            at = self._document.child("fetch", digest)
            words: dict[str, str | int] = {"propeller.module": digest}
            sizes = [one.entry.module.size for one in self._runs.values()]
            if sizes:
                words["propeller.bytes"] = max(sizes)
            self._tell("fetch module", at, self._document.span, began, words)

    def prepared(self, key: Key, error: str = "") -> None:
        """A module was compiled for a run, or cannot do what it should."""
        run = self._runs.get(key)
        if run is not None and run.preparing:
            began, run.preparing = run.preparing, 0
            self._step("compile module", run, began, error=error)

    def started(self, entry: Entry) -> None:
        """A guest was handed to its process."""
        run = self._runs.get((entry.uid, entry.run))
        if run is not None and run.starting and not run.started:
            run.started = True
            self._step("start guest", run, run.starting)

    def told(self, message: object) -> None:
        """A message is sent: the first report of what runs ends what is traced of it here."""
        if not self._runs or not isinstance(message, Report):
            return
        for report in message.tasks or ():
            run = self._runs.get((report.uid, report.run))
            if run is not None and run.started and report.state not in WAITING:
                del self._runs[report.uid, report.run]
                words = {"propeller.state": report.state}
                self._step("first report", run, run.starting, words, error=report.error)

    def called(self, call: Call, result: Result) -> None:
        """A call was answered."""
        parent = parse(call.trace) if self._send is not None and call.trace else None
        if parent is None:
            return
        took, now = max(0, result.wait) + max(0, result.took), self._clock()
        words: dict[str, str | int] = {
            "propeller.call": call.id,
            "propeller.outcome": result.state,
            "propeller.wait_us": max(0, result.wait),
        }
        self._tell(
            "run call",
            parent.child("run", self._proplet, call.boot, call.n),
            parent.span,
            now - took,
            words,
            kind=SpanKind.CONSUMER,
            ended=now,
            error="" if result.state == "done" else result.error or result.cause or result.state,
        )

    def _step(
        self,
        name: str,
        run: _Run,
        began: int,
        more: Mapping[str, str | int] | None = None,
        error: str = "",
    ) -> None:
        if self._document is None:
            return
        entry = run.entry
        words: dict[str, str | int] = {
            "propeller.object": entry.ref,
            "propeller.run": entry.run,
            "propeller.module": entry.module.digest,
            **(more or {}),
        }
        at = self._document.child(name, entry.uid, entry.run)
        self._tell(name, at, self._document.span, began, words, error=error)

    def _tell(
        self,
        name: str,
        at: Context,
        parent: str,
        began: int,
        words: Mapping[str, str | int],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        error: str = "",
        ended: int | None = None,
    ) -> None:
        assert self._send is not None
        self._send(
            Span(
                name=name,
                at=at,
                parent=parent,
                start=began,
                end=self._clock() if ended is None else ended,
                kind=kind,
                attributes={"propeller.proplet": self._proplet, **words},
                error=error,
            )
        )
