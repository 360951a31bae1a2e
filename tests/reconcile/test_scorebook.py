"""What plugins are asked by the loop, and what becomes of their answers."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.errors import Unavailable
from propeller.model.ids import Digest, Uid, sha256_digest
from propeller.model.plugins import Answer
from propeller.model.scoring import Asking, Failing, Score, Scorer
from propeller.reconcile import scorebook
from propeller.reconcile.events import Scored
from propeller.reconcile.scorebook import PATIENCE, RETRY, ScoreBook
from propeller.reconcile.scorework import ScoreWork
from propeller.reconcile.touched import Touched

SCORER = Scorer(
    name="near", digest=Digest(sha256_digest(b"")), failing=Failing.CLOSED,
    fuel=1, memory=1, timeout=1,
)  # fmt: skip


def asking(text: str, uid: str = "u1") -> Asking:
    return Asking(
        name=Digest(sha256_digest(text.encode())),
        uid=Uid(uid),
        scorer=SCORER,
        question=text.encode(),
    )


def a_book() -> tuple[ScoreBook, list[Asking], Touched]:
    handed: list[Asking] = []
    touched = Touched()
    return ScoreBook(handed.append, touched), handed, touched


def test_a_question_is_handed_over_once_and_its_answer_touches_all_who_wait() -> None:
    """Plans ask again and again until they know."""
    book, handed, touched = a_book()
    book.ask([asking("a", "u1")], 5)
    book.ask([asking("a", "u2"), asking("b", "u3")], 6)
    assert [one.question for one in handed] == [b"a", b"b"]
    book.told(Scored(asking("a"), Answer(score=7)), 9)
    assert book.known == {asking("a").name: Score(points=7)}
    assert touched.objects == {"u1", "u2"}
    book.told(Scored(asking("c"), Answer(score=7)), 9)
    assert len(book.known) == 1, "nobody asked that"


def test_who_was_late_is_asked_again_and_who_was_wrong_is_not() -> None:
    """Being wrong is for good."""
    book, _, _ = a_book()
    book.ask([asking("a"), asking("b")], 5)
    book.told(Scored(asking("a"), Answer(failed="late", again=True)), 100)
    book.told(Scored(asking("b"), Answer(failed="wrong")), 100)
    assert book.known[asking("a").name].again == 100 + RETRY
    assert book.known[asking("b").name].again is None


def test_a_question_nobody_answers_has_failed_after_a_while() -> None:
    """A worker that died keeps nothing waiting for ever."""
    book, _, touched = a_book()
    book.ask([asking("a")], 0)
    assert book.due() == PATIENCE
    book.tick(PATIENCE - 1)
    assert book.known == {}
    book.tick(PATIENCE)
    assert "gave no answer" in book.known[asking("a").name].failed
    assert touched.objects == {"u1"}
    assert book.due() is None


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(scorebook, "MOST", 2)
    book, _, _ = a_book()
    for text in "abc":
        book.ask([asking(text)], 0)
        book.told(Scored(asking(text), Answer()), 0)
    assert list(book.known) == [asking("b").name, asking("c").name]


class _Echo:
    """Answers with the number in the question."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def ask(self, plugin: Any, wasm: bytes, hook: Any, questions: Any) -> list[Answer]:
        self.batches.append(len(questions))
        return [Answer(score=int(one)) for one in questions]


def test_a_worker_asks_a_plugin_all_at_once() -> None:
    """One process for many questions; a module that is gone is told to each of them."""
    told: list[tuple[bytes, Answer]] = []
    echo = _Echo()
    work = ScoreWork(lambda _: b"", lambda one, said: told.append((one.question, said)), echo)
    work.answer(SCORER, [asking("1"), asking("2")])
    assert [said.score for _, said in told] == [1, 2]
    assert echo.batches == [2]

    def gone(_digest: Digest) -> bytes:
        raise Unavailable("no such blob")

    told.clear()
    ScoreWork(gone, lambda one, said: told.append((one.question, said))).answer(
        SCORER, [asking("1")]
    )
    assert "is not in the blob store: no such blob" in told[0][1].failed
