"""What a proplet tells of itself: spans of the document it took, numbers for Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from propeller.errors import UsageError
from propeller.telemetry.named import table
from propeller.telemetry.spans import Span, SpanKind
from propeller.wire.call_messages import Call
from propeller.wire.messages import Entry, Observed, Report, RunReport, WireModule
from propeller.wire.trace import parse
from proplet.effects import Fetch, Prepare, Purpose, SaveDesired, Start
from proplet.metrics import METRICS, Server
from proplet.pending import Result
from proplet.tracing import Tracing
from proplet.witness import Signs, Witness

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARENT = "b7ad6b7169203331"
MODULE = "sha256:" + "1" * 64
ENTRY = Entry(
    uid="00000000-0000-4000-8000-000000000001",
    ref="Task/default/x",
    run="0" * 31 + "1",
    cause="once",
    mode="once",
    digest="sha256:" + "2" * 64,
    module=WireModule(digest=MODULE, size=700),
    entrypoint="run",
)
KEY = (ENTRY.uid, ENTRY.run)


def saved(*entries: Entry, gen: int = 1) -> SaveDesired:
    """A document that was accepted."""
    return SaveDesired(Observed(fence=5, gen=gen, digest="sha256:" + "3" * 64), 0, entries)


def report(state: str, error: str = "") -> Report:
    """What the device says of the run."""
    return Report(
        id="gw-01",
        inst="0" * 32,
        boot=1,
        seq=1,
        conn=1,
        observed=Observed(),
        inventory="sha256:" + "4" * 64,
        tasks=(
            RunReport(
                uid=ENTRY.uid,
                run=ENTRY.run,
                digest=ENTRY.digest,
                cause="once",
                state=state,
                error=error,
            ),
        ),
    )


def watching() -> tuple[Tracing, list[Span]]:
    """Tracing on a clock that moves by 1 ms a look, and what it sends."""
    sent: list[Span] = []
    ticks = iter(range(1_000, 10**9, 1_000))
    return Tracing("gw-01", lambda: next(ticks), sent.append), sent


def lived(tracing: Tracing, entry: Entry, trace: str) -> None:
    """Everything from the document to the first report, as the shell tells it."""
    tracing.heard()
    tracing.saw(saved(entry), trace)
    tracing.saw(Fetch(MODULE, 700, Purpose.MODULE), trace)
    tracing.fetched(MODULE)
    tracing.saw(Prepare(entry), trace)
    tracing.prepared((entry.uid, entry.run))
    tracing.saw(Start(entry, 0), trace)
    tracing.started(entry)
    tracing.told(report("Pending"))
    tracing.told(report("Running"))
    tracing.told(report("Succeeded"))


def test_a_document_is_followed_to_its_first_report() -> None:
    """Received, fetched, compiled, started, told: each once, in the trace of the document."""
    tracing, sent = watching()
    lived(tracing, ENTRY, TRACE)
    assert [span.name for span in sent] == [
        "receive document",
        "fetch module",
        "compile module",
        "start guest",
        "first report",
    ]
    first, *rest = sent
    assert (first.parent, first.kind) == (PARENT, SpanKind.CONSUMER)
    assert {span.parent for span in rest} == {first.at.span}
    assert {span.at.trace for span in sent} == {TRACE[3:35]}
    assert len({span.at.span for span in sent}) == 5
    assert all(span.start < span.end for span in sent)
    assert rest[-1].attributes["propeller.state"] == "Running"


def test_what_was_held_before_is_not_traced_again() -> None:
    """A document that brings one thing more says nothing of the others."""
    tracing, sent = watching()
    tracing.saw(saved(ENTRY), "")
    other = replace(ENTRY, run="0" * 31 + "2")
    tracing.saw(saved(ENTRY, other, gen=2), TRACE)
    tracing.saw(Start(ENTRY, 1), TRACE)
    tracing.started(ENTRY)
    tracing.told(report("Running"))
    assert [span.name for span in sent] == ["receive document"]


@pytest.mark.parametrize("trace", ["", "00-what-is-this-01"])
def test_a_document_without_a_trace_has_no_spans(trace: str) -> None:
    """One whose trace cannot be read neither."""
    tracing, sent = watching()
    lived(tracing, ENTRY, trace)
    assert sent == []


def test_a_module_that_does_not_fit_ends_its_span_with_why() -> None:
    """The words are those of the refusal."""
    tracing, sent = watching()
    tracing.saw(saved(ENTRY), TRACE)
    tracing.saw(Prepare(ENTRY), TRACE)
    tracing.prepared(KEY, "no export run")
    assert (sent[-1].name, sent[-1].error) == ("compile module", "no export run")


def a_call(trace: str) -> Call:
    """One call of a Function."""
    return Call(
        id="c1",
        verb="run",
        to="gw-01",
        inst="0" * 32,
        boot=1,
        conn=1,
        src="gateway-1",
        n=7,
        uid=ENTRY.uid,
        run=ENTRY.run,
        trace=trace,
    )


def test_a_call_is_a_span_as_long_as_it_waited_and_ran() -> None:
    """Its parent is what the gateway said; without a trace there is none."""
    tracing, sent = watching()
    tracing.called(a_call(""), Result(state="done"))
    tracing.called(a_call(TRACE), Result(state="failed", cause="trap", wait=200, took=700))
    (span,) = sent
    assert (span.end - span.start, span.parent, span.error) == (900, PARENT, "trap")
    assert parse(TRACE) is not None


def test_who_does_not_listen_costs_nothing() -> None:
    """No clock is read and nothing is kept."""

    def clock() -> int:
        raise AssertionError("looked at the clock")

    lived(Tracing("gw-01", clock), ENTRY, TRACE)


def test_prometheus_finds_every_number_that_is_documented() -> None:
    """And no other path answers; a second proplet on the port is told so."""
    signs = Signs(Counter({"unknown_kid": 2}))
    witness = Witness(signs, Tracing("gw-01", lambda: 0))
    witness.connected(True)
    witness.connected(False)
    witness.connected(True)
    witness.saw(saved(ENTRY), "")
    witness.saw(Start(ENTRY, 0), "")
    witness.told(report("Running"))
    witness.called(a_call(""), Result(state="done"))
    witness.looked((("cpu/00000000", 250), ("rss/00000000", 4096), ("rssBytes", 9)), storage=77)
    server = Server("127.0.0.1", 0, signs)
    try:
        where = f"http://127.0.0.1:{server.server_address[1]}"
        with urlopen(f"{where}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        with pytest.raises(HTTPError):
            urlopen(f"{where}/", timeout=10)
        with pytest.raises(UsageError, match="cannot listen"):
            Server("127.0.0.1", int(server.server_address[1]), signs)
    finally:
        server.close()
    families = list(text_string_to_metric_families(text))
    assert {f"{one.name}_total" if one.type == "counter" else one.name for one in families} == {
        one.name for one in METRICS
    }
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for one in families
        for sample in one.samples
    }
    assert values["proplet_broker_connects_total",] == 2
    assert values["proplet_runs", "Running"] == 1
    assert values["proplet_messages_dropped_total", "unknown_kid"] == 2
    assert values["proplet_guests_cpu_cores",] == 0.25
    assert values["proplet_guests_memory_bytes",] == 4096
    assert values["proplet_storage_free_bytes",] == 77


def test_the_page_of_the_proplet_has_its_metrics() -> None:
    """The table is made from the list."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "proplet.md"
    assert table(METRICS) in page.read_text()
