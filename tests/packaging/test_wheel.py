"""What an installed Propeller brings along."""

from __future__ import annotations

import os
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


@pytest.mark.live
def test_up_works_outside_the_checkout(wheel, tmp_path):
    """What is in the wheel is enough: broker, reconciler and proplet run a module of a folder of
    specs that lies somewhere else, and `explain` has its pages."""
    installed = tmp_path / "installed"
    wheel.extractall(installed)
    specs = tmp_path / "plant"
    specs.mkdir()
    (specs / "m.wat").write_text('(module (func (export "run") (result i32) (i32.const 42)))')
    (specs / "task.yaml").write_text(
        "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: answer}\n"
        "spec:\n  module: {file: m.wat}\n  run: {entrypoint: run}\n"
    )

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    where = python("-c", "import propeller, proplet; print(propeller.__file__, proplet.__file__)")
    assert where.stdout.count(str(installed)) == 2
    up = python(
        *(
            "-m",
            "propeller.cli",
            "up",
            "plant",
            "--proplets",
            "1",
            "--until-ready",
            "--dashboard",
            "127.0.0.1:0",
        )
    )
    assert up.returncode == 0, up.stderr
    status = tmp_path / ".propeller" / "status" / "default" / "Task" / "answer.yaml"
    assert "result: '42'" in status.read_text()
    assert "MEANS:" in python("-m", "propeller.cli", "explain", "NoMatch").stdout
