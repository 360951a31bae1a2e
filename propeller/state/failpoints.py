"""Named places where a test may stop the process; nothing at all otherwise.

`fail_point("state.statement")` costs one truth test while nothing is armed. The store passes one
before every SQL statement and one after every commit. Who arms them is decided outside: tests call
`arm`, the command line may turn a setting into one with `from_text`. No environment is read here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from propeller.errors import UsageError

Action = Callable[[], None]

_armed: dict[str, Action] = {}


def fail_point(name: str) -> None:
    """Run what is armed under `name`, if anything is. It may raise, or never come back."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


def arm(name: str, action: Action) -> None:
    """Run `action` each time `name` is passed, until `disarm`."""
    _armed[name] = action


def disarm(name: str | None = None) -> None:
    """Forget what is armed under `name`, or under every name."""
    if name is None:
        _armed.clear()
    else:
        _armed.pop(name, None)


def kill() -> None:
    """End this process as `kill -9` does: no clean-up, no flush, no goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


class At:
    """Runs `action` when passed for the `hit`-th time (from 1), and never before or after."""

    def __init__(self, hit: int, action: Action) -> None:
        self.hits = 0
        self._hit = hit
        self._action = action

    def __call__(self) -> None:
        self.hits += 1
        if self.hits == self._hit:
            self._action()


def from_text(text: str) -> tuple[str, Action]:
    """`NAME=kill@N` as (name, action). Raises UsageError for anything else."""
    name, _, what = text.partition("=")
    verb, _, hit = what.partition("@")
    if not name or verb != "kill" or not hit.isdecimal() or int(hit) < 1:
        raise UsageError(f"{text!r} is no fail point", hint="write NAME=kill@N with N from 1")
    return name, At(int(hit), kill)
