"""The example modules do what their headers say, and the misbehaving ones misbehave as promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wasmtime

MODULES = Path(__file__).parents[2] / "examples" / "modules"
VIBRATION = MODULES / "vibration-filter" / "vibration-filter.wasm"
REPORT = MODULES / "report" / "report.wasm"


def bad(name: str) -> Path:
    """A misbehaving module by its name."""
    return MODULES / "misbehave" / f"{name}.wat"


def test_add_adds(world):
    """A typed export without imports gives its result."""
    assert world.call(MODULES / "add" / "add.wat", "add", 40, 2) == 42


def test_fib_counts_past_32_bits(world):
    """The AssemblyScript module returns 64-bit results."""
    assert world.call(MODULES / "fib" / "fib.wasm", "fib", 30) == 832_040
    assert world.call(MODULES / "fib" / "fib.wasm", "fib", 80) == 23_416_728_348_467_685


def test_heartbeat_prints_a_numbered_line_and_sleeps_five_seconds(world):
    """Every beat is one line, and between beats the guest is asleep and not spinning."""
    sleeps: list[int] = []

    def poll(caller, given):
        memory = caller["memory"]
        sleeps.append(int.from_bytes(memory.read(caller, given[0] + 24, given[0] + 32), "little"))
        if len(sleeps) == 12:
            raise wasmtime.WasmtimeError("enough")
        return 0

    world.replace = {"poll_oneoff": poll}
    ran = world.run(MODULES / "heartbeat" / "heartbeat.wat")
    assert ran.stdout == "".join(f"beat {n}\n" for n in range(1, 13))
    assert sleeps == [5_000_000_000] * 12


def test_vibration_filter_measures_its_own_signal(world):
    """Without a file the samples are made, and every machine sees the same numbers."""
    ran = world.run(VIBRATION, "--windows", "2", "--period-ms", "1")
    assert ran.stdout == (
        "rms=715 peak=1145 samples=256 state=ok\nrms=709 peak=1118 samples=256 state=ok\n"
    )
    assert ran.code == 0


def test_vibration_filter_reads_a_mounted_file(world):
    """Samples come from a file where one is named; an RMS at the limit is an alarm."""
    (world.folder / "samples").write_text("300\n-400\nnot a number\n300\n-400\n")
    given = ("--input", "/data/samples", "--windows", "1", "--alarm", "353")
    ran = world.run(VIBRATION, *given)
    assert ran.stdout == "rms=353 peak=400 samples=4 state=alarm\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--window", "0"), 2, '--window: bad value "0"'),
        (("--window",), 2, '--window: bad value ""'),
        (("--loud", "1"), 2, "unknown argument --loud"),
        (("--input", "/data/none"), 3, "cannot read /data/none"),
    ],
    ids=["out of range", "missing", "unknown", "no file"],
)
def test_vibration_filter_says_what_is_wrong(world, args, code, said):
    """A bad argument ends it at once with a sentence on standard error."""
    ran = world.run(VIBRATION, *args)
    assert (ran.code, ran.stderr.strip()) == (code, f"vibration-filter: {said}")


def test_report_summarises_arguments_and_standard_input(world):
    """One line of JSON over all readings, named after the plant."""
    ran = world.run(REPORT, "a=3", "b=10", env={"PLANT": 'no"rth'}, stdin="c 5\n\n")
    assert json.loads(ran.stdout) == {
        "plant": 'no"rth',
        "readings": 3,
        "mean": 6,
        "highest": 10,
        "at": "b",
    }


def test_report_of_nothing_is_still_json(world):
    """No readings is a report of none."""
    assert json.loads(world.run(REPORT).stdout) == {"plant": "unnamed", "readings": 0}


def test_report_refuses_what_it_cannot_read(world):
    """A reading that is not a number ends it with status 2."""
    ran = world.run(REPORT, "a=three")
    assert (ran.code, ran.stdout) == (2, "")
    assert "a=three" in ran.stderr


def test_trap_traps(world):
    """Ends in a trap with its cause."""
    assert "unreachable" in world.run(bad("trap")).trap


def test_exit3_leaves_with_three(world):
    """A guest's own exit status, after a word on standard error."""
    ran = world.run(bad("exit3"))
    assert (ran.code, ran.stderr) == (3, "no sensor found\n")


def test_spin_ends_only_by_its_fuel(world):
    """Burns everything it is given."""
    world.fuel = 100_000
    assert "all fuel consumed" in world.run(bad("spin")).trap


def test_sleep_asks_for_an_hour(world):
    """One host call, an hour long."""
    asked: list[int] = []

    def poll(caller, given):
        memory = caller["memory"]
        asked.append(int.from_bytes(memory.read(caller, given[0] + 24, given[0] + 32), "little"))
        return 0

    world.replace = {"poll_oneoff": poll}
    assert world.run(bad("sleep")).code == 0
    assert asked == [3_600_000_000_000]


def test_hog_takes_all_it_can_get(world):
    """Grows until refused, then traps."""
    world.memory = 1 << 20
    assert "unreachable" in world.run(bad("hog")).trap


def test_flood_writes_a_gigabyte(world):
    """The whole of it, in pieces of 64 KiB, if nobody stops it."""
    pieces: list[int] = []

    def write(caller, given):
        memory = caller["memory"]
        pieces.append(int.from_bytes(memory.read(caller, given[1] + 4, given[1] + 8), "little"))
        return 0

    world.replace = {"fd_write": write}
    assert world.run(bad("flood")).code == 0
    assert sum(pieces) == 1 << 30


def test_missing_import_cannot_be_linked(world):
    """The name of the function nobody has is in the message."""
    assert "open_valve" in world.run(bad("missing-import")).trap


def test_the_workflow_has_the_module_it_was_built_with():
    """The example's folder holds a copy, because a spec's modules lie inside its tree."""
    built = MODULES / "shift" / "shift.wasm"
    copy = MODULES.parent / "workflow" / "shift.wasm"
    assert copy.read_bytes() == built.read_bytes()
