"""`power_recorder`: run a program, keep what it wrote and synced, and cut its power afterwards.

Tests that need it live in this directory. A test starts a program on an empty directory, has it say
in the marks file what it was told is durable, and then checks what every guess of `crashes` left:

    recording = power_recorder.run([sys.executable, "-c", CODE], root=tmp_path / "s")
    for crash in recording.crashes():
        crash.materialise(place)            # a directory as a disk may hold it
        ...                                 # crash.marks says what had been promised by then

The program finds the marks file in the environment as POWER_MARKS; each write to it is one mark.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    """A module of this directory, which is no package."""
    spec = importlib.util.spec_from_file_location(f"power_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def replay() -> ModuleType:
    """The replay of a log; see `replay.py`."""
    return load("replay")


class PowerRecorder:
    """Runs programs under the preload library."""

    def __init__(self, library: Path, replay: ModuleType) -> None:
        self._library = library
        self._replay = replay

    def run(
        self,
        arguments: Sequence[str],
        *,
        root: Path,
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Any:
        """Run to its end, on an empty `root` that is created. Answers a `replay.Recording`."""
        root.mkdir()
        root = root.resolve()
        log = root.with_name(root.name + ".power-log")
        marks = root.with_name(root.name + ".power-marks")
        subprocess.run(
            arguments,
            env={
                **os.environ,
                **(environment or {}),
                "LD_PRELOAD": str(self._library),
                "POWER_ROOT": str(root),
                "POWER_LOG": str(log),
                "POWER_MARKS": str(marks),
            },
            check=True,
            timeout=timeout,
        )
        return self._replay.Recording(tuple(self._replay.read_log(log, root)))


@pytest.fixture(scope="session")
def power_recorder(tmp_path_factory: pytest.TempPathFactory, replay: ModuleType) -> PowerRecorder:
    """The recorder, built from `recorder.c`."""
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD is Linux")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "no C compiler: install gcc or clang"
    library = tmp_path_factory.mktemp("power") / "recorder.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [compiler, *flags, "-o", str(library), str(HERE / "recorder.c"), "-lpthread"], check=True
    )
    return PowerRecorder(library, replay)
