"""A rollout that asks a web server before it goes on: real reconciler, proplets and HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytestmark = pytest.mark.live


class Metrics:
    """Answers Prometheus queries with `value`, JSON documents with `quality`; None answers 503."""

    def __init__(self) -> None:
        self.value: str | None = None
        self.quality = "0.99"
        self.asked: list[str] = []
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metrics.asked.append(self.path)
                body = (
                    {"line3": {"yield": metrics.quality}}
                    if "quality" in self.path
                    else {
                        "status": "success",
                        "data": {
                            "resultType": "vector",
                            "result": [{"metric": {}, "value": [1.0, metrics.value]}],
                        },
                    }
                )
                text = json.dumps(body).encode()
                away = metrics.value is None and "quality" not in self.path
                self.send_response(503 if away else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    server = Metrics()
    yield server
    server.close()


def _commit(fleet: Any, metrics: Metrics, version: str) -> None:
    prometheus = {"url": metrics.url, "query": "sum(alarms)"}
    quality = {"url": f"{metrics.url}/quality.json", "jsonPointer": "/line3/yield"}
    often = {"interval": "1s", "count": 2}
    checks = [
        {"name": "alarms", "prometheus": prometheus, "success": {"atMost": "3"}, **often},
        {"name": "quality", "http": quality, "success": {"atLeast": "0.95"}, **often},
    ]
    rollout = {"steps": ["1"], "soak": "0s", "maxUnavailable": "100%", "checks": checks}
    spec = {
        "module": {"file": "heartbeat.wat"},
        "placement": {"perProplet": True},
        "run": {"env": [{"name": "VERSION", "value": version}]},
        "health": {"readyAfter": "100ms"},
        "rollout": rollout,
    }
    fleet.spec("Daemon", "beat", spec)


def _rollout(fleet: Any) -> dict[str, Any]:
    document = fleet.status("Daemon/default/beat")
    return dict(document["status"].get("rollout", {})) if document else {}


def test_a_rollout_waits_for_its_numbers_and_goes_back_on_bad_ones(
    fleet: Any, metrics: Metrics
) -> None:
    """The server is away: paused, with its answer in the status, also after a restart of the
    reconciler. It is back: accepted. A version with many alarms goes back."""
    fleet.module("heartbeat/heartbeat.wat")
    metrics.value = "0"
    fleet.broker()
    _commit(fleet, metrics, "1")
    reconciler = fleet.serve()
    for name in ("gw-01", "gw-02"):
        fleet.proplet(name)
    fleet.ready("Daemon/default/beat", generation=1)

    metrics.value = None
    _commit(fleet, metrics, "2")
    fleet.until(lambda: _rollout(fleet).get("paused"), lambda: f"paused, yet {_rollout(fleet)}")
    assert "check alarms was inconclusive 1 of 1 times" in _rollout(fleet)["why"]
    assert "answered 503" in _rollout(fleet)["why"]
    shown = fleet.on("rollout", "status", "beat").out
    assert "check alarms Running: 0 successful, 0 failed, 0 inconclusive; last: 127." in shown
    reconciler.end()
    fleet.serve()
    metrics.value = "1"
    fleet.ready("Daemon/default/beat", generation=2)
    assert any("query=sum%28alarms%29" in path for path in metrics.asked)
    assert "/quality.json" in metrics.asked

    metrics.value = "12"
    _commit(fleet, metrics, "3")
    fleet.until(
        lambda: fleet.condition("Daemon/default/beat", "Ready").get("reason") == "RolledBack",
        lambda: f"rolled back, yet {_rollout(fleet)}",
    )
    assert "check alarms failed 1 of 1 times: 12 from 127.0.0.1" in _rollout(fleet)["why"]
