"""A commit and a call, each as one trace across real processes, as a collector sees it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.live

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))))"""
THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DEVICE = ("receive document", "fetch module", "compile module", "start guest", "first report")


def test_a_commit_is_one_trace_from_the_reconciler_to_the_guest(fleet: Any, collector: Any) -> None:
    """So is a call, in its caller's trace; logs are JSON lines and both sides have /metrics."""
    fleet.write("add.wat", ADD)
    spec = {"module": {"file": "add.wat"}, "interface": "Values", "run": {"entrypoint": "add"}}
    fleet.spec("Function", "add", spec)
    fleet.broker()
    server = fleet.serve(
        *("--dashboard", "127.0.0.1:0", "--traces", collector.url, "--log-format", "json")
    )
    proplet = fleet.proplet("gw-01", "--traces", collector.url, "--metrics", "127.0.0.1:0")
    fleet.ready("Function/default/add")

    def ended() -> bool:
        return bool(collector.named("revision")) and bool(collector.named("first report"))

    fleet.until(ended, lambda: f"the end of the trace, yet {collector.spans}")
    (root,) = collector.named("revision")
    assert root.words["propeller.outcome"] == "Converged"
    assert {span.trace for span in collector.spans} == {root.trace}
    receives = collector.named("receive document")
    published = {span.span for span in collector.named("publish document")}
    assert {span.parent for span in receives} <= published
    mine = {name: collector.named(name) for name in DEVICE}
    assert all(mine.values()), mine
    assert {span.service for spans in mine.values() for span in spans} == {"proplet"}
    assert {span.parent for name in DEVICE[1:] for span in mine[name]} <= {
        span.span for span in receives
    }

    ports = json.loads((fleet.state / "run" / "ports.json").read_text())
    where = f"http://127.0.0.1:{ports['dashboard']}"
    words = fleet.on("token", "create", "op", "--role", "operator").out.strip().splitlines()[-1]
    head = {"Authorization": f"Bearer {words}", "traceparent": THEIRS}
    answer = requests.post(f"{where}/fn/default/add", json=[40, 2], headers=head, timeout=20)
    assert answer.json() == 42
    fleet.until(
        lambda: collector.named("run call") and collector.named("call default/add"),
        lambda: f"the spans of the call, yet {collector.spans}",
    )
    (taken,), (ran,) = collector.named("call default/add"), collector.named("run call")
    assert (taken.trace, taken.parent) == (THEIRS[3:35], THEIRS[36:52])
    assert (ran.trace, ran.parent, ran.service) == (taken.trace, taken.span, "proplet")
    with urllib.request.urlopen(f"{where}/metrics", timeout=20) as found:
        assert b"propeller_convergence_ratio 1.0" in found.read()

    said = next(
        json.loads(line)["message"] for line in proplet.said.splitlines() if "metrics on" in line
    )
    with urllib.request.urlopen(said.removeprefix("metrics on "), timeout=20) as found:
        told = found.read()
    assert b"proplet_broker_connected 1.0" in told
    assert b'proplet_calls_total{outcome="done"} 1.0' in told
    proplet.end()
    server.end()
    lines = [json.loads(line) for line in server.said.splitlines()]
    assert any(line.get("object") == "Function/default/add" for line in lines)
