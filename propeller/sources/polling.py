"""Asking a remote now and then: whether its answer, or that there is none, is new."""

from __future__ import annotations

import threading
from collections.abc import Callable

from propeller.errors import Unavailable


def poll(
    head: Callable[[], str],
    on_change: Callable[[], None],
    stop: threading.Event,
    *,
    every: float,
    slowest: float,
) -> None:
    """Calls `on_change` when what `head` says is new, until `stop`. head: raises Unavailable.

    every: seconds between two questions; while nobody answers it doubles up to `slowest`, or stays
    what it is where that is longer.
    """
    before, failures = _state(head), 0
    while not stop.wait(min(every * 2**failures, max(every, slowest))):
        now = _state(head)
        failures = min(failures + 1, 10) if now.startswith("?") else 0
        if now != before:
            before = now
            on_change()


def _state(head: Callable[[], str]) -> str:
    try:
        return head()
    except Unavailable as error:
        return f"?{error.what}"
