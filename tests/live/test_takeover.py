"""A real proplet goes from one version of a daemon to the next, seen from a file that both append
to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

# Appends its letter to the file `log` of its mount, over and over, with a short sleep. `padding`
# makes the module as large as that.
TICK = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "log")
  (data (i32.const 64) "{letter}")
  (data (i32.const 4096) "{padding}")
  (func (export "_start")
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3)
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 80))
      (then (unreachable)))
    (i32.store (i32.const 96) (i32.const 64))
    (i32.store (i32.const 100) (i32.const 1))
    (loop $again
      (if (call $fd_write (i32.load (i32.const 80)) (i32.const 96) (i32.const 1) (i32.const 112))
        (then (unreachable)))
      (i32.store (i32.const 144) (i32.const 1))
      (i64.store (i32.const 152) (i64.const 20000000))
      (drop (call $poll_oneoff (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 240)))
      (br $again))))
"""


def _commit(fleet: Any, letter: str, update: str, padding: int = 0) -> None:
    fleet.write(f"{letter}.wat", TICK.format(letter=letter, padding=letter * padding))
    spec = {
        "module": {"file": f"{letter}.wat"},
        "placement": {"perProplet": True},
        "run": {"mounts": [{"name": "data", "access": "ReadWrite"}]},
        "limits": {"memory": "1MiB"},
        "health": {"readyAfter": "1s"},
        "rollout": {"steps": ["100%"], "soak": "0s", "update": update},
    }
    fleet.spec("Daemon", "tick", spec)


def _begin(fleet: Any, *arguments: str) -> Path:
    """A fleet of one proplet; the file its guests append to."""
    fleet.broker()
    fleet.serve()
    folder: Path = fleet.place / "data"
    folder.mkdir()
    fleet.proplet("gw-01", "--mount", f"data={folder}:rw", *arguments)
    return folder / "log"


def test_handed_over_the_old_copy_writes_until_the_new_one_is_ready(fleet: Any) -> None:
    """Letters of both are mixed: the old one was there when the new one began, so there is no gap;
    in the end only the new one writes."""
    _commit(fleet, "a", "HandOver")
    log = _begin(fleet)
    fleet.ready("Daemon/default/tick", generation=1)
    _commit(fleet, "b", "HandOver")
    fleet.ready("Daemon/default/tick", generation=2)
    fleet.until(lambda: log.read_text().endswith("b" * 20), "only the new one writes")
    text = log.read_text()
    assert text.startswith("aaa")
    assert "a" in text[text.index("b") :], "the old one was gone before the new one was ready"
    (copy,) = fleet.copies("Daemon/default/tick")
    assert copy["state"] == "Running"


def test_killed_first_two_modules_fit_where_only_one_does(fleet: Any) -> None:
    """The storage takes one of them: the new one comes only because the old one went first."""
    _commit(fleet, "a", "KillThenDownload", padding=200_000)
    log = _begin(fleet, "--storage", "300KiB", "--memory", "1MiB")
    fleet.ready("Daemon/default/tick", generation=1)
    _commit(fleet, "b", "KillThenDownload", padding=200_000)
    fleet.ready("Daemon/default/tick", generation=2)
    fleet.until(lambda: "b" in log.read_text(), "the new one writes")
    text = log.read_text()
    assert "a" not in text[text.index("b") :], "the old one wrote beside the new one"
    blobs = [path.stat().st_size for path in (fleet.place / "gw-01" / "blobs").iterdir()]
    assert sum(blobs) < 300 << 10
