"""Guests that publish and receive, in real workers: the imports, what they answer, who may."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import wasmtime

from propeller.wire.call_messages import WireServe
from propeller.wire.topic_messages import WireTopic
from proplet.records import Key
from proplet.runtime.topics import Topics

if TYPE_CHECKING:
    from conftest import Workshop

OUT = WireTopic(name="out", publish="t/a", size=4, rate=1000)
IN = WireTopic(name="in", subscribe="cmds/+")

IMPORTS = """
  (import "propeller" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "propeller" "receive" (func $receive (param i32 i32 i32 i32 i32) (result i32)))
  (import "propeller" "receive_topic" (func $topic (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "outinno12345")"""

PUBLISHER = f"""(module {IMPORTS}
  (func (export "run") (result i32 i32 i32 i32 i32)
    (call $publish (i32.const 0) (i32.const 3) (i32.const 7) (i32.const 4))
    (call $publish (i32.const 0) (i32.const 3) (i32.const 7) (i32.const 5))
    (call $publish (i32.const 3) (i32.const 2) (i32.const 7) (i32.const 1))
    (call $publish (i32.const 0) (i32.const 3) (i32.const 8) (i32.const 0))
    (call $publish (i32.const 0) (i32.const 3) (i32.const 7) (i32.const 1))))"""
"""Five answers: taken, too long, no such name to publish to, taken (empty), taken."""

RECEIVER = f"""(module {IMPORTS}
  (func (export "run") (result i32 i32 i32 i32 i32 i32) (local $n i32)
    (call $receive (i32.const 5) (i32.const 2) (i32.const 100) (i32.const 9) (i32.const 0))
    (call $receive (i32.const 3) (i32.const 2) (i32.const 100) (i32.const 2) (i32.const 20000))
    (call $receive (i32.const 3) (i32.const 2) (i32.const 100) (i32.const 9) (i32.const 0))
    (i32.load8_u (i32.const 102))
    (call $topic (i32.const 200) (i32.const 9))
    (call $receive (i32.const 3) (i32.const 2) (i32.const 100) (i32.const 9) (i32.const 1))))"""
"""No such name; three bytes, no room; now they fit; the third of them; its topic; nothing more."""

SLEEPER = f"""(module {IMPORTS}
  (func (export "run") (result i32)
    (call $receive (i32.const 3) (i32.const 2) (i32.const 100) (i32.const 9) (i32.const 60000))))"""


@dataclass
class Heard:
    """What guests said of messages."""

    said: list[tuple[Key, dict[str, object]]] = field(default_factory=list)

    def __call__(self, key: Key, message: dict[str, object]) -> None:
        self.said.append((key, message))

    @property
    def published(self) -> list[bytes]:
        return [
            base64.b64decode(str(message["data"]))
            for _, message in self.said
            if message["event"] == "publish"
        ]


@pytest.fixture
def heard(workshop: Workshop) -> Heard:
    made = Heard()
    workshop.supervisor._talk = made  # the shell's place
    return made


def test_a_guest_is_told_what_became_of_each_message(workshop: Workshop, heard: Heard) -> None:
    """0 taken, -2 too long, -1 no such name; only what was taken reaches the agent, in order."""
    outcome = workshop.run(PUBLISHER, entrypoint="run", topics=(OUT, IN))
    assert outcome.result == "0,-2,-1,0,0"
    assert heard.published == [b"1234", b"", b"1"]


def test_a_guest_that_is_too_fast_is_told_and_may_go_on_after_a_while() -> None:
    """Two a second: two at once, the third half a second after."""
    now, said = [100.0], []
    topics = Topics(said.append, [("out", "publish", 4, 2)], clock=lambda: now[0])
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    topics.link(linker)
    instance = linker.instantiate(store, wasmtime.Module(engine, PUBLISHER))
    run = instance.exports(store)["run"]
    assert run(store) == [0, -2, -1, 0, -3]
    now[0] += 0.4
    assert run(store)[0] == -3
    now[0] += 0.2
    assert run(store) == [0, -2, -1, -3, -3]
    assert len(said) == 3


def test_a_guest_waits_for_a_message_and_keeps_one_that_does_not_fit(
    workshop: Workshop, heard: Heard
) -> None:
    """It asks, sleeps in the host and is woken; a message stays until there is room for it."""
    key = workshop.start(workshop.entry(RECEIVER, entrypoint="run", topics=(OUT, IN)))
    workshop.until(lambda: any(message["event"] == "receive" for _, message in heard.said))
    assert heard.said[0] == (key, {"event": "receive", "name": "in"})
    given = {"name": "in", "topic": "cmds/go", "data": base64.b64encode(b"abc").decode()}
    assert workshop.supervisor.hand(key, given)
    workshop.until(lambda: key in workshop.over)
    assert workshop.over[key].result == f"-1,3,3,{ord('c')},7,-4"
    assert not workshop.supervisor.hand(key, given)


def test_a_guest_that_waits_for_a_message_dies_at_its_deadline(
    workshop: Workshop, heard: Heard
) -> None:
    """No message ever comes: the wait in the host ends with the time it has."""
    outcome = workshop.run(SLEEPER, entrypoint="run", topics=(OUT, IN), timeout=300)
    assert (outcome.ok, outcome.error) == (False, "ran longer than its limit of 300ms")


@pytest.mark.parametrize(
    ("module", "changes", "words"),
    [
        (PUBLISHER, {}, "needs propeller.publish and is granted no topic to publish to"),
        (PUBLISHER, {"topics": (IN,)}, "needs propeller.publish and is granted no topic"),
        (RECEIVER, {"topics": (OUT,)}, "needs propeller.receive and is granted no topic to hear"),
        (
            RECEIVER,
            {"topics": (OUT, IN), "mode": "serve", "serve": WireServe(interface="Bytes")},
            "needs propeller.receive, which a Function does not offer",
        ),
    ],
)
def test_a_module_without_the_grant_is_refused_in_words(
    workshop: Workshop, module: str, changes: dict[str, object], words: str
) -> None:
    """Before anything of it runs."""
    entry = workshop.entry(module, entrypoint="run", **changes)
    assert words in workshop.prepare(entry)


def test_what_is_about_a_call_is_for_functions_only(workshop: Workshop) -> None:
    """A Task that asks for the request of a call is refused, by the import's name."""
    module = """(module (import "propeller" "log" (func (param i32 i32 i32)))
      (import "propeller" "input_len" (func (result i32))) (func (export "run")))"""
    words = workshop.prepare(workshop.entry(module, entrypoint="run"))
    assert words == "needs propeller.input_len, which only a Function offers"


def test_a_task_may_log_and_read_its_variables(workshop: Workshop) -> None:
    """The rest of the guest interface is everybody's; a line of the log is one of stderr."""
    module = """(module (import "propeller" "log" (func $log (param i32 i32 i32)))
      (import "propeller" "config_get" (func $get (param i32 i32 i32 i32) (result i32)))
      (import "propeller" "now_ms" (func $now (result i64)))
      (memory (export "memory") 1) (data (i32.const 0) "RATE")
      (func (export "run") (result i32)
        (call $log (i32.const 2) (i32.const 0) (i32.const 4))
        (drop (call $now))
        (call $get (i32.const 0) (i32.const 4) (i32.const 9) (i32.const 9))))"""
    entry = workshop.entry(module, entrypoint="run", env=(("RATE", "123"),))
    key = workshop.start(entry)
    workshop.until(lambda: key in workshop.over)
    assert workshop.over[key].result == "3"
    assert (workshop.supervisor.logs(key) / "stderr.0").read_bytes() == b"info: RATE\n"
