"""Components of WASI preview 2 in real workers: commands, typed exports, and what is refused."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from proplet_component_wat import EXITS, FAILS, FLOODS, HELLO, SHOW, SPINS, TRAPS, TYPED, echo

from proplet.pending import Result

if TYPE_CHECKING:
    from conftest import Maker, Up, Workshop


def body_of(result: Result) -> bytes:
    assert result.state == "done", result
    return base64.b64decode(result.body)


# -- runs ------------------------------------------------------------------------------------------


def test_a_command_gets_its_arguments_its_environment_and_its_stdin(workshop: Workshop) -> None:
    """`wasi:cli/run`: what the entry says and nothing else; stdout is the result."""
    outcome = workshop.run(SHOW, args=("alpha", "beta"), env=(("K", "v"),), stdin="in")
    assert (outcome.ok, outcome.exit, outcome.error) == (True, 0, "")
    assert outcome.result == "Task/default/test|alpha|beta|K|v|in"


def test_a_component_starts_again_from_its_native_code(workshop: Workshop) -> None:
    """The second run of the same bytes compiles nothing, and neither does one after a restart."""
    assert workshop.run(HELLO).result == "hello\n"
    (native,) = (workshop.directory / "native").glob("*[!n]")
    before = native.stat().st_mtime_ns
    assert workshop.run(HELLO, 2).result == "hello\n"
    workshop.supervisor._compiling._facts.clear()
    assert workshop.run(HELLO, 3).result == "hello\n"
    assert native.stat().st_mtime_ns == before


ENDS = {
    "exit": (EXITS, 1, "exit 1", {}),
    "err": (FAILS, 1, "exit 1", {}),
    "trap": (TRAPS, None, "trapped: wasm `unreachable` instruction executed", {}),
    "spin": (SPINS, None, "ran longer than its limit of 300ms", {"timeout": 300}),
    "fuel": (SPINS, None, "used up its fuel", {"fuel": 100_000}),
    "flood": (FLOODS, None, "wrote more than its limit of 8KiB", {"output": 8192}),
}


def test_a_command_ends_as_a_core_one_does(workshop: Workshop) -> None:
    """The same limits, the same words."""
    for number, (module, exit, words, changes) in enumerate(ENDS.values(), 1):
        outcome = workshop.run(module, number, **changes)
        assert (outcome.ok, outcome.exit) == (False, exit), outcome
        assert words in outcome.error
    small = workshop.entry(HELLO, 99, memory=65536)
    assert "needs 131072 bytes" in workshop.prepare(small)


def test_a_typed_export_is_run_with_its_arguments(workshop: Workshop) -> None:
    """Of the component itself or of an interface, its version said or left out."""
    for number, name in enumerate(("add", "acme:calc/ops@1.2.0#add", "acme:calc/ops#add"), 1):
        outcome = workshop.run(TYPED, number, entrypoint=name, args=("40", "2"))
        assert (outcome.ok, outcome.result) == (True, "42")
    text = workshop.run(echo("string", flat=2), 9, entrypoint="same", args=('för "x"',))
    assert text.result == 'för "x"', "text stands as it is"
    bad = workshop.run(TYPED, 10, entrypoint="add", args=("40", "x"))
    assert "argument b is not JSON" in bad.error


def test_the_result_of_a_result_is_what_it_holds(workshop: Workshop) -> None:
    """ok is the answer; err is a failure with its value."""
    assert workshop.run(TYPED, entrypoint="halve", args=("84",)).result == "42"
    outcome = workshop.run(TYPED, 2, entrypoint="halve", args=("7",))
    assert (outcome.ok, outcome.error) == (False, "returned err: 3")


# -- calls -----------------------------------------------------------------------------------------


def test_arguments_come_as_a_list_by_name_or_in_the_query(up: Up) -> None:
    """And what does not fit is refused before anything begins."""
    server = up(TYPED, "add")
    assert body_of(server.call(b"[40, 2]")) == b"42"
    assert body_of(server.call(b'{"b": 2, "a": 40}')) == b"42"
    assert body_of(server.call(query="a=40&b=2")) == b"42"
    wave = [["content-type", "text/x-wave; charset=utf-8"]]
    said = server.call(b"(40, 2)", headers=wave)
    assert body_of(said) == b"42"
    assert said.headers == (("content-type", "text/x-wave"),)
    refused = server.call(b"(40, two)", headers=wave)
    assert (refused.state, refused.cause) == ("refused", "request")
    assert "b must be a whole number, not 'two)' at character 6" in refused.error
    bad = {
        b"[1]": "it takes 2 arguments (a: s32, b: s32), 1 given",
        b"{": "the body is not JSON",
        b"\xff": "the body is not UTF-8",
        b"[1, 2147483648]": "b must be a whole number from -2147483648 to 2147483647",
        b"[1, 1.5]": "b must be a whole number",
        b"[1, true]": "b must be a whole number",
        b'{"a": 1, "c": 2}': "1 given",
        b"[NaN, 2]": "the body is not JSON",
    }
    for body, words in bad.items():
        result = server.call(body)
        assert (result.state, result.cause) == ("refused", "request"), body
        assert words in result.error


def test_an_instance_is_kept_as_long_as_the_spec_says(up: Up) -> None:
    """And one that failed is not."""
    server = up(TYPED, "count", concurrency=1, invocations=3)
    assert [body_of(server.call()) for _ in range(4)] == [b"1", b"2", b"3", b"1"]
    assert [body_of(up(TYPED, "count").call()) for _ in range(1)] == [b"1"]


def test_a_result_of_a_call_names_its_case(up: Up) -> None:
    """An err is an answer: the caller decides what it means."""
    server = up(TYPED, "halve")
    assert body_of(server.call(b"[84]")) == b'{"ok":42}'
    assert body_of(server.call(b"[7]")) == b'{"err":3}'
    assert body_of(up(TYPED, "none").call()) == b"null"


@pytest.mark.parametrize(
    ("module", "entrypoint", "cause", "changes"),
    [
        (TYPED, "spin", "timeout", {}),
        (TYPED, "spin", "fuel", {"fuel": 100_000}),
        (TYPED, "trap", "trap", {}),
        (FAILS, "_start", "exit", {}),
        (EXITS, "_start", "exit", {}),
        (FLOODS, "_start", "output", {}),
    ],
)
def test_a_call_ends_as_that_of_a_core_module(
    up: Up, module: str, entrypoint: str, cause: str, changes: dict[str, object]
) -> None:
    """With the same causes, and the next call finds the function as it was."""
    server = up(module, entrypoint, **changes)
    for _ in range(2):
        server.shop.until(lambda: server.pool._idle, 60)  # its time begins when it is asked
        result = server.call(timeout=400 if cause == "timeout" else 10_000)
        assert (result.state, result.cause) == ("failed", cause), result


def test_a_component_is_called_as_in_cgi(up: Up) -> None:
    """The request in the environment and on stdin, the answer on stdout, stderr in the log."""
    server = up(SHOW, args=("a",))
    told = body_of(server.call(b"ping", method="PUT", path="keys/7")).decode()
    assert told.startswith("Function/plant-a/f|a|GATEWAY_INTERFACE|CGI/1.1|REQUEST_METHOD|PUT|")
    assert "|PATH_INFO|/keys/7|" in told
    assert told.endswith("|ping")
    (log,) = server.shop.supervisor.logs(server.key).glob("stderr.*")
    assert log.read_text() == "|"


def test_bytes_are_for_core_modules(make_workshop: Maker) -> None:
    """The `propeller` imports have no form in WIT here."""
    from propeller.wire.call_messages import WireServe

    shop = make_workshop()
    serve = WireServe(interface="Bytes", concurrency=1, queue=1, ready=1, invocations=1)
    entry = shop.entry(TYPED, mode="serve", cause="daemon", entrypoint="none", serve=serve)
    assert "Bytes is for core modules" in shop.prepare(entry)
