"""The worker that asks plugins what plans want to know: one thread, a batch to each plugin at once.

Called by `service` with single questions; answers each through `told`, from its thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from propeller.errors import PropellerError
from propeller.model.ids import Digest
from propeller.model.plugins import Answer, Hook, scoring
from propeller.model.scoring import Asking, Scorer
from propeller.sources.hooks import PROCESSES, Hooks

BATCH = 500
"""Questions asked at once; a batch is bounded in time as a whole."""


class ScoreWork:
    """See the module. wasm: the bytes of a module by digest. Raises OSError, PropellerError."""

    def __init__(
        self,
        wasm: Callable[[Digest], bytes],
        told: Callable[[Asking, Answer], None],
        hooks: Hooks = PROCESSES,
    ) -> None:
        self._wasm = wasm
        self._told = told
        self._hooks = hooks
        self._queue: queue.SimpleQueue[Asking | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, asking: Asking) -> None:
        """Have it answered. Called by the loop only."""
        self._queue.put(asking)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="plugins", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """No more; whatever is under way is not waited for."""
        self._queue.put(None)

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch = [first]
            with suppress(queue.Empty):
                while len(batch) < BATCH:
                    more = self._queue.get_nowait()
                    if more is None:
                        return
                    batch.append(more)
            for scorer in dict.fromkeys(one.scorer for one in batch):
                self.answer(scorer, [one for one in batch if one.scorer == scorer])

    def answer(self, scorer: Scorer, batch: list[Asking]) -> None:
        """Ask one plugin all of these."""
        try:
            wasm = b"" if scorer.python else self._wasm(scorer.digest)
        except (OSError, PropellerError) as error:
            lost = Answer(failed=f"is not in the blob store: {error}"[:200], again=True)
            answers = [lost] * len(batch)
        else:
            questions = [one.question for one in batch]
            answers = self._hooks.ask(scoring(scorer), wasm, Hook.PLACE, questions)
        for asking, answer in zip(batch, answers, strict=True):
            self._told(asking, answer)
