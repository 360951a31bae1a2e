"""`/metrics` for Prometheus: the fleet as it stands, and the loop as it runs.

`METRICS` is the whole list of names, and `docs/reference/metrics.md` is made from it; the example
dashboard and alert rules may use no other (a test holds them to that). Labels never name a device
or an object where there may be thousands: those are for the API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from propeller.gateway.access.roles import Role
from propeller.gateway.callcounts import Counts
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.guestgauges import over_copies
from propeller.gateway.routing import Call, Entry, Scope
from propeller.model.ids import Key
from propeller.model.rounds import Round
from propeller.reconcile.signals import EDGES, Signals
from propeller.telemetry.named import Named, table

METRICS: Final = (
    Named(
        name="propeller_objects",
        kind="gauge",
        help="Objects by kind and by what their Ready condition says: True, False, Unknown.",
        labels=("kind", "ready"),
    ),
    Named(
        name="propeller_objects_stalled",
        kind="gauge",
        help="Objects that only a person can bring on.",
        labels=("kind",),
    ),
    Named(
        name="propeller_convergence_ratio",
        kind="gauge",
        help="Share of objects that are Ready, from 0 to 1; 1 where there is none.",
    ),
    Named(
        name="propeller_proplets",
        kind="gauge",
        help="Proplets by presence: Online, Silent, Unknown, Quarantined.",
        labels=("state",),
    ),
    Named(
        name="propeller_device_silence_seconds_max",
        kind="gauge",
        help="The longest silence of a proplet that is not online and was heard before.",
    ),
    Named(
        name="propeller_runs",
        kind="gauge",
        help="Runs that devices report, by state.",
        labels=("state",),
    ),
    Named(
        name="propeller_guests_cpu_cores",
        kind="gauge",
        help="Processor time of all guests as reported last, in cores.",
    ),
    Named(
        name="propeller_guest_gauge",
        kind="gauge",
        help="What guests tell of themselves, over the copies of an object: of is mean, min, max; "
        "256 numbers at most.",
        labels=("namespace", "kind", "name", "gauge", "of"),
    ),
    Named(
        name="propeller_guests_memory_bytes",
        kind="gauge",
        help="Memory of all guests as reported last.",
    ),
    Named(
        name="propeller_revision_accepted_timestamp_seconds",
        kind="gauge",
        help="When the newest revision was accepted (Unix time); 0 before the first.",
    ),
    Named(
        name="propeller_revision_refused",
        kind="gauge",
        help="1 while the newest attempt to take the source was refused.",
    ),
    Named(
        name="propeller_plans_paused",
        kind="gauge",
        help="Plans that wait for a person's yes.",
    ),
    Named(
        name="propeller_turns_total",
        kind="counter",
        help="Turns of the reconciler's loop.",
    ),
    Named(
        name="propeller_turns_failed_total",
        kind="counter",
        help="Turns that failed and were begun again from the store.",
    ),
    Named(
        name="propeller_events_total",
        kind="counter",
        help="Messages, ticks and answers that the loop has worked off.",
    ),
    Named(
        name="propeller_turn_duration_seconds",
        kind="histogram",
        help="How long turns took.",
    ),
    Named(
        name="propeller_loop_lag_seconds",
        kind="gauge",
        help="By how much the last turn that time asked for began too late.",
    ),
    Named(
        name="propeller_inbox_events",
        kind="gauge",
        help="Events that wait for the loop.",
    ),
    Named(
        name="propeller_inbox_dropped_total",
        kind="counter",
        help="Messages of the broker dropped because too many waited; they come again.",
    ),
    Named(
        name="propeller_broker_connected",
        kind="gauge",
        help="1 while the reconciler is connected to the broker.",
    ),
    Named(
        name="propeller_broker_round_trip_seconds",
        kind="gauge",
        help="How long the reconciler's own word took to the broker and back, last time.",
    ),
    Named(
        name="propeller_round_duration_seconds",
        kind="gauge",
        help="How long the newest round with a model took, from its choice of a cohort on.",
        labels=("namespace", "name"),
    ),
    Named(
        name="propeller_round_number",
        kind="gauge",
        help="The number of that round.",
        labels=("namespace", "name"),
    ),
    Named(
        name="propeller_round_updates",
        kind="gauge",
        help="Devices that round asked, by what became of it.",
        labels=("namespace", "name", "outcome"),
    ),
    Named(
        name="propeller_calls_begun_total",
        kind="counter",
        help="Calls of Functions that this gateway has taken.",
    ),
    Named(
        name="propeller_calls_total",
        kind="counter",
        help="Calls that have ended, by how: Done, Failed, Refused, Unknown.",
        labels=("outcome",),
    ),
    Named(
        name="propeller_call_messages_dropped_total",
        kind="counter",
        help="Messages about calls that were not believed or understood.",
        labels=("reason",),
    ),
    Named(
        name="propeller_function_first_calls_total",
        kind="counter",
        help="Calls that found no copy of a Function and were sent to the first one that came.",
        labels=("function",),
    ),
    Named(
        name="propeller_function_first_call_seconds_total",
        kind="counter",
        help="How long those calls waited for a copy, all of them together.",
        labels=("function",),
    ),
    Named(
        name="propeller_function_first_call_seconds_max",
        kind="gauge",
        help="The longest of these waits.",
        labels=("function",),
    ),
)
"""Every metric of `/metrics`."""

_BY_NAME: Final = {one.name: one for one in METRICS}


MOST_JOBS: Final = 50
"""FederatedTasks whose rounds are told: each has a label of its own."""


def metrics_entries(
    gallery: Gallery, signals: Signals | None, counts: Counts | None = None
) -> list[Entry]:
    """The route. signals: of the loop in this process, counts: of calls; None for none."""

    def told() -> bytes:
        picture = gallery.picture()
        return exposition(
            picture,
            gallery.run_states(),
            signals,
            rounds=rounds_of(gallery, picture),
            counts=counts,
        )

    async def metrics(_call: Call) -> Response:
        return Response(await run_in_threadpool(told), media_type=CONTENT_TYPE_LATEST)

    return [
        Entry(
            method="GET",
            path="/metrics",
            handler=metrics,
            role=Role.VIEWER,
            scope=Scope.ALL,
            summary="metrics for Prometheus",
            media="text/plain",
        )
    ]


def rounds_of(gallery: Gallery, picture: Picture) -> dict[Key, Round]:
    """The newest round with a model of each FederatedTask. Raises Unavailable."""
    jobs = {one.uid: one.key for one in picture.statuses if one.key.kind == "FederatedTask"}
    found = gallery.last_rounds(list(jobs)[:MOST_JOBS])
    return {jobs[uid]: one for uid, one in found.items()}


def exposition(
    picture: Picture,
    runs: Mapping[str, int],
    signals: Signals | None,
    *,
    rounds: Mapping[Key, Round] = MappingProxyType({}),
    counts: Counts | None = None,
) -> bytes:
    """The text that Prometheus reads. runs: how many of each state. rounds: see `rounds_of`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(picture, runs, signals, rounds, counts))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(
        self,
        picture: Picture,
        runs: Mapping[str, int],
        signals: Signals | None,
        rounds: Mapping[Key, Round],
        counts: Counts | None,
    ) -> None:
        self._picture, self._runs, self._signals = picture, runs, signals
        self._rounds, self._counts = rounds, counts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from _fleet(self._picture, self._runs)
        if self._signals is not None:
            yield from _loop(self._signals)
        yield from _learning(self._rounds)
        if self._counts is not None:
            yield from _calls(self._counts)
            yield from _first_calls(self._counts)


def _fleet(picture: Picture, runs: Mapping[str, int]) -> Iterator[Metric]:
    rows = [row for row in picture.objects if row.app != "run"]
    ready: Counter[tuple[str, ...]] = Counter((row.key.kind, row.ready) for row in rows)
    yield _gauges("propeller_objects", ready)
    stalled: Counter[tuple[str, ...]] = Counter((row.key.kind,) for row in rows if row.stalled)
    yield _gauges("propeller_objects_stalled", stalled)
    share = sum(row.ready == "True" for row in rows) / len(rows) if rows else 1.0
    yield _gauge("propeller_convergence_ratio", share)
    presence: Counter[tuple[str, ...]] = Counter((one.state,) for one in picture.proplets)
    yield _gauges("propeller_proplets", presence)
    silences = [picture.at - one.since for one in picture.silent if one.since]
    yield _gauge("propeller_device_silence_seconds_max", max(silences, default=0) / 1000)
    states: Counter[tuple[str, ...]] = Counter({(name,): n for name, n in runs.items()})
    yield _gauges("propeller_runs", states)
    told = [(name, value) for seen in picture.seen for name, value in seen.metrics.items()]
    cores = sum(value for name, value in told if name.startswith("cpu/")) / 1000
    yield _gauge("propeller_guests_cpu_cores", cores)
    held = sum(value for name, value in told if name.startswith("rss/"))
    yield _gauge("propeller_guests_memory_bytes", held)
    keys = {status.uid: status.key for status in picture.statuses}
    yield _gauges("propeller_guest_gauge", over_copies(picture.seen, keys))
    accepted = next((one.at for one in picture.revisions if one.outcome == "accepted"), 0)
    yield _gauge("propeller_revision_accepted_timestamp_seconds", accepted / 1000)
    newest = picture.revisions[0].outcome if picture.revisions else "accepted"
    yield _gauge("propeller_revision_refused", float(newest != "accepted"))
    yield _gauge("propeller_plans_paused", len(picture.pauses))


def _loop(signals: Signals) -> Iterator[Metric]:
    yield _counter("propeller_turns_total", signals.turns)
    yield _counter("propeller_turns_failed_total", signals.failed)
    yield _counter("propeller_events_total", signals.events)
    yield _histogram("propeller_turn_duration_seconds", signals)
    yield _gauge("propeller_loop_lag_seconds", signals.lag)
    yield _gauge("propeller_inbox_events", signals.waiting())
    yield _counter("propeller_inbox_dropped_total", signals.dropped())
    yield _gauge("propeller_broker_connected", float(signals.connected))
    if signals.echo_ms is not None:
        yield _gauge("propeller_broker_round_trip_seconds", signals.echo_ms / 1000)


def _learning(rounds: Mapping[Key, Round]) -> Iterator[Metric]:
    names = {key: (key.namespace, key.name) for key in rounds}
    lasted: dict[tuple[str, ...], float] = {
        names[key]: (one.ended_at - one.selected_at) / 1000 for key, one in rounds.items()
    }
    yield _gauges("propeller_round_duration_seconds", lasted)
    numbers: dict[tuple[str, ...], float] = {names[key]: one.number for key, one in rounds.items()}
    yield _gauges("propeller_round_number", numbers)
    updates: Counter[tuple[str, ...]] = Counter(
        (*names[key], str(part.bucket))
        for key, one in rounds.items()
        for part in one.parts.values()
    )
    yield _gauges("propeller_round_updates", updates)


def _calls(counts: Counts) -> Iterator[Metric]:
    """Copies first: another thread counts on."""
    ends: Counter[str] = Counter()
    for (_, end), count in dict(counts.ends).items():
        ends[end] += count
    yield _counter("propeller_calls_begun_total", sum(dict(counts.calls).values()))
    yield _counters("propeller_calls_total", ends)
    yield _counters("propeller_call_messages_dropped_total", dict(counts.dropped))


def _first_calls(counts: Counts) -> Iterator[Metric]:
    # Another thread counts: what is read is a copy, each number of it right by itself.
    first = dict(counts.first)
    begun = {key: one.count for key, one in first.items()}
    yield _counters("propeller_function_first_calls_total", begun)
    seconds = {key: one.total / 1000 for key, one in first.items()}
    yield _counters("propeller_function_first_call_seconds_total", seconds)
    longest: dict[tuple[str, ...], float] = {
        (name,): one.longest / 1000 for name, one in first.items()
    }
    yield _gauges("propeller_function_first_call_seconds_max", longest)


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, _BY_NAME[name].help, value=value)


def _gauges(name: str, counts: Mapping[tuple[str, ...], float]) -> Metric:
    named = _BY_NAME[name]
    family = GaugeMetricFamily(name, named.help, labels=named.labels)
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _counter(name: str, value: float) -> Metric:
    return CounterMetricFamily(name.removesuffix("_total"), _BY_NAME[name].help, value=value)


def _counters(name: str, counts: Mapping[str, float]) -> Metric:
    named = _BY_NAME[name]
    family = CounterMetricFamily(name.removesuffix("_total"), named.help, labels=named.labels)
    for label, count in sorted(counts.items()):
        family.add_metric((label,), count)
    return family


def _histogram(name: str, signals: Signals) -> Metric:
    buckets, so_far = [], 0
    for edge, count in zip((*map(str, EDGES), "+Inf"), signals.buckets, strict=True):
        so_far += count
        buckets.append((edge, so_far))
    return HistogramMetricFamily(
        name, _BY_NAME[name].help, buckets=buckets, sum_value=signals.seconds
    )


def page() -> str:
    """`docs/reference/metrics.md`."""
    return HEAD + table(METRICS)


HEAD = """# Metrics

`/metrics` of the dashboard's port (`http://127.0.0.1:7070/metrics`) is what Prometheus scrapes. It
needs the role of a viewer in all namespaces: on loopback anybody has that, elsewhere give the
scraper a token ([who may use the API](../how-to/api-access.md)) as its bearer token.

[An example dashboard and alert rules](../../examples/monitoring/README.md) use these names and no
others. This page is made from `propeller/gateway/metrics.py`.

"""
