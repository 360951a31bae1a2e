"""Modules by image: pushed by the command, run from the local layout, pulled by a proplet."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.live

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  local.get 0 local.get 1 i32.add))
"""
RUN = {"entrypoint": "add", "args": ["40", "2"]}


def test_pushed_to_the_local_layout_and_run(fleet: Any):
    """`local/add:1` needs no registry; another push moves nothing until the revision does."""
    (fleet.place / "add.wat").write_text(ADD)
    pushed = fleet.on("push", "add.wat", "local/add:1")
    assert pushed.code == 0, pushed.err
    fleet.spec("Task", "add", {"module": {"image": "local/add:1"}, "run": RUN})
    fleet.spec("Task", "gone", {"module": {"image": "local/gone:1"}, "run": RUN})
    done = fleet.run(
        "up", "specs", "--state", "state", "--proplets", "1", "--until-ready", "--timeout", "20s"
    )
    assert done.code == 3, done.err
    assert fleet.copies("Task/default/add")[0]["result"] == "42"
    assert "local/gone" in fleet.condition("Task/default/gone", "Ready")["message"]


def test_a_proplet_pulls_by_itself(fleet: Any, docker_registry: Any):
    """`fetch: Direct`: the module never passes through the manager, which has lost its own copy."""
    image = f"{docker_registry.host}/live/direct-add:1"
    (fleet.place / "add.wat").write_text(ADD)
    config = {"registries": {docker_registry.host: {"plainHttp": "Allowed"}}}
    file = fleet.write("propeller.yaml", json.dumps(config))
    pushed = fleet.on("push", "add.wat", image, "--config", str(file))
    assert pushed.code == 0, pushed.err
    fleet.spec("Task", "add", {"module": {"image": image}, "run": RUN})
    fleet.broker()
    fleet.serve()

    def resolved() -> list[Any]:
        blobs = [file for file in (fleet.state / "blobs").rglob("*") if file.is_file()]
        reason = fleet.condition("Task/default/add", "Ready").get("reason")
        return blobs if reason not in (None, "ModuleUnresolved") else []

    for blob in fleet.until(resolved, "the image resolved"):
        blob.unlink()
    fleet.proplet("press", "--fetch", "Direct", "--plain-http", docker_registry.host)
    (copy,) = fleet.ready("Task/default/add")["status"]["copies"]
    assert copy["result"] == "42"
