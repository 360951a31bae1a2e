"""What a release is made of: locked with hashes, listed, and the same bytes twice."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / ".ci" / "release"
_spec = importlib.util.spec_from_file_location("release_sbom", LOCKS / "sbom.py")
assert _spec is not None
assert _spec.loader is not None
sbom = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sbom)


def lock(name: str) -> dict[str, list[dict[str, object]]]:
    """The packages of a lock by canonical name; a name may have a version for each platform."""
    found: dict[str, list[dict[str, object]]] = {}
    for one in sbom.locked((LOCKS / f"{name}.lock").read_text()):
        found.setdefault(canonicalize_name(one["name"]), []).append(one)
    return found


def wanted(*, dev: bool) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = project["optional-dependencies"]["dev"] if dev else []
    return [Requirement(text) for text in (*project["dependencies"], *more)]


@pytest.mark.parametrize("name", ["run", "dev"])
def test_the_locks_hold_what_pyproject_asks_for(name: str) -> None:
    """Every dependency is there, at a version its bounds allow; `make lock` mends this."""
    held = lock(name)
    for asked in wanted(dev=name == "dev"):
        versions = held.get(canonicalize_name(asked.name))
        assert versions, f"{asked.name} is not in {name}.lock: run `make lock`"
        for one in versions:
            assert asked.specifier.contains(Version(str(one["version"])), prereleases=True), (
                f"{asked} is {one['version']} in {name}.lock: run `make lock`"
            )


def test_what_tests_run_with_is_what_users_get() -> None:
    """A package of both locks has one version."""
    run, dev = lock("run"), lock("dev")
    for name, versions in run.items():
        assert {str(one["version"]) for one in versions} <= {
            str(one["version"]) for one in dev[name]
        }, name


@pytest.mark.parametrize("name", ["run", "dev", "build"])
def test_nothing_is_locked_without_a_hash(name: str) -> None:
    """pip refuses a lock with one package without; so do we, and versions that are only local."""
    for versions in lock(name).values():
        for one in versions:
            assert one["hashes"], one["name"]
            assert Version(str(one["version"])).local is None
    text = (LOCKS / f"{name}.lock").read_text()
    assert not re.search(r"^(-|.*://)", text, re.MULTILINE), "no index and no file of one machine"


def test_the_bill_lists_every_package_once_and_is_the_same_twice() -> None:
    """CycloneDX 1.6: each component by its package URL, all of them needed by the release."""
    command = [sys.executable, str(LOCKS / "sbom.py")]
    texts = {subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)}
    (text,) = texts
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["serialNumber"])
    names = {canonicalize_name(one["name"]) for one in document["components"]}
    assert names == set(lock("run"))
    refs = [one["bom-ref"] for one in document["components"]]
    assert len(refs) == len(set(refs))
    (edges,) = document["dependencies"]
    assert sorted(edges["dependsOn"]) == sorted(refs)
    assert edges["ref"] == document["metadata"]["component"]["bom-ref"]
    for one in document["components"]:
        assert one["purl"] == one["bom-ref"]
        (files,) = one["externalReferences"]
        assert all(re.fullmatch("[0-9a-f]{64}", each["content"]) for each in files["hashes"])


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with what build.lock lists, and nothing else."""
    place = tmp_path_factory.mktemp("builder")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    locked = LOCKS / "build.lock"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", locked], check=True
    )
    return python


@pytest.mark.live
def test_the_wheel_of_a_commit_is_the_same_bytes_twice(builder: Path, tmp_path: Path) -> None:
    """Built in two clones, under two masks, at two times, with two time zones."""
    digests = []
    for number, mask in enumerate((0o022, 0o077)):
        clone = tmp_path / f"clone-{number}"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True, umask=mask)
        for path in clone.rglob("*.py"):
            os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
        environment = {**os.environ, "PYTHON": str(builder), "TZ": ("UTC", "Asia/Tokyo")[number]}
        script = clone / ".ci" / "release" / "wheel.sh"
        subprocess.run(
            ["bash", script, tmp_path / f"out-{number}"], check=True, env=environment, umask=mask
        )
        (wheel,) = (tmp_path / f"out-{number}").glob("*.whl")
        digests.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
