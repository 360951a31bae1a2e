"""Looking into modules: native code and facts, each made once, by a few workers at a time.

Called by `supervisor` with every entry to be prepared and with what its workers say. Answers each
entry exactly once through `judge`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from propeller.wire.messages import Entry
from proplet.blobs import Blobs
from proplet.externals import NONE as NO_EXTERNALS
from proplet.externals import External
from proplet.opening import Openings, OwnKeys
from proplet.runtime.fit import Facts, entrypoint, facts_from
from proplet.runtime.native import native_name
from proplet.runtime.talk import Words
from proplet.words import milliseconds
from proplet.workers import Looks, Worker, Workers

COMPILE_MS = 120_000
COMPILERS = 2

Judge = Callable[[Entry, Facts], None]


class Compiling:
    """See the module. `directory` holds the native code."""

    def __init__(
        self,
        directory: Path,
        *,
        blobs: Blobs,
        workers: Workers,
        clock: Callable[[], int],
        judge: Judge,
        memory: int | None = None,
        deny: tuple[str, ...] = (),
        openings: Openings | None = None,
        externals: Mapping[str, External] = NO_EXTERNALS,
    ) -> None:
        """memory: bytes a compilation may take. deny: capabilities no guest gets here. openings:
        where encrypted modules are opened."""
        self._externals = externals
        self._directory = directory
        self._blobs = blobs
        self._workers = workers
        self._clock = clock
        self._judge = judge
        self._memory = memory
        self._deny = deny
        self._openings = openings or Openings(OwnKeys(), blobs, clock)
        self._facts: dict[Looks, Facts] = {}
        self._queue: deque[Entry] = deque()
        self._again: int | None = None

    def native(self, entry: Entry) -> Path:
        """Where the entry's native code is or would be."""
        fuel, exact = entry.fuel is not None, entry.fl is not None
        if entry.module.plain is not None:
            return self._openings.files.make(_in_memory(entry))
        return self._directory / native_name(entry.module.digest, fuel=fuel, exact=exact)

    def form(self, entry: Entry) -> str:
        """What its module is: "core", "component", "handler" of requests, or "caller": a component
        that sends some."""
        facts = self._facts.get(_looks(entry))
        if facts is None or not facts.component:
            return "core"
        if facts.handler:
            return "handler"
        return "caller" if facts.calls_out else "component"

    def _known(self, entry: Entry) -> Facts | None:
        """What was found in its module, if its native code is at hand as well."""
        if entry.external is not None:
            compiled = self._blobs.has(entry.module.digest)
        elif entry.module.plain is not None:
            compiled = self._openings.files.size(_in_memory(entry)) > 0
        else:
            compiled = self.native(entry).exists()
        return self._facts.get(_looks(entry)) if compiled else None

    def prepare(self, entry: Entry) -> None:
        """Have the entry judged, at once if its module is known."""
        facts = self._known(entry)
        if facts is not None:
            self._judge(entry, facts)
        elif entry.module.plain is not None:
            self._openings.open(entry.module, lambda words: self._opened(entry, words))
        else:
            self._queue.append(entry)
            self._next()

    def _opened(self, entry: Entry, words: str) -> None:
        if words:
            self._judge(entry, Facts(trouble=words))
            return
        self._queue.append(entry)
        self._next()

    def _next(self) -> None:
        looking = [worker.looks for worker in self._workers.all() if worker.looks]
        busy = {(looks[0], looks[2:]) for looks in looking}
        for entry in list(self._queue):
            if len(busy) >= COMPILERS:
                return
            looks = _looks(entry)
            if (looks[0], looks[2:]) in busy:
                continue
            try:
                forked = self._look(entry)
            except OSError:
                self._again = self._clock() + 1000
                return
            self._queue.remove(entry)
            if forked:  # what was judged at once keeps nobody else of its module waiting
                busy.add((looks[0], looks[2:]))

    def _look(self, entry: Entry) -> bool:
        """Judge it, or have a worker look. Returns whether one was forked. Raises OSError."""
        facts = self._known(entry)
        if facts is not None:
            self._judge(entry, facts)
            return False
        sealed = entry.module.plain is not None
        digest = entry.module.digest
        wasm = self._openings.files.path(digest) if sealed else self._blobs.path(digest)
        worker = self._workers.fork()
        worker.looks, worker.entry = _looks(entry), entry
        worker.deadline, worker.cause = self._clock() + COMPILE_MS, "timeout"
        job = {
            "do": "prepare",
            "wasm": str(wasm),
            "native": str(self.native(entry)),
            "entrypoint": entrypoint(entry),
            "fuel": entry.fuel is not None,
            "exact": entry.fl is not None,
            "inMemory": sealed,
            "processor": COMPILE_MS // 1000,
            "memory": self._memory,
            "deny": self._deny,
            "external": self._imports(entry),
        }
        self._workers.send(worker, job)
        return True

    def _imports(self, entry: Entry) -> list[str] | None:
        """What the engine that runs it has besides WASI; None for ours."""
        if entry.external is None:
            return None
        engine = self._externals.get(entry.external)
        return [] if engine is None else list(engine.imports)

    def looked(self, worker: Worker, told: Words | None, died: str = "") -> None:
        """A compiling worker answered, or ended without a word (None) of `died`."""
        assert worker.looks is not None and worker.entry is not None
        looks, worker.looks = worker.looks, None
        if told is None:
            within = f"within {milliseconds(COMPILE_MS)} and the memory there is"
            facts = Facts(trouble=f"could not be compiled {within}: {died}")
        else:
            facts = self._facts[looks] = facts_from(told)
        if worker.entry.module.plain is not None:
            self._compiled(worker.entry)
        self._judge(worker.entry, facts)
        self._next()

    def _compiled(self, entry: Entry) -> None:
        """Of an encrypted module only the native code is still needed."""
        files, digest = self._openings.files, entry.module.digest
        if files.size(_in_memory(entry)):
            files.freeze(_in_memory(entry))
        busy = {worker.looks[0] for worker in self._workers.all() if worker.looks}
        if digest not in busy | {one.module.digest for one in self._queue}:
            files.drop(digest)

    def forget(self) -> None:
        """Native code of modules that are no longer here goes."""
        for looks in [looks for looks in self._facts if not self._blobs.has(looks[0])]:
            del self._facts[looks]
        self._openings.keep_only(frozenset(self._blobs.digests()))
        # By what is here, not by what was looked at: a module may be in the compiler right now,
        # and after a start nothing was looked at yet.
        kept = {
            native_name(digest, fuel=fuel, exact=exact)
            for digest in self._blobs.digests()
            for fuel in (False, True)
            for exact in (False, True)
        }
        with contextlib.suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                if path.name.partition(".")[0] not in kept:
                    path.unlink(missing_ok=True)

    def tick(self) -> None:
        """Try again what no process could be had for, and what no key came for."""
        self._openings.tick()
        if self._again is not None and self._clock() >= self._again:
            self._again = None
            self._next()

    def due(self) -> int | None:
        """When that is (monotonic ms)."""
        times = (self._again, self._openings.due())
        return min((at for at in times if at is not None), default=None)


def _in_memory(entry: Entry) -> tuple[str, bool, bool]:
    """The name of its native code where that must not be on the disk."""
    return entry.module.digest, entry.fuel is not None, entry.fl is not None


def _looks(entry: Entry) -> Looks:
    exact = entry.fl is not None
    engine = entry.external or ""
    return entry.module.digest, entrypoint(entry), entry.fuel is not None, exact, engine
