"""What guests are given and give back: typed arguments, environment, stdin, mounts, results."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.live

TYPES = """(module
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0)
  (func (export "mixed") (param i32 i64 f32 f64) (result f64)
    local.get 0 f64.convert_i32_s
    local.get 1 f64.convert_i64_s f64.add
    local.get 2 f64.promote_f32 f64.add
    local.get 3 f64.add))
"""

# Prints the file `in` of its mount, then tries to make the file `out` there: exit 0 if it may.
FILES = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "inout")
  (func (export "_start")
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 80))
      (then (unreachable)))
    (i32.store (i32.const 96) (i32.const 256))
    (i32.store (i32.const 100) (i32.const 100))
    (drop (call $fd_read (i32.load (i32.const 80)) (i32.const 96) (i32.const 1) (i32.const 104)))
    (i32.store (i32.const 100) (i32.load (i32.const 104)))
    (drop (call $fd_write (i32.const 1) (i32.const 96) (i32.const 1) (i32.const 104)))
    (call $proc_exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 2) (i32.const 3)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 80)))))
"""

TYPED = {
    "i32": ("-2147483648", "-2147483648"),
    "i64": ("9223372036854775807", "9223372036854775807"),
    "f32": ("0.1", "0.1"),
    "f64": ("0.30000000000000004", "0.30000000000000004"),
}


def test_arguments_environment_stdin_and_mounts(fleet: Any):
    """Every core type there and back; a ReadOnly mount is read, only a ReadWrite one written."""
    fleet.module("report/report.wasm")
    fleet.write("types.wat", TYPES)
    fleet.write("files.wat", FILES)
    for name, (given, _) in TYPED.items():
        run = {"entrypoint": name, "args": [given]}
        fleet.spec("Task", name, {"module": {"file": "types.wat"}, "run": run})
    run = {"entrypoint": "mixed", "args": ["1", "2", "0.5", "0.25"]}
    fleet.spec("Task", "mixed", {"module": {"file": "types.wat"}, "run": run})
    wrong = {"entrypoint": "i32", "args": ["4294967296"]}
    bad = fleet.spec("Task", "wrong", {"module": {"file": "types.wat"}, "run": wrong})
    refused = fleet.run("validate", "specs")
    assert refused.code == 2
    assert "task-wrong.yaml:" in refused.out + refused.err
    assert 'not "4294967296"' in refused.out + refused.err
    bad.unlink()
    fleet.spec(
        "Task",
        "report",
        {
            "module": {"file": "report.wasm"},
            "run": {
                "args": ["press-1=412", "press-2=397"],
                "env": [{"name": "PLANT", "value": "plant-ü"}],
                "stdin": "paint-line 233\n",
            },
        },
    )
    for name, access in (("reads", "ReadOnly"), ("writes", "ReadWrite")):
        mounts = [{"name": "data", "access": access}]
        fleet.spec("Task", name, {"module": {"file": "files.wat"}, "run": {"mounts": mounts}})
    data = fleet.place / "data" / "local-1"
    data.mkdir(parents=True)
    (data / "in").write_text("from outside\n")
    done = fleet.run(
        *("up", "specs", "--state", "state", "--proplets", "1", "--data", "data:rw"),
        "--until-ready",
    )
    assert done.code == 3, done.err
    for name, (_, wanted) in TYPED.items():
        assert fleet.copies(f"Task/default/{name}")[0]["result"] == wanted
    assert fleet.copies("Task/default/mixed")[0]["result"] in ("3.75", "3.75\n")
    report = fleet.copies("Task/default/report")[0]["result"]
    assert "plant-ü" in report
    assert "412" in report
    assert '"readings":3' in report
    assert fleet.copies("Task/default/writes")[0]["result"] == "from outside\n"
    assert (data / "out").exists()
    reads = fleet.copies("Task/default/reads")[0]
    assert reads["state"] == "Failed"
    assert reads["exit"] != 0
    failed = [line for line in done.err.splitlines() if line.startswith("failed   ")]
    assert len(failed) == 1
    assert "Task/default/reads: " in failed[0]


def test_a_folder_that_is_not_there_is_said_before_anything_starts(fleet: Any):
    """`--data` names each proplet's own folder."""
    done = fleet.run("up", "specs", "--state", "state", "--proplets", "1", "--data", "data")
    assert done.code == 2
    assert "no directory" in done.err
    assert "local-1" in done.err
