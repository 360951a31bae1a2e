"""One guest by the firmware's engine: what it is given, what it may not do, how its end is told.

The engine is wasmtime's C library, loaded from the package that the Linux proplet uses. With
PROPLET_WAMR_ROOT in the environment the same cases run by WAMR, out of that source tree, with
PROPLET_WAMR_FLAGS for CMake (-DWAMR_BUILD_FAST_INTERP=1).
"""

from __future__ import annotations

import os
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import wasmtime
from cbuild import FIRMWARE, SANITIZED, compile_to

from propeller.wire.point_messages import WirePoint
from proplet.points import Points, read_output, read_sensor, together
from proplet.runtime.imports import Imports
from proplet.runtime.pointfiles import Unanswered, read_number
from proplet.runtime.points import PointImports
from proplet.runtime.values import read_args, write_results

MODULES = FIRMWARE.parent / "examples" / "modules"
LIBRARY = next(Path(wasmtime.__file__).parent.glob("*/_libwasmtime.*"))
PLACES = ("decimal.c", "endings.c", "propeller.c", "values.c", "wasi.c", "wasmtime.c")

TYPES = """
(module (memory (export "memory") 1)
  (func (export "all") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
    local.get 0 local.get 1 local.get 2 local.get 3)
  (func (export "grow") (result i32) (memory.grow (i32.const 100)))
  (func $deeper (export "deeper") (call $deeper))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "beyond") (result i32) (i32.load (i32.const 9999999)))
  (func (export "nothing")))
"""

# Writes what it is given: its arguments, then its environment, then what it reads.
ECHO = """
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_n (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_n (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $say (param i32 i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (drop (call $args_n (i32.const 16) (i32.const 20)))
    (drop (call $args (i32.const 1024) (i32.const 2048)))
    (call $say (i32.const 2048) (i32.load (i32.const 20)))
    (drop (call $env_n (i32.const 16) (i32.const 20)))
    (drop (call $env (i32.const 1024) (i32.const 4096)))
    (call $say (i32.const 4096) (i32.load (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 8192)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $say (i32.const 8192) (i32.load (i32.const 8)))))
"""

# Hands WASI addresses that are not its own; exits with the sum of what it is answered.
OUTSIDE = """
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "write_out") (result i32)
    (call $write (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 0)))
  (func (export "write_wrap") (result i32)
    (i32.store (i32.const 0) (i32.const -16)) (i32.store (i32.const 4) (i32.const 32))
    (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func (export "random_out") (result i32) (call $random (i32.const 65530) (i32.const 100)))
  (func (export "poll_out") (result i32)
    (call $poll (i32.const 65500) (i32.const 0) (i32.const 60) (i32.const 0)))
  (func (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8))))
"""


@dataclass(frozen=True, slots=True)
class End:
    """What it wrote, and how it ended: in a word, with which exit status, in words."""

    out: bytes
    how: str
    exit: int
    text: str


Run = Callable[..., End]


def _build(place: Path) -> tuple[str, Path]:
    """The engine's name and a `proplet-run` that has it."""
    root = os.environ.get("PROPLET_WAMR_ROOT")
    if root:
        build = place / "wamr"
        flags = [f"-DWAMR_ROOT={root}", "-DCMAKE_BUILD_TYPE=Release"]
        flags += os.environ.get("PROPLET_WAMR_FLAGS", "").split()
        subprocess.run(
            ["cmake", "-S", FIRMWARE, "-B", build, *flags], check=True, capture_output=True
        )
        built = subprocess.run(
            ["cmake", "--build", build, "--target", "proplet-run"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stdout[-3000:]
        return "wamr", build / "engine" / "proplet-run"
    sources = [FIRMWARE / "tools" / "proplet-run.c"]
    sources += [FIRMWARE / "engine" / name for name in PLACES]
    sources.append(FIRMWARE / "port" / "posix" / "pointfiles.c")
    flags = [*SANITIZED, "-I", str(FIRMWARE / "engine"), "-I", str(FIRMWARE / "port" / "posix")]
    flags.append("-DPROPLET_POINTS")
    return str(LIBRARY), compile_to(
        place / "run", sources, *flags, libs=["-ldl", "-lm", "-pthread"]
    )


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a module (a .wat, or text of one) by the engine."""
    place = tmp_path_factory.mktemp("engine")
    engine, program = _build(place)

    def run(
        module: str | Path, *words: str, options: Mapping[str, str | tuple[str, ...]] | None = None
    ) -> End:
        text = module if isinstance(module, str) else module.read_text()
        path = place / f"{abs(hash(text))}-{threading.get_ident()}.wasm"
        path.write_bytes(bytes(wasmtime.wat2wasm(text)))
        given = [
            word
            for name, value in (options or {}).items()
            for each in ((value,) if isinstance(value, str) else value)
            for word in (f"--{name}", each)
        ]
        done = subprocess.run(
            [program, engine, path, *given, *words],
            capture_output=True,
            check=False,
            timeout=60,
            # wasmtime maps its memory and takes its signals as it likes
            env={"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:allow_user_segv_handler=1"},
        )
        how, _, rest = done.stderr.decode().splitlines()[-1].partition(" exit=")
        status, _, words_ = rest.partition(": ")
        assert rest, done.stderr
        return End(done.stdout, how, int(status), words_)

    return run


VALUES = [
    ("-1", "0xffffffffffffffff", "0.1", "1e300"),
    ("4294967295", "-9223372036854775808", "nan", "1e-7"),
    ("0x80000000", "9223372036854775807", "3.4028235e38", "5e-324"),
    ("+7", "-0", "1e-45", "123456789012345680"),
    ("2147483647", "1", "-inf", "0.0001"),
    ("0", "0", "16777216", "1e16"),
    ("-2147483648", "18446744073709551615", "-0.0", "-1.5"),
]


@pytest.mark.parametrize("words", VALUES)
def test_values_of_all_four_types_are_read_and_told_as_on_linux(
    guest: Run, words: tuple[str, ...]
) -> None:
    """What the Linux proplet answers for the same arguments is what a device answers."""
    types = ("i32", "i64", "f32", "f64")
    values = read_args(types, words)
    narrow = struct.unpack("<f", struct.pack("<f", values[2]))[0]
    wanted = write_results(types, [*values[:2], narrow, values[3]])
    assert guest(TYPES, "all", *words) == End(b"", "returned", 0, wanted)


@pytest.mark.parametrize(
    "words",
    [
        ("1", "2", "3"),
        ("1.5", "2", "3", "4"),
        ("4294967296", "2", "3", "4"),
        ("1", "18446744073709551616", "3", "4"),
        ("1", "2", "soon", "4"),
        ("1", "2", "1e39", "4"),
        ("", "2", "3", "4"),
        ("0x", "2", "3", "4"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_the_words_of_linux(
    guest: Run, words: tuple[str, ...]
) -> None:
    """An argument of the wrong type, width or number never reaches the guest."""
    with pytest.raises(ValueError, match=r".") as refused:
        read_args(("i32", "i64", "f32", "f64"), words)
    assert guest(TYPES, "all", *words) == End(b"", "refused", 0, str(refused.value))


def test_a_command_gets_its_arguments_environment_and_input(guest: Run) -> None:
    """argv begins with the object's name; what is written on stream 1 is all of its stdout."""
    got = guest(ECHO, "_start", "a", "b c", options={"env": "NAME=value", "stdin": "in"})
    assert got == End(b"guest\0a\0b c\0NAME=value\0in", "returned", 0, "")


def test_an_exit_status_is_told(guest: Run) -> None:
    """A command that exits with 3 returned, with 3."""
    got = guest(MODULES / "misbehave" / "exit3.wat")
    assert (got.how, got.exit) == ("returned", 3)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("deeper",), "trapped: stack overflow"),
        (("divide", "0"), "trapped: integer divide by zero"),
        (("beyond",), "trapped: out of bounds memory access"),
    ],
)
def test_a_trap_is_told_in_the_same_words_for_every_engine(
    guest: Run, words: tuple[str, ...], text: str
) -> None:
    """And the process lives on: it is the guest that ended."""
    assert guest(TYPES, *words) == End(b"", "trapped", 0, text)


@pytest.mark.parametrize(
    ("function", "answer"),
    [("write_out", 21), ("write_wrap", 21), ("random_out", 21), ("poll_out", 21), ("open", 8)],
)
def test_wasi_touches_nothing_outside_of_the_guest(guest: Run, function: str, answer: int) -> None:
    """Addresses beyond its memory are answered with a fault, files with a bad descriptor."""
    assert guest(OUTSIDE, function) == End(b"", "returned", 0, str(answer))


def test_memory_stops_growing_at_its_limit(guest: Run) -> None:
    """memory.grow answers -1, and a guest that traps for it is told how much it had."""
    assert guest(TYPES, "grow", options={"memory": "131072"}).text == "-1"
    hog = guest(MODULES / "misbehave" / "hog.wat", options={"memory": "1048576"})
    wanted = "trapped: unreachable was reached; it had 1MiB of 1MiB memory"
    assert (hog.how, hog.text) == ("trapped", wanted)


def test_fuel_ends_a_guest_that_spins(guest: Run) -> None:
    """The instruction limit is enforced without a clock."""
    got = guest(MODULES / "misbehave" / "spin.wat", options={"fuel": "100000"})
    assert got == End(b"", "fuel", 0, "used up its fuel")


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_time_ends_a_guest_that_spins_or_sleeps(guest: Run, name: str) -> None:
    """A guest in a loop and one asleep in a host call are both ended."""
    got = guest(MODULES / "misbehave" / f"{name}.wat", options={"timeout": "200"})
    assert (got.how, got.text) == ("timeout", "ran longer than its limit of 200ms")


def test_several_guests_spin_at_once_and_are_all_stopped(guest: Run) -> None:
    """Each on a thread of its own, each ended by a word from outside."""
    options = {"times": "4", "stop-after": "200"}
    got = guest(MODULES / "misbehave" / "spin.wat", options=options)
    assert (got.how, got.text) == ("stopped", "stopped")


def test_output_beyond_its_limit_ends_a_task(guest: Run) -> None:
    """What fits was taken, and not a byte more."""
    got = guest(MODULES / "misbehave" / "flood.wat", options={"output": "100"})
    assert (len(got.out), got.how) == (100, "output")
    assert got.text == "wrote more than its limit of 100 bytes to stdout"


def test_what_cannot_run_is_refused(guest: Run) -> None:
    """A missing import or entry point is said, nothing is started."""
    missing = guest(MODULES / "misbehave" / "missing-import.wat")
    assert missing.how == "refused"
    assert "plant" in missing.text
    assert guest(TYPES, "nosuch").text == "exports no function of that name"
    assert guest(TYPES, "nothing") == End(b"", "returned", 0, "")


# Drives an output and reads it back, asks for what it may not have, and says what it was answered.
SENSES = """
(module
  (import "propeller" "point_read" (func $read (param i32 i32 i32) (result i32)))
  (import "propeller" "point_write" (func $write (param i32 i32 f64) (result i32)))
  (import "propeller" "config_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "propeller" "log" (func $log (param i32 i32 i32)))
  (import "propeller" "now_ms" (func $now (result i64)))
  (import "propeller" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "tempheatbackelseNAME")
  (func (export "run") (result i32 f64 i32 i32 i32 i32 f64 i32 i32 i32 i32)
    (call $read (i32.const 0) (i32.const 4) (i32.const 64))
    (f64.load (i32.const 64))
    (call $write (i32.const 4) (i32.const 4) (f64.const 2))
    (call $write (i32.const 4) (i32.const 4) (f64.div (f64.const 0) (f64.const 0)))
    (call $write (i32.const 4) (i32.const 4) (f64.const 1))
    (call $read (i32.const 8) (i32.const 4) (i32.const 72))
    (f64.load (i32.const 72))
    (call $read (i32.const 4) (i32.const 4) (i32.const 72))
    (call $write (i32.const 0) (i32.const 4) (f64.const 0))
    (call $write (i32.const 4) (i32.const 4) (f64.const 0))
    (call $get (i32.const 16) (i32.const 4) (i32.const 96) (i32.const 2))
    (call $random (i32.const 100) (i32.const 8))
    (call $log (i32.const 1) (i32.const 0) (i32.const 4))
    (if (i64.lt_s (call $now) (i64.const 1000000000000)) (then (unreachable))))
  (func (export "stray") (result i32)
    (call $read (i32.const 0) (i32.const 4) (i32.const 65530)))
  (func (export "long") (result i32)
    (call $read (i32.const 0) (i32.const 129) (i32.const 64))))
"""


def _points(place: Path) -> list[str]:
    """A sensor in millidegrees, a relay of three writes a second, and what the relay shows."""
    (place / "temp").write_text("-21500\n")
    (place / "relay").write_text("7\n")
    return [
        f"temp={place}/temp scale=0.001 unit=Cel",
        f"heat={place}/relay min=0 max=1 safe=0 rate=3",
        f"back={place}/relay",
    ]


def test_points_and_their_guest_are_answered_as_on_linux(guest: Run, tmp_path: Path) -> None:
    """The same module with the same settings, value for value; afterwards the output is safe, and
    a bad address or name ends it in the same words."""
    temp, heat, back = _points(tmp_path)
    config = Points(together([read_sensor(temp), read_sensor(back)], [read_output(heat)]))
    grants = tuple(
        WirePoint(name=name, rate=1000, **{"write" if name == "heat" else "read": name})
        for name in ("temp", "heat", "back")
    )
    entry = SimpleNamespace(points=grants)
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    logged: list[bytes] = []
    Imports({"NAME": "ana"}, logged.append).link(linker)
    PointImports(lambda _told: None, config.rows(entry), clock=lambda: 100.0).link(linker)
    instance = linker.instantiate(store, wasmtime.Module(engine, SENSES))
    results = instance.exports(store)["run"](store)
    linux = write_results(["i32", "f64", *["i32"] * 4, "f64", *["i32"] * 4], results)
    assert linux == "0,-21.5,-2,-2,0,0,1.0,-1,-1,-3,3"
    assert logged == [b"warning: temp\n"]
    options = {"sensor": (temp, back), "output-point": heat, "env": "NAME=ana"}
    assert guest(SENSES, "run", options=options) == End(b"", "returned", 0, linux)
    assert (tmp_path / "relay").read_text() == "0\n", "what its guest drove is safe"
    outside = "rejected: an address outside of its memory"
    assert guest(SENSES, "stray", options=options) == End(b"", "refused", 0, outside)
    assert guest(SENSES, "long", options=options).text == "a name has at most 128 bytes"
    nobody = guest(SENSES, "run").text
    assert nobody == "-1,0.0,-1,-1,-1,-1,0.0,-1,-1,-1,-1"


def test_a_sensor_that_says_nothing_is_told_as_on_linux(guest: Run, tmp_path: Path) -> None:
    """-4 for what is no number, as the Linux proplet reads it."""
    options = {"sensor": _points(tmp_path)[0]}
    for text in ("", "on", "nan", "inf", "0x1", "1_0", " 5 x", "-1.5e3\n"):
        (tmp_path / "temp").write_text(text)
        try:
            wanted = f"0,{read_number(str(tmp_path / 'temp')) * 0.001},"
        except Unanswered:
            wanted = "-4,0.0,"
        assert guest(SENSES, "run", options=options).text.startswith(wanted), text
