"""What the reading verbs print, from a store and nothing else."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace

import pytest
import yaml

from propeller.model.quotas import Quota
from propeller.reconcile.allotment import note_quotas, noted_quotas
from propeller.state.records import Event
from propeller.state.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("get", ["get"]),
        ("get-tasks", ["get", "tasks"]),
        ("get-wide", ["get", "daemon", "-o", "wide"]),
        ("get-namespace", ["get", "-n", "plant-a"]),
        ("get-proplets", ["get", "proplets"]),
        ("get-proplets-wide", ["proplets", "list", "-o", "wide"]),
        ("describe-daemon", ["describe", "filter"]),
        ("describe-proplet", ["describe", "gateway-2"]),
        ("why-task", ["why", "Task/default/add"]),
        ("why-daemon", ["why", "filter"]),
        ("why-blocked", ["why", "task/plant-a/add"]),
        ("why-proplet", ["why", "filter@gateway-2"]),
        ("events", ["events"]),
        ("history", ["history"]),
        ("history-object", ["history", "filter"]),
        ("tree", ["tree"]),
        ("results", ["tasks", "results", "task/default/add", "-o", "table"]),
    ],
)
def test_tables_are_as_they_were(cli, fleet, golden, name, words):
    """A change of what people read is seen in a diff of a golden file."""
    said = cli(*words)
    assert said.code == 0, said.err
    golden(name, said.out)


def test_lists_are_data_on_request(cli, fleet):
    """JSON, YAML and names tell of the same objects as the table."""
    names = cli("get", "-o", "name").out.split()
    assert names == [
        "Daemon/plant-a/filter",
        "Proplet/default/gateway-1",
        "Proplet/default/gateway-2",
        "Task/default/add",
        "Task/plant-a/add",
    ]
    items = json.loads(cli("get", "-o", "json").out)["items"]
    assert [one["metadata"]["name"] for one in items] == [name.split("/")[2] for name in names]
    assert yaml.safe_load(cli("get", "-o", "yaml").out)["items"] == items


def test_one_object_is_one_document(cli, fleet):
    """`get NAME -o yaml` is what the status file holds."""
    document = yaml.safe_load(cli("get", "filter", "-o", "yaml").out)
    assert document["kind"] == "Daemon"
    assert document["status"]["devices"]["desired"] == 2


def test_the_selector_chooses_by_condition(cli, fleet):
    """Ready=false in any case; an absent condition counts as False."""
    found = cli("get", "--status-selector", "Ready=true,Stalled=False", "-o", "name").out.split()
    assert "Task/default/add" in found
    assert "Task/plant-a/add" not in found


def test_a_refused_revision_is_told_beside_the_table(cli, fleet):
    """What runs is the last good revision: stdout tells of it, stderr of the other one."""
    fleet.refuse("plant/add.yaml:5: spec.modlue: unknown field")
    said = cli("get")
    assert "add.yaml:5" in said.err
    assert "refused" not in said.out
    assert "!!  newer" in cli("why", "filter").out
    assert "rejected" in cli("history").out


def test_a_name_that_means_two_objects_is_refused(cli, fleet):
    """The candidates are listed, nothing is guessed."""
    said = cli("describe", "add")
    assert said.code == 2
    assert "Task/default/add, Task/plant-a/add" in said.err
    assert cli("describe", "add", "-n", "plant-a").code == 0


def test_objects_have_four_names(cli, fleet):
    """Name, kind/name, kind/namespace/name and uid mean the same."""
    uid = fleet.held("Daemon", "plant-a", "filter").uid
    answers = {
        cli("get", name, "-o", "json").out
        for name in ("filter", "daemon/filter", "Daemon/plant-a/filter", uid)
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["get", "fliter"], "did you mean 'filter'?"),
        (["describe", "daemn/filter"], "did you mean 'daemon'?"),
        (["get", "a/b/c/d"], "names no object"),
        (["get", "--status-selector", "Ready"], "TYPE=STATUS"),
        (["events", "--limit", "0"], "--limit"),
        (["history", "nope"], "there is no object 'nope'"),
        (["get", "proplets", "-w"], "not watched"),
        (["logs", "gateway-1"], "prints nothing"),
    ],
)
def test_a_slip_is_told_with_the_next_step(cli, fleet, words, hint):
    """Exit 2, nothing on stdout, and what to type instead."""
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


@pytest.mark.parametrize(
    "verb", ["get", "describe x", "events", "why x", "tree", "history", "logs x"]
)
def test_no_state_says_how_to_make_one(cli, verb):
    """Exit 2 and the verb that makes a state."""
    said = cli(*verb.split())
    assert said.code == 2
    assert "propeller up" in said.err


def test_a_held_object_says_who_holds_it(cli, fleet):
    """`why` names the operator and the reason, and that this is what blocks."""
    fleet.hold(fleet.held("Daemon", "plant-a", "filter"))
    said = cli("why", "filter")
    assert "In the way: suspend: suspended by ana@plant: bearing replaced" in said.out


def test_why_is_data_on_request(cli, fleet):
    """The chain as JSON has the same links as the text."""
    chain = json.loads(cli("why", "filter", "-o", "json").out)
    assert [link["name"] for link in chain["links"]][:3] == ["commit", "signer", "spec"]
    assert chain["blocked"].startswith("device on gateway-2: offline")
    assert "power and network" in chain["do"]
    assert [(one["count"], one["names"]) for one in chain["groups"]] == [
        (1, ["gateway-2"]),
        (1, ["gateway-1"]),
    ]


def test_what_devices_say_cannot_steer_the_terminal(cli, fleet):
    """Control characters of an error or a result are blanks in tables."""
    held = fleet.held("Task", "default", "add")
    fleet.another_run(held, proplet="gateway-1", state="Failed", error="bad\x1b[2J\nnews")
    said = cli("tasks", "results", "task/default/add", "-o", "table")
    assert "\x1b" not in said.out
    assert "bad [2J news" in said.out


def test_a_silent_device_is_never_dressed_as_running(cli, fleet):
    """What it ran is told as last heard, in `why` and in `tree`."""
    assert "Running when it was last heard" in cli("why", "filter@gateway-2").out
    assert "on gateway-2  Running  not heard now" in cli("tree", "filter").out


def test_a_tree_says_which_conditions_are_worth_a_look(cli, fleet):
    """In brackets for a person, all of them as data, and the run of each copy."""
    (root,) = json.loads(cli("tree", "-o", "json").out)["items"]
    nodes = {node["object"]: node for node in root["below"]}
    assert nodes["Task/plant-a/add"]["conditions"]["Blocked"] == "True"
    filter_ = nodes["Daemon/plant-a/filter"]
    assert [len(copy["run"]) for copy in filter_["below"]] == [32, 32]
    assert "Daemon/plant-a/filter  Unknown  [Reconciling Delivered=False]" in cli("tree").out


def test_secrets_are_masked(cli, fleet):
    """A value under a name that says secret is not printed, not in JSON either."""
    for form in ("text", "json", "yaml"):
        said = cli("describe", "filter", "-o", form)
        assert "hunter2" not in said.out
        assert "*** (#1)" in said.out


def test_watch_goes_on_until_interrupted(cli, fleet, state):
    """`get -w` prints what changed since, without a second head, and ends with 130."""
    held = fleet.held("Daemon", "plant-a", "filter")

    def meanwhile():
        started.wait(0.4)
        store = SqliteStore.open(state.database)
        row = next(row for row in store.statuses() if row.uid == held.uid)
        document = row.document.replace("1 of 2 ready", "2 of 2 ready")
        with store.transaction():
            store.put_status(replace(row, document=document))
        store.close()
        started.wait(0.8)
        signal.raise_signal(signal.SIGINT)

    started = threading.Event()
    other = threading.Thread(target=meanwhile)
    other.start()
    said = cli("get", "-w")
    other.join()
    assert said.code == 130
    assert said.out.count("MESSAGE") == 1
    assert "2 of 2 ready" in said.out.splitlines()[-1]


def test_events_are_followed(cli, fleet, state):
    """`events -w` goes on with what happens, each once."""

    def meanwhile():
        pause.wait(0.4)
        store = SqliteStore.open(state.database)
        with store.transaction():
            store.add_event(
                Event(at=fleet.now, severity="Warning", reason="Later", message="it rains")
            )
        store.close()
        pause.wait(0.8)
        signal.raise_signal(signal.SIGINT)

    pause = threading.Event()
    other = threading.Thread(target=meanwhile)
    other.start()
    said = cli("events", "-w")
    other.join()
    assert said.code == 130
    assert said.out.count("it rains") == 1
    assert said.out.count("MESSAGE") == 1


def test_quotas_tell_what_each_namespace_has(cli, fleet, state):
    """Against what the reconciler noted; one that has neither copies nor a quota is left out."""
    plain = cli("get", "quotas").out.splitlines()
    assert plain[0].split() == ["NAMESPACE", "COPIES", "MEMORY", "CALLS"]
    assert " of " not in "".join(plain)
    store = SqliteStore.open(state.database)
    with store.transaction():
        note_quotas(store, {"plant-a": Quota(copies=40, memory=1 << 30)})
        note_quotas(store, {"plant-a": Quota(copies=40, memory=1 << 30)})
        assert noted_quotas(store) == {"plant-a": Quota(copies=40, memory=1 << 30)}
    store.close()
    (one,) = json.loads(cli("get", "quotas", "-n", "plant-a", "-o", "json").out)["items"]
    assert one["copies"]["limit"] == 40
    assert 0 < one["copies"]["used"] < 40
    assert one["memory"]["limit"] == 1 << 30
    assert one["calls"]["limit"] is None
    row = cli("get", "quota", "-n", "plant-a").out.splitlines()[1]
    assert f"{one['copies']['used']} of 40" in row
    assert "of 1 GiB" in row
    assert cli("get", "quotas", "-o", "name").out.split() == ["Quota/plant-a"]
    assert cli("get", "quotas", "--watch").code == 2
