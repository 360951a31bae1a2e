"""The API over its real socket: a real server, the real client, a loop that pretends."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from propeller.cli.context import Client, Refused
from propeller.errors import Fault, SpecError, Unavailable
from propeller.gateway.api import MAX_REQUEST, make_app
from propeller.gateway.server import ApiServer
from propeller.model.ids import Key
from propeller.model.revision import Revision
from propeller.reconcile.events import (
    AskStanding,
    Confirm,
    Drop,
    Event,
    ModuleResolved,
    OpenWindow,
    Operate,
    RunOnce,
    SetHold,
    SetProplet,
    SourceSilent,
    SpecsRefused,
    SpecsTaken,
    Steer,
    SteerVerb,
)
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree
from propeller.state.layout import StateDir


class PretendLoop:
    """Answers every request the way the real loop would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.looked = 0
        self.answer: Callable[[Event], list[Mapping[str, object]]] = lambda _: [{"done": True}]
        self.outcome: SpecsTaken | SpecsRefused | SourceSilent | None = None

    def post(self, event: Event) -> None:
        self.events.append(event)
        reply = getattr(event, "reply", None)
        if reply is not None:
            for words in self.answer(event):
                reply(words)

    def look(self) -> None:
        self.looked += 1

    def apply(self, path: str) -> SpecsTaken | SpecsRefused | SourceSilent:
        assert path == "/specs"
        assert self.outcome is not None
        return self.outcome

    def load(self, files: Mapping[str, bytes]) -> Revision:
        from propeller.model.ids import sha256_digest

        return load(
            Tree(name="run", files=dict(files)), domain="d", keep=sha256_digest, inspect=inspect
        )

    def health(self) -> Mapping[str, object]:
        return {"fence": 7}


@pytest.fixture
def loop() -> PretendLoop:
    return PretendLoop()


@pytest.fixture
def client(tmp_path: Path, loop: PretendLoop) -> Iterator[Client]:
    # A path longer than a socket's may be: the state directory is the user's choice.
    state = StateDir(tmp_path / ("long" * 25))
    state.create()
    server = ApiServer(make_app(loop), state.socket)
    server.start()
    assert stat.S_IMODE(state.socket.stat().st_mode) == 0o600
    yield Client(state)
    server.stop()
    assert not state.socket.exists()


RUN = {
    "apiVersion": "propeller.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"name": "r"},
    "spec": {"module": {"file": "m.wat"}, "run": {"entrypoint": "f"}},
}


def _files(**files: str) -> dict[str, str]:
    return {
        name.replace("__", "."): base64.b64encode(text.encode()).decode()
        for name, text in files.items()
    }


def test_health_and_look(client: Client, loop: PretendLoop) -> None:
    """Whether a reconciler runs is one request; `look` reaches the source."""
    assert client.running()
    assert client.get("/api/v1/health")["fence"] == 7
    client.post("/api/v1/look", {})
    assert loop.looked == 1


def test_no_reconciler_is_said_with_what_to_start(tmp_path: Path) -> None:
    """A command that needs one says so."""
    state = StateDir(tmp_path)
    state.create()
    assert not Client(state).running()
    with pytest.raises(Unavailable, match="propeller up"):
        Client(state).get("/api/v1/health")


def test_a_hold_arrives_whole(client: Client, loop: PretendLoop) -> None:
    """Reason, author and end of a suspension reach the loop; null lifts it."""
    suspend = {"reason": "why", "by": "me", "until": 5}
    client.post("/api/v1/hold", {"key": "Task/a/b", "suspend": suspend})
    client.post("/api/v1/hold", {"key": "Task/a/b", "suspend": None})
    first, second = loop.events
    assert isinstance(first, SetHold)
    assert first.suspend is not None
    assert (first.key, first.suspend.until) == (Key("Task", "a", "b"), 5)
    assert isinstance(second, SetHold)
    assert second.suspend is None


def test_a_window_is_opened_with_a_reason(client: Client, loop: PretendLoop) -> None:
    """Who, whose and why; without a reason it is refused."""
    body = {"key": "App/default/line", "by": "me", "reason": "line 3 stands"}
    client.post("/api/v1/window", body)
    (event,) = loop.events
    assert isinstance(event, OpenWindow)
    assert (event.key, event.by, event.reason) == (Key.parse(body["key"]), "me", body["reason"])
    with pytest.raises(Refused, match="reason must be text"):
        client.post("/api/v1/window", {**body, "reason": ""})


def test_what_is_said_of_versions_arrives_whole(client: Client, loop: PretendLoop) -> None:
    """Verb, version, generation, who and why."""
    body = {"key": "Daemon/a/b", "verb": "rollback", "to": 3, "by": "me", "reason": "noise"}
    client.post("/api/v1/steer", body)
    (event,) = loop.events
    assert isinstance(event, Steer)
    assert (event.key, event.verb) == (Key("Daemon", "a", "b"), SteerVerb.ROLLBACK)
    assert (event.generation, event.by, event.reason) == (3, "me", "noise")


def test_a_refusal_of_the_loop_carries_its_exit_code(client: Client, loop: PretendLoop) -> None:
    """What the loop says no to ends the command as the loop says."""
    loop.answer = lambda _: [{"done": True, "error": "Task/a/b is not there", "exit": 3}]
    with pytest.raises(Refused, match="not there") as caught:
        client.post("/api/v1/hold", {"key": "Task/a/b"})
    assert caught.value.exit == 3


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/v1/hold", {"key": "nonsense"}, "kind/namespace/name"),
        ("/api/v1/hold", {}, "key must be text"),
        ("/api/v1/proplet", {"proplet": "p", "by": "x", "scheduling": "Off"}, "scheduling must"),
        ("/api/v1/proplet", {"by": "x"}, "proplet must be text"),
        ("/api/v1/steer", {"verb": "turn", "key": "Task/a/b", "by": "x"}, "verb must be one of"),
        ("/api/v1/steer", {"verb": "reject", "key": "Task/a/b"}, "by must be text"),
        (
            "/api/v1/steer",
            {"verb": "rollback", "key": "Task/a/b", "by": "x", "to": "one"},
            "to must be a generation",
        ),
        (
            "/api/v1/steer",
            {"verb": "reject", "key": "Task/a/b", "by": "x", "digest": 1},
            "digest must be text",
        ),
        ("/api/v1/operate", {"verb": "explode", "key": "Task/a/b"}, "verb must be"),
        ("/api/v1/operate", {"verb": "logs", "key": "Task/a/b", "tail": -1}, "whole number"),
        ("/api/v1/run", {"files": []}, "files must map"),
        ("/api/v1/run", {"files": {"a.json": "%%%"}}, "files"),
        ("/api/v1/run", {"files": {}}, "exactly one Task"),
    ],
)
def test_a_malformed_request_says_what_is_wanted(
    client: Client, loop: PretendLoop, path: str, body: dict[str, object], words: str
) -> None:
    """Nothing malformed reaches the loop."""
    with pytest.raises(Refused, match=words) as caught:
        client.post(path, body)
    assert caught.value.exit == 2
    assert loop.events == []


def test_an_endless_body_is_cut(client: Client) -> None:
    """A request has a size; what is over it is refused, not buffered."""
    with pytest.raises(Refused, match="MiB"):
        client.post("/api/v1/run", {"files": {"a": "x" * (MAX_REQUEST + 1)}})


def test_a_run_loads_its_own_small_tree(client: Client, loop: PretendLoop) -> None:
    """`propeller run` sends a Task and its module; both are checked like any spec."""
    import json

    module = '(module (func (export "f")))'
    client.post("/api/v1/run", {"files": _files(r__json=json.dumps(RUN), m__wat=module)})
    resolved, run = loop.events
    assert isinstance(resolved, ModuleResolved)
    assert isinstance(run, RunOnce)
    assert run.object.meta.app == "run"
    with pytest.raises(Refused, match=r"m\.wat"):
        client.post("/api/v1/run", {"files": _files(r__json=json.dumps(RUN))})


def test_apply_tells_faults_and_silence_apart(client: Client, loop: PretendLoop) -> None:
    """Bad specs list their faults; a source that does not answer is said as such."""
    loop.outcome = SpecsRefused("/specs", "h", (Fault("a.yaml", 3, "spec.x", "unknown field"),))
    with pytest.raises(Refused, match=r"a\.yaml:3: spec\.x: unknown field"):
        client.post("/api/v1/apply", {"path": "/specs"})
    loop.outcome = SourceSilent("/specs", "no such directory")
    with pytest.raises(Refused, match="no such directory"):
        client.post("/api/v1/apply", {"path": "/specs"})
    revision = loop.load(
        {
            "p.json": b'{"apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet", '
            b'"metadata": {"name": "p"}}'
        }
    )
    loop.outcome = SpecsTaken(revision, "/specs")
    assert client.post("/api/v1/apply", {"path": "/specs"})["digest"] == revision.digest


def test_an_operation_streams_until_every_proplet_is_done(
    client: Client, loop: PretendLoop
) -> None:
    """Lines come as they are said; the stream ends with the last proplet."""

    def answer(event: Event) -> list[Mapping[str, object]]:
        assert isinstance(event, Operate)
        return [
            {"done": False, "proplets": ["a", "b"]},
            {"proplet": "a", "text": "one", "done": False},
            {"proplet": "b", "text": "two", "done": True},
            {"proplet": "a", "text": "three", "done": True},
        ]

    loop.answer = answer
    lines = list(client.stream("/api/v1/operate", {"verb": "logs", "key": "Task/a/b"}))
    assert [line["text"] for line in lines] == ["one", "two", "three"]


def test_the_other_requests_reach_the_loop(client: Client, loop: PretendLoop) -> None:
    """Cordon, confirm, drop and standing are entries of the inbox like the rest."""
    client.post(
        "/api/v1/proplet",
        {"proplet": "p", "scheduling": "Cordon", "labels": {"a": "b", "c": None}, "by": "me"},
    )
    client.post("/api/v1/confirm", {"what": "fleet", "by": "me"})
    client.post("/api/v1/drop", {"key": "Task/default/r"})
    client.get("/api/v1/standing")
    assert [type(event) for event in loop.events] == [SetProplet, Confirm, Drop, AskStanding]
    cordon = loop.events[0]
    assert isinstance(cordon, SetProplet)
    assert cordon.labels == {"a": "b", "c": None}


def test_loading_is_strict(loop: PretendLoop) -> None:
    """The pretend loop refuses what the real loader refuses (the fake is no softer)."""
    with pytest.raises(SpecError):
        loop.load({"a.yaml": b"apiVersion: propeller.dev/v1alpha1\nkind: Nope\n"})
