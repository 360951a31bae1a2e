"""Federated learning in C, compiled here and held to what Python makes of the same round."""

from __future__ import annotations

from pathlib import Path

import pytest
from cbuild import FIRMWARE, SANITIZED, archive, compile_to, core_sources, fl_sources, run
from update_vectors import ROOT, all_files

TESTS = FIRMWARE / "tests"
ENGINE = [FIRMWARE / "engine" / name for name in ("decimal.c", "runner.c", "values.c", "wasi.c")]
CRYPTO = ("harness.c", "crypto_openssl.c")
BESIDE = ("-DPROPLET_FL", "-I", str(FIRMWARE / "engine"), "-I", str(FIRMWARE / "fl"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Core, imports of guests and what rounds need as one library, watched by both sanitizers."""
    sources = [*core_sources(), *ENGINE, *fl_sources()]
    return archive(tmp_path_factory.mktemp("fl"), sources, *SANITIZED, *BESIDE)


def test_the_vectors_are_current() -> None:
    """`python tests/firmware/update_vectors.py` writes them anew: what the Linux proplet makes."""
    for name, text in all_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


def run_c(parts: Path, out: Path, *sources: str, args: tuple[str, ...] = ()) -> None:
    """Build a C test upon the parts and run it. Red when a check of its failed."""
    files = [*(TESTS / name for name in (*sources, *CRYPTO)), parts]
    program = compile_to(out / "program", files, *SANITIZED, *BESIDE, libs=["-lcrypto"])
    ran = run(program, *args)
    assert ran.status == 0, ran.text
    assert " 0 failed" in ran.text


def test_bodies_envelopes_models_and_chance(parts: Path, tmp_path: Path) -> None:
    """Every encoding a device makes, signed envelopes, headers of models and bytes out of a seed:
    the bytes of the Linux proplet, and its words where numbers are refused."""
    run_c(parts, tmp_path, "test_fl.c", args=(str(TESTS / "vectors"),))


def test_a_step_of_a_round(parts: Path, tmp_path: Path) -> None:
    """What a device declines, what each import answers or refuses, what is told of every end; all
    memory is given back."""
    run_c(parts, tmp_path, "test_lesson.c", "fake_lesson.c")


def test_no_function_has_a_large_frame(tmp_path: Path) -> None:
    """Guests' threads have small stacks: no frame is above 512 bytes, and nothing is allocated."""
    for source in fl_sources():
        flags = ("-c", "-Os", "-fno-pie", "-Wframe-larger-than=512", *BESIDE)
        out = compile_to(tmp_path / "part.o", [source], *flags)
        for line in run(Path("/usr/bin/nm"), str(out)).text.splitlines():
            kind, name = line.split()[-2:]
            assert kind not in "BbCDd" or name.startswith(("literals", "known", "own")), line
            assert name not in ("malloc", "calloc", "realloc", "free", "time", "rand"), line
