"""What guests take, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from proplet.gauges import MOST, Gauges


class Stand:
    """As much of a worker as is looked at."""

    def __init__(self, pid: int, uid: str = "0123456789ab") -> None:
        self.key, self.pid, self.done = (uid, "run"), pid, False


@pytest.fixture
def spinning():
    """A process that takes all it can get."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def test_processor_time_is_a_share_since_the_last_look(spinning):
    """The first look knows no span, so it says only what is in memory."""
    gauges, worker = Gauges(), Stand(spinning.pid)
    first = dict(gauges.read([worker], 0))
    assert set(first) == {"rss/01234567"}
    assert first["rss/01234567"] > 100_000
    before = time.monotonic()
    while os.times() and time.monotonic() - before < 1:
        time.sleep(0.05)
    second = dict(gauges.read([worker], 1_000))
    assert 0 < second["cpu/01234567"] <= 1_300


def test_a_process_that_is_gone_is_left_out(spinning):
    """It may end between two looks."""
    gauges, worker = Gauges(), Stand(spinning.pid)
    gauges.read([worker], 0)
    spinning.kill()
    spinning.wait()
    assert gauges.read([worker], 1_000) == ()


def test_workers_without_a_guest_are_not_told():
    """The warm one, one that compiles, one that has ended."""
    waiting, ended = Stand(0), Stand(os.getpid())
    ended.done = True
    idle = Stand(os.getpid())
    idle.key = None
    assert Gauges().read([waiting, ended, idle], 0) == ()


def test_a_report_has_room_for_all_of_it():
    """Two numbers a guest, beside the agent's own and what it dropped (64 names in a report)."""
    many = [Stand(os.getpid(), f"{number:08x}") for number in range(200)]
    gauges = Gauges()
    gauges.read(many[:MOST], 0)
    assert len(gauges.read(many, 1_000)) <= 64 - 32 - 3
