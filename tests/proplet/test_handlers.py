"""Components that handle HTTP requests: a hand-made host for their world, in real workers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from proplet_handler_wat import ECHO, handler
from wasmtime import Store, WasmtimeError
from wasmtime.component import Component

from propeller.wire.call_messages import WireServe
from propeller.wire.messages import WireMount
from proplet.runtime.component import lookup
from proplet.runtime.engine import engine
from proplet.runtime.exchange import Asked, Wrong
from proplet.runtime.proxy import Host
from proplet.runtime.proxy_io import Exited, TooMuch, link

if TYPE_CHECKING:
    from conftest import Up, Workshop


def test_a_request_reaches_the_handler_and_its_response_the_caller(up: Up) -> None:
    """Path, query, headers, body, environment; status, headers and body back; stderr is the log.
    Again and again in the same process."""
    server = up(ECHO, env=(("RATE", "5"),))
    large = bytes(range(256)) * 64
    for body in (b"", b"ping", large, b"again"):
        result = server.call(
            body,
            method="PUT",
            path="keys/7",
            query="q=1",
            headers=[["x-who", "ana"], ["host", "here"]],
        )
        assert result.state == "done", result
        assert base64.b64decode(result.body) == b"/keys/7?q=1ana5" + body
        assert (result.status, result.headers) == (201, (("x-mine", "yes"),))
    (log,) = server.shop.supervisor.logs(server.key).glob("stderr.*")
    assert log.read_text() == "yes" * 4


_NO_BODY = "(i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)"
FAILS = {
    # name: (what handle does, what that is, words)
    "answers-nothing": ("", Wrong, "it gave no response"),
    "answers-err": (
        f"(call $set (local.get $out) (i32.const 1) (i32.const 38) {_NO_BODY})",
        Wrong,
        "it answered with the error internal-error",
    ),
    "status-of-a-hop": (
        "(call $answer (local.get $out) (call $fields) (i32.const 101))",
        Wrong,
        "it answered with status 101",
    ),
    "floods": (
        "(local.set $a (call $response (call $fields))) (call $body (local.get $a) (i32.const 8))"
        " (call $output (i32.load (i32.const 12)) (i32.const 8))"
        " (loop (call $write (i32.load (i32.const 12)) (i32.const 0) (i32.const 4096)"
        " (i32.const 32)) (br 0))",
        Wrong,
        "its answer is more than 131072 bytes",
    ),
    "hoards": ("(loop (drop (call $fields)) (br 0))", TooMuch, "more than 4096 handles"),
    "exits": ("(call $exit (i32.const 1))", Exited, "exit 1"),
    "traps": ("unreachable", WasmtimeError, "unreachable"),
    "uses-a-handle-twice": (
        "(drop (call $response (local.tee $a (call $fields))))"
        " (drop (call $response (local.get $a)))",
        WasmtimeError,
        "handle",
    ),
    "forges-a-handle": (
        "(drop (call $response (local.get $request)))",
        WasmtimeError,
        "handle",
    ),
    "polls-nothing": (
        "(call $poll (i32.const 0) (i32.const 0) (i32.const 8))",
        WasmtimeError,
        "poll of nothing",
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_handler_that_misuses_its_host_fails_in_words(name: str) -> None:
    """And the next call finds everything as it was."""
    body, kind, words = FAILS[name]
    made = engine(fuel=False)
    component = Component(made, handler(body))
    host = Host([])
    linker = link(made, host.things, host.interfaces())
    for _ in range(2):
        store = Store(made)
        store.set_epoch_deadline(1)
        instance = linker.instantiate(store, component)
        function = lookup(instance, store, ("wasi:http/incoming-handler@0.2.3", "handle"))
        with pytest.raises(kind, match=words):
            function(store, *host.exchange.begin(Asked("POST", "", "", (), b"x")))
            host.exchange.end()


@pytest.mark.parametrize("body", ["(loop br 0)", "(call $block (call $wait (i64.const -1)))"])
def test_a_handler_ends_at_its_deadline(up: Up, body: str) -> None:
    """Whether it spins or waits."""
    server = up(handler(body))
    server.shop.until(lambda: server.pool._idle, 60)
    result = server.call(timeout=300)
    assert (result.state, result.cause) == ("failed", "timeout")


def test_a_handler_is_called_and_not_run(workshop: Workshop) -> None:
    """A Task has no request for it."""
    assert "ComponentHttp: it handles requests" in workshop.prepare(workshop.entry(ECHO))


def test_a_handler_that_asks_for_more_is_refused(workshop: Workshop) -> None:
    """What is no function of `wasi:http`, and files."""
    half = ECHO.replace("[method]fields.get", "[method]fields.steal")
    assert "[method]fields.steal of wasi:http/types" in workshop.prepare(workshop.entry(half))
    mounts = (WireMount(name="data", path="/data", access="ReadOnly"),)
    serve = WireServe(interface="Command", concurrency=1, queue=1, ready=0, invocations=1)
    entry = workshop.entry(ECHO, 2, mode="serve", serve=serve, mounts=mounts)
    assert "such a component gets no files" in workshop.prepare(entry)


FILES = """(import "wasi:filesystem/types@0.2.3" (instance $types
    (export "descriptor" (type $d (sub resource)))
    (type $kinds (enum "access" "bad-descriptor")) (export "error-code" (type $code (eq $kinds)))
    (export "[method]descriptor.sync"
      (func (param "self" (borrow $d)) (result (result (error $code)))))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.3" (instance
    (alias outer 1 $descriptor (type $d)) (export "descriptor" (type $own (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $own) string)))))))"""


def test_a_handler_may_import_the_files_it_has_not(up: Up) -> None:
    """As what most toolchains build does: there are no directories."""
    server = up(ECHO.replace("(component ", f"(component {FILES} ", 1), env=(("RATE", "5"),))
    result = server.call(b"", method="GET", path="a", headers=[["x-who", "ana"]])
    assert base64.b64decode(result.body) == b"/aana5"
