"""Calls as spans: in the caller's trace where it has one, and ended once, however they end."""

from __future__ import annotations

from propeller.gateway.calls import End, Outcome, Request
from propeller.gateway.calltraces import MOST, CallTraces
from propeller.telemetry.spans import Span, SpanKind
from propeller.wire.trace import parse

THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traces() -> tuple[CallTraces, list[Span]]:
    """Traces on a clock that moves by a millisecond a look, and what they send."""
    sent: list[Span] = []
    ticks = iter(range(1_000, 10**12, 1_000))
    return CallTraces(sent.append, lambda: next(ticks)), sent


def test_a_call_stands_in_its_callers_trace() -> None:
    """The device is told the call's own span, whose parent is the caller's."""
    made, sent = traces()
    made.begin("c1", "default/add", Request(headers=(("traceparent", THEIRS),)))
    told = parse(made.header("c1"))
    made.end("c1", Outcome(end=End.DONE, proplet="gw-01"))
    made.end("c1", Outcome(end=End.DONE))
    (span,) = sent
    assert told == span.at
    assert (span.at.trace, span.parent) == (THEIRS[3:35], THEIRS[36:52])
    assert (span.name, span.kind, span.error) == ("call default/add", SpanKind.SERVER, "")
    assert span.end - span.start == 1_000
    assert span.attributes["propeller.proplet"] == "gw-01"


def test_a_call_without_a_trace_begins_one_and_says_how_it_failed() -> None:
    """A header that is bad begins one as well."""
    made, sent = traces()
    made.begin("c1", "default/add", Request(headers=(("traceparent", "00-nothing"),)))
    made.end("c1", Outcome(end=End.REFUSED, cause="busy", error="2 calls run and 16 wait"))
    (span,) = sent
    assert (span.parent, span.error) == ("", "2 calls run and 16 wait")


def test_nobody_listening_keeps_nothing_and_too_many_go_untraced() -> None:
    """The calls themselves go on."""
    off = CallTraces(None, lambda: 0)
    off.begin("c1", "default/add", Request())
    assert off.header("c1") == ""
    made, sent = traces()
    for n in range(MOST + 1):
        made.begin(str(n), "default/add", Request())
    assert made.header(str(MOST - 1)) != ""
    assert made.header(str(MOST)) == ""
    made.end(str(MOST), Outcome(end=End.DONE))
    assert sent == []
