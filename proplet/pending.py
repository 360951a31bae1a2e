"""A call of a function on this device: how it came, and the one answer it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proplet.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a call; the fields are those of `CallAnswer`."""

    state: str
    cause: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    error: str = ""
    wait: int = 0
    took: int = 0
    log: str = ""
    lost: int = 0
    n: int = 0


Answer = Callable[[Result], None]
Heard = Callable[[str, int], None]
"""Told what a guest logged, and how many bytes before that are lost."""


def _unheard(_text: str, _lost: int) -> None:
    return


@dataclass(slots=True)
class Pending:
    """One call. came, ends: monotonic ms. answer: told once."""

    id: str
    request: Mapping[str, object]
    came: int
    ends: int
    answer: Answer
    heard: Heard = _unheard
    began: int = 0
    worker: Worker | None = None
    cause: str = ""


def refused(cause: str, error: str) -> Result:
    """It never began."""
    return Result(state="refused", cause=cause, error=error)
