"""Compiles the C side for the tests: strict warnings, sanitizers, into a directory of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
VECTORS = ROOT / "schemas" / "wire" / "vectors"

STRICT = (
    "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wvla",
    "-Wstrict-prototypes",
)  # fmt: skip
SANITIZED = (
    "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program said and how it ended."""

    status: int
    text: str


def core_sources() -> list[Path]:
    """The sources of the portable core, as its own list says (`core/sources.cmake`)."""
    listed = (FIRMWARE / "core" / "sources.cmake").read_text(encoding="utf-8")
    names = [line.strip() for line in listed.splitlines() if line.strip().endswith(".c")]
    found = sorted(path.name for path in (FIRMWARE / "core").glob("*.c"))
    assert sorted(names) == found, "core/sources.cmake does not list what is in core/"
    return [FIRMWARE / "core" / name for name in names]


def fl_sources() -> list[Path]:
    """What a device that takes part in rounds has besides, as its own list says."""
    listed = (FIRMWARE / "fl" / "sources.cmake").read_text(encoding="utf-8")
    names = sorted(word for word in listed.replace(")", " ").split() if word.endswith(".c"))
    found = sorted(path.name for path in (FIRMWARE / "fl").glob("*.c"))
    assert names == found, "fl/sources.cmake does not list what is in fl/"
    return [FIRMWARE / "fl" / name for name in names]


def compile_to(
    out: Path, sources: Sequence[Path], *flags: str, cc: str = "cc", libs: Sequence[str] = ()
) -> Path:
    """Build a program; a warning is an error. Raises AssertionError with what the compiler said."""
    command = [cc, *STRICT, *flags, "-I", str(FIRMWARE / "include"), "-I", str(FIRMWARE / "core")]
    command += [str(source) for source in sources]
    done = subprocess.run(
        [*command, "-o", str(out), *libs], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return out


def archive(directory: Path, sources: Sequence[Path], *flags: str, cc: str = "cc") -> Path:
    """Build a library once, for several programs."""
    objects = [
        str(compile_to(directory / f"{source.stem}.o", [source], "-c", *flags, cc=cc))
        for source in sources
    ]
    library = directory / "libcore.a"
    subprocess.run(["ar", "rcs", str(library), *objects], check=True, timeout=60)
    return library


def run(program: Path, *args: str, env: Mapping[str, str] | None = None, timeout: int = 120) -> Ran:
    """Run it to its end."""
    done = subprocess.run(
        [str(program), *args],
        # The core allocates nothing; what the tests load is theirs to the end.
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    return Ran(done.returncode, done.stdout + done.stderr)
