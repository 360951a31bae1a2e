"""Guests in real workers: what they may do, and that nothing they do outlives its limit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proplet.orphans import kill_orphans
from proplet.runtime import capture

if TYPE_CHECKING:
    from conftest import Maker, Workshop

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  local.get 0 local.get 1 i32.add))"""
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))'
SLEEP = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 30000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""
HOG = """(module (memory (export "memory") 1) (func (export "_start")
  (loop $more
    (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  unreachable))"""
EXIT3 = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))"""
WRITE = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1000) "hello\\n")
  (func $say (param $fd i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") %s))"""
HELLO = WRITE % "(call $say (i32.const 1) (i32.const 1000) (i32.const 6))"
FLOOD = WRITE % "(loop (call $say (i32.const 1) (i32.const 0) (i32.const 65536)) (br 0))"
ECHO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
# Copies /data/in to stdout and tries to create /data/out; exits with the errno of the latter.
FILES = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "in") (data (i32.const 110) "out")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 2) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 110) (i32.const 3)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))))"""
# Writes its arguments and environment, as WASI lays them out, to stdout.
ARGS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $args (i32.const 100) (i32.const 1000)))
    (drop (call $env (i32.const 200) (i32.const 1100)))
    (i32.store (i32.const 0) (i32.load (i32.const 104)))
    (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 1100))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def test_an_exported_function_gets_its_typed_arguments(workshop: Workshop) -> None:
    """The result of an export is its value, as text."""
    outcome = workshop.run(ADD, entrypoint="add", args=("40", "2"))
    assert (outcome.ok, outcome.result) == (True, "42")


def test_several_results_are_joined_by_a_comma(workshop: Workshop) -> None:
    """Integers come signed, floats with the digits that round-trip at their width."""
    module = """(module (func (export "f") (param f32 i64) (result f32 i64 f64)
      local.get 0 local.get 1 f64.const 0.1))"""
    outcome = workshop.run(module, entrypoint="f", args=("0.1", "18446744073709551615"))
    assert outcome.result == "0.1,-1,0.1"


def test_a_command_answers_with_its_stdout(workshop: Workshop) -> None:
    """What `_start` writes to stdout is the result of the run."""
    outcome = workshop.run(HELLO)
    assert (outcome.ok, outcome.exit, outcome.result) == (True, 0, "hello\n")


def test_all_entries_of_one_module_are_prepared_when_it_is_compiled(workshop: Workshop) -> None:
    """However many wait for the compiler: each is answered, and it compiles once."""
    entries = [workshop.entry(HELLO, number) for number in range(1, 7)]
    for entry in entries:
        workshop.supervisor.prepare(entry)
    workshop.until(lambda: len(workshop.ready) == len(entries))
    assert workshop.refused == {}


def test_stdin_reaches_the_guest(workshop: Workshop) -> None:
    """The entry's stdin is what the guest reads."""
    assert workshop.run(ECHO, stdin="över there").result == "över there"


def test_arguments_and_environment_reach_the_guest(workshop: Workshop) -> None:
    """Arguments follow the name of the task; nothing of our own environment leaks in."""
    outcome = workshop.run(ARGS, args=("alpha",), env=(("K", "beta"),))
    assert outcome.result == "alphaK=beta"


@pytest.mark.parametrize(("access", "made"), [("ReadOnly", False), ("ReadWrite", True)])
def test_a_mount_is_as_writable_as_asked(
    tmp_path: Path, access: str, made: bool, make_workshop: Maker
) -> None:
    """A read-only mount can be read and nothing can be made in it."""
    from propeller.wire.messages import WireMount

    data = tmp_path / "data"
    data.mkdir()
    (data / "in").write_text("content")
    workshop = make_workshop({"data": (data, True)})
    outcome = workshop.run(FILES, mounts=(WireMount(name="data", path="/data", access=access),))
    assert outcome.result == "content"
    assert (data / "out").exists() is made
    assert outcome.ok is made


def test_an_exit_status_is_told(workshop: Workshop) -> None:
    """Exit 3 is a failure that says 3."""
    outcome = workshop.run(EXIT3)
    assert (outcome.ok, outcome.exit, outcome.error) == (False, 3, "exit 3")


def test_a_trap_is_told_in_words(workshop: Workshop) -> None:
    """A division by zero names itself."""
    module = '(module (func (export "f") (result i32) i32.const 1 i32.const 0 i32.div_s))'
    outcome = workshop.run(module, entrypoint="f")
    assert not outcome.ok
    assert "integer divide by zero" in outcome.error


def test_a_spinning_guest_is_stopped_while_others_go_on(workshop: Workshop) -> None:
    """An endless loop ends within a second of its timeout, and another task runs meanwhile."""
    spinning = workshop.start(workshop.entry(SPIN, 1, timeout=600))
    began = time.monotonic()
    assert workshop.run(ADD, 2, entrypoint="add", args=("1", "2")).result == "3"
    assert spinning not in workshop.over
    workshop.until(lambda: spinning in workshop.over)
    assert time.monotonic() - began < 0.6 + 1.0
    assert workshop.over[spinning].error == "ran longer than its limit of 600ms"


def test_a_sleeping_guest_is_stopped(workshop: Workshop) -> None:
    """A guest asleep in a host call, where no epoch reaches it, ends all the same."""
    began = time.monotonic()
    outcome = workshop.run(SLEEP, timeout=500)
    assert outcome.error == "ran longer than its limit of 500ms"
    assert time.monotonic() - began < 5


def test_a_memory_hog_stays_within_its_limit(workshop: Workshop) -> None:
    """memory.grow fails at the limit, and the trap that follows tells how much it had."""
    outcome = workshop.run(HOG, memory=4 << 20)
    assert not outcome.ok
    assert "it had 3136KiB of 4MiB memory" in outcome.error


def test_fuel_runs_out(workshop: Workshop) -> None:
    """A loop with fuel ends when it is used up."""
    assert workshop.run(SPIN, fuel=100_000).error == "used up its fuel"


def test_a_flood_of_output_is_cut(workshop: Workshop) -> None:
    """Endless stdout ends the run at the limit; the disk holds no more than that."""
    outcome = workshop.run(FLOOD, output=65536)
    assert outcome.error == "wrote more than its limit of 64KiB to stdout"
    directory = workshop.supervisor.logs(next(iter(workshop.over)))
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 65536


def test_a_daemons_flood_keeps_its_newest_bytes(workshop: Workshop) -> None:
    """A daemon is not ended for talking; its log holds the last bytes within the limit."""
    key = workshop.start(workshop.entry(FLOOD, mode="daemon", timeout=None, output=32768))
    directory = workshop.supervisor.logs(key)
    workshop.until(lambda: capture.end_of(directory, "stdout") > 1 << 20)
    assert key not in workshop.over
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: key in workshop.over)
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 2 * 32768
    begin, data = capture.read(directory, "stdout", 0, 1 << 20)
    assert begin > 0
    assert len(data) >= 16384


def test_a_long_result_becomes_a_blob(workshop: Workshop) -> None:
    """Output of more than 256 bytes is kept as a blob and named by its digest."""
    outcome = workshop.run(ECHO, stdin="x" * 1000)
    assert outcome.result is None
    assert outcome.blob is not None
    assert workshop.blobs.read(outcome.blob.digest) == b"x" * 1000


def test_stop_ends_a_guest(workshop: Workshop) -> None:
    """A daemon that never returns is gone soon after a stop."""
    key = workshop.start(workshop.entry(SPIN, mode="daemon", timeout=None))
    workshop.turn(0.1)
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: key in workshop.over, 3)
    assert workshop.over[key].error == "stopped"


def test_a_guest_may_finish_within_the_grace(workshop: Workshop) -> None:
    """A stop with grace lets a short run end well."""
    key = workshop.start(workshop.entry(HELLO))
    workshop.supervisor.stop(key, 5000)
    workshop.until(lambda: key in workshop.over)
    assert workshop.over[key].ok


@pytest.mark.parametrize(
    ("module", "changes", "words"),
    [
        ('(module (import "env" "gpio" (func)) (func (export "_start")))', {}, "env.gpio"),
        (ADD, {"entrypoint": "sub"}, "exports no function 'sub'; it exports: add"),
        (ADD, {"entrypoint": "add", "args": ("1",)}, "takes 2 (i32, i32) arguments, 1 given"),
        (ADD, {"entrypoint": "add", "args": ("1", "x")}, "argument 2 is 'x', not an integer"),
        (ADD, {"entrypoint": "add", "args": ("1", "4294967296")}, "does not fit i32"),
        (HELLO, {"memory": 65536}, "needs 131072 bytes of memory to start"),
        (b"\x7fELF rubbish", {}, "not a WebAssembly module"),
        (b"\0asm\x01\0\0\0\x01\xff\xff", {}, "not a WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", {}, "ComponentExport: it is no command"),
    ],
    ids=["import", "export", "count", "type", "range", "memory", "elf", "broken", "component"],
)
def test_what_cannot_run_is_refused_before_it_starts(
    workshop: Workshop, module: str | bytes, changes: dict[str, object], words: str
) -> None:
    """The reason is told in words, and no guest was started."""
    assert words in workshop.prepare(workshop.entry(module, **changes))
    assert workshop.over == {}


def test_native_code_is_compiled_once(workshop: Workshop) -> None:
    """A second run of the same module loads what the first compiled, fuel apart."""
    native = workshop.directory / "native"
    workshop.run(HELLO, 1)
    first = {path.name: path.stat().st_mtime_ns for path in native.iterdir()}
    workshop.run(HELLO, 2)
    assert {path.name: path.stat().st_mtime_ns for path in native.iterdir()} == first
    workshop.run(HELLO, 3, fuel=10_000_000)
    assert len(list(native.iterdir())) == 2 * len(first)


def test_torn_native_code_is_compiled_again(workshop: Workshop, make_workshop: Maker) -> None:
    """After a reboot, native code that is not what was compiled is never loaded."""
    workshop.run(HELLO)
    for path in (workshop.directory / "native").iterdir():
        if path.suffix != ".json":
            path.write_bytes(path.read_bytes()[:-100] + b"\xcc" * 100)
    again = make_workshop({}, workshop.directory)
    assert again.run(HELLO).result == "hello\n"


def test_native_code_others_could_write_is_not_loaded(workshop: Workshop) -> None:
    """A file with wider permissions ends the run in words instead of running."""
    entry = workshop.entry(HELLO)
    assert workshop.prepare(entry) == ""
    for path in (workshop.directory / "native").iterdir():
        path.chmod(0o666)
    workshop.supervisor.start(entry)
    key = (entry.uid, entry.run)
    workshop.until(lambda: key in workshop.over)
    assert "is not ours alone" in workshop.over[key].error


def test_a_killed_worker_ends_its_run_once(workshop: Workshop) -> None:
    """SIGKILL from outside (as out of memory) is a failure in words."""
    key = workshop.start(workshop.entry(SPIN, mode="daemon", timeout=None))
    workshop.until(lambda: workshop.supervisor.last_warm_us)
    zygote = workshop.supervisor._zygote
    assert zygote is not None
    children = subprocess.run(
        ["pgrep", "-P", str(zygote.pid)], capture_output=True, text=True, check=True
    )
    for pid in children.stdout.split():
        os.kill(int(pid), 9)
    workshop.until(lambda: key in workshop.over)
    assert "was killed" in workshop.over[key].error
    assert workshop.run(ADD, 2, entrypoint="add", args=("1", "2")).result == "3"


def test_a_killed_zygote_takes_its_guests_along_and_is_replaced(workshop: Workshop) -> None:
    """No guest is left without a parent, its run ends, and the next one starts."""
    key = workshop.start(workshop.entry(SPIN, mode="daemon", timeout=None))
    workshop.until(lambda: workshop.supervisor.last_warm_us)
    assert kill_orphans(workshop.supervisor._mark) > 0
    workshop.until(lambda: key in workshop.over)
    assert workshop.run(ADD, 2, entrypoint="add", args=("1", "2")).result == "3"
    workshop.supervisor.close()
    deadline = time.monotonic() + 5  # the kernel ends them when their parent is gone, not before
    while (left := _alive(workshop.supervisor._mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def _alive(mark: str) -> list[str]:
    """Processes whose command line carries `mark`."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                if mark.encode() in (path / "cmdline").read_bytes().split(b"\0"):
                    found.append(path.name)
    return found
