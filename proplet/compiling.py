"""Looking into modules: native code and facts, each made once, by a few workers at a time.

Called by `supervisor` with every entry to be prepared and with what its workers say. Answers each
entry exactly once through `judge`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from propeller.wire.messages import Entry
from proplet.blobs import Blobs
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
    ) -> None:
        """memory: bytes a compilation may take. deny: capabilities no guest gets here."""
        self._directory = directory
        self._blobs = blobs
        self._workers = workers
        self._clock = clock
        self._judge = judge
        self._memory = memory
        self._deny = deny
        self._facts: dict[Looks, Facts] = {}
        self._queue: deque[Entry] = deque()
        self._again: int | None = None

    def native(self, entry: Entry) -> Path:
        """Where the entry's native code is or would be."""
        fuel, exact = entry.fuel is not None, entry.fl is not None
        return self._directory / native_name(entry.module.digest, fuel=fuel, exact=exact)

    def prepare(self, entry: Entry) -> None:
        """Have the entry judged, at once if its module is known."""
        facts = self._facts.get(_looks(entry))
        if facts is not None and self.native(entry).exists():
            self._judge(entry, facts)
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
        facts = self._facts.get(_looks(entry))
        if facts is not None and self.native(entry).exists():
            self._judge(entry, facts)
            return False
        worker = self._workers.fork()
        worker.looks, worker.entry = _looks(entry), entry
        worker.deadline, worker.cause = self._clock() + COMPILE_MS, "timeout"
        job = {
            "do": "prepare",
            "wasm": str(self._blobs.path(entry.module.digest)),
            "native": str(self.native(entry)),
            "entrypoint": entrypoint(entry),
            "fuel": entry.fuel is not None,
            "exact": entry.fl is not None,
            "processor": COMPILE_MS // 1000,
            "memory": self._memory,
            "deny": self._deny,
        }
        self._workers.send(worker, job)
        return True

    def looked(self, worker: Worker, told: Words | None, died: str = "") -> None:
        """A compiling worker answered, or ended without a word (None) of `died`."""
        assert worker.looks is not None and worker.entry is not None
        looks, worker.looks = worker.looks, None
        if told is None:
            within = f"within {milliseconds(COMPILE_MS)} and the memory there is"
            facts = Facts(trouble=f"could not be compiled {within}: {died}")
        else:
            facts = self._facts[looks] = facts_from(told)
        self._judge(worker.entry, facts)
        self._next()

    def forget(self) -> None:
        """Native code of modules that are no longer here goes."""
        for looks in [looks for looks in self._facts if not self._blobs.has(looks[0])]:
            del self._facts[looks]
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
        """Try again what no process could be had for."""
        if self._again is not None and self._clock() >= self._again:
            self._again = None
            self._next()

    def due(self) -> int | None:
        """When that is (monotonic ms)."""
        return self._again


def _looks(entry: Entry) -> Looks:
    exact = entry.fl is not None
    return entry.module.digest, entrypoint(entry), entry.fuel is not None, exact
