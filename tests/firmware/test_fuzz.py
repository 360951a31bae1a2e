"""Short, seeded runs of the fuzzers; docs/reference/firmware.md says how to let them run long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import fuzz_seeds
import pytest
from cbuild import FIRMWARE, VECTORS, archive, compile_to, core_sources, fl_sources, run

FUZZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TESTS = FIRMWARE / "tests"
FAKE = [TESTS / name for name in ("fake.c", "harness.c", "crypto_openssl.c")]


@pytest.fixture(scope="session")
def fuzzed_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core, telling the fuzzer where it has been."""
    flags = (*FUZZED, "-fsanitize=fuzzer-no-link")
    return archive(tmp_path_factory.mktemp("fuzzed"), core_sources(), *flags, cc="clang")


def fuzz(
    core: Path,
    tmp_path: Path,
    target: str,
    seeds: list[bytes],
    runs: int,
    *more: Path,
    flags: tuple[str, ...] = (),
) -> str:
    """Build a target, run it from its seeds; what it said. Red when anything was wrong."""
    sources: Sequence[Path] = [FIRMWARE / "fuzz" / f"{target}.c", *more, core]
    flags = (*FUZZED, "-fsanitize=fuzzer", *flags)
    program = compile_to(tmp_path / target, sources, *flags, cc="clang", libs=["-lcrypto"])
    corpus = fuzz_seeds.write(tmp_path / "corpus", seeds)
    ran = run(
        program, f"-runs={runs}", "-seed=1", "-max_len=8192",
        f"-artifact_prefix={tmp_path}/", str(corpus), timeout=240,
    )  # fmt: skip
    assert ran.status == 0, ran.text[-6000:]
    return ran.text


def test_readers_of_the_wire(
    fuzzed_core: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing makes a reader fall over, and what is taken reads back to itself, either encoding."""
    runs = 40_000
    said = fuzz(fuzzed_core, tmp_path, "fuzz_wire", fuzz_seeds.wire_seeds(VECTORS), runs)
    assert f"Done {runs} runs" in said
    record_property("fuzz_wire_runs", runs)


def test_a_device_that_hears_anything(
    fuzzed_core: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Any message under any signature, any module, reboots and broken storage between them: the
    device stands, and what it sends is what it should be."""
    runs = 500
    seeds = fuzz_seeds.device_seeds(VECTORS, TESTS / "vectors" / "modules.json")
    said = fuzz(fuzzed_core, tmp_path, "fuzz_device", seeds, runs, *FAKE)
    assert f"Done {runs} runs" in said
    record_property("fuzz_device_runs", runs)


def test_rounds(
    fuzzed_core: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Headers of models, layouts, and a guest that calls its imports with whatever it likes."""
    runs = 5_000
    engine = [
        FIRMWARE / "engine" / name for name in ("decimal.c", "runner.c", "values.c", "wasi.c")
    ]
    more = [*fl_sources(), *engine, TESTS / "fake_lesson.c", *FAKE[1:]]
    flags = ("-DPROPLET_FL", "-I", str(FIRMWARE / "engine"), "-I", str(FIRMWARE / "fl"))
    seeds = fuzz_seeds.lesson_seeds(TESTS / "vectors" / "updates.json")
    said = fuzz(fuzzed_core, tmp_path, "fuzz_lesson", seeds, runs, *more, flags=flags)
    assert f"Done {runs} runs" in said
    record_property("fuzz_lesson_runs", runs)
