"""Models of committed rounds into the repository that `spec.model.image` names, with their records.

The loop only says what is due, after its transaction; a thread of its own pushes. Pushing twice is
pushing once, so that whatever was under way when the process died is given again at the next start:
the newest rounds of each job.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from propeller.errors import PropellerError, Unavailable
from propeller.model.federated import FederatedTask
from propeller.model.inventory import Held
from propeller.model.rounds import Blob, Round, RoundState
from propeller.plan.records import record_of

log = logging.getLogger("propeller.reconcile")

AGAIN = 8
"""Rounds of each job that are given again at a start."""
WAITING = 256
"""Models that may wait for a registry; the newest are dropped first, a start gives them again."""
PAUSES = (5.0, 20.0, 60.0, 300.0)
"""Seconds between tries where a registry does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One model to be pushed. image: the repository; tag: of this round of this job."""

    image: str
    tag: str
    model: Blob
    record: Mapping[str, object]


def due(held: Held, round_: Round, module: str) -> Due | None:
    """What is to be pushed of a round; None where nothing is. module: its digest, "" unknown."""
    thing, fold = held.object, round_.fold
    assert isinstance(thing, FederatedTask)
    spec = thing.model
    if spec is None or spec.image is None or round_.state is not RoundState.COMMITTED:
        return None
    if fold is None or not fold.model:
        return None
    record: dict[str, object] = {
        "object": str(thing.meta.key),
        "record": str(round_.record),
        "sealed": record_of(round_),
        "strategy": round_.terms.strategy,
        "samples": sum(part.samples for part in round_.accepted),
    }
    if held.generation == round_.generation:
        record["revision"] = held.revision
        record["specDigest"] = str(thing.meta.spec_digest)
        record["module"] = module
    tag = f"{round_.job[:8]}-{round_.number:04}"
    return Due(image=spec.image, tag=tag, model=fold.model, record=record)


def left_over(
    held: Iterable[Held], rounds: Callable[[Held], Iterable[Round]], module: Callable[[Held], str]
) -> list[Due]:
    """What may not have been pushed when the process ended, oldest first."""
    found = []
    for one in held:
        thing = one.object
        if isinstance(thing, FederatedTask) and thing.model is not None and thing.model.image:
            rows = (due(one, round_, module(one)) for round_ in rounds(one))
            found += [row for row in rows if row is not None][::-1]
    return found


class ModelShelf:
    """A thread that pushes one model after the other. push: raises PropellerError."""

    def __init__(self, push: Callable[[Due], None], *, pauses: tuple[float, ...] = PAUSES) -> None:
        self._push = push
        self._pauses = pauses
        self._queue: queue.Queue[Due] = queue.Queue(WAITING)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, one: Due) -> None:
        """From the loop: never waits."""
        try:
            self._queue.put_nowait(one)
        except queue.Full:
            log.warning("%s:%s is not pushed: %d models wait already", one.image, one.tag, WAITING)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="models", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let go of what waits."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                one = self._queue.get(timeout=0.5)
            except queue.Empty:
                continue
            self._try(one)

    def _try(self, one: Due) -> None:
        where = f"{one.image}:{one.tag}"
        for pause in (*self._pauses, None):
            try:
                self._push(one)
            except Unavailable as error:
                if pause is None:
                    log.warning("%s is not pushed: %s", where, error)
                elif self._stop.wait(pause):
                    return
            except (PropellerError, OSError) as error:
                log.warning("%s is not pushed: %s", where, error)
                return
            except Exception:
                log.exception("%s is not pushed", where)
                return
            else:
                return
