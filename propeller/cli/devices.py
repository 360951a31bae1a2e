"""Devices of `propeller up --devices N`: the firmware's core as Linux processes, built on demand.

The sources are those of the checkout that Propeller runs from. What was built stays in the
state directory; a build that is up to date takes a fraction of a second.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from propeller.errors import Unavailable, UsageError

SOURCES = Path(__file__).parents[2] / "firmware"
NEEDS = "cmake gcc libc6-dev pkg-config libmosquitto-dev libsodium-dev libyaml-dev"
BUILD_SECONDS = 600


def build(place: Path, *, sources: Path = SOURCES) -> Path:
    """`proplet-posix`, built in `place`. Raises UsageError where that cannot be, with what to do,
    Unavailable where the compiler says no."""
    if not (sources / "CMakeLists.txt").is_file():
        raise UsageError(
            "--devices: the firmware's sources are not installed with this package",
            hint="run propeller out of a checkout",
        )
    missing = [tool for tool in ("cmake", "cc") if shutil.which(tool) is None]
    if missing:
        raise _needs(f"--devices: no {' and no '.join(missing)} here to build the firmware with")
    place.mkdir(parents=True, exist_ok=True)
    _call("cmake", "-S", str(sources), "-B", str(place), "-DCMAKE_BUILD_TYPE=Release")
    program = place / "port" / "posix" / "proplet-posix"
    if not (place / "port" / "posix" / "Makefile").is_file() or not _has_target(place):
        raise _needs("--devices: libraries are missing that the firmware is built with")
    _call("cmake", "--build", str(place), "--target", "proplet-posix", "--parallel", "2")
    return program


def engine() -> Path:
    """wasmtime's library out of the package that the Linux proplet uses. Raises UsageError."""
    import wasmtime

    found = sorted(Path(wasmtime.__file__).parent.glob("*/_libwasmtime.*"))
    if not found:
        raise UsageError("--devices: this wasmtime package carries no library for this machine")
    return found[0]


def _has_target(place: Path) -> bool:
    """CMake leaves the port out where a library is missing."""
    return (place / "port" / "posix" / "CMakeFiles" / "proplet-posix.dir").is_dir()


def _needs(words: str) -> UsageError:
    return UsageError(words, hint=f"on Debian: sudo apt-get install {NEEDS}")


def _call(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip()[-1500:]
        raise Unavailable(f"the firmware was not built: {last}")
