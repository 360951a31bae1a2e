"""Components that send HTTP requests, in real workers, to a real server on loopback."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from proplet_caller_wat import caller, fetches, to
from proplet_http_peer import Peer, peer
from wasmtime.component import ResourceHost, Variant

from propeller.outgoing import parse_rules
from propeller.wire.http_messages import WireHttp
from proplet.outlets import Outlets
from proplet.runtime.outward import AT_ONCE, Terms
from proplet.runtime.proxy_client import Future
from proplet.runtime.proxy_host import Host

if TYPE_CHECKING:
    from conftest import Maker, Up, Workshop


@pytest.fixture(scope="module")
def server() -> Iterator[Peer]:
    with peer() as made:
        yield made


def grant(server: Peer, **changes: int) -> WireHttp:
    limits = {"requests": 16, "timeout": 5000, "body": 64 * 1024} | changes
    return WireHttp(allow=(server.url,), **limits)


def owned(server: Peer) -> Outlets:
    return Outlets(parse_rules([server.url]))


def at(server: Peer) -> str:
    return f"127.0.0.1:{server.port}"


def test_a_command_fetches(make_workshop: Maker, server: Peer) -> None:
    """A Task: stdout is its result, and another origin is a code and a line of its log."""
    shop = make_workshop(outlets=owned(server))
    outcome = shop.run(fetches("command", at(server), "/a?b=1"), http=grant(server))
    assert (outcome.ok, outcome.exit, outcome.result) == (True, 0, "200 said:")
    assert b"GET /a?b=1 HTTP/1.1" in server.heard[-1]
    outcome = shop.run(fetches("command", "127.0.0.1:1", "/a"), 2, http=grant(server))
    assert outcome.result == "1015 "  # HTTP-request-denied is the 15th of error-code
    log = shop.supervisor.logs(("00000000-0000-0000-0000-000000000002", f"{2:032x}"))
    (stderr,) = log.glob("stderr.*")
    assert stderr.read_text() == (
        "propeller: http: refused GET http://127.0.0.1:1/a: run.http.allow does not list it\n"
    )


def test_a_function_of_each_kind_fetches(up: Up, server: Peer) -> None:
    """A command as in CGI, a handler of requests, and a typed export; each call may send as many
    requests as one may."""
    for kind, interface, wanted in (
        ("command", "Command", b"200 said:"),
        ("handler", "Command", b"200 said:"),
        ("typed", "Values", b"200"),
    ):
        function = up(
            fetches(kind, at(server), "/x"),
            "fetch" if kind == "typed" else "_start",
            interface,
            outlets=owned(server),
            http=grant(server, requests=1),
            concurrency=1,
            invocations=2 if kind == "typed" else 1,
        )
        for _ in range(3):
            result = function.call()
            assert result.state == "done", result
            assert base64.b64decode(result.body) == wanted
        function.shop.supervisor.close()


_POST = """
    (local.set $a {made})
    (drop (call $set-method (local.get $a) (i32.const 2) (i32.const 0) (i32.const 0)))
    (call $ask-body (local.get $a) (i32.const 1024))
    (local.set $b (i32.load (i32.const 1028)))
    {before}
    (call $output (local.get $b) (i32.const 1024))
    (call $write (i32.load (i32.const 1028)) (i32.const 2048) (i32.const 9) (i32.const 1024))
    (call $finish (local.get $b) (i32.const 0) (i32.const 0) (i32.const 1024))
    {after}
    (call $print)"""
_LATER = (
    "(call $send (local.get $a) (i32.const 0) (i32.const 0) (i32.const 1024))"
    " (local.set $c (i32.load (i32.const 1032)))"
)


def test_a_body_goes_out_whenever_it_is_written(make_workshop: Maker, server: Peer) -> None:
    """Before the request is handed over, or afterwards."""
    shop = make_workshop(outlets=owned(server))
    made, data = to(at(server), "/post")
    for number, (before, after) in enumerate(
        (
            ("", "(drop (call $do (local.get $a)))"),
            (_LATER, "(drop (call $wait-for (local.get $c)))"),
        ),
        1,
    ):
        module = caller("command", _POST.format(made=made, before=before, after=after), data)
        outcome = shop.run(module, number, http=grant(server))
        assert outcome.result == "said:127.0.0.1"
        assert b"POST /post" in server.heard[-1]


_UNFINISHED = f"""
    (local.set $a {{made}})
    (call $ask-body (local.get $a) (i32.const 1024))
    (local.set $b (i32.load (i32.const 1028)))
    {_LATER}
    {{then}}
    (call $digits (call $wait-for (local.get $c)))
    (call $print)"""


def test_a_body_that_is_too_large_or_never_ends(make_workshop: Maker, server: Peer) -> None:
    """The guest gets the code of it; nothing reached the server."""
    shop = make_workshop(outlets=owned(server))
    before = len(server.heard)
    made, data = to(at(server), "/post")
    too_large = (
        "(call $output (local.get $b) (i32.const 1024))"
        " (call $write (i32.load (i32.const 1028)) (i32.const 0) (i32.const 9999) (i32.const 1024))"
        " (if (i32.eqz (i32.load8_u (i32.const 1024))) (then unreachable))"
    )
    for number, (then, code) in enumerate(((too_large, "1017"), ("", "1033")), 1):
        module = caller("command", _UNFINISHED.format(made=made, then=then), data)
        outcome = shop.run(module, number, http=grant(server, body=4096, timeout=300))
        assert outcome.result == code, outcome
    assert len(server.heard) == before


def test_a_body_that_breaks_off_is_an_error_of_its_stream(
    make_workshop: Maker, server: Peer
) -> None:
    """What came before is read, then `http-error-code` says why."""
    shop = make_workshop(outlets=owned(server))
    outcome = shop.run(fetches("command", at(server), "/short"), http=grant(server))
    assert outcome.result == "2025 abc"  # HTTP-response-incomplete


@pytest.mark.parametrize("path", ["/silent", "/drips"])
def test_a_guest_stuck_in_a_request_ends_at_its_deadline(
    make_workshop: Maker, up: Up, server: Peer, path: str
) -> None:
    """As a run and as a call, whatever its request may take; and the next call is served."""
    far = grant(server, timeout=600_000)
    function = up(fetches("handler", at(server), path), outlets=owned(server), http=far)
    function.shop.until(lambda: function.pool._idle, 60)
    result = function.call(timeout=300)
    assert (result.state, result.cause) == ("failed", "timeout")
    function.shop.supervisor.close()
    shop = make_workshop(outlets=owned(server))
    outcome = shop.run(fetches("command", at(server), path), http=far, timeout=300)
    assert "longer than its limit of 300ms" in outcome.error


def test_who_sends_requests_is_granted_them(make_workshop: Maker, server: Peer) -> None:
    """Without a grant it never starts, nor with functions of the interface that nobody has."""
    shop: Workshop = make_workshop(outlets=owned(server))
    module = fetches("command", at(server), "/x")
    assert "is granted no requests (run.http)" in shop.prepare(shop.entry(module))
    strange = module.replace("[method]incoming-response.status", "[method]incoming-response.steal")
    assert "[method]incoming-response.steal of wasi:http/types" in shop.prepare(
        shop.entry(strange, 2, http=grant(server))
    )


@pytest.mark.parametrize("until", ["future", "answer", "body"])
def test_what_a_guest_lets_go_of_is_given_up(server: Peer, until: str) -> None:
    """The request, its response or the body: more of them than there may be at once, one after
    the other, each of them endless."""
    rules = tuple(parse_rules([server.url]))
    host = Host([], terms=Terms(rules, rules, requests=100, timeout=60.0))
    host.begin()
    http = host.interfaces()["wasi:http/types"][1]
    handle = host.interfaces()["wasi:http/outgoing-handler"][1]["handle"]
    own, future = "[method]outgoing-request", "[method]future-incoming-response"

    def rep(made: object) -> int:
        assert isinstance(made, ResourceHost), made
        return made.rep

    for _ in range(AT_ONCE + 3):
        asking = rep(http["[constructor]outgoing-request"](rep(http["[constructor]fields"]())))
        http[f"{own}.set-authority"](asking, at(server))
        http[f"{own}.set-path-with-query"](asking, "/drips")
        http[f"{own}.set-scheme"](asking, Variant("HTTP"))
        last = coming = rep(handle(asking, None))
        if until != "future":
            host.io.wait(host.things.get(coming, Future).sent.headed)
            got = http[f"{future}.get"](coming)
            assert isinstance(got, Variant)
            last = rep(got.payload)
        if until == "body":
            last = rep(http["[method]incoming-response.consume"](last))
        host.things.dropped(None, last)  # type: ignore[arg-type]  # it looks at no store
    host.begin()
