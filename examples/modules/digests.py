"""Which bytes the committed modules are, and which toolchains made them.

`DIGESTS` has the form `sha256sum --check` reads; a comment line names each toolchain. With
`--write` it is rewritten, else it is checked. Called by `make update`, by `make check` and by the
tests. Exit: 0, or 1 with a line for every file that differs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
DIGESTS = HERE / "DIGESTS"
TOOLCHAINS = {
    "vibration-filter/vibration-filter.wasm": ("clang", "--version"),
    "report/report.wasm": ("/usr/bin/rustc", "--version"),
    "shift/shift.wasm": ("clang", "--version"),
    "fib/fib.wasm": (
        "node",
        "-p",
        "'assemblyscript ' + require('./fib/package.json').devDependencies.assemblyscript",
    ),
}
"""The command whose first line of output names what builds a committed binary."""


def committed() -> tuple[str, ...]:
    """Every committed module, as a path relative to this folder, sorted."""
    text = HERE.glob("*/*.wat")
    return tuple(sorted(str(path.relative_to(HERE)) for path in text) + sorted(TOOLCHAINS))


def version(path: str) -> str:
    """What would build `path` here; empty when it is not installed."""
    try:
        done = subprocess.run(
            TOOLCHAINS[path], cwd=HERE, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.splitlines()[0].strip()


def actual() -> Mapping[str, str]:
    """Path to the SHA-256 of its bytes, in hexadecimal."""
    return {path: hashlib.sha256((HERE / path).read_bytes()).hexdigest() for path in committed()}


def recorded() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What `DIGESTS` says: path to digest, and path to toolchain."""
    digests: dict[str, str] = {}
    toolchains: dict[str, str] = {}
    for line in DIGESTS.read_text().splitlines():
        if line.startswith("# ") and ": " in line:
            path, toolchain = line[2:].split(": ", 1)
            toolchains[path] = toolchain
        elif line and not line.startswith("#"):
            digest, path = line.split()
            digests[path] = digest
    return digests, toolchains


def write() -> None:
    """Makes `DIGESTS` say what is here."""
    lines = ["# What the committed modules are. Check: sha256sum --check DIGESTS", "#"]
    lines += [f"# {path}: {version(path)}" for path in sorted(TOOLCHAINS)]
    lines += [f"{digest}  {path}" for path, digest in actual().items()]
    DIGESTS.write_text("\n".join(lines) + "\n")


def differences() -> tuple[str, ...]:
    """One line for every file that is not what `DIGESTS` says; empty when all are."""
    digests, _ = recorded()
    here = actual()
    return tuple(
        f"{path}: DIGESTS says {digests.get(path, 'nothing')}, here is {here.get(path, 'nothing')}"
        for path in sorted(digests.keys() | here.keys())
        if digests.get(path) != here.get(path)
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    for difference in differences():
        print(difference)
    sys.exit(1 if differences() else 0)
