"""What an installed Propeller brings along."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from what is tracked or new, outside the checkout."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    names = [name for name in listed.decode().split("\0") if name and (ROOT / name).exists()]
    subprocess.run(
        ["cp", "--parents", "--no-dereference", "-t", source, *names], cwd=ROOT, check=True
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "out", "."],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (source / "out").glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.live
def test_the_schemas_come_along(wheel):
    """Validation and `explain` work without a checkout."""
    inside = {Path(name).name for name in wheel.namelist() if "propeller/schemas/spec/" in name}
    assert inside == {path.name for path in (ROOT / "schemas" / "spec").glob("*.json")}


@pytest.mark.live
def test_the_pages_of_reasons_come_along_and_no_other(wheel):
    """`explain REASON` works without a checkout."""
    inside = {Path(name).name for name in wheel.namelist() if "propeller/reference/" in name}
    assert inside == {"errors.md", "events.md"}


@pytest.mark.live
def test_nothing_else_comes_along(wheel):
    """Two packages and the licence: no tests, no samples, no common name at the top."""
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"propeller", "proplet"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


@pytest.mark.live
def test_every_module_comes_along(wheel):
    """No package was forgotten in the list."""
    inside = {name for name in wheel.namelist() if name.endswith(".py")}
    here = {
        str(path.relative_to(ROOT))
        for package in ("propeller", "proplet")
        for path in (ROOT / package).rglob("*.py")
    }
    assert inside == here
