"""The portable core of the firmware, compiled here and held to the same vectors as Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cbuild import FIRMWARE, SANITIZED, VECTORS, archive, compile_to, core_sources, fl_sources, run
from make_tables import ROOT, all_files
from module_vectors import all_files as module_files
from slot_vectors import all_files as slot_files

TESTS = FIRMWARE / "tests"
FL = ("-DPROPLET_FL", "-I", str(FIRMWARE / "engine"), "-I", str(FIRMWARE / "fl"))
NUMBERS = [FIRMWARE / "engine" / name for name in ("decimal.c", "values.c")]
CORE_TEXT = 128_000
"""Bytes of code and constants on x86-64 with `-Os`: a Cortex-M3 takes 0.74 of them, so 94 KB."""
CRYPTO = (TESTS / "harness.c", TESTS / "crypto_openssl.c")


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core as a library, watched by both sanitizers."""
    return archive(tmp_path_factory.mktemp("core"), core_sources(), *SANITIZED)


def run_c(core: Path, out: Path, *sources: str, args: tuple[str, ...] = ()) -> str:
    """Build a C test upon the core and run it; what it said. Red when a check of its failed."""
    files = [*CRYPTO, *(TESTS / name for name in sources), core]
    program = compile_to(out / "program", files, *SANITIZED, libs=["-lcrypto"])
    ran = run(program, *args)
    assert ran.status == 0, ran.text
    assert " 0 failed" in ran.text
    return ran.text


def test_the_tables_are_those_of_the_protocol() -> None:
    """`python tests/firmware/make_tables.py` writes them anew."""
    for name, text in all_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every source of the core, built for size as on a device."""
    flags = ("-c", "-Os", "-fno-pie", "-fno-asynchronous-unwind-tables", "-Wframe-larger-than=512")
    out = tmp_path_factory.mktemp("small")
    return [compile_to(out / f"{one.stem}.o", [one], *flags) for one in core_sources()]


def test_no_function_of_the_core_has_a_large_frame(small: list[Path]) -> None:
    """A microcontroller's stack is small: no frame of the core is above 512 bytes, and it uses
    neither a heap nor a variable of its own."""
    for out in small:
        symbols = run(Path("/usr/bin/nm"), str(out)).text
        for line in symbols.splitlines():
            kind, name = line.split()[-2:]
            assert kind not in "BbCDd", f"{out.stem}: {line}"
            assert name not in ("malloc", "calloc", "realloc", "free", "time", "rand"), line


def test_the_core_stays_within_its_flash(small: list[Path]) -> None:
    """docs/reference/footprint.md gives the core 94 KB of a Cortex-M's flash; what it weighs here
    goes with it, so a core that outgrows that is seen without a compiler for one."""
    said = run(Path("/usr/bin/size"), "-t", *map(str, small)).text
    text = int(said.splitlines()[-1].split()[0])
    assert text <= CORE_TEXT, f"{text} bytes; see where: size {small[0].parent}/*.o"


def test_a_device_with_room_for_less(tmp_path: Path) -> None:
    """The Zephyr port's CONFIG_PROPLET_SMALL_STATE: the same device and the same conversations with
    fewer keys, operations, transfers and logs at a time."""
    listed = (FIRMWARE / "zephyr" / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"PROPLET_SMALL_STATE\)\s*zephyr_compile_definitions\(([^)]*)\)", listed)
    assert found is not None
    less = ("-O1", *(f"-D{one}" for one in found[1].split()))
    library = archive(tmp_path, core_sources(), *less)
    names = sorted(path.name for path in (VECTORS / "agent").glob("*.json"))
    programs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (("test_conversation.c",), (str(VECTORS / "agent"), *names)),
        (("fake.c", "test_device.c"), ()),
    )
    for sources, args in programs:
        files = [*CRYPTO, *(TESTS / name for name in sources), library]
        program = compile_to(tmp_path / "program", files, *less, libs=["-lcrypto"])
        ran = run(program, *args)
        assert ran.status == 0, ran.text
        assert " 0 failed" in ran.text


def test_the_wire_vectors(core: Path, tmp_path: Path) -> None:
    """Every message, reject, frame, piece and topic reads as it does in Python, cut anywhere."""
    run_c(core, tmp_path, "test_wire.c", args=(str(VECTORS),))


def test_the_conversations_of_the_linux_agent(core: Path, tmp_path: Path) -> None:
    """Whatever the Linux agent does when it hears, waits or reboots, the C agent does: every line
    of every conversation, with the same effects in the same order."""
    names = sorted(path.name for path in (VECTORS / "agent").glob("*.json"))
    assert len(names) >= 15
    run_c(core, tmp_path, "test_conversation.c", args=(str(VECTORS / "agent"), *names))


def test_a_device(core: Path, tmp_path: Path) -> None:
    """A whole device over a fake port: what it stores, fetches, refuses, tells and survives."""
    run_c(core, tmp_path, "fake.c", "test_device.c")


def test_a_device_that_is_left_alone(core: Path, tmp_path: Path) -> None:
    """What it does not know how to keep it refuses in words; a budget without the manager is kept
    over reboots, told when it is spent, and costs its storage few writes."""
    run_c(core, tmp_path, "fake.c", "test_offline.c")


def test_slots_of_schedules(core: Path, tmp_path: Path) -> None:
    """When a schedule comes: what the manager's own clock says, around every change of a clock."""
    for name, text in slot_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name
    run_c(core, tmp_path, "test_slots.c", args=(str(TESTS / "vectors"),))


def test_the_module_vectors_are_current() -> None:
    """`python tests/firmware/module_vectors.py` writes them anew: what the Linux proplet says."""
    for name, text in module_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


def test_verdicts_on_modules(core: Path, tmp_path: Path) -> None:
    """Imports, memory, exports, and every way of being broken: the words of the Linux proplet."""
    run_c(core, tmp_path, "test_admit.c", args=(str(TESTS / "vectors"),))


def test_native_code(core: Path, tmp_path: Path) -> None:
    """A device runs what it offered to run, whole and by its own digest, and nothing else: cut
    anywhere, for another place, beyond what it can stop or count, it is refused in words."""
    run_c(core, tmp_path, "fake.c", "test_aot.c")


def test_power_fails_at_every_write(core: Path, tmp_path: Path) -> None:
    """Before, after and within each write of a story of four documents: the device comes up again,
    converges, and never starts a task twice."""
    said = run_c(core, tmp_path, "fake.c", "test_power.c")
    cuts = int(said.split(" cuts")[0].split()[-1])
    assert cuts > 100, said


def test_32_bits(tmp_path: Path) -> None:
    """The same core where a pointer and a size have 32 bits: vectors, conversations, a device, and
    the numbers of federated learning."""
    # Without SSE a double would be rounded twice: bodies of updates would differ in a bit.
    flags = ("-m32", "-msse2", "-mfpmath=sse", *SANITIZED, *FL)
    library = archive(tmp_path, [*core_sources(), *NUMBERS, *fl_sources()], *flags)
    beside = [TESTS / "harness.c", TESTS / "crypto_ask.c"]
    env = {"PYTHON": sys.executable, "ORACLE": str(Path(__file__).with_name("oracle.py"))}
    names = sorted(path.name for path in (VECTORS / "agent").glob("*.json"))
    programs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (("test_wire.c",), (str(VECTORS),)),
        (("test_conversation.c",), (str(VECTORS / "agent"), *names)),
        (("fake.c", "test_device.c"), ()),
        (("test_fl.c",), (str(TESTS / "vectors"),)),
    )
    for sources, args in programs:
        files = [*beside, *(TESTS / name for name in sources), library]
        program = compile_to(tmp_path / "program", files, *flags)
        ran = run(program, *args, env=env)
        assert ran.status == 0, ran.text
        assert " 0 failed" in ran.text
