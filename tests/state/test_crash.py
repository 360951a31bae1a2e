"""kill -9 before any SQL statement and after any commit: the store is some state it was in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WORKLOAD = Path(__file__).with_name("workload.py")


def test_a_kill_at_any_statement_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """Opens, equals one of the states passed through, not an older one than told, and goes on.

    Creating the tables, folding the log into the file and closing are among the statements.
    """
    done = subprocess.run(
        [sys.executable, str(WORKLOAD), "kill", str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["points"] > 200
    assert found["states"] > 20
