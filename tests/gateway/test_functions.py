"""Functions over HTTP: what comes is bounded and mapped, what goes says whether to try again."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.routing import Route as HttpRoute

from propeller.errors import Conflict, Unavailable
from propeller.gateway.access.gate import Gate
from propeller.gateway.access.roles import Role
from propeller.gateway.access.tokens import Tokens
from propeller.gateway.calls import End, Outcome, Request, Route
from propeller.gateway.carrier import Listen, Ticket
from propeller.gateway.functions import function_routes
from propeller.gateway.hookserver import HookServer
from propeller.gateway.routing import application
from propeller.state.calls import CallRow

NOW = 1_800_000_000_000


@dataclass
class Line:
    """A Carrier that answers as it is told, and remembers what it was asked."""

    outcome: Outcome | None = field(
        default_factory=lambda: Outcome(end=End.DONE, status=200, body="NDI=", proplet="gw-01")
    )
    asked: list[tuple[str, Request, str | None, bool]] = field(default_factory=list)
    rows: dict[str, CallRow] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    error: Exception | None = None
    again: bool = False
    listening: tuple[Listen, Future[Outcome]] | None = None

    def route(self, name: str) -> Route | None:
        return None

    def call(
        self,
        name: str,
        request: Request,
        *,
        key: str | None = None,
        later: bool = False,
        listen: Listen | None = None,
    ) -> Ticket:
        if listen is not None:
            self.listening = (listen, future := Future())
            self.asked.append((name, request, key, later))
            if self.outcome is not None:
                future.set_result(self.outcome)
            return Ticket("call-1", future)
        if self.error is not None:
            raise self.error
        self.asked.append((name, request, key, later))
        future: Future[Outcome] = Future()
        if self.outcome is not None:
            future.set_result(self.outcome)
        return Ticket("call-1", future, again=self.again)

    def find(self, id_: str) -> CallRow | None:
        return self.rows.get(id_)

    def cancel(self, id_: str) -> bool:
        self.cancelled.append(id_)
        return True


@dataclass
class Door:
    """The line behind a real port."""

    line: Line
    url: str
    tokens: dict[str, str]

    def ask(self, method: str = "POST", path: str = "/fn/plant-a/f", **more: Any) -> Any:
        role = more.pop("role", "operator")
        headers = {**more.pop("headers", {})}
        if role:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return requests.request(method, self.url + path, headers=headers, timeout=10, **more)

    @property
    def request(self) -> Request:
        return self.line.asked[-1][1]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    tokens = Tokens(tmp_path / "tokens", lambda: NOW)
    made = {}
    for role in Role:
        for place in ("plant-a", "plant-b", "*"):
            chance = os.urandom(38)
            name = f"{role}@{place}"
            made[name] = tokens.create(
                name.replace("*", "all"), role, (place,), ttl=10**8, chance=chance
            )[1]
    made["operator"], made["viewer"] = made["operator@plant-a"], made["viewer@plant-a"]
    line = Line()
    gate = Gate(clock=lambda: NOW, tokens=tokens, open_to_anyone=True)
    server = HookServer(application(function_routes(line, gate)), "127.0.0.1", 0)
    server.start()
    yield Door(line, f"http://127.0.0.1:{server.port}", made)
    server.stop()


def test_a_request_reaches_the_function_as_it_was_made(door: Door) -> None:
    """Method, path, query, headers, bytes; what is of the connection or a credential does not."""
    answer = door.ask(
        "PUT",
        "/fn/plant-a/f/keys/7?q=1&q=%20x",
        data=b"\x00raw\xff",
        headers={
            "X-Who": "ana",
            "Content-Type": "application/x-mine",
            "Cookie": "propeller=secret",
            "Propeller-Timeout": "500ms",
        },
    )
    assert (answer.status_code, answer.content) == (200, b"42")
    name, request, key, later = door.line.asked[-1]
    assert (name, key, later) == ("plant-a/f", None, False)
    assert (request.method, request.path, request.query) == ("PUT", "keys/7", "q=1&q=%20x")
    assert base64.b64decode(request.body) == b"\x00raw\xff"
    assert request.timeout == 500
    headers = dict(request.headers)
    assert (headers["x-who"], headers["content-type"]) == ("ana", "application/x-mine")
    assert not {"authorization", "cookie", "host", "connection"} & set(headers)


EVENTS = {"Accept": "text/event-stream"}


def events_of(answer: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event, data) of a stream, as they come."""
    name = ""
    for line in answer.iter_lines(chunk_size=None, decode_unicode=True):
        field_, _, text = line.partition(": ")
        if field_ == "event":
            name = text
        elif field_ == "data":
            yield name, json.loads(text)


def following(door: Door) -> tuple[Any, Iterator[tuple[str, dict[str, Any]]], Any, Any]:
    """A call that is followed and has not ended: the answer, its events, who logs, who ends."""
    door.line.outcome = None
    answer = door.ask(headers=EVENTS, stream=True)
    assert door.line.listening is not None
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    return answer, events_of(answer), *door.line.listening


def test_a_followed_call_tells_what_it_logs_as_it_comes_and_then_its_answer(door: Door) -> None:
    """One event a piece, at once; the last one is the answer."""
    _, events, log, future = following(door)
    assert door.request.follow > 0
    log("half way\n", 0)
    assert next(events) == ("log", {"text": "half way\n"})
    log("two\nlines", 7)
    assert next(events) == ("log", {"text": "two\nlines", "lost": 7})
    log("last", 0)
    future.set_result(Outcome(end=End.DONE, status=201, body="NDI=", proplet="gw-01"))
    assert next(events) == ("log", {"text": "last"})
    name, told = next(events)
    assert (name, told["fate"], told["status"], told["body"]) == ("result", "Done", 201, "NDI=")
    assert list(events) == []


def test_a_followed_call_that_fails_says_so_in_its_last_event(door: Door) -> None:
    """With the exit code of a command."""
    _, events, _, future = following(door)
    future.set_result(Outcome(end=End.FAILED, cause="trap", error="trapped: unreachable"))
    name, told = next(events)
    assert (name, told["cause"], told["status"], told["exit"]) == ("result", "trap", 502, 3)


def test_who_reads_too_slowly_loses_pieces_and_is_told_how_much(door: Door) -> None:
    """Nobody is held up; what there is, is bounded."""
    _, events, log, future = following(door)
    for _ in range(20):
        log("x" * 100_000, 0)
    future.set_result(Outcome(end=End.DONE, status=200))
    told = list(events)
    got = sum(len(data["text"]) for name, data in told if name == "log")
    lost = sum(data.get("lost", 0) for name, data in told if name == "log")
    assert got <= 1 << 20
    assert got + lost == 2_000_000
    assert told[-1][0] == "result"


def test_a_caller_who_stops_following_takes_the_call_along(door: Door) -> None:
    """As one that hangs up does; what has a key goes on."""
    answer, _, _, _ = following(door)
    answer.close()
    deadline = time.monotonic() + 10
    while not door.line.cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert door.line.cancelled == ["call-1"]


def test_a_call_that_is_over_at_once_is_answered_as_ever(door: Door) -> None:
    """A refusal keeps its status; asking for both ways of waiting is refused."""
    door.line.outcome = Outcome(end=End.REFUSED, cause="busy", retry_after=1)
    assert door.ask(headers=EVENTS).status_code == 429
    both = {**EVENTS, "Prefer": "respond-async"}
    assert door.ask(headers=both).status_code == 400


def test_who_may_call(door: Door) -> None:
    """An operator of its namespace; who is nobody is asked to say who they are."""
    assert door.ask().status_code == 200
    assert door.ask(role="viewer").status_code == 403
    assert door.ask(role="operator@plant-b").status_code == 403
    assert door.ask(role="").status_code == 401
    assert door.ask(role="", headers={"Authorization": "Bearer x"}).status_code == 401
    assert len(door.line.asked) == 1


@pytest.mark.parametrize(
    ("outcome", "status", "retry"),
    [
        (Outcome(end=End.REFUSED, cause="busy", retry_after=1), 429, "1"),
        (Outcome(end=End.REFUSED, cause="absent", retry_after=2), 503, "2"),
        (Outcome(end=End.REFUSED, cause="absent"), 503, None),
        (Outcome(end=End.REFUSED, cause="stopping", retry_after=1), 503, "1"),
        (Outcome(end=End.REFUSED, cause="request"), 400, None),
        (Outcome(end=End.REFUSED, cause="notFound"), 404, None),
        (Outcome(end=End.REFUSED, cause="cancelled"), 409, None),
        (Outcome(end=End.FAILED, cause="trap", error="unreachable"), 502, None),
        (Outcome(end=End.FAILED, cause="exit", error="exit 3"), 502, None),
        (Outcome(end=End.FAILED, cause="timeout"), 504, None),
        (Outcome(end=End.UNKNOWN, cause="interrupted"), 502, None),
        (Outcome(end=End.UNKNOWN, cause="timeout"), 504, None),
    ],
)
def test_every_end_has_its_status_and_says_whether_it_began(
    door: Door, outcome: Outcome, status: int, retry: str | None
) -> None:
    """A program can decide by status and fate alone."""
    door.line.outcome = outcome
    answer = door.ask()
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry)
    told = answer.json()
    assert (told["fate"], told["cause"], told["error"], told["call"]) == (
        outcome.end.value,
        outcome.cause,
        outcome.error,
        "call-1",
    )


def test_a_guest_says_nothing_in_our_name(door: Door) -> None:
    """No cookie, no rights for scripts, no headers of ours; the rest is its own."""
    door.line.outcome = Outcome(
        end=End.DONE,
        status=418,
        body="aGk=",
        headers=(
            ("content-type", "text/html"),
            ("x-mine", "yes"),
            ("set-cookie", "propeller=stolen"),
            ("content-security-policy", "script-src *"),
            ("access-control-allow-origin", "*"),
            ("propeller-call", "other"),
        ),
    )
    answer = door.ask()
    assert (answer.status_code, answer.text) == (418, "hi")
    assert (answer.headers["Content-Type"], answer.headers["X-Mine"]) == ("text/html", "yes")
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Propeller-Call"] == "call-1"
    assert not {"set-cookie", "access-control-allow-origin"} & {
        one.lower() for one in answer.headers
    }


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"data": b"x" * (128 * 1024 + 1)}, 413),
        ({"path": "/fn/plant-a/f/" + "x" * 3000}, 414),
        ({"path": "/fn/plant-a/f?" + "x" * 9000}, 414),
        ({"headers": {f"X-{n}": "v" for n in range(60)}}, 431),
        ({"headers": {"X-Long": "v" * 17_000}}, 431),
        ({"headers": {"Propeller-Timeout": "soon"}}, 400),
        ({"headers": {"Propeller-Timeout": "0s"}}, 400),
        ({"headers": {"Idempotency-Key": "k" * 129}}, 400),
        ({"path": "/fn/Plant/f"}, 404),
        ({"path": "/fn/plant-a/..%2f"}, 404),
    ],
)
def test_what_is_too_much_or_no_name_goes_no_further(
    door: Door, more: dict[str, Any], status: int
) -> None:
    """Each bound has its own status, and nobody is called."""
    assert door.ask(**more).status_code == status
    assert door.line.asked == []


def test_an_asynchronous_call_is_promised_and_asked_for_later(door: Door) -> None:
    """202 with where to look; then waiting, then its end; only who may see it sees it."""
    door.line.outcome = None
    answer = door.ask(headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/api/v1/calls/call-1"
    assert door.line.asked[-1][3]
    row = CallRow(id="call-1", function="plant-a/f", digest="d", at=NOW, expires=NOW, request={})
    door.line.rows["call-1"] = row
    assert door.ask("GET", "/api/v1/calls/call-1", role="viewer").json()["state"] == "Waiting"
    done = {"end": "Done", "status": 200, "headers": [["a", "b"]], "body": "NDI=", "proplet": "p"}
    door.line.rows["call-1"] = CallRow(
        id="call-1",
        function="plant-a/f",
        digest="d",
        state="ended",
        at=NOW,
        expires=NOW,
        request={},
        outcome=done,
    )
    told = door.ask("GET", "/api/v1/calls/call-1", role="viewer").json()
    assert (told["state"], told["fate"], told["body"]) == ("Ended", "Done", "NDI=")
    assert door.ask("GET", "/api/v1/calls/call-1", role="viewer@plant-b").status_code == 403
    assert door.ask("DELETE", "/api/v1/calls/call-1").status_code == 409
    door.line.rows["call-1"] = row
    assert door.ask("DELETE", "/api/v1/calls/call-1", role="viewer").status_code == 403
    assert door.ask("DELETE", "/api/v1/calls/call-1").status_code == 202
    assert door.line.cancelled == ["call-1"]
    assert door.ask("GET", "/api/v1/calls/call-2").status_code == 404


def test_prefer_wait_gives_the_answer_if_it_comes_in_time(door: Door) -> None:
    """RFC 7240: asynchronous, but wait a second."""
    answer = door.ask(headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.text) == (200, "42")


def test_a_key_is_handed_on_and_a_repeat_is_marked(door: Door) -> None:
    """The same call again says so; another request under the key is refused."""
    door.line.again = True
    answer = door.ask(headers={"Idempotency-Key": "order-7"})
    assert answer.headers["Idempotent-Replay"] == "true"
    assert door.line.asked[-1][2] == "order-7"
    door.line.error = Conflict("this idempotency key was used for another request")
    assert door.ask(headers={"Idempotency-Key": "order-7"}).status_code == 422
    door.line.error = Unavailable("no space left")
    answer = door.ask(headers={"Idempotency-Key": "order-8"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("key", [None, "order-7"])
def test_a_caller_that_hangs_up_ends_its_call_unless_it_has_a_key(
    door: Door, key: str | None
) -> None:
    """Nobody would hear the answer of the one; the other may be asked for again."""
    door.line.outcome = None
    headers = {} if key is None else {"Idempotency-Key": key}
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            f"{door.url}/fn/plant-a/f",
            headers={"Authorization": f"Bearer {door.tokens['operator']}", **headers},
            timeout=0.3,
        )
    end = time.monotonic() + 5
    while not door.line.cancelled and key is None and time.monotonic() < end:
        time.sleep(0.05)
    assert door.line.cancelled == ([] if key else ["call-1"])


ROUTES = [
    (method, route.path)
    for route in function_routes(Line(), Gate(clock=lambda: NOW))
    if isinstance(route, HttpRoute)
    for method in sorted(route.methods or ())
    if method != "HEAD"
]
"""Every route, made from those that are served: a new one is tried without a word here."""


@pytest.mark.parametrize("place", ["plant-a", "plant-b", "*"])
@pytest.mark.parametrize("role", ["nobody", "viewer", "operator", "deployer", "admin"])
def test_every_route_of_calls_in_every_role(door: Door, role: str, place: str) -> None:
    """Calling and ending take an operator of the Function's namespace, looking takes a viewer."""
    door.line.rows["call-1"] = CallRow(
        id="call-1", function="plant-a/f", digest="d", at=NOW, expires=NOW, request={}
    )
    headers = {}
    if role != "nobody":
        headers["Authorization"] = f"Bearer {door.tokens[f'{role}@{place}']}"
    for method, path in ROUTES:
        where = path.replace("{path:path}", "x").format(namespace="plant-a", name="f", id="call-1")
        got = door.ask(method, where, role="", headers=headers).status_code
        looks = method == "GET" and where.startswith("/api/")
        needed = Role.VIEWER if looks else Role.OPERATOR
        what = f"{method} {where} as {role} of {place}: {got}"
        if role == "nobody":
            # On loopback somebody without a login may look where the gate lets him.
            assert got == 401 or looks, what
        elif Role(role).includes(needed) and place in ("plant-a", "*"):
            assert got not in (401, 403), what
            assert got < 500, what
        else:
            assert got in (403, 404), what
