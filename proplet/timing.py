"""The clocks of this machine, as the agent is told them. Used by the shell only."""

from __future__ import annotations

import time

from proplet.effects import Now

CLOCK_IS_SET = 1_704_067_200_000
"""Unix ms of 2024: a clock before that was never set."""


def mono() -> int:
    """Monotonic ms."""
    return time.monotonic_ns() // 1_000_000


def micros() -> int:
    """Unix microseconds, for whoever watches."""
    return time.time_ns() // 1_000


def clock() -> Now:
    """Both clocks."""
    wall = time.time_ns() // 1_000_000
    return Now(mono(), wall, synced=wall >= CLOCK_IS_SET)
