"""`/metrics` of one proplet, for Prometheus: whether it is connected, what it holds and takes.

Off unless `--metrics HOST:PORT` says where. One request at a time on a thread of its own, which
reads plain numbers and never makes the agent wait. No label names an object: those are the fleet's
to tell (`propeller_*`, docs/reference/metrics.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from propeller.errors import UsageError
from propeller.telemetry.named import Named
from proplet.witness import Signs

METRICS: Final = (
    Named(
        name="proplet_broker_connected",
        kind="gauge",
        help="1 while this proplet is connected to the broker.",
    ),
    Named(
        name="proplet_broker_connects_total",
        kind="counter",
        help="Connections to the broker since it was started.",
    ),
    Named(
        name="proplet_documents_accepted_total",
        kind="counter",
        help="Documents of what it should hold that it accepted.",
    ),
    Named(
        name="proplet_messages_dropped_total",
        kind="counter",
        help="Messages it did not believe or understand.",
        labels=("reason",),
    ),
    Named(
        name="proplet_runs",
        kind="gauge",
        help="Runs it reported last, by state.",
        labels=("state",),
    ),
    Named(
        name="proplet_guest_starts_total",
        kind="counter",
        help="Guests it has started, restarts included.",
    ),
    Named(
        name="proplet_calls_total",
        kind="counter",
        help="Calls of Functions it has answered: done, failed, refused, unknown.",
        labels=("outcome",),
    ),
    Named(
        name="proplet_guests_cpu_cores",
        kind="gauge",
        help="Processor time its guests take, in cores.",
    ),
    Named(
        name="proplet_guests_memory_bytes",
        kind="gauge",
        help="Memory its guests take.",
    ),
    Named(
        name="proplet_agent_cpu_cores",
        kind="gauge",
        help="Processor time the agent itself takes, in cores.",
    ),
    Named(
        name="proplet_agent_memory_bytes",
        kind="gauge",
        help="Memory the agent itself takes.",
    ),
    Named(
        name="proplet_storage_used_bytes",
        kind="gauge",
        help="Modules and results it keeps.",
    ),
    Named(
        name="proplet_storage_free_bytes",
        kind="gauge",
        help="What is left for them.",
    ),
)
_log = logging.getLogger("proplet")
_BY_NAME = {one.name: one for one in METRICS}

PATIENCE: Final = 5
"""Seconds a client may take for its request."""


class _Families(Collector):
    def __init__(self, signs: Signs) -> None:
        self._signs = signs

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        signs = self._signs
        vitals = dict(signs.vitals)
        yield _one("proplet_broker_connected", {(): float(signs.connected)})
        yield _one("proplet_broker_connects_total", {(): signs.connects})
        yield _one("proplet_documents_accepted_total", {(): signs.documents})
        yield _one("proplet_messages_dropped_total", _labelled(dict(signs.dropped)))
        yield _one("proplet_runs", _labelled(signs.runs))
        yield _one("proplet_guest_starts_total", {(): signs.starts})
        yield _one("proplet_calls_total", _labelled(dict(signs.calls)))
        cores = sum(value for name, value in vitals.items() if name.startswith("cpu/")) / 1000
        yield _one("proplet_guests_cpu_cores", {(): cores})
        held = sum(value for name, value in vitals.items() if name.startswith("rss/"))
        yield _one("proplet_guests_memory_bytes", {(): held})
        yield _one("proplet_agent_cpu_cores", {(): vitals.get("cpuPermille", 0) / 1000})
        yield _one("proplet_agent_memory_bytes", {(): vitals.get("rssBytes", 0)})
        yield _one("proplet_storage_used_bytes", {(): vitals.get("blobBytes", 0)})
        yield _one("proplet_storage_free_bytes", {(): signs.storage_free})


def _labelled(counts: dict[str, int]) -> dict[tuple[str, ...], float]:
    return {(name,): float(count) for name, count in sorted(counts.items())}


def _one(name: str, values: dict[tuple[str, ...], float]) -> Metric:
    named = _BY_NAME[name]
    kind = CounterMetricFamily if named.kind == "counter" else GaugeMetricFamily
    family = kind(name.removesuffix("_total"), named.help, labels=named.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def text_of(signs: Signs) -> bytes:
    """What Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(signs))
    return generate_latest(registry)


class _Request(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: Server

    def do_GET(self) -> None:
        """The numbers, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = text_of(self.server.signs)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Who scrapes is no news."""


class Server(HTTPServer):
    """Listens until `close`. Raises UsageError where it cannot."""

    def __init__(self, host: str, port: int, signs: Signs) -> None:
        self.signs = signs
        try:
            super().__init__((host, port), _Request)
        except OSError as error:
            raise UsageError(
                f"metrics: cannot listen on {host}:{port}: {error.strerror}",
                hint="another port, or stop what has this one",
            ) from error
        self._thread = threading.Thread(
            target=self.serve_forever, name="metrics", kwargs={"poll_interval": 0.5}, daemon=True
        )
        self._thread.start()
        _log.info("metrics on http://%s:%d/metrics", host, self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error of ours."""

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()
