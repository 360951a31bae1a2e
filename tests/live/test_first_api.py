"""The first Propeller's command line, as the HTTP requests it makes, against a real fleet.

The requests are those of its README, its `propeller-cli` and its SDK as read in August 2026; the
fleet allows its clients (`access.anonymous: FirstClients`), which can show no login.
"""

from __future__ import annotations

import base64
import json

import pytest
import requests
import wasmtime

pytestmark = pytest.mark.live

ADD = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
FOR_EVER = '(module (func (export "spin") (loop br 0)))'
DELTA = '{"update":[1,2],"kind":"delta","num_samples":7}'
SAID = DELTA.replace('"', "\\22")
TRAINER = f"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{SAID}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const {len(DELTA)}))
    (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def wasm(text):
    """A module as its SDK sends it."""
    return bytes(wasmtime.wat2wasm(text))


@pytest.fixture
def cli(fleet):
    """A fleet that runs, and a way to ask as its command line does: JSON, no login."""
    fleet.write("propeller.yaml", "access: {anonymous: FirstClients}\n")
    fleet.up("--dashboard", "127.0.0.1:0")
    ports = fleet.state / "run" / "ports.json"
    fleet.until(lambda: ports.exists() and "dashboard" in ports.read_text(), "the port")
    base = f"http://127.0.0.1:{json.loads(ports.read_text())['dashboard']}"

    def ask(method, path, status=200, body=None, **more):
        if body is not None:
            more["json"] = body
        answer = requests.request(method, base + path, timeout=40, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    ask.base = base
    fleet.until(lambda: len(ask("GET", "/proplets?status=active")["proplets"]) == 2, "proplets")
    return ask


def until_state(fleet, cli, ident, state):
    """Wait for a task's number."""
    path = f"/tasks/{ident}"
    return fleet.until(
        lambda: cli("GET", path) if cli("GET", path)["state"] == state else None,
        lambda: str(cli("GET", path)),
    )


def test_a_task_is_created_uploaded_started_and_its_result_fetched(fleet, cli):
    """`tasks create`, `upload`, `start`, `view`, `results`, `list`, `stop`, `delete`."""
    assert cli("GET", "/health")["status"] == "pass"
    body = {"name": "add", "inputs": [40, "2"], "cli_args": None, "env": {"TOKEN": "hunter2"}}
    made = cli("POST", "/tasks", 201, {**body, "metadata": {"line": "3"}})
    path = f"/tasks/{made['id']}"
    assert made["state"] == 0
    files = {"file": ("add.wasm", wasm(ADD), "application/wasm")}
    shown = cli("PUT", path + "/upload", files=files)
    assert "<REDACTED>" in shown["file"]
    assert "hunter2" not in json.dumps(cli("GET", path))
    assert cli("GET", path + "/results") == {}
    assert cli("POST", path + "/start") == {"started": True}
    until_state(fleet, cli, made["id"], 3)
    assert cli("GET", path + "/results") == {"results": "42"}
    page = cli("GET", '/tasks?limit=10&metadata={"line":"3"}')
    assert [one["id"] for one in page["tasks"]] == [made["id"]]
    assert cli("GET", '/tasks?metadata={"line":"4"}')["total"] == 0
    assert cli("GET", path + "/metrics")["metrics"] == []
    assert cli("PUT", path, body={"inputs": ["20", "1"]})["inputs"] == ["20", "1"]
    answer = cli("POST", path + "/invoke", body={"inputs": ["20", "3"]})
    assert answer == {"invoked": True, "results": "23"}
    assert cli("POST", path + "/stop") == {"stopped": True}
    cli("DELETE", path, 204)
    cli("GET", path, 404)
    name = f"Task/upstream/t-{made['id']}"
    fleet.until(lambda: fleet.status(name) is None, "the spec to be gone")


def test_a_task_is_an_object_like_all_others_and_can_be_stopped(fleet, cli):
    """A spec in the App `upstream`, seen by `get`; `stop` takes it off the device, `start` begins
    again."""
    file = base64.b64encode(wasm(FOR_EVER)).decode()
    made = cli("POST", "/tasks", 201, {"name": "spin", "file": file, "broadcast": True})
    path = f"/tasks/{made['id']}"
    cli("POST", path + "/start")
    name = f"Task/upstream/t-{made['id']}"
    fleet.until(lambda: len(fleet.copies(name)) == 2, "two copies")
    listed = fleet.on("get", "-o", "json")
    assert f"t-{made['id']}" in listed.out
    cli("POST", path + "/stop")
    until_state(fleet, cli, made["id"], 6)
    fleet.until(lambda: "stopped" in str(fleet.status(name)), "the stop")
    cli("POST", path + "/start")
    until_state(fleet, cli, made["id"], 2)
    cli("DELETE", path, 204)


def test_jobs_and_workflows_run_their_tasks_in_order(fleet, cli):
    """`jobs create|list|view|start|stop` and `workflows create`: what waits for another begins
    after it."""
    file = base64.b64encode(wasm(ADD)).decode()
    one = {"name": "add", "file": file, "inputs": ["1", "2"]}
    job = cli(
        "POST", "/jobs", 201, {"name": "j", "tasks": [one, one], "execution_mode": "sequential"}
    )
    assert cli("GET", "/jobs")["jobs"][0]["state"] == 0
    assert cli("POST", f"/jobs/{job['job_id']}/start")["message"] == "job started"
    fleet.until(lambda: cli("GET", "/jobs?status=completed")["total"] == 1, "the job")
    first, second = cli("GET", f"/jobs/{job['job_id']}")["tasks"]
    assert second["depends_on"] == [first["id"]]
    assert first["finish_time"] <= second["finish_time"]
    assert cli("POST", f"/jobs/{job['job_id']}/stop")["message"] == "job stopped"
    flow = [
        {**one, "id": "11111111-1111-4111-8111-111111111111"},
        {
            **one,
            "id": "22222222-2222-4222-8222-222222222222",
            "depends_on": ["11111111-1111-4111-8111-111111111111"],
        },
    ]
    assert len(cli("POST", "/workflows", 201, {"tasks": flow})["tasks"]) == 2
    cli("POST", f"/tasks/{flow[0]['id']}/start")
    until_state(fleet, cli, flow[1]["id"], 3)
    assert cli("GET", f"/tasks/{flow[1]['id']}/results") == {"results": "3"}


def test_the_fleet_is_shown(cli):
    """`proplets list|view|sdf|metrics|alive-history|delete`."""
    listed = cli("GET", "/proplets?offset=0&limit=1")
    assert (listed["total"], len(listed["proplets"])) == (2, 1)
    ident = listed["proplets"][0]["id"]
    assert cli("GET", f"/proplets/{ident}")["alive"] is True
    assert cli("GET", f"/proplets/{ident}/sdf")["sdfThing"]
    assert cli("GET", f"/proplets/{ident}/metrics")["total"] == 0
    assert cli("GET", f"/proplets/{ident}/alive-history")["total"] == 1
    assert cli("GET", "/proplets?status=inactive")["total"] == 0
    # Deleting what announces itself is no right of this login: it is of the whole fleet.
    cli("DELETE", f"/proplets/{ident}", 403)


def test_its_readmes_federated_quick_start_runs(fleet, cli):
    """`fl create` (a federated task), `tasks start`, and the rounds it asks for."""
    made = cli(
        "POST",
        "/tasks",
        201,
        {
            "name": "my-fl-task",
            "kind": "federated",
            "mode": "train",
            "file": base64.b64encode(wasm(TRAINER)).decode(),
            "fl": {
                "rounds": 3,
                "clients_per_round": 2,
                "min_clients": 2,
                "update_format": "json-f64",
            },
        },
    )
    cli("POST", f"/tasks/{made['id']}/start")
    ready = fleet.ready(f"FederatedTask/upstream/t-{made['id']}")
    assert ready
    status = cli("GET", f"/fl/rounds/{made['id']}/complete")["status"]
    assert status == {
        "round_id": made["id"],
        "completed": True,
        "num_updates": 2,
        "k_of_n": 2,
        "model_version": 3,
    }
    assert cli("GET", f"/fl/task?round_id={made['id']}")["task"]["round_id"] == made["id"]
    cli("POST", "/fl/update", 400, {"round_id": made["id"]})


def test_what_cannot_be_is_said_in_its_words(cli):
    """`{"error": text}` with the code: no name, an odd type, unknown ids, wrong pages."""
    for method, path, code, body in (
        ("POST", "/tasks", 400, {}),
        ("POST", "/tasks", 400, {"name": 7}),
        ("POST", "/tasks", 400, {"name": "x", "image_url": "https://example.org/x.wasm"}),
        ("GET", "/tasks/11111111-1111-4111-8111-111111111119", 404, None),
        ("GET", "/tasks?limit=x", 400, None),
        ("GET", "/jobs/11111111-1111-4111-8111-111111111119", 404, None),
        ("POST", "/workflows", 400, {"tasks": [{"name": "x", "depends_on": ["nope"]}]}),
        ("GET", "/fl/task", 400, None),
    ):
        words = cli(method, path, code, body)
        assert words["error"], path
