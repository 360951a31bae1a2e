"""An OTLP collector of the tests' own: what is posted, decoded with the official package."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Arrived:
    """One span as it came."""

    name: str
    trace: str
    span: str
    parent: str
    kind: int
    start: int
    end: int
    words: dict[str, Any]
    service: str
    instance: str
    error: str


class Collector:
    """Listens on loopback; `spans` has everything that came."""

    def __init__(self) -> None:
        self.spans: list[Arrived] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoding = self.headers.get("Content-Encoding", "")
                if encoding == "gzip":
                    body = gzip.decompress(body)
                elif encoding == "deflate":
                    body = zlib.decompress(body)
                spans.extend(read(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def named(self, name: str) -> list[Arrived]:
        """The spans of that name."""
        return [span for span in list(self.spans) if span.name == name]


def read(body: bytes) -> Iterator[Arrived]:
    """The spans of one request."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        whose = {one.key: one.value.string_value for one in group.resource.attributes}
        for span in (span for scope in group.scope_spans for span in scope.spans):
            yield Arrived(
                name=span.name,
                trace=span.trace_id.hex(),
                span=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                kind=span.kind,
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                words={
                    one.key: one.value.string_value or one.value.int_value
                    for one in span.attributes
                },
                service=whose["service.name"],
                instance=whose["service.instance.id"],
                error=span.status.message,
            )


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One of its own for each test."""
    made = Collector()
    yield made
    made.close()
