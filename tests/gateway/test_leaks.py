"""Planted secrets, and a look at all that leaves the gateway: answers, errors, logs, records."""

from __future__ import annotations

import base64
import json
import logging

import requests

from propeller.gateway.access.oidc import Given, Issuer, Oidc
from propeller.gateway.access.roles import Grant, Role
from propeller.gateway.app import House, entries
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.routing import Face

PLANTED = "hunter2"
"""The value of API_TOKEN in the fleet's specs (tests/cli/fleet_rows.py)."""

SENT = "s3cret-that-was-sent"
CLIENT_SECRET = "s3cret-of-our-client"
STREAMS = {"/changes", "/api/v1/watch"}

PATH = {
    "kind": "Daemon",
    "namespace": "plant-a",
    "name": "filter",
    "proplet": "gateway-1",
    "digest": "sha256:" + "0" * 64,
    "run": "0" * 32,
    "round": "latest",
    "id": "00000000-0000-4000-8000-000000000000",
}

SPEC = {
    "apiVersion": "propeller.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"name": "leaky", "namespace": "plant-a"},
    "spec": {
        "module": {"file": "m.wat"},
        "run": {"entrypoint": "f", "env": [{"name": "PASSWORD", "value": SENT}]},
    },
}
FILES = {"m.wat": base64.b64encode(b'(module (func (export "f")))').decode()}
PUT = "/api/v1/objects/Task/plant-a/leaky"


def test_no_answer_error_log_or_record_has_a_secret(open_door, caplog):
    """Environment of specs, tokens, sessions, the client's secret, and what was sent in a body: in
    no answer of any route, whether it goes well or not, in no log line and in no record."""
    caplog.set_level(logging.DEBUG)
    oidc = Oidc(
        Issuer(
            url="http://127.0.0.1:9",
            client="propeller",
            secret=lambda: CLIENT_SECRET,
            given=(Given(grant=Grant(Role.ADMIN), group="x"),),
        ),
        lambda: 0,
    )
    door = open_door(oidc=oidc)
    admin = door.token("admin")
    said = []

    def ask(method, path, **more):
        answer = door.ask(method, path, token=admin, stream=True, **more)
        whole = b"" if path.partition("?")[0] in STREAMS else answer.content
        answer.close()
        said.append((f"{method} {path}", str(answer.headers), whole.decode(errors="replace")))

    house = House(
        database=door.state.database,
        blobs=None,
        shelves=door.state.shelves,
        loop=door.loop,
        clock=door.gate.clock,
    )
    for entry in entries(house, door.gate, Renderer(door.gate.clock)):
        path = entry.path.format(**PATH)
        headers = {"Accept": "text/html"} if entry.face is Face.PAGE else {}
        if not entry.writes:
            ask(entry.method, path, headers=headers)
            ask(entry.method, f"{path}?x={SENT}", headers=headers)
            continue
        for body in (
            {"reason": ["x", SENT], "password": SENT},
            {SENT: SENT},
            SENT,
            {"document": {**SPEC, "spec": {**SPEC["spec"], "nope": 1}}, "files": FILES},
            {"document": {**SPEC, "kind": "Nope"}, "files": {"m.wat": SENT}},
        ):
            ask(entry.method, path, json=body)
        ask(entry.method, path, data=f"reason=&token={SENT}&csrf={SENT}", headers=headers)
        ask(entry.method, path, data=f"{{{SENT}", headers={"Content-Type": "application/json"})
    ask("PUT", PUT, json={"document": SPEC, "files": FILES})
    ask("PUT", f"{PUT}?dryRun=true", json={"document": SPEC, "files": FILES})
    browser = door.login("operator")
    page = browser.get(door.base + "/", headers={"Accept": "text/html"}, timeout=20)
    said.append(("the page of a session", "", page.text.replace("csrf", "")))
    cookie = browser.cookies["propeller_session"]
    requests.post(door.base + "/login", data={"token": SENT, "csrf": ""}, timeout=20)

    secrets = [PLANTED, CLIENT_SECRET, SENT, admin.split("_", 2)[2], cookie]
    for what, headers, body in said:
        for secret in secrets:
            assert secret not in headers, (what, secret)
            assert secret not in body, (what, secret)
    written = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")
    )
    recorded = "\n".join(path.read_text() for path in door.gate.audit.files() if path.exists())
    events = "\n".join(json.dumps(repr(one)) for one in door.store.events(limit=1000))
    kept = (door.state.keys / "tokens.json").read_text()
    for secret in secrets:
        assert secret not in written
        assert secret not in recorded
        assert secret not in events
        assert secret not in kept
    assert len(said) > 100
