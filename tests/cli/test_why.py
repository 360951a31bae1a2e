"""What `why` makes of documents that are refused, guards, Apps, proplets and lost paths."""

from __future__ import annotations

import json

import pytest

from propeller.model.ids import PropletId
from propeller.state.records import GuardRecord, Handing, PlanRecord
from propeller.state.sqlite import SqliteStore


@pytest.fixture
def written(fleet, state):
    """Changes of the store behind the fleet, and back to reading."""

    def write(work):
        store = SqliteStore.open(state.database)
        with store.transaction():
            work(store)
        store.close()

    return write


def why(cli, *words):
    """The chain as data."""
    said = cli("why", *words, "-o", "json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def links(chain, group=None):
    """By name: the shared ones, or those of a group."""
    found = chain["links"] if group is None else chain["groups"][group]["links"]
    return {one["name"]: one for one in found}


@pytest.mark.parametrize(
    ("reason", "do"),
    [
        ("unknown_kid", "does not trust our key"),
        ("too_many", "place less on gateway-2"),
        ("body_unavailable", "cannot fetch a long document"),
        ("stale", "propeller events --for proplet/gateway-2"),
    ],
)
def test_a_refused_document_is_the_device_s_word(cli, fleet, written, reason, do):
    """Why it does not take it, since when, and what to do."""
    now = fleet.now
    one = Handing(
        proplet=PropletId("gateway-2"), fence=7, gen=4, published=now - 9, kept=now - 8,
        refused=now - 7, why=reason,
    )  # fmt: skip
    written(lambda store: store.put_handing(one))
    chain = why(cli, "filter", "--on", "gateway-2")
    delivered = links(chain, 0)["delivered"]
    assert (delivered["state"], delivered["rule"]) == ("broken", "Refused")
    assert f"refused 7.4 0s ago: {reason}" in delivered["words"]
    assert do in delivered["do"]
    assert links(chain, 0)["published"]["rule"] == "AtBroker"
    assert chain["blocked"].startswith("delivered on gateway-2")


def test_a_document_that_never_left_is_told(cli, fleet, written):
    """What was published was an older one."""
    old = Handing(proplet=PropletId("gateway-2"), fence=7, gen=3, published=fleet.now)
    written(lambda store: store.put_handing(old))
    assert links(why(cli, "filter@gateway-2"), 0)["published"]["rule"] == "NotPublished"


@pytest.mark.parametrize(
    ("broker", "rule"),
    [
        ({"connected": 1, "lost": 5, "reason": "refused"}, "BrokerLost"),
        ({"connected": 1, "echo": 2}, "NoEcho"),
    ],
)
def test_a_lost_broker_is_in_the_way_of_what_is_not_ready_only(cli, fleet, written, broker, rule):
    """What is Ready stays so while nobody looks; it is told how old the words are."""
    written(lambda store: store.set_meta("broker", json.dumps(broker)))
    broken = why(cli, "filter")
    assert links(broken)["broker"]["rule"] == rule
    assert broken["blocked"].startswith("broker: ")
    assert why(cli, "task/default/add")["blocked"] is None


def test_the_plan_says_what_it_was_and_who_let_it_through(cli, fleet, written):
    """Digest, counts, and the guard with the name of who confirmed it."""
    revision = fleet.held("Daemon", "plant-a", "filter").revision
    guard = GuardRecord("default", "maxDelete", "2 of 3", "sha256:" + "a" * 64, "ada@plant")
    plan = PlanRecord(
        source="", revision=revision, digest="sha256:" + "b" * 64, at=fleet.now - 1, done=fleet.now,
        created=3, changed=1, deleted=0, guards=(guard,),
    )  # fmt: skip
    written(lambda store: store.put_plan(plan))
    found = links(why(cli, "filter"))["plan"]
    assert found["rule"] == "guards.maxDelete"
    assert "sha256:bbbbbbbbbbbb" in found["words"]
    assert "3 created, 1 changed" in found["words"]
    assert "confirmed by ada@plant" in found["words"]


def test_an_app_is_told_by_its_objects(cli, fleet):
    """Also one that nobody wrote: objects with one story once, the worst first."""
    chain = why(cli, "app/default")
    assert chain["object"] == "App/default"
    assert chain["ready"] == "False"
    worst = [one["names"] for one in chain["groups"]][:2]
    assert worst == [["Proplet/default/gateway-2"], ["Task/plant-a/add"]]
    assert chain["blocked"].startswith("ready on Proplet/default/gateway-2: ")
    assert chain["do"] == "`propeller why Proplet/default/gateway-2`"
    assert cli("why", "app/nobody").code == 2


def test_a_proplet_is_told_with_what_it_runs(cli, fleet):
    """Declared or not; its copies are those of the objects on it."""
    chain = why(cli, "proplet/gateway-2")
    assert chain["blocked"].startswith("device: offline")
    assert [one["names"] for one in chain["groups"]] == [["Daemon/plant-a/filter"]]
    said = cli("why", "probe-9").out
    assert "was not declared; it announced itself" in said
    assert "Cordon" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["filter@gateway-1", "--on", "gateway-2"], "name two proplets"),
        (["nobody"], "there is no object 'nobody'"),
    ],
)
def test_a_slip_is_told(cli, fleet, words, told):
    """Exit 2, and what is wrong."""
    said = cli("why", *words)
    assert said.code == 2
    assert told in said.err


def test_a_proplet_without_a_copy_is_told(cli, fleet):
    """One that is not known, and one where nothing was placed."""
    assert (
        why(cli, "filter@nowhere")["blocked"] == "placed on nowhere: no proplet is called nowhere"
    )
    assert "no copy is on probe-9" in why(cli, "filter", "--on", "probe-9")["blocked"]
