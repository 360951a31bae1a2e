"""A power cut at any point of the store's and the journal's life: unsynced writes go or tear."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from propeller.state.journal import FileJournal
from propeller.state.sqlite import SqliteStore

WORKLOAD = Path(__file__).parents[1] / "state" / "workload.py"

JOURNAL = """
import os, sys
from pathlib import Path
from propeller.state.journal import FileJournal
marks = os.open(os.environ["POWER_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for start in (0, 25):
    journal = FileJournal(Path(sys.argv[1]) / "journal", compact_from=8)
    for number in range(start, start + 25):
        os.write(marks, b"tried %d" % number)
        journal.append("slot", {"uid": f"u{number % 3}", "slot": number, "pad": "x" * 700})
        os.write(marks, b"durable %d" % number)
    journal.close()
"""

REPLACE = """
import os, sys
from pathlib import Path
from propeller.state.files import replace_file
marks = os.open(os.environ["POWER_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(10):
    replace_file(Path(sys.argv[1]) / "f", b"%d" % number * 2000)
    os.write(marks, b"durable %d" % number)
"""


@pytest.fixture(scope="module")
def workload() -> Any:
    """The busy life of a store; see `tests/state/workload.py`."""
    spec = importlib.util.spec_from_file_location("power_workload", WORKLOAD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def promised(marks: tuple[str, ...]) -> int:
    """The serial that was reported durable last; 0 before the first."""
    return max((int(mark.split()[1]) for mark in marks if mark.startswith("durable")), default=0)


def test_a_store_survives_a_power_cut_anywhere(
    tmp_path: Path, power_recorder: Any, workload: Any
) -> None:
    """Opens undamaged; equals a state it was in, one not older than the last durable commit."""
    root = tmp_path / "s"
    recording = power_recorder.run([sys.executable, str(WORKLOAD), "live", str(root)], root=root)
    (tmp_path / "reference").mkdir()
    done = subprocess.run(
        [sys.executable, str(WORKLOAD), "reference", str(tmp_path / "reference")],
        stdout=subprocess.PIPE,
        check=True,
    )
    states = json.loads(done.stdout)
    newest = max(map(int, states))
    problems: list[str] = []
    cuts = lost = 0
    for crash in recording.crashes():
        cuts += 1
        place = tmp_path / str(cuts)
        crash.materialise(place)
        low = promised(crash.marks)
        found = workload.wrong(place, states, low, newest)
        if found:
            problems.append(f"{crash}, durable up to {low}: {found}")
        told = [int(mark.split()[1]) for mark in crash.marks]
        store = SqliteStore.open(place / "propeller.db", readonly=True)
        lost += bool(told) and store.serial() - 2 < told[-1]  # `wrong` made two commits more
        store.close()
        shutil.rmtree(place)
    assert problems == []
    assert cuts > 100
    assert lost > 0, "no cut took anything away: the replay drops nothing"


def test_a_journal_survives_a_power_cut_anywhere(tmp_path: Path, power_recorder: Any) -> None:
    """Reads back without damage, with the newest of every key that was reported durable."""
    root = tmp_path / "s"
    recording = power_recorder.run([sys.executable, "-c", JOURNAL, str(root)], root=root)
    cuts = 0
    for crash in recording.crashes(scattered=3):
        cuts += 1
        place = tmp_path / str(cuts)
        crash.materialise(place)
        journal = FileJournal(place / "journal")
        slots = {str(entry["uid"]): int(str(entry["slot"])) for _, entry in journal.read()}
        for number in range(promised(crash.marks) + 1):
            if any(mark == f"durable {number}" for mark in crash.marks):
                assert slots.get(f"u{number % 3}", -1) >= number, crash
        tried = sum(mark.startswith("tried") for mark in crash.marks)
        assert all(slot < tried for slot in slots.values()), crash
        journal.append("slot", {"uid": "after", "slot": 1})
        journal.close()
        assert ("slot", {"uid": "after", "slot": 1}) in list(FileJournal(place / "journal").read())
        shutil.rmtree(place)
    assert cuts > 100


def test_a_replaced_file_survives_a_power_cut_anywhere(tmp_path: Path, power_recorder: Any) -> None:
    """One of the contents it was given, whole, and not one older than the last that returned."""
    root = tmp_path / "s"
    recording = power_recorder.run([sys.executable, "-c", REPLACE, str(root)], root=root)
    whole = [b"%d" % number * 2000 for number in range(10)]
    cuts = 0
    for crash in recording.crashes(scattered=4):
        cuts += 1
        if crash.marks or "f" in crash.tree:
            assert whole.index(crash.tree["f"]) >= promised(crash.marks), crash
    assert cuts > 30
