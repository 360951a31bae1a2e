"""Guests that read sensors and drive outputs, in real workers, on files as the kernel has them."""

from __future__ import annotations

import base64
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from propeller.wire.call_messages import WireServe
from propeller.wire.point_messages import WirePoint
from proplet.pending import Pending
from proplet.points import Points, read_output, read_sensor, there, together
from proplet.runtime.pointfiles import Unanswered, read_number, write_number
from proplet.runtime.points import PointImports

if TYPE_CHECKING:
    from conftest import Workshop

GRANTS = (
    WirePoint(name="temp", read="temperature", rate=1000),
    WirePoint(name="heat", write="relay", rate=1000),
)
IMPORTS = """
  (import "propeller" "point_read" (func $read (param i32 i32 i32) (result i32)))
  (import "propeller" "point_write" (func $write (param i32 i32 f64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "tempheatelse")
  (func $on (result i32) (call $write (i32.const 4) (i32.const 4) (f64.const 1)))"""

ASKS = f"""(module {IMPORTS}
  (func (export "run") (result i32 f64 i32 i32 i32 i32)
    (call $read (i32.const 0) (i32.const 4) (i32.const 64))
    (f64.load (i32.const 64))
    (call $read (i32.const 8) (i32.const 4) (i32.const 64))
    (call $read (i32.const 4) (i32.const 4) (i32.const 64))
    (call $write (i32.const 0) (i32.const 4) (f64.const 1))
    (call $write (i32.const 4) (i32.const 4) (f64.const 1.5))))"""
"""The temperature; no such name, an output read, a sensor written, a value beyond its range."""

DRIVES = f"""(module {IMPORTS}
  (func (export "run") (result i32) (call $on)))"""
SPINS = f"""(module {IMPORTS}
  (func (export "run") (drop (call $on)) (loop $l (br $l))))"""
STRAYS = f"""(module {IMPORTS}
  (func (export "run") (result i32)
    (call $read (i32.const 0) (i32.const 4) (i32.const 65532))))"""


class Board:
    """Files as a device has them: millidegrees, and a relay that is on when nothing holds it."""

    def __init__(self, folder: Path) -> None:
        self.temperature, self.relay = folder / "temp1_input", folder / "value"
        self.temperature.write_text("21500\n")
        self.relay.write_text("7\n")
        found = together(
            [read_sensor(f"temperature={self.temperature} scale=0.001 unit=Cel")],
            [read_output(f"relay={self.relay} min=0 max=1 safe=0")],
        )
        self.points = Points(found)


@pytest.fixture
def board(tmp_path: Path, workshop: Workshop) -> Board:
    made = Board(tmp_path)
    workshop.supervisor._points = made.points
    return made


def test_a_guest_is_told_what_became_of_each_call(workshop: Workshop, board: Board) -> None:
    """The value in its unit; -1 for no such name to do that with, -2 for a value beyond it."""
    outcome = workshop.run(ASKS, entrypoint="run", points=GRANTS)
    assert outcome.result == "0,21.5,-1,-1,-1,-2"
    assert board.relay.read_text() == "7\n", "nothing was written"
    assert dict(workshop.supervisor.gauges()) == {"dropped.pointDenied": 4}


def test_an_output_goes_back_to_what_is_safe_when_its_guest_has_ended(
    workshop: Workshop, board: Board
) -> None:
    """However it ended: by itself, stopped, or at its deadline."""
    assert workshop.run(DRIVES, entrypoint="run", points=GRANTS).result == "0"
    workshop.until(lambda: board.relay.read_text() == "0\n")
    key = workshop.start(workshop.entry(SPINS, 2, entrypoint="run", points=GRANTS))
    workshop.until(lambda: board.relay.read_text() == "1\n")
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: key in workshop.over)
    workshop.until(lambda: board.relay.read_text() == "0\n")
    late = workshop.run(SPINS, 3, entrypoint="run", points=GRANTS, timeout=300)
    assert late.error == "ran longer than its limit of 300ms"
    workshop.until(lambda: board.relay.read_text() == "0\n")


def test_two_guests_of_one_output_and_the_last_to_end_makes_it_safe(
    workshop: Workshop, board: Board
) -> None:
    """The first that goes takes nothing from the other."""
    entries = [workshop.entry(SPINS, n, entrypoint="run", points=GRANTS) for n in (1, 2)]
    keys = [workshop.start(entry) for entry in entries]
    workshop.until(lambda: board.points._driven.get("relay") == set(keys))
    workshop.supervisor.stop(keys[0], 0)
    workshop.until(lambda: keys[0] in workshop.over)
    assert board.points.ready(entries[0])
    assert board.relay.read_text() == "1\n"
    workshop.supervisor.stop(keys[1], 0)
    workshop.until(lambda: board.relay.read_text() == "0\n")


def test_outputs_are_safe_when_the_agent_starts_and_when_it_leaves(
    workshop: Workshop, board: Board
) -> None:
    """Whatever a device of before left there; and no guest outlives the agent's word."""
    board.points.rest()
    workshop.until(lambda: board.relay.read_text() == "0\n")
    workshop.start(workshop.entry(SPINS, entrypoint="run", points=GRANTS))
    workshop.until(lambda: board.relay.read_text() == "1\n")
    workshop.supervisor.close()
    end = time.monotonic() + 15
    while board.relay.read_text() != "0\n":
        assert time.monotonic() < end, "it stayed on"
        time.sleep(0.01)


def test_an_output_of_a_function_stays_until_its_copy_goes(
    workshop: Workshop, board: Board
) -> None:
    """A call drives it and returns; the relay is off when the function is no more here."""
    serve = WireServe(interface="Values", concurrency=1, ready=1)
    key = workshop.start(
        workshop.entry(DRIVES, mode="serve", entrypoint="run", serve=serve, points=GRANTS)
    )
    pool, answers, now = workshop.supervisor.pools.find(key), [], time.monotonic_ns() // 1_000_000
    assert pool is not None
    request = {"method": "POST", "path": "", "query": "", "headers": (), "body": ""}
    pool.submit(
        Pending(id="c", request=request, came=now, ends=now + 15_000, answer=answers.append)
    )
    workshop.until(lambda: answers)
    assert (answers[0].state, answers[0].body) == ("done", base64.b64encode(b"0").decode())
    assert board.relay.read_text() == "1\n"
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: board.relay.read_text() == "0\n")


def test_a_sensor_that_is_gone_says_nothing_and_an_address_outside_ends_the_guest(
    workshop: Workshop, board: Board
) -> None:
    """-4 for the first; the second is the guest's own fault."""
    assert "outside of its memory" in workshop.run(STRAYS, entrypoint="run", points=GRANTS).error
    board.temperature.unlink()
    outcome = workshop.run(ASKS, 2, entrypoint="run", points=GRANTS)
    assert outcome.result == "-4,0.0,-1,-1,-1,-2"
    assert dict(workshop.supervisor.gauges())["dropped.pointFailed"] == 1


@pytest.mark.parametrize(
    ("module", "grants", "words"),
    [
        (DRIVES, (), "needs propeller.point_read and is granted no sensor (run.points)"),
        (DRIVES, GRANTS[:1], "needs propeller.point_write and is granted no output (run.points)"),
    ],
)
def test_a_module_without_the_grant_is_refused_in_words(
    workshop: Workshop, module: str, grants: tuple[WirePoint, ...], words: str
) -> None:
    """Before anything of it runs."""
    assert words in workshop.prepare(workshop.entry(module, entrypoint="run", points=grants))


def test_a_guest_that_is_too_fast_is_told_and_may_go_on_after_a_while(tmp_path: Path) -> None:
    """The tighter of the grant's pace and the device's: one a second."""
    board = Board(tmp_path)
    grants = (WirePoint(name="heat", write="relay", rate=1),)
    entry = type("Entry", (), {"points": grants})
    now, said = [100.0], []
    rows = board.points.rows(entry)  # type: ignore[arg-type]  # it reads nothing else
    imports = PointImports(said.append, rows, clock=lambda: now[0])
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    imports.link(linker)
    run = linker.instantiate(store, wasmtime.Module(engine, DRIVES)).exports(store)["run"]
    assert [run(store), run(store)] == [0, -3]
    now[0] += 0.9
    assert run(store) == -3
    now[0] += 0.2
    assert run(store) == 0
    imports.tell()
    assert said == [
        {"event": "drives", "name": "relay"},
        {"event": "points", "pointFast": 1},
        {"event": "points", "pointFast": 1},
    ]


def test_a_start_does_not_overtake_what_makes_its_output_safe(
    workshop: Workshop, board: Board
) -> None:
    """Where a driver hangs, the new guest is refused in words and nothing waits for ever."""
    board.points._put(board.points._points["relay"])
    assert board.points.ready(workshop.entry(DRIVES, points=GRANTS))
    board.points._settled = lambda: False  # type: ignore[method-assign]  # as a driver that hangs
    outcome = workshop.run(DRIVES, entrypoint="run", points=GRANTS)
    assert outcome.error.startswith("an output of this device does not answer")


def test_files_of_points_are_read_and_written_without_waiting(tmp_path: Path) -> None:
    """A pipe nobody writes to, text that is no number, a file that is none: in words, at once."""
    pipe, text = tmp_path / "pipe", tmp_path / "text"
    os.mkfifo(pipe)
    for content in ("", "on", "nan", "inf", "1_0", "0x1"):
        text.write_text(content)
        with pytest.raises(Unanswered, match="holds no number"):
            read_number(str(text))
    text.write_text(" -1.5e3 more\n")
    assert read_number(str(text)) == -1500
    write_number(str(text), 2.6)
    assert text.read_text() == "3\n"
    for path in (pipe, tmp_path, tmp_path / "absent"):
        with pytest.raises(Unanswered):
            write_number(str(path), 1)
        with pytest.raises(Unanswered):
            read_number(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temp", "is not NAME=FILE"),
        ("a b=/x", "is not NAME=FILE"),
        ("a=", "is not NAME=FILE"),
        ("a='/x", "is not NAME=FILE"),
        ("a=x", "not an absolute path"),
        ("a=/x scale=0", "scale must not be 0"),
        ("a=/x scale=nan", "is not a number"),
        ("a=/x safe=2", "safe=2 is not between min=0 and max=1"),
        ("a=/x min=2", "safe=2 is not between min=2 and max=1"),
        ("a=/x rate=0", "'rate=0' is none of"),
        ("a=/x colour=red", "is none of scale, offset, min, max, safe, rate, unit"),
    ],
)
def test_a_setting_that_is_no_point_is_refused(text: str, words: str) -> None:
    """With what it may be."""
    with pytest.raises(ValueError, match=r".") as refused:
        read_output(text)
    assert words in str(refused.value)


def test_a_sensor_has_no_range_and_a_name_is_given_once(tmp_path: Path) -> None:
    """And one whose file is not there is not offered, with a word in the log."""
    with pytest.raises(ValueError, match="'safe=0' is none of scale, offset, rate, unit"):
        read_sensor("a=/x safe=0")
    with pytest.raises(ValueError, match="'a' is given twice"):
        together([read_sensor("a=/x")], [read_output("a=/y")])
    with pytest.raises(ValueError, match="65 points, the most is 64"):
        together([read_sensor(f"a{n}=/x") for n in range(65)], [])
    (tmp_path / "x").write_text("1")
    found = together([read_sensor(f"a={tmp_path}/x")], [read_output(f"b={tmp_path}/y")])
    assert [point.offered for point in found.values()] == ["a", "b:w"]
    logging.getLogger("proplet").disabled = False
    assert list(there(found)) == ["a"]


def test_a_device_with_words_in_its_paths_and_its_own_scale(tmp_path: Path) -> None:
    """Words as a shell has them; value = (raw + offset) * scale both ways."""
    point = read_output(f"lamp='{tmp_path}/a b' min=0 max=100 safe=5 scale=0.4 offset=-5")
    assert (point.file, point.safe) == (tmp_path / "a b", 5)
    assert point.raw(100) == 255
