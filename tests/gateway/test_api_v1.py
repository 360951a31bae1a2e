"""`/api/v1` over a real port: lists, pages, filters, writes, watching, and doing a write once."""

from __future__ import annotations

import base64
import json
import threading

import pytest
import requests
from serving import report

from propeller.model.ids import Key
from propeller.reconcile.deposits import Deposit, Withdraw
from propeller.reconcile.events import Confirm, Operate, SetHold, SetProplet, Steer
from propeller.state.records import Event

OBJECT = "/api/v1/objects/Daemon/plant-a/filter"
SPEC = {
    "apiVersion": "propeller.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"name": "mine", "namespace": "plant-a"},
    "spec": {"module": {"file": "m.wat"}, "run": {"entrypoint": "f"}},
}
FILES = {"m.wat": base64.b64encode(b'(module (func (export "f")))').decode()}
PUT = "/api/v1/objects/Task/plant-a/mine"


@pytest.fixture
def ask(door):
    """Asks as a deployer; answers the JSON of what went well."""
    token = door.token("deployer", name="ana")

    def one(method, path, status=200, **more):
        answer = door.ask(method, path, token=token, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    one.token = token
    return one


def names(page):
    """`Kind/namespace/name` of a page."""
    return [
        f"{one['kind']}/{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in page["items"]
    ]


# -- looks ------------------------------------------------------------------------------------


def test_pages_of_objects_have_every_object_once(ask):
    """One at a time, by the cursor, in the order of names."""
    whole = names(ask("GET", "/api/v1/objects"))
    found, after = [], ""
    while True:
        page = ask("GET", f"/api/v1/objects?limit=1&after={after}")
        found += names(page)
        after = page["next"]
        if after is None:
            break
    assert found == whole == sorted(whole)
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=Daemon", 1),
        ("namespace=plant-a", 2),
        ("kind=Task&namespace=plant-a", 1),
        ("kind=Nope", 0),
        ("ready=True", 2),
    ],
)
def test_objects_are_filtered(ask, query, count):
    """By kind, namespace and readiness."""
    assert len(ask("GET", f"/api/v1/objects?{query}")["items"]) == count


@pytest.mark.parametrize(
    "query",
    ["knid=Daemon", "limit=0", "limit=9999", "limit=x", "ready=Yes", "after=%ff", "limit=%D9%A1"],
)
def test_a_question_that_is_not_meant_so_is_refused(ask, query):
    """A filter with a typo must not show everything."""
    words = ask("GET", f"/api/v1/objects?{query}", status=400)
    assert words["title"] == "Bad request"


def test_events_are_paged_newest_first_and_new_ones_move_no_page(door, ask):
    """The cursor counts from the oldest."""
    first = ask("GET", "/api/v1/events?limit=2")
    with door.store.transaction():
        door.store.add_event(
            Event(at=door.gate.clock(), severity="Warning", reason="New", message="just now")
        )
    second = ask("GET", f"/api/v1/events?limit=2&after={first['next']}")
    said = [json.dumps(one) for one in first["items"] + second["items"]]
    assert not any("just now" in one for one in said)
    assert len(said) == len(set(said))
    whole = [json.dumps(one) for one in ask("GET", "/api/v1/events")["items"]]
    assert whole[1 : 1 + len(said)] == said
    (newest,) = ask("GET", "/api/v1/events?severity=Warning&limit=1")["items"]
    assert newest["message"] == "just now"


def test_an_object_has_history_events_runs_and_proplets_are_found(ask):
    """What the pages show, as data."""
    assert ask("GET", OBJECT)["metadata"]["name"] == "filter"
    assert ask("GET", OBJECT + "/history")["items"] is not None
    assert ask("GET", OBJECT + "/events")["items"]
    runs = ask("GET", OBJECT + "/runs")["items"]
    assert {one["proplet"] for one in runs} <= {"gateway-1", "gateway-2"}
    (silent,) = ask("GET", "/api/v1/proplets?state=Silent")["items"]
    assert (silent["name"], silent["labels"]) == ("gateway-2", {"zone": "b"})
    assert [one["name"] for one in ask("GET", "/api/v1/proplets?label=zone=a")["items"]] == [
        "gateway-1"
    ]
    assert ask("GET", "/api/v1/proplets/gateway-1")["state"] == "Online"
    assert ask("GET", "/api/v1/proplets/none", status=404)["status"] == 404
    assert ask("GET", "/api/v1/revisions")["items"][0]["author"]
    ask("GET", "/api/v1/objects/Daemon/plant-a/none", status=404)


def test_a_result_is_fetched_as_bytes(door, ask):
    """What a run returned, whether it stands in the row or in a blob."""
    runs = ask("GET", "/api/v1/objects/Task/default/add/runs")["items"]
    run = next(one for one in runs if one["result"] is not None)
    path = f"/api/v1/objects/Task/default/add/runs/{run['run']}/result"
    answer = door.ask("GET", path, token=ask.token)
    assert answer.content.decode() == run["result"]
    assert answer.headers["content-disposition"] == "attachment"


def test_logs_are_lines_of_json_as_devices_answer(door, ask):
    """Asked with what was asked for; ends when every device is done."""
    door.loop.pieces = (
        {"proplet": "gateway-1", "stream": "stdout", "text": "hello\n", "done": False},
        {"proplet": "gateway-1", "done": True},
    )
    answer = door.ask("GET", OBJECT + "/logs?tail=7&stream=stdout", token=ask.token)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("text") for line in lines] == ["hello\n", None]
    (event,) = door.loop.asked
    assert isinstance(event, Operate)
    assert (event.verb, event.tail, event.stream) == ("logs", 7, "stdout")


# -- writes -----------------------------------------------------------------------------------


def test_what_is_asked_arrives_whole_and_says_who(door, ask):
    """Suspend, resume, reject, roll back, steer, cordon, confirm."""
    digest = "sha256:" + "a" * 64
    ask("POST", OBJECT + "/suspend", json={"reason": "stands", "until": 2_000_000_000_000})
    ask("POST", OBJECT + "/resume", json={})
    ask("POST", OBJECT + "/reject", json={"reason": "bad", "digest": "abc"})
    ask("POST", OBJECT + "/rollback", json={"reason": "bad", "to": 3})
    ask("POST", OBJECT + "/rollout", json={"reason": "wait", "verb": "pause"})
    ask(
        "POST", "/api/v1/proplets/gateway-1/scheduling", json={"reason": "x", "scheduling": "Drain"}
    )
    ask("POST", f"/api/v1/plans/{digest}/confirm", json={})
    suspend, resume, reject, back, pause, drain, confirm = door.loop.asked
    assert isinstance(suspend, SetHold)
    assert suspend.key == Key("Daemon", "plant-a", "filter")
    assert (suspend.suspend.by, suspend.suspend.until) == ("token:ana", 2_000_000_000_000)
    assert resume.suspend is None
    assert isinstance(reject, Steer)
    assert (str(reject.verb), reject.digest, reject.by) == ("reject", "abc", "token:ana")
    assert (str(back.verb), back.generation) == ("rollback", 3)
    assert str(pause.verb) == "pause"
    assert isinstance(drain, SetProplet)
    assert (drain.proplet, drain.scheduling) == ("gateway-1", "Drain")
    assert isinstance(confirm, Confirm)
    assert (confirm.what, confirm.by) == (digest, "token:ana")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/suspend", {}),
        ("/suspend", {"reason": " "}),
        ("/suspend", {"reason": "x", "by": "somebody else"}),
        ("/suspend", {"reason": "x", "until": "tomorrow"}),
        ("/rollout", {"reason": "x", "verb": "explode"}),
        ("/rollback", {"reason": "x", "to": 0}),
    ],
)
def test_what_is_not_as_it_must_be_is_refused(door, ask, path, body):
    """Before it reaches the loop, with the field and the rule; nobody asks for somebody else."""
    words = ask("POST", OBJECT + path, status=422, json=body)
    assert words["title"] == "Not as it must be"
    assert door.loop.asked == []


def test_what_the_loop_says_no_to_is_a_problem(door, ask):
    """Its words, 404 for what is not there, 409 for the rest."""
    door.loop.words = {"error": "x is not in the inventory", "missing": True, "exit": 2}
    assert ask("POST", OBJECT + "/resume", status=404, json={})["detail"].startswith("x is not")
    door.loop.words = {"error": "there is no rollout", "exit": 2}
    assert ask("POST", OBJECT + "/resume", status=409, json={})["exit"] == 2


def test_an_object_is_put_kept_and_deleted(door, ask):
    """The loader of every spec makes it; it is an object of the App `api`."""
    body = {"document": SPEC, "files": FILES}
    assert ask("PUT", PUT, json=body)["op"] == "create"
    put = door.loop.asked[-1]
    assert isinstance(put, Deposit)
    assert (put.object.meta.app, str(put.object.meta.key)) == ("api", "Task/plant-a/mine")
    assert len(list((door.state.shelves / "objects").iterdir())) == 1
    ask("DELETE", PUT)
    assert isinstance(door.loop.asked[-1], Withdraw)
    assert list((door.state.shelves / "objects").iterdir()) == []


@pytest.mark.parametrize(
    ("document", "files", "words"),
    [
        ({**SPEC, "kind": "App"}, {}, ""),
        ({**SPEC, "metadata": {"name": "other", "namespace": "plant-a"}}, FILES, "nothing else"),
        ({**SPEC, "metadata": {"name": "mine", "namespace": "plant-b"}}, FILES, "nothing else"),
        (SPEC, {}, "m.wat"),
        (SPEC, {"m.wat": "%%%"}, "base64"),
        ({"x": 1}, {}, ""),
    ],
)
def test_a_spec_that_is_wrong_is_refused_and_not_kept(door, ask, document, files, words):
    """Another kind, another name than the path's, another namespace, no module, nothing."""
    said = ask("PUT", PUT, status=422, json={"document": document, "files": files})
    assert words in said["detail"]
    assert not (door.state.shelves / "objects").exists()
    assert door.loop.asked == []


def test_a_deployer_of_one_plant_puts_nothing_into_another(door):
    """The namespace of the path decides, and the document must be of it."""
    token = door.token("deployer", "plant-b")
    body = {"document": SPEC, "files": FILES}
    assert door.ask("PUT", PUT, token=token, json=body).status_code == 403
    other = PUT.replace("plant-a", "plant-b")
    assert door.ask("PUT", other, token=token, json=body).status_code == 422
    assert door.loop.asked == []


# -- once -------------------------------------------------------------------------------------


def test_a_write_under_a_key_is_done_once(door, ask):
    """The same again gets the same answer, another request is refused, others have their own."""
    path, headers = OBJECT + "/suspend", {"Idempotency-Key": "k1"}
    first = ask("POST", path, headers=headers, json={"reason": "x"})
    again = door.ask("POST", path, token=ask.token, headers=headers, json={"reason": "x"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (first, "true")
    assert len(door.loop.asked) == 1
    ask("POST", path, status=422, headers=headers, json={"reason": "other"})
    other = door.token("operator")
    door.ask("POST", path, token=other, headers=headers, json={"reason": "x"})
    assert len(door.loop.asked) == 2
    door.clock.ahead = 25 * 3_600_000
    fresh = door.token("operator")
    door.ask("POST", path, token=fresh, headers=headers, json={"reason": "x"})
    assert len(door.loop.asked) == 3


def test_a_write_that_failed_may_be_done_again(door, ask):
    """A 503 is not kept under its key."""
    path, headers = OBJECT + "/suspend", {"Idempotency-Key": "k2"}
    (door.state.audit / "audit.jsonl").mkdir(parents=True)
    ask("POST", path, status=503, headers=headers, json={"reason": "x"})
    (door.state.audit / "audit.jsonl").rmdir()
    ask("POST", path, headers=headers, json={"reason": "x"})


# -- watching ---------------------------------------------------------------------------------


def stream_of(door, token, query):
    """Events of a watch as (name, data), one by one."""
    answer = requests.get(
        f"{door.base}/api/v1/watch?{query}",
        headers={"Authorization": f"Bearer {token}"},
        stream=True,
        timeout=20,
    )
    name = ""
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"event: "):
            name = line[7:].decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def test_a_watch_tells_what_there_is_and_then_what_moves(door, ask):
    """Everything once, `synced`, then only what changed."""
    events = stream_of(door, ask.token, "what=objects&namespace=plant-a")
    first = []
    for name, words in events:
        first.append((name, words))
        if name == "synced":
            break
    assert [name for name, _ in first] == ["put", "put", "synced"]
    row = next(one for one in door.store.statuses() if str(one.key) == "Daemon/plant-a/filter")
    document = json.loads(row.document)
    document["status"]["note"] = "moved"

    def later():
        with door.store.transaction():
            door.store.put_status(
                type(row)(
                    uid=row.uid,
                    key=row.key,
                    ready="True",
                    document=json.dumps(document),
                    changed_at=row.changed_at,
                )
            )

    later()
    name, words = next(events)
    assert (name, words["status"]["note"]) == ("put", "moved")
    with door.store.transaction():
        door.store.drop_status(row.uid)
    assert next(events) == ("gone", {"name": "Daemon/plant-a/filter"})


def test_a_watch_shows_only_what_one_may_see(door):
    """And the others do not even appear when they move."""
    events = stream_of(door, door.token("viewer", "plant-a"), "what=objects")
    found = []
    for name, words in events:
        if name == "synced":
            break
        found.append(words["metadata"]["namespace"])
    assert set(found) == {"plant-a"}


def test_watchers_are_bounded(door, ask, monkeypatch):
    """What is over the bound is told to come later."""
    from propeller.gateway.v1 import watching

    monkeypatch.setattr(watching, "MOST_STREAMS", 1)
    one = stream_of(door, ask.token, "what=proplets")
    next(one)
    answer = door.ask("GET", "/api/v1/watch", token=ask.token)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert threading.active_count() < 60


def test_what_copies_and_proplets_took_is_read_by_time(door, fleet):
    """Newest first, in pages; of a proplet's guests only those whose namespace the caller sees."""
    mark = fleet.held("Daemon", "plant-a", "filter").uid[:8]
    for minutes in (5, 3):
        told = {f"cpu/{mark}": minutes, "cpu/ffffffff": 7, "rssBytes": 1}
        report(fleet, "gateway-1", fleet.now - minutes * 60_000, **told)
    path, mine = "/api/v1/proplets/gateway-1/usage", door.token("viewer", "plant-a")
    page = door.ask("GET", f"{path}?limit=1", token=mine).json()
    assert [one["mean"] for one in page["items"]] == [{f"cpu/{mark}": 3, "rssBytes": 1}]
    page = door.ask("GET", f"{path}?limit=1&after={page['next']}", token=mine).json()
    assert [one["most"] for one in page["items"]] == [{f"cpu/{mark}": 5, "rssBytes": 1}]
    assert page["next"] is None
    since = fleet.now - 4 * 60_000 - 60_000
    page = door.ask("GET", f"{path}?since={since}", token=door.token("viewer", "plant-b")).json()
    assert {json.dumps(one["mean"]) for one in page["items"]} == {'{"rssBytes": 1}'}
    assert door.ask("GET", "/api/v1/proplets/nobody/usage", token=mine).status_code == 404
    found = door.ask("GET", f"{OBJECT}/usage", token=mine).json()["items"]
    assert [(one["proplet"], one["mean"]) for one in found] == [
        ("gateway-1", {"cpu": 3}),
        ("gateway-1", {"cpu": 5}),
    ]
    refused = door.ask("GET", f"{OBJECT}/usage", token=door.token("viewer", "plant-b"))
    assert refused.status_code in (403, 404)
