"""Functions on this device: for each a pool of workers, which comes, goes and lets calls end.

Owned by the supervisor, on the shell's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from propeller.wire.messages import Entry
from proplet.effects import Outcome
from proplet.gauges import MOST
from proplet.pool import Pool
from proplet.records import Key
from proplet.runtime.fit import entrypoint
from proplet.workers import Workers

LINGER_MS = 3_600_000
"""The longest a call of a function that is gone may still run; its own limit is below that."""

Ended = Callable[[Key, Outcome], None]


def job_of(
    entry: Entry,
    secrets: tuple[tuple[str, str], ...],
    *,
    native: Path,
    form: str = "core",
    mounts: list[tuple[str, str, bool]],
    memory: int | None,
    topics: list[tuple[str, str, int, int]],
    points: Sequence[tuple[object, ...]] = (),
    http: dict[str, object] | None = None,
) -> dict[str, object]:
    """What a worker of the pool is told first. memory: bytes where the entry says nothing.
    http: as `Outlets` tells it."""
    assert entry.serve is not None
    return {
        "do": "serve",
        "name": entry.ref,
        "path": entry.ref.partition("/")[2],
        "native": str(native),
        "form": form,
        "entrypoint": entrypoint(entry),
        "interface": entry.serve.interface,
        "invocations": entry.serve.invocations,
        "args": entry.args,
        "env": (*entry.env, *secrets),
        "mounts": mounts,
        "memory": memory if entry.memory is None else entry.memory,
        "fuel": entry.fuel,
        "topics": topics,
        "points": points,
        "http": http,
    }


class Pools:
    """Every function of this device. ended: told when one that was closed is no more."""

    def __init__(self, workers: Workers, clock: Callable[[], int], ended: Ended) -> None:
        self._workers = workers
        self._clock = clock
        self._ended = ended
        self._open: dict[Key, Pool] = {}
        self._closing: dict[Key, Pool] = {}
        self._lingering: list[Pool] = []

    def find(self, key: Key) -> Pool | None:
        """The pool that takes calls of that run."""
        return self._open.get(key)

    def all(self) -> list[Pool]:
        """Every pool that takes calls."""
        return list(self._open.values())

    def open(self, entry: Entry, job: Mapping[str, object], *, logs: Path, log_limit: int) -> None:
        """Get ready for calls."""
        pool = Pool(
            entry,
            job,
            self._workers,
            self._clock,
            logs=logs,
            log_limit=log_limit,
            broken=self._broken,
        )
        self._open[pool.key] = pool
        pool.fill()

    def _broken(self, pool: Pool) -> None:
        if self._open.get(pool.key) is pool:
            del self._open[pool.key]
            pool.close(self._clock() + LINGER_MS)
            if pool.running:
                self._lingering.append(pool)
            self._ended(pool.key, Outcome(ok=False, error=pool.trouble))

    def close(self, key: Key, grace: int) -> bool:
        """Take no more calls of that run. False where there is no such pool.

        Without grace it is over at once for everybody but the calls that run: those go on to their
        own ends. With it, it is over when they are, or after so many ms.
        """
        pool = self._open.pop(key, None)
        if pool is None:
            return key in self._closing
        if grace and pool.running:
            pool.close(self._clock() + grace)
            self._closing[key] = pool
            return True
        pool.close(self._clock() + LINGER_MS)
        if pool.running:
            self._lingering.append(pool)
        self._ended(key, Outcome(ok=True))
        return True

    def gauges(self, now: int) -> tuple[tuple[str, int], ...]:
        """The load of each, as named integers for the report."""
        pools = sorted(self._open.values(), key=lambda pool: pool.key)[:MOST]
        return tuple(row for pool in pools for row in pool.gauges(now))

    def tick(self) -> None:
        """What is due in any of them."""
        for pool in (*self._open.values(), *self._closing.values(), *self._lingering):
            pool.tick()
        for key, pool in list(self._closing.items()):
            if not pool.running:
                del self._closing[key]
                pool.end()
                self._ended(key, Outcome(ok=True))
        for pool in [pool for pool in self._lingering if not pool.running]:
            self._lingering.remove(pool)
            pool.end()

    def end(self) -> None:
        """Every worker was killed: close what is open."""
        for pool in (*self._open.values(), *self._closing.values(), *self._lingering):
            pool.end()

    def due(self) -> int | None:
        """When `tick` has something to do (monotonic ms)."""
        pools = (*self._open.values(), *self._closing.values(), *self._lingering)
        times = [at for at in (pool.due() for pool in pools) if at is not None]
        return min(times, default=None)
