"""Calls of a Function on a device: real workers, real guests, no broker."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from propeller.wire.call_messages import WireServe
from proplet.pending import Pending, Result

if TYPE_CHECKING:
    from conftest import Maker, Up

ADD = """(module
  (func (export "add") (param i32 i64) (result i64)
    (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "both") (param i32) (result i32 f32) (local.get 0) (f32.const 0.1))
  (func (export "none")))"""

COUNT = """(module (global $n (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""

SPIN = '(module (func (export "spin") (loop br 0)))'
TRAP = '(module (func (export "trap") unreachable))'
GROW = """(module (memory (export "memory") 1)
  (func (export "grow") (result i32) (memory.grow (i32.const 1024))))"""

ECHO = """(module
  (import "propeller" "input_len" (func $len (result i32)))
  (import "propeller" "input_read" (func $read (param i32 i32 i32) (result i32)))
  (import "propeller" "output_write" (func $write (param i32 i32)))
  (import "propeller" "output_status" (func $status (param i32)))
  (import "propeller" "output_type" (func $type (param i32 i32)))
  (import "propeller" "log" (func $log (param i32 i32 i32)))
  (import "propeller" "metric" (func $metric (param i32 i32 f64)))
  (import "propeller" "config_get" (func $config (param i32 i32 i32 i32) (result i32)))
  (import "propeller" "request_get" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "propeller" "now_ms" (func $now (result i64)))
  (import "propeller" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "text/x-echoRATEmethodheader:x-who")
  (func (export "echo") (result i32) (local $n i32)
    (local.set $n (call $read (i32.const 1024) (i32.const 0) (call $len)))
    (call $write (i32.const 1024) (local.get $n))
    (call $write (i32.const 2000)
      (call $config (i32.const 11) (i32.const 4) (i32.const 2000) (i32.const 9)))
    (call $write (i32.const 2000)
      (call $request (i32.const 15) (i32.const 6) (i32.const 2000) (i32.const 9)))
    (call $write (i32.const 2000)
      (call $request (i32.const 21) (i32.const 12) (i32.const 2000) (i32.const 9)))
    (call $random (i32.const 3000) (i32.const 16))
    (if (i64.eqz (call $now)) (then unreachable))
    (call $status (i32.const 201))
    (call $type (i32.const 0) (i32.const 11))
    (call $log (i32.const 1) (i32.const 1024) (local.get $n))
    (call $metric (i32.const 11) (i32.const 4) (f64.const 2.5))
    (i32.const 0))
  (func (export "outside") (call $write (i32.const 70000) (i32.const 4)))
  (func (export "fails") (result i32) (i32.const 7)))"""

CGI = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 100) "Status: 202 Accepted\\0d\\0aContent-Type: text/x-env\\0d\\0a")
  (data (i32.const 148) "X-Mine: yes\\0d\\0a\\0d\\0a")
  (func $put (param $fd i32) (param $at i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (local $n i32)
    (drop (call $sizes (i32.const 16) (i32.const 20)))
    (drop (call $environ (i32.const 4096) (i32.const 8192)))
    (call $put (i32.const 1) (i32.const 100) (i32.const 63))
    (call $put (i32.const 1) (i32.const 8192) (i32.load (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 60000))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $put (i32.const 1) (i32.const 65536) (i32.load (i32.const 8)))
    (call $put (i32.const 2) (i32.const 107) (i32.const 4))
    (call $exit (i32.const %d))))"""

SLEEP = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 24) (i64.const 20000000000))
    (i32.store (i32.const 16) (i32.const 1))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""

FLOOD = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 4) (i32.const 60000))
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"""


def body_of(result: Result) -> bytes:
    assert result.state == "done", result
    return base64.b64decode(result.body)


def test_an_export_takes_and_returns_numbers(up: Up) -> None:
    """JSON in, JSON out; a 64-bit integer keeps all its digits; the query does as well."""
    server = up(ADD, "add")
    assert body_of(server.call(b"[-2, 9223372036854775807]")) == b"9223372036854775805"
    assert body_of(server.call(query="a=40&b=2")) == b"42"
    assert body_of(server.call(b'["0x10", "2"]')) == b"18"
    for bad in (b"[1]", b"[1, 2, 3]", b"{", b"[1, null]", b'[1, "x"]', b"[1.5, 2]", b'{"a": 1}'):
        result = server.call(bad)
        assert (result.state, result.cause) == ("refused", "request"), bad
        assert result.error


@pytest.mark.parametrize(
    ("export", "body", "told"),
    [
        ("half", b"[5]", b"2.5"),
        ("half", b'["inf"]', b'"inf"'),
        ("both", b"[7]", b"[7,0.1]"),
        ("none", b"", b"null"),
    ],
)
def test_every_shape_of_a_result_is_json(up: Up, export: str, body: bytes, told: bytes) -> None:
    """One number, several, none, and what JSON has no number for."""
    result = up(ADD, export).call(body)
    assert body_of(result) == told
    json.loads(told)
    assert dict(result.headers)["content-type"] == "application/json"


def test_every_call_gets_a_fresh_instance(up: Up) -> None:
    """Nothing that one call left is seen by the next."""
    server = up(COUNT, "count")
    assert [body_of(server.call()) for _ in range(3)] == [b"1", b"1", b"1"]


def test_an_instance_is_kept_for_as_many_calls_as_the_spec_says(up: Up) -> None:
    """`maxInvocations: 3`: counted up to three, then a fresh one."""
    server = up(COUNT, "count", concurrency=1, invocations=3)
    assert [body_of(server.call()) for _ in range(7)] == [b"1", b"2", b"3", b"1", b"2", b"3", b"1"]


def test_an_instance_that_failed_is_not_kept(up: Up) -> None:
    """A trap may have left anything in its memory."""
    module = """(module (global $n (mut i32) (i32.const 0))
      (func (export "count") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.eq (global.get $n) (i32.const 3)) (then unreachable))
        (global.get $n)))"""
    server = up(module, "count", concurrency=1, invocations=100)
    states = [server.call().state for _ in range(4)]
    assert states == ["done", "done", "failed", "done"]
    assert body_of(server.call()) == b"2"


def test_bytes_go_in_and_out_by_the_propeller_imports(up: Up) -> None:
    """Input, output, status, type, configuration, the request, log, metrics, clock, dice."""
    server = up(ECHO, "echo", "Bytes", env=(("RATE", "5"),))
    result = server.call(b"hello", method="PUT", headers=[["x-who", "ana"]])
    assert body_of(result) == b"hello5PUTana"
    assert (result.status, result.headers) == (201, (("content-type", "text/x-echo"),))
    assert server.pool.tally.metrics == {"RATE": 2500}
    (log,) = server.shop.supervisor.logs(server.key).glob("stderr.*")
    assert log.read_text() == "warning: hello\n"


@pytest.mark.parametrize(
    ("export", "words"), [("outside", "outside of its memory"), ("fails", "fails returned 7")]
)
def test_a_guest_that_misuses_an_import_fails_in_words(up: Up, export: str, words: str) -> None:
    """An address that is none, a code that says no."""
    result = up(ECHO, export, "Bytes").call()
    assert (result.state, result.cause) == ("failed", "invalid")
    assert words in result.error


def test_a_command_is_called_as_in_cgi(up: Up) -> None:
    """The request in the environment and on stdin; status, headers and body on stdout."""
    server = up(CGI % 0, args=("a",), env=(("RATE", "5"),))
    result = server.call(
        b"ping",
        method="PUT",
        path="keys/7",
        query="q=1",
        headers=[["content-type", "text/plain"], ["x-who", "ana"], ["x-nul", "a\0b"]],
    )
    body = body_of(result)
    assert (result.status, result.headers) == (
        202,
        (("content-type", "text/x-env"), ("x-mine", "yes")),
    )
    *variables, last = body.split(b"\0")
    assert last == b"ping"
    told = dict(one.decode().split("=", 1) for one in variables)
    assert (
        told
        | {
            "REQUEST_METHOD": "PUT",
            "PATH_INFO": "/keys/7",
            "QUERY_STRING": "q=1",
            "CONTENT_LENGTH": "4",
            "CONTENT_TYPE": "text/plain",
            "SCRIPT_NAME": "/fn/plant-a/f",
            "HTTP_X_WHO": "ana",
            "RATE": "5",
        }
        == told
    )
    assert "HTTP_X_NUL" not in told
    (log,) = server.shop.supervisor.logs(server.key).glob("stderr.*")
    assert log.read_text() == " 202"


def test_a_command_that_exits_with_a_code_has_failed(up: Up) -> None:
    """Whatever it wrote before."""
    result = up(CGI % 3).call(b"x")
    assert (result.state, result.cause, result.error) == ("failed", "exit", "exit 3")


@pytest.mark.parametrize(
    ("module", "entrypoint", "cause", "changes"),
    [
        (SPIN, "spin", "timeout", {}),
        (SLEEP, "_start", "timeout", {}),
        (TRAP, "trap", "trap", {}),
        (FLOOD, "_start", "output", {}),
        (SPIN, "spin", "fuel", {"fuel": 100_000}),
    ],
)
def test_a_bad_call_ends_with_its_reason_and_the_next_is_served(
    up: Up, module: str, entrypoint: str, cause: str, changes: dict[str, object]
) -> None:
    """A loop, a sleep that no epoch wakes, a trap, endless output, no fuel left."""
    server = up(module, entrypoint, **changes)
    timeout = 300 if cause == "timeout" else 10_000
    for _ in range(2):
        result = server.call(timeout=timeout)
        assert (result.state, result.cause) == ("failed", cause), result
        assert result.error


def test_memory_is_bounded_for_each_instance(up: Up) -> None:
    """`memory.grow` past the limit answers -1."""
    assert body_of(up(GROW, "grow", memory=1 << 20).call()) == b"-1"


def test_calls_run_side_by_side_then_wait_then_are_refused(up: Up) -> None:
    """Two run, one waits, the fourth is refused at once; all others get their own end."""
    server = up(SPIN, "spin", concurrency=2, queue=1)
    names = [server.begin(timeout=3_000) for _ in range(4)]
    refused = server.results[names[3]]
    assert (refused.state, refused.cause) == ("refused", "busy")
    server.shop.until(lambda: (server.pool.running, server.pool.waiting) == (2, 1))
    results = [server.wait(name) for name in names[:3]]
    assert [result.cause for result in results[:2]] == ["timeout", "timeout"]
    assert results[2].cause in ("busy", "timeout")


def test_a_call_is_cancelled_where_it_stands(up: Up) -> None:
    """In the queue it never began; in a guest it ends there."""
    server = up(SPIN, "spin", concurrency=1)
    runs, waits = server.begin(), server.begin()
    server.shop.until(lambda: server.pool.running)
    assert server.pool.cancel(waits)
    assert server.results[waits].cause == "cancelled"
    assert server.results[waits].state == "refused"
    assert server.pool.cancel(runs)
    result = server.wait(runs)
    assert (result.state, result.cause) == ("failed", "cancelled")
    assert not server.pool.cancel("nobody")


def test_a_worker_that_is_killed_costs_its_call_only(up: Up) -> None:
    """Interrupted, and never begun again here; the next is served by another process."""
    server = up(SPIN, "spin", concurrency=1)
    assert server.call(timeout=150).cause == "timeout"  # so its process is ready for the next
    name = server.begin()
    server.shop.until(lambda: server.pool.running)
    server.shop.turn(0.2)
    zygote = server.shop.supervisor._zygote
    assert zygote is not None
    os.kill(zygote.pid, signal.SIGKILL)
    result = server.wait(name)
    assert (result.state, result.cause) == ("failed", "interrupted")
    last = server.call(timeout=3_000)
    assert last.cause == "timeout", last


def test_a_function_that_is_stopped_lets_its_calls_end(up: Up) -> None:
    """Replaced: over at once, while what runs goes on to its own end and what waits is refused."""
    server = up(SPIN, "spin", concurrency=1)
    pool = server.pool
    runs, waits = server.begin(timeout=3_000), server.begin()
    server.shop.until(lambda: server.pool.running)
    server.shop.supervisor.stop(server.key, 0)
    assert server.shop.over[server.key].ok
    assert server.results[waits].cause == "stopping"
    assert server.wait(runs).cause == "timeout"
    pool.submit(
        Pending(id="x", request={}, came=0, ends=0, answer=lambda r: server._answered("x", r))
    )
    assert server.results["x"].cause == "stopping"


def test_a_function_that_is_drained_waits_for_its_calls(up: Up) -> None:
    """The proplet goes: calls may use the grace, and no more than that."""
    server = up(SPIN, "spin", concurrency=1)
    name = server.begin()
    server.shop.until(lambda: server.pool.running)
    server.shop.supervisor.stop(server.key, 300)
    assert server.key not in server.shop.over
    assert server.wait(name).cause == "interrupted"
    server.shop.until(lambda: server.key in server.shop.over)


def test_a_module_that_cannot_be_called_so_is_unfit(make_workshop: Maker) -> None:
    """Said when it is prepared, before any call."""
    shop = make_workshop()

    def why(number: int, module: str, entrypoint: str, interface: str, mode: str = "serve") -> str:
        serve = WireServe(interface=interface) if mode == "serve" else None
        entry = shop.entry(module, number, mode=mode, entrypoint=entrypoint, serve=serve)
        return shop.prepare(entry)

    assert "takes nothing and returns nothing" in why(1, ADD, "add", "Bytes")
    assert why(2, ADD, "add", "Values") == ""
    assert "exports no function" in why(3, ADD, "sub", "Values")
    assert "which only a Function offers" in why(4, ECHO, "echo", "", "once")


def test_what_a_function_takes_is_told_once_for_all_its_processes(up: Up) -> None:
    """Two processes wait for calls: one name each, their memory added up."""
    server = up(ADD, "add", concurrency=2, ready=2)
    assert body_of(server.call(b"[1, 2]")) == b"3"
    names = [name for name, _ in server.shop.supervisor.gauges()]
    assert len(names) == len(set(names))
    assert f"rss/{server.key[0][:8]}" in names


def test_the_load_of_a_function_is_told_as_an_average(up: Up) -> None:
    """One call that runs for the whole time between two looks is one call, in thousandths."""
    server = up(SPIN, "spin", concurrency=1)
    server.shop.turn(0.05)
    server.shop.supervisor.gauges()
    name = server.begin(timeout=400)
    server.begin(timeout=400)
    server.wait(name)
    loads = dict(server.shop.supervisor.gauges())
    assert 1_000 <= loads[f"calls/{server.key[0][:8]}"] <= 2_200
    server.shop.turn(0.05)
    time.sleep(0.05)
    assert dict(server.shop.supervisor.gauges())[f"calls/{server.key[0][:8]}"] <= 2_200


def test_a_function_tells_how_long_nobody_has_called_it(up: Up) -> None:
    """0 while a call runs, then the time since; also how many calls wait, and how many it took."""
    server = up(SPIN, "spin", concurrency=1)
    mark = server.key[0][:8]
    server.shop.turn(0.05)
    told = dict(server.shop.supervisor.gauges())
    assert (told[f"taken/{mark}"], told[f"queue/{mark}"]) == (0, 0)
    first, second = server.begin(timeout=60_000), server.begin(timeout=60_000)
    time.sleep(0.05)
    told = dict(server.shop.supervisor.gauges())
    assert (told[f"taken/{mark}"], told[f"idle/{mark}"]) == (2, 0)
    assert told[f"queue/{mark}"] > 0
    for name in (second, first):
        assert server.pool.cancel(name)
        server.wait(name)
    time.sleep(0.05)
    assert dict(server.shop.supervisor.gauges())[f"idle/{mark}"] > 0


TALK = """(module
  (import "propeller" "log" (func $log (param i32 i32 i32)))
  (import "propeller" "input_len" (func $len (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "half way: \\c3\\a9")
  (func (export "talk") (result i32) (local $n i32)
    (call $log (i32.const 1) (i32.const 0) (i32.const 12))
    (loop $more
      (if (i32.lt_u (local.get $n) (call $len))
        (then
          (call $log (i32.const 1) (i32.const 4096) (i32.const 4000))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br $more))))
    (i32.const 0))
  (func (export "wait") (result i32)
    (call $log (i32.const 1) (i32.const 0) (i32.const 12))
    (loop br 0) (i32.const 0)))"""


def test_a_followed_call_is_heard_while_it_runs(up: Up) -> None:
    """Before its answer, and from nobody who did not ask."""
    server = up(TALK, "wait", "Bytes")
    name = server.begin(follow=1000, timeout=8_000)
    server.shop.until(lambda: server.heard)
    assert name not in server.results
    assert "half way: \u00e9" in server.heard[0][1]
    assert server.pool.cancel(name)
    assert server.wait(name).cause == "cancelled"
    heard = len(server.heard)
    server.call(timeout=200)
    assert len(server.heard) == heard


def test_all_that_a_followed_call_logs_is_told_before_its_answer_within_its_bounds(up: Up) -> None:
    """What is over them is counted."""
    server = up(TALK, "talk", "Bytes")
    assert server.call(follow=100_000).state == "done"
    assert "half way: \u00e9" in "".join(text for _, text, _ in server.heard)
    server.heard.clear()
    name = server.begin(b"x" * 40, follow=5_000)
    assert server.wait(name).state == "done"
    told = sum(len(text.encode()) for _, text, _ in server.heard)
    lost = sum(lost for _, _, lost in server.heard)
    assert told <= 5_000 + 3
    assert lost > 100_000
