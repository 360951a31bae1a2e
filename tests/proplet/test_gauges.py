"""What guests take, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from proplet.gauges import Gauges
from proplet.pool import MOST_KEPT, keep_told
from proplet.turns import MOST_NAMES, MOST_TOLD, Turns


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


def test_every_guest_has_its_turn_in_some_report():
    """More guests than a report has room for: whole guests, one report after another, the device's
    own numbers in each."""
    turns = Turns()
    own = (("cpuPermille", 1), ("rssBytes", 2), ("blobBytes", 3))
    guests = tuple((f"{name}/{n:08x}", n) for n in range(40) for name in ("cpu", "rss", "idle"))
    heard: Counter[str] = Counter()
    for _ in range(4):
        told = dict(turns.pick(own, guests, ()))
        assert len(told) <= MOST_NAMES
        assert {name for name, _ in own} <= told.keys()
        marks = Counter(name.split("/")[1] for name in told if "/" in name)
        assert set(marks.values()) == {3}
        heard.update(marks.keys())
    assert len(heard) == 40
    assert max(heard.values()) - min(heard.values()) <= 1


def test_what_a_guest_tells_of_itself_takes_turns():
    """A few names a report, and each in some of them."""
    turns = Turns()
    guests = (("cpu/00000001", 1), *((f"g/00000001/m{n}", n) for n in range(10)))
    heard: set[str] = set()
    for _ in range(3):
        told = [name for name, _ in turns.pick((), guests, ()) if name.startswith("g/")]
        assert len(told) == MOST_TOLD
        heard.update(told)
    assert len(heard) == 10


def test_numbers_of_a_guest_are_finite_and_few():
    """In thousandths; what is no number, or has a name that no report bears, is left out."""
    known: dict[str, int] = {}
    odd = {"a b": 1.0, "nan": float("nan"), "inf": float("inf"), "text": "3", "x" * 65: 1.0}
    keep_told(known, {"load": 1.2345, "huge": 1e300, **odd})
    assert known == {"load": 1234, "huge": 2**53 - 1}
    keep_told(known, {f"n{n}": float(n) for n in range(100)})
    assert len(known) == MOST_KEPT
    keep_told(known, {"load": 2})
    assert known["load"] == 2000
