"""Fail points: nothing until armed, exact when armed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from propeller.errors import UsageError
from propeller.state.failpoints import At, arm, disarm, fail_point, from_text


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """No test leaves a fail point armed."""
    yield
    disarm()


def test_an_unarmed_point_does_nothing() -> None:
    """Also while another one is armed."""
    fail_point("a")
    arm("b", At(1, lambda: pytest.fail("not this one")))
    fail_point("a")


def test_an_armed_point_acts_each_time_until_disarmed() -> None:
    """What is armed is called once a pass."""
    passed: list[str] = []
    arm("a", lambda: passed.append("a"))
    fail_point("a")
    fail_point("a")
    disarm("a")
    fail_point("a")
    disarm("a")
    assert passed == ["a", "a"]


def test_an_action_may_be_for_one_pass_only() -> None:
    """`At(2, ...)` acts at the second pass and counts them all."""
    passed: list[int] = []
    at = At(2, lambda: passed.append(at.hits))
    arm("a", at)
    for _ in range(4):
        fail_point("a")
    assert (passed, at.hits) == ([2], 4)


def test_a_setting_becomes_a_point() -> None:
    """`NAME=kill@N` ends the process at the N-th pass, as kill -9 does."""
    code = (
        "from propeller.state.failpoints import *\n"
        "arm(*from_text('state.statement=kill@3'))\n"
        "for n in range(9): print(n, flush=True); fail_point('state.statement')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "0\n1\n2\n"


@pytest.mark.parametrize(
    "text", ["", "a", "a=", "a=kill", "a=kill@0", "a=kill@x", "=kill@1", "a=x@1"]
)
def test_any_other_setting_is_refused(text: str) -> None:
    """A typo must not read as no fail point."""
    with pytest.raises(UsageError, match="no fail point"):
        from_text(text)
