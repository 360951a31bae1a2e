"""The committed modules are what their sources build, and the sample specs use the same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "examples" / "modules"
SMALL = 100_000


def _digests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_digests", MODULES / "digests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


digests = _digests()


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All modules, built from source outside the checkout."""
    out = tmp_path_factory.mktemp("modules")
    done = subprocess.run(
        ["make", "-C", str(MODULES), f"OUT={out}", f"PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
        env={**os.environ, "MAKEFLAGS": ""},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_committed_modules_are_what_digests_says():
    """Nobody changed a module without saying so."""
    assert digests.differences() == ()


def test_the_committed_modules_are_small():
    """Bigger ones are built, not kept."""
    sizes = {path: (MODULES / path).stat().st_size for path in digests.committed()}
    assert {path for path, size in sizes.items() if size >= SMALL} == set()


@pytest.mark.live
@pytest.mark.parametrize("path", sorted(digests.TOOLCHAINS))
def test_building_again_gives_the_committed_bytes(built, path):
    """With the recorded toolchain the digest is the same; with another one a module comes out."""
    recorded, toolchains = digests.recorded()
    fresh = built / Path(path).name
    assert fresh.read_bytes().startswith(b"\0asm\1\0\0\0")
    if digests.version(path) == toolchains[path]:
        assert sha256(fresh) == recorded[path]


@pytest.mark.live
def test_the_go_module_greets(built, world):
    """Go's own WASI port runs, with arguments and environment."""
    ran = world.run(built / "hello.wasm", "one", "two", env={"PLANT": "a", "BOARD": "b"})
    assert ran.stdout == (
        "hello from Go on wasip1/wasm\narguments: one two\nenvironment: BOARD PLANT\n"
    )
    assert ran.code == 0


def test_the_sample_specs_use_the_example_modules():
    """The sample plant's copies are the committed modules, byte for byte."""
    recorded, _ = digests.recorded()
    by_name = {Path(path).name: digest for path, digest in recorded.items()}
    copies = [path for ext in ("wat", "wasm") for path in (ROOT / "specs").rglob(f"*.{ext}")]
    assert len(copies) >= 5
    assert {path.name: sha256(path) for path in copies} == {
        path.name: by_name[path.name] for path in copies
    }
