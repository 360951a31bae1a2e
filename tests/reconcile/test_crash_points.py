"""kill -9 of the reconciler at any statement: the fleet settles, nothing is lost or run twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CRASHPOINTS = Path(__file__).with_name("crashpoints.py")


def _kill_at(folder: Path, share: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(CRASHPOINTS), str(folder), str(share)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=280,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_reconciler_killed_at_a_statement_goes_on_where_it_was(tmp_path: Path) -> None:
    """Create, edit, move, delete and two tasks; cut before each distinct statement, first and last
    pass, after each commit, and at every 25th of all other points."""
    found = _kill_at(tmp_path, 25)
    assert found["problems"] == []
    assert found["uncounted"] == []
    assert int(str(found["statements"])) > 50
    assert int(str(found["commits"])) > 30
    assert int(str(found["tried"])) > 150


@pytest.mark.soak
def test_a_reconciler_killed_at_every_single_statement_goes_on(tmp_path: Path) -> None:
    """All of them."""
    found = _kill_at(tmp_path, 1)
    assert found["problems"] == []
    assert int(str(found["tried"])) > 600
