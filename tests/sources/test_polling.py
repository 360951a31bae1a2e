"""Asking a remote now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from propeller.errors import Unavailable
from propeller.sources.polling import poll


class Asked(threading.Event):
    """A stop that never waits: it notes for how long somebody would, and is set after so many."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._times = times

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return len(self.waits) > self._times


def polled(*answers: str, every: float = 10.0, slowest: float = 60.0) -> tuple[int, list[float]]:
    """How often something was new, and the seconds between questions; "" is no answer."""
    rest: Iterator[str] = iter(answers)
    news = []

    def head() -> str:
        answer = next(rest)
        if not answer:
            raise Unavailable("nobody answers")
        return answer

    stop = Asked(len(answers) - 1)
    poll(head, lambda: news.append(1), stop, every=every, slowest=slowest)
    return len(news), stop.waits


def test_only_what_is_new_is_told() -> None:
    """The first answer is what is known already; each other one is told once."""
    assert polled("a", "a", "b", "b", "a")[0] == 2


def test_that_nobody_answers_is_news_once_and_so_is_that_somebody_does_again() -> None:
    """Whoever follows the source says that it cannot be read, and later that it can."""
    assert polled("a", "", "", "a")[0] == 2


def test_who_does_not_answer_is_asked_less_often() -> None:
    """Twice as long each time, up to the slowest; at once as before when there is an answer."""
    assert polled("a", "", "", "", "", "a", "a")[1] == [10, 20, 40, 60, 60, 10, 10]


def test_a_source_that_is_asked_seldom_is_not_asked_more_often_for_failing() -> None:
    """An interval longer than the slowest stays what it is."""
    assert polled("a", "", "", every=90.0)[1] == [90, 90, 90]
