"""Spans to a collector: what arrives is what was told, and one that is gone holds nobody up."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from propeller.errors import UsageError
from propeller.telemetry.otlp import MAX_TEXT, open_outbox
from propeller.telemetry.spans import Span, SpanKind
from propeller.wire.trace import Context, root

START = 1_800_000_000_000_000


def a_span(at: Context, **more: Any) -> Span:
    """One that took 1.5 ms."""
    return Span(name="plan", at=at, start=START, end=START + 1_500, **{"parent": "", **more})


def test_a_span_arrives_as_it_was_told(collector: Any) -> None:
    """Ids, times, kind, words, whose it is, and what went wrong."""
    outbox = open_outbox(collector.url, service="propeller", instance="plant/fleet", origin="flag")
    first = root("a commit")
    words = {"propeller.object": "Task/default/x", "propeller.actions": 3, "long": "y" * 5_000}
    outbox(a_span(first, attributes=words))
    outbox(a_span(first.child("x"), parent=first.span, kind=SpanKind.PRODUCER, error="broke"))
    outbox.close()
    one, other = collector.spans
    assert (one.trace, one.span, one.parent) == (first.trace, first.span, "")
    assert (one.start, one.end) == (START * 1_000, START * 1_000 + 1_500_000)
    assert (one.service, one.instance, one.error) == ("propeller", "plant/fleet", "")
    assert one.words["propeller.actions"] == 3
    assert one.words["long"] == "y" * MAX_TEXT
    assert (other.parent, other.kind, other.error) == (first.span, 4, "broke")


def test_a_trace_that_nobody_keeps_is_not_sent(collector: Any) -> None:
    """Who begins a trace may say that it is not sampled; then our part is not sent either."""
    outbox = open_outbox(collector.url, service="propeller", instance="i", origin="flag")
    outbox(a_span(Context("a" * 32, "b" * 16, sampled=False)))
    outbox.close()
    assert collector.spans == []


@pytest.mark.parametrize("address", ["localhost:4318", "ftp://x/", "http://", "http://x:port/"])
def test_an_address_that_is_none_is_refused_with_an_example(address: str) -> None:
    """Where it stands is said as well."""
    with pytest.raises(UsageError, match=r"propeller.yaml:3") as caught:
        open_outbox(address, service="s", instance="i", origin="propeller.yaml:3")
    assert "http://127.0.0.1:4318/v1/traces" in str(caught.value)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named; nothing else needs it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(UsageError, match=r"propeller-gitops\[otel\]"):
        open_outbox("http://127.0.0.1:1/v1/traces", service="s", instance="i", origin="flag")
