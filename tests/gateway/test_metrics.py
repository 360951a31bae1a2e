"""`/metrics`: what Prometheus reads, and files that may use nothing else."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from learned import Learned
from prometheus_client.parser import text_string_to_metric_families

from propeller.gateway.callcounts import Counts, FirstCalls
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.guestgauges import MOST, over_copies
from propeller.gateway.metrics import METRICS, exposition, page, rounds_of
from propeller.model.ids import Key, PropletId, Uid
from propeller.model.seen import Presence, Seen
from propeller.reconcile.signals import EDGES, Signals
from propeller.state.sqlite import wall_clock_ms

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "examples" / "monitoring"
NOTHING = Picture(
    serial=1,
    at=1_000_000,
    statuses=(),
    objects=(),
    seen=(),
    proplets=(),
    revisions=(),
    events=(),
    pauses=(),
)


def picture_of(door):
    """The fleet behind the door, as the gateway sees it."""
    return Gallery(door.state.database, wall_clock_ms).picture()


def samples(body: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def plain(name: str) -> str:
    """The name a family has in `METRICS`."""
    for end in ("_bucket", "_count", "_sum", "_created"):
        if name.endswith(end) and name.removesuffix(end) in {one.name for one in METRICS}:
            return name.removesuffix(end)
    return name


def test_an_empty_fleet_has_converged():
    """No object is nothing that is not Ready."""
    found = samples(exposition(NOTHING, {}, None))
    assert found["propeller_convergence_ratio", ()] == 1
    assert found["propeller_revision_accepted_timestamp_seconds", ()] == 0


def test_the_loop_counts_its_turns():
    """Buckets add up, and what took longer than all of them is in the last."""
    signals = Signals(waiting=lambda: 7, dropped=lambda: 2)
    signals.turned(0.002, events=3, lag=0.0)
    signals.turned(60.0, events=1, lag=1.5)
    signals.echo_ms = 12
    found = samples(exposition(NOTHING, {}, signals))
    assert found["propeller_turns_total", ()] == 2
    assert found["propeller_events_total", ()] == 4
    assert found["propeller_turn_duration_seconds_bucket", (("le", "0.003"),)] == 1
    assert found["propeller_turn_duration_seconds_bucket", (("le", str(EDGES[-1])),)] == 1
    assert found["propeller_turn_duration_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["propeller_loop_lag_seconds", ()] == 1.5
    assert found["propeller_inbox_events", ()] == 7
    assert found["propeller_inbox_dropped_total", ()] == 2
    assert found["propeller_broker_round_trip_seconds", ()] == pytest.approx(0.012)


def test_calls_and_rounds_are_counted(door, tmp_path):
    """By how calls ended; of each FederatedTask its newest round that has a model."""
    learned = Learned(door.state, door.store, tmp_path / "fl")
    gallery = Gallery(door.state.database, wall_clock_ms)
    picture = gallery.picture()
    counts = Counts(calls={"default/add": 5}, ends={("default/add", "Done"): 3, ("x/y", "Done"): 1})
    rounds = rounds_of(gallery, picture)
    found = samples(exposition(picture, {}, None, rounds=rounds, counts=counts))
    whose = (("name", learned.key.name), ("namespace", learned.key.namespace))
    assert found["propeller_round_number", whose] == 3
    assert found["propeller_round_duration_seconds", whose] > 0
    assert found["propeller_calls_begun_total", ()] == 5
    assert found["propeller_calls_total", (("outcome", "Done"),)] == 4


def test_every_metric_is_given_and_no_other(door, tmp_path):
    """The list is what is served, with the labels it says."""
    Learned(door.state, door.store, tmp_path / "fl")
    signals = Signals()
    signals.echo_ms = 1
    gallery = Gallery(door.state.database, wall_clock_ms)
    picture = gallery.picture()
    guest = {f"g/{picture.statuses[0].uid[:8]}/backlog": 1}
    one = replace(picture.seen[0], metrics=guest, presence=Presence.ONLINE)
    picture = replace(picture, seen=(one, *picture.seen[1:]))
    counts = Counts(
        calls={"f": 1},
        ends={("f", "Done"): 1},
        dropped={"unknown_kid": 1},
        first={"default/f": FirstCalls(2, 300, 200)},
    )
    rounds = rounds_of(gallery, picture)
    body = exposition(picture, door.store.run_states(), signals, rounds=rounds, counts=counts)
    found: dict[str, set[str]] = {}
    for name, labels in samples(body):
        found.setdefault(plain(name), set()).update(label for label, _ in labels)
    known = {
        one.name: {*one.labels} | ({"le"} if one.kind == "histogram" else set()) for one in METRICS
    }
    assert set(found) <= set(known)
    missing = set(known) - set(found)
    assert missing <= {"propeller_objects_stalled"}, "families without a sample"
    assert all(found[name] == known[name] for name in found)


def test_first_calls_are_told_by_function():
    """How many there were, how long all of them waited and the longest, in seconds."""
    counts = Counts(first={"default/f": FirstCalls(2, 3_000, 2_000)})
    found = samples(exposition(NOTHING, {}, None, counts=counts))
    of_it = (("function", "default/f"),)
    assert found["propeller_function_first_calls_total", of_it] == 2
    assert found["propeller_function_first_call_seconds_total", of_it] == 3
    assert found["propeller_function_first_call_seconds_max", of_it] == 2


def test_it_is_served_to_who_may_look(door):
    """As text that Prometheus takes; a token is asked for where nobody may look without one."""
    assert door.ask("GET", "/metrics").status_code == 401
    answer = door.ask("GET", "/metrics", token=door.token("viewer"))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert ("propeller_convergence_ratio", ()) in samples(answer.content)


def test_counts_are_those_of_the_fleet(door):
    """Ready objects by kind, proplets by presence."""
    picture = picture_of(door)
    found = samples(exposition(picture, door.store.run_states(), None))
    for row in picture.objects:
        assert found["propeller_objects", (("kind", row.key.kind), ("ready", row.ready))] >= 1
    total = sum(value for (name, _), value in found.items() if name == "propeller_proplets")
    assert total == len(picture.proplets)


def test_the_page_is_made_from_the_list():
    """UPDATE_GOLDEN=1 writes it."""
    target = ROOT / "docs" / "reference" / "metrics.md"
    if os.environ.get("UPDATE_GOLDEN"):
        target.write_text(page())
    assert target.read_text() == page()


def used(text: str) -> set[str]:
    return set(re.findall(r"\bpropeller_[a-z_]+", text))


@pytest.mark.parametrize("name", ["alerts.yaml", "grafana.json"])
def test_rules_and_dashboard_use_only_metrics_that_exist(name):
    """A name that is not served would be an alert that never fires."""
    text = (MONITORING / name).read_text()
    found = {plain(one) for one in used(text)}
    assert found
    assert found <= {one.name for one in METRICS}


def test_every_alert_says_what_to_do():
    """And the commands it names exist."""
    from propeller.cli.verbs import VERBS

    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) >= 8
    for rule in rules:
        assert rule["annotations"]["action"]
        for verb in re.findall(r"`propeller ([a-z]+)", rule["annotations"]["action"]):
            assert verb in VERBS


def test_the_dashboard_is_one():
    """Every panel asks for something and has a place of its own."""
    board = json.loads((MONITORING / "grafana.json").read_text())
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(one["targets"][0]["expr"] for one in board["panels"])


def test_what_guests_tell_is_summed_over_the_copies_of_an_object():
    """Of devices that are there; what belongs to no object here is nobody's."""

    def seen(name, **told):
        metrics = {f"g/aaaaaaaa/{gauge}": value for gauge, value in told.items()}
        return Seen(id=PropletId(name), declared=True, presence=Presence.ONLINE, metrics=metrics)

    objects = {Uid("aaaaaaaa-0"): Key("Daemon", "plant", "heater")}
    stranger = replace(seen("c"), metrics={"g/bbbbbbbb/x": 1, "rss/aaaaaaaa": 5})
    away = replace(seen("d", warm=9_000), presence=Presence.OFFLINE)
    found = over_copies([seen("a", warm=1_500), seen("b", warm=2_500), stranger, away], objects)
    place = ("plant", "Daemon", "heater", "warm")
    assert found == {(*place, "mean"): 2.0, (*place, "min"): 1.5, (*place, "max"): 2.5}
    many = seen("e", **{f"n{number:04}": 1 for number in range(2 * MOST)})
    assert len(over_copies([many], objects)) == 3 * MOST
