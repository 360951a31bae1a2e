"""The portable core of the firmware, compiled here and held to the same vectors as Python."""

from __future__ import annotations

from pathlib import Path

from cbuild import FIRMWARE, SANITIZED, VECTORS, compile_to, core_sources, run
from make_tables import ROOT, all_files

TESTS = FIRMWARE / "tests"
CRYPTO = (TESTS / "harness.c", TESTS / "crypto_openssl.c")


def test_the_tables_are_those_of_the_protocol() -> None:
    """`python tests/firmware/make_tables.py` writes them anew."""
    for name, text in all_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


def test_no_function_of_the_core_has_a_large_frame(tmp_path: Path) -> None:
    """A microcontroller's stack is small: no frame of the core is above 512 bytes, and it uses
    neither a heap nor a variable of its own."""
    for source in core_sources():
        flags = ("-c", "-Os", "-fno-pie", "-Wframe-larger-than=512")
        out = compile_to(tmp_path / "part.o", [source], *flags)
        symbols = run(Path("/usr/bin/nm"), str(out)).text
        for line in symbols.splitlines():
            kind, name = line.split()[-2:]
            assert kind not in "BbCDd", f"{source.name}: {line}"
            assert name not in ("malloc", "calloc", "realloc", "free", "time", "rand"), line


def test_the_wire_vectors(tmp_path: Path) -> None:
    """Every message, reject, frame, piece and topic reads as it does in Python, cut anywhere."""
    sources = [*core_sources(), *CRYPTO, TESTS / "test_wire.c"]
    program = compile_to(tmp_path / "wire", sources, *SANITIZED, libs=["-lcrypto"])
    ran = run(program, str(VECTORS))
    assert ran.status == 0, ran.text
    assert " 0 failed" in ran.text


def test_the_conversations_of_the_linux_agent(tmp_path: Path) -> None:
    """Whatever the Linux agent does when it hears, waits or reboots, the C agent does: every line
    of every conversation, with the same effects in the same order."""
    sources = [*core_sources(), *CRYPTO, TESTS / "test_conversation.c"]
    program = compile_to(tmp_path / "conversation", sources, *SANITIZED, libs=["-lcrypto"])
    names = sorted(path.name for path in (VECTORS / "agent").glob("*.json"))
    assert len(names) >= 15
    ran = run(program, str(VECTORS / "agent"), *names)
    assert ran.status == 0, ran.text
    assert " 0 failed" in ran.text
