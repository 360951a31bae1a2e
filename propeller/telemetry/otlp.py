"""Spans to a collector: OTLP over HTTP, by OpenTelemetry's own SDK.

The SDK is an extra (`propeller-gitops[otel]`) and is only imported where an address is configured.
Its thread sends in batches; while the collector does not answer, spans wait in a bounded queue and
then are dropped. It also reads what every OpenTelemetry program does, such as
`OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_EXPORTER_OTLP_CERTIFICATE`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from propeller import __version__
from propeller.errors import UsageError
from propeller.telemetry.spans import Span, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

MOST_WAITING: Final = 16_384
"""Spans that wait to be sent; a revision of a large fleet ends many at once."""

EVERY_MS: Final = 1_000
PATIENCE_S: Final = 5
LEAVING_MS: Final = 2_000
"""How long the end of the process waits for the last batch."""

MAX_TEXT: Final = 1_024
"""Characters of an attribute: others wrote some of them."""


class Outbox:
    """See the module. Called with a span; any thread may."""

    def __init__(self, processor: BatchSpanProcessor, resource: Resource) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._processor = processor
        self._resource = resource
        self._trace = trace
        self._readable = ReadableSpan
        self._scope = InstrumentationScope("propeller", __version__)
        self._kinds = {
            SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
            SpanKind.SERVER: trace.SpanKind.SERVER,
            SpanKind.PRODUCER: trace.SpanKind.PRODUCER,
            SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
        }

    def __call__(self, span: Span) -> None:
        """Have it sent, unless whoever began the trace wants none."""
        if span.at.sampled:
            self._processor.on_end(self._as_theirs(span))

    def close(self) -> None:
        """Send what waits, for a little while, and end."""
        self._processor.force_flush(LEAVING_MS)
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _as_theirs(self, span: Span) -> Any:
        trace = self._trace
        failed = trace.Status(trace.StatusCode.ERROR, span.error[:MAX_TEXT])
        return self._readable(
            name=span.name,
            context=self._context(span.at.trace, span.at.span),
            parent=self._context(span.at.trace, span.parent) if span.parent else None,
            resource=self._resource,
            attributes={
                name: value[:MAX_TEXT] if isinstance(value, str) else value
                for name, value in span.attributes.items()
            },
            kind=self._kinds[span.kind],
            status=failed if span.error else trace.Status(trace.StatusCode.UNSET),
            start_time=span.start * 1_000,
            end_time=max(span.start, span.end) * 1_000,
            instrumentation_scope=self._scope,
        )

    def _context(self, trace_id: str, span_id: str) -> Any:
        return self._trace.SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=False,
            trace_flags=self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED),
        )


def open_outbox(address: str, *, service: str, instance: str, origin: str) -> Outbox:
    """The way to the collector at `address`, as `http://127.0.0.1:4318/v1/traces`.

    service, instance: whose spans they are. origin: where the address stands, for the message.
    Raises UsageError for an address that is none, or where the SDK is not installed.
    """
    try:
        there = urlsplit(address)
        usable = there.scheme in ("http", "https") and bool(there.hostname) and (there.port or 1)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"traces go to no such address as {address[:200]!r} ({origin})",
            hint="an OTLP collector's: http://127.0.0.1:4318/v1/traces",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError(
            f"traces ({origin}) need OpenTelemetry, which is not installed",
            hint="pip install 'propeller-gitops[otel]'",
        ) from error
    # Each failed attempt would be a line; the SDK says when a batch is lost.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
    processor = BatchSpanProcessor(
        OTLPSpanExporter(endpoint=address, timeout=PATIENCE_S),
        max_queue_size=MOST_WAITING,
        schedule_delay_millis=EVERY_MS,
        export_timeout_millis=PATIENCE_S * 1_000,
    )
    whose = {"service.name": service, "service.instance.id": instance}
    resource = Resource.create({**whose, "service.version": __version__})
    return Outbox(processor, resource)
