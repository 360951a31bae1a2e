"""The client against a real gateway: what it asks, what it gives, how it says no."""

from __future__ import annotations

import numpy as np
import pytest
from learned import Learned

from propeller.client import Client, Refused
from propeller.errors import Unavailable, UsageError
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import write_model
from propeller.reconcile.deposits import Deposit, Withdraw
from propeller.reconcile.events import Confirm, RetryFlow, SetHold, SetProplet, Steer
from propeller.registry.blobs import BlobStore

KEY = "Daemon/plant-a/filter"
SPEC = {
    "apiVersion": "propeller.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"name": "mine"},
    "spec": {"module": {"file": "m.wat"}, "run": {"entrypoint": "f"}},
}
WAT = b'(module (func (export "f")))'


@pytest.fixture
def client(door):
    """A client with a deployer's token."""
    with Client(door.base, token=door.token("deployer", name="nb")) as made:
        yield made


def test_it_shows_what_there_is(client):
    """Objects, filtered and one; runs, results, proplets, events, revisions."""
    assert client.whoami()["name"] == "token:nb"
    assert {one.key for one in client.objects(kind="Task")} == {
        "Task/default/add",
        "Task/plant-a/add",
    }
    one = client.get(KEY)
    assert (one.ready, one.reason, one.app) == ("Unknown", "Offline", "default")
    assert list(client.results("Task/default/add")) == ["gateway-1"]
    assert {one.name: one.state for one in client.proplets()}["gateway-2"] == "Silent"
    assert [one.name for one in client.proplets(label="zone=a")] == ["gateway-1"]
    assert len(client.events(limit=2)) == 2
    assert all(one.object == KEY for one in client.events(key=KEY))
    assert client.revisions()[0].author.startswith("Ana")


def test_it_applies_files_documents_and_their_modules(client, door, tmp_path):
    """From a folder, with the module beside the spec, and a document with its bytes."""
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "m.wat").write_bytes(WAT)
    (lab / "a.yaml").write_text(
        "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\n"
        "spec: {module: {file: m.wat}, run: {entrypoint: f}}\n---\nkind: other\n"
    )
    (change,) = client.apply(lab)
    assert (change.key, change.op, change.dry_run) == ("Task/default/a", "create", False)
    (change,) = client.diff(SPEC, files={"m.wat": WAT})
    put = [event for event in door.loop.asked if isinstance(event, Deposit)]
    assert [(str(one.object.meta.key), one.dry) for one in put] == [
        ("Task/default/a", False),
        ("Task/default/mine", True),
    ]
    assert client.delete("Task/default/a").key == "Task/default/a"
    assert isinstance(door.loop.asked[-1], Withdraw)


@pytest.mark.parametrize(
    ("given", "words"),
    [("nowhere.yaml", "no file"), ({"kind": "Task"}, "metadata.name"), (SPEC, "m.wat")],
)
def test_what_cannot_be_applied_is_said_before_anything_is_sent(client, door, given, words):
    """No file, no name, no module."""
    with pytest.raises(UsageError, match=words):
        client.apply(given)
    assert door.loop.asked == []


def test_it_steers(client, door):
    """Suspend, resume, retry, roll back, reject, confirm, cordon: each arrives."""
    client.suspend(KEY, "why", until=2_000_000_000_000)
    client.resume(KEY)
    client.retry(KEY)
    client.rollback(KEY, "bad", to=3)
    client.reject(KEY, "bad")
    client.confirm("sha256:" + "a" * 64)
    client.schedule("gateway-1", "Cordon", "work")
    kinds = [type(event) for event in door.loop.asked]
    assert kinds == [SetHold, SetHold, RetryFlow, Steer, Steer, Confirm, SetProplet]


def test_logs_come_in_pieces(client, door):
    """As devices answer."""
    door.loop.pieces = (
        {"proplet": "gateway-1", "stream": "stderr", "text": "oh", "dropped": 3, "done": False},
        {"proplet": "gateway-1", "done": True},
    )
    (piece,) = client.logs(KEY)
    assert (piece.proplet, piece.stream, piece.text, piece.dropped) == (
        "gateway-1",
        "stderr",
        "oh",
        3,
    )


def test_a_watch_begins_with_what_there_is(client):
    """Until it is synced."""
    names = []
    for event, document in client.watch("proplets"):
        if event == "synced":
            break
        names.append(document["name"])
    assert sorted(names) == ["gateway-1", "gateway-2", "probe-9"]


def test_wait_ends_when_ready_failed_or_late(client):
    """Ready answers; failed is 3, late is 4, and what never was is 404."""
    assert client.wait("Task/default/add").ready == "True"
    with pytest.raises(Refused, match="not Ready in time") as late:
        client.wait(KEY, timeout=0.1)
    assert late.value.exit == 4
    with pytest.raises(Refused, match="inventory"):
        client.wait("Task/default/none", timeout=0.1)


def test_rounds_and_models_of_a_federated_task_come_as_numbers(client, door, tmp_path):
    """From the first round on, with attempts of their own; the model of a round, the latest, the
    best."""
    learned = Learned(door.state, door.store, tmp_path / "fl")
    key = str(learned.key)
    rounds = client.rounds(key)
    assert [(one.number, one.attempt, one.state) for one in rounds] == [
        (1, 1, "Abandoned"),
        (1, 2, "Committed"),
        (2, 1, "Committed"),
        (3, 1, "Committed"),
        (4, 1, "Collecting"),
    ]
    assert [one.metrics.get("accuracy") for one in rounds] == [None, 0.5, 0.9, 0.7, None]
    assert rounds[0].ended == {"Accepted": 1, "Dropped": 1}
    third = client.model(key, 3)
    (name,) = third
    assert (client.model(key)[name] == third[name]).all()
    assert (client.model(key, "best")[name] == client.model(key, 2)[name]).all()
    assert not (client.model(key, 2)[name] == third[name]).all()
    with pytest.raises(Refused, match="made no model"):
        client.model(key, 4)


def test_a_model_comes_as_arrays(client, door, monkeypatch):
    """A float32 array of each tensor, in its shape."""
    layout = Layout.of(Tensor("b", (2,)), Tensor("w", (2, 3)))
    flat = np.arange(8, dtype=np.float32)
    digest = BlobStore(door.state.blobs).put(write_model(layout, flat))
    path = f"/api/v1/objects/{KEY}/rounds/latest/model"
    data = BlobStore(door.state.blobs).read(digest)
    asked = []
    monkeypatch.setattr(client, "_bytes", lambda given: asked.append(given) or data)
    arrays = client.model(KEY)
    assert asked == [path]
    assert arrays["b"].tolist() == [0.0, 1.0]
    assert arrays["w"].shape == (2, 3)
    assert arrays["w"].dtype == np.float32


def test_it_says_no_with_the_apis_words(client, door):
    """Refused, with status and exit; a gateway that is away is Unavailable."""
    with pytest.raises(Refused, match="not in the inventory") as refused:
        client.get("Task/default/none")
    assert (refused.value.status, refused.value.exit) == (404, 2)
    with pytest.raises(Refused, match="say who you are"):
        Client(door.base).whoami()
    with pytest.raises(UsageError):
        client.get("add")
    with pytest.raises(Unavailable, match="does not answer"):
        Client("http://127.0.0.1:9").whoami()
