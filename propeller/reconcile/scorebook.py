"""What plugins answered about proplets, and what they are being asked: the loop's side of it.

A plan says what it wants to know (`Plan.asks`); a worker asks (`scorework`); the answer is kept
here by the name of its question and the object is planned again. Nothing of it is stored: the same
question has the same answer after a restart, and copies that are placed are never asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from propeller.model.ids import Digest, Uid
from propeller.model.plugins import Answer
from propeller.model.scoring import Asking, Score
from propeller.reconcile.events import Scored
from propeller.reconcile.touched import Touched

MOST = 100_000
"""Answers kept; the oldest go first, and are asked for anew if a plan wants them."""
PATIENCE = 600_000
"""ms until a question that nobody answered counts as failed; a batch may take half of it."""
RETRY = 30_000
"""ms until a plugin that was late is asked again."""


class ScoreBook:
    """See the module. hand: gives a question to a worker."""

    def __init__(self, hand: Callable[[Asking], None], touched: Touched) -> None:
        self._hand = hand
        self._touched = touched
        self.known: dict[Digest, Score] = {}
        self._asked: dict[Digest, tuple[int, Asking, set[Uid]]] = {}

    def ask(self, askings: Iterable[Asking], now: int) -> None:
        """Have these answered, once each."""
        for asking in askings:
            open_ = self._asked.get(asking.name)
            if open_ is not None:
                open_[2].add(asking.uid)
                continue
            self._asked[asking.name] = (now + PATIENCE, asking, {asking.uid})
            self._hand(asking)

    def told(self, event: Scored, now: int) -> None:
        """A worker answered: whoever waits for it is looked at again."""
        open_ = self._asked.pop(event.asking.name, None)
        if open_ is None:
            return
        answer = event.answer
        self.known.pop(event.asking.name, None)
        self.known[event.asking.name] = Score(
            points=answer.score,
            failed=answer.failed,
            again=now + RETRY if answer.failed and answer.again else None,
        )
        while len(self.known) > MOST:
            del self.known[next(iter(self.known))]
        self._touched.objects.update(open_[2])

    def tick(self, now: int) -> None:
        """Whoever did not answer in time has failed."""
        for due, asking, _ in [one for one in self._asked.values() if one[0] <= now]:
            words = f"gave no answer within {PATIENCE // 60_000} minutes"
            self.told(Scored(asking, Answer(failed=words, again=True)), max(now, due))

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return min((due for due, _, _ in self._asked.values()), default=None)
