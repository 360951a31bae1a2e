"""Newer modules from a real registry, through git, to a real device."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.live

BEAT = "Daemon/default/beat"


def git(folder: Any, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_bump_is_pushed_merged_and_runs(fleet: Any, docker_registry: Any):
    """Pushed as a branch to a bare remote; merged there, the device gets the newer module."""
    image = f"{docker_registry.host}/live/bumped"
    fleet.module("heartbeat/heartbeat.wat")
    wat = (fleet.specs / "heartbeat.wat").read_text()
    (fleet.specs / "heartbeat.wat").unlink()
    config = {"registries": {docker_registry.host: {"plainHttp": "Allowed"}}}
    file = fleet.write("propeller.yaml", json.dumps(config))
    for number, version in enumerate(("1.0.0", "1.1.0", "2.0.0")):
        text = wat.rstrip().removesuffix(")") + f' (func (export "v{number}")))'
        (fleet.place / "m.wat").write_text(text)
        pushed = fleet.on("push", "m.wat", f"{image}:{version}", "--config", str(file))
        assert pushed.code == 0, pushed.err
        if version == "1.1.0":
            wanted = pushed.out.strip().partition("@")[2]
    spec = (
        "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\nmetadata: {name: beat}\nspec:\n"
        f'  module: {{image: {image}:1.0.0}}  # propeller: {{policy: semver, range: "^1"}}\n'
        "  placement: {proplets: [press]}\n"
    )
    fleet.write("beat.yaml", spec)
    fleet.spec("Proplet", "press", {"heartbeat": "2s"})
    git(fleet.place, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(fleet.specs, "init", "--quiet", "--initial-branch=main")
    git(fleet.specs, "config", "user.name", "Ana")
    git(fleet.specs, "config", "user.email", "ana@example.org")
    git(fleet.specs, "add", ".")
    git(fleet.specs, "commit", "--quiet", "--message", "First")
    git(fleet.specs, "remote", "add", "origin", str(fleet.place / "origin.git"))
    git(fleet.specs, "push", "--quiet", "origin", "main")
    fleet.broker()
    fleet.serve("--config", str(file), source=f"git+file://{fleet.place}/origin.git?ref=main")
    fleet.proplet("press")
    before = fleet.ready(BEAT)["status"]["copies"][0]["run"]
    bumped = fleet.on(
        "bump", "specs", "--config", str(file), "--branch", "bump", "--push", "-o", "json"
    )
    assert bumped.code == 0, bumped.err
    (change,) = json.loads(bumped.out)["changes"]
    assert (change["tag"], change["digest"]) == ("1.1.0", wanted)
    assert git(fleet.specs, "status", "--porcelain") == ""
    git(fleet.place / "origin.git", "update-ref", "refs/heads/main", "refs/heads/bump")
    text = git(fleet.place / "origin.git", "show", "main:beat.yaml")
    assert text == spec.strip().replace(f"{image}:1.0.0", f"{image}:1.1.0@{wanted}")
    fleet.ready(BEAT, generation=2)
    assert fleet.copies(BEAT)[0]["run"] != before
