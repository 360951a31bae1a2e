"""Specs of Functions: what must agree with each other, and with the module."""

from __future__ import annotations

import pytest
import wasmtime

from propeller.errors import SpecError
from propeller.model.functions import CronTrigger, Interface, MqttTrigger
from propeller.model.specs import Daemon, Function
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree

WAT = """(module
  (func (export "_start"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "bytes") (result i32) (i32.const 0))
  (func (export "ref") (param externref)))"""


def taken(spec: str, wasm: bytes | None = None, kind: str = "Function") -> Function:
    head = f"apiVersion: propeller.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: f}}\n"
    files = {
        "f.yaml": f"{head}spec:\n  module: {{file: f.wasm}}\n{spec}".encode(),
        "f.wasm": bytes(wasmtime.wat2wasm(WAT)) if wasm is None else wasm,
    }
    revision = load(Tree(name="t", files=files), domain="d", keep=lambda _: None, inspect=inspect)
    (thing,) = revision.objects.values()
    assert isinstance(thing, Function)
    return thing


def faults(spec: str, wasm: bytes | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        taken(spec, wasm)
    return str(caught.value)


def test_a_function_is_a_daemon_that_waits_to_be_called() -> None:
    """Placed, rolled out and healed as one; what it has besides is what it was given."""
    made = taken(
        "  interface: Values\n  run: {entrypoint: add}\n  placement: {replicas: 3}\n"
        "  limits: {timeout: 5s}\n  calls: {concurrency: 2, queue: 7, keep: 2h}\n"
        "  instances: {ready: 2, maxInvocations: 9}\n  retry: {idempotent: Enabled, limit: 4}\n"
        "  triggers:\n    - {name: a, mqtt: {topic: s/+, answer: out}}\n"
        "    - {name: b, cron: {cron: '0 3 * * *', timeZone: Europe/Belgrade, missed: Skip}}\n"
    )
    assert isinstance(made, Daemon)
    calls = made.calls
    assert (calls.interface, calls.concurrency, calls.queue) == (Interface.VALUES, 2, 7)
    assert (calls.ready, calls.max_invocations, calls.retries) == (2, 9, 4)
    assert (calls.keep, made.limits.timeout, made.placement.replicas) == (7_200_000, 5_000, 3)
    first, second = (one.by for one in made.triggers)
    assert first == MqttTrigger(topic="s/+", answer="out")
    assert isinstance(second, CronTrigger)
    assert (second.time_zone, second.catch_up) == ("Europe/Belgrade", False)


def test_the_smallest_function_is_a_command_that_is_never_run_twice() -> None:
    """Defaults: CGI, thirty seconds, a fresh instance, no retries."""
    made = taken("")
    calls = made.calls
    assert (calls.interface, calls.max_invocations, calls.retries) == (Interface.COMMAND, 1, 0)
    assert made.limits.timeout == 30_000


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("  run: {entrypoint: add}\n", "spec.interface: must be Values or Bytes to call add"),
        ("  interface: Values\n", "spec.run.entrypoint: required with interface Values"),
        (
            "  interface: Values\n  run: {entrypoint: add, args: ['1']}\n",
            "spec.run.args: is for a Command",
        ),
        ("  run: {stdin: x}\n", "spec.run.stdin: does not go with a Function"),
        ("  instances: {maxInvocations: 2}\n", "spec.instances.maxInvocations: must be 1"),
        ("  instances: {ready: 9}\n", "spec.instances.ready: must not be above calls.concurrency"),
        (
            "  interface: Bytes\n  run: {entrypoint: add}\n",
            "add must take nothing and return nothing or an i32",
        ),
        ("  interface: Values\n  run: {entrypoint: ref}\n", "values that are no numbers"),
        ("  interface: Values\n  run: {entrypoint: sub}\n", 'exports no function "sub"'),
        ("  triggers: [{name: a}]\n", "spec.triggers[0]: needs exactly one of mqtt and cron"),
        (
            "  triggers: [{name: a, cron: {cron: '* * * * *'}}, {name: a, mqtt: {topic: x}}]\n",
            'spec.triggers[1].name: the trigger "a" is given twice',
        ),
        ("  triggers: [{name: a, cron: {cron: 'x'}}]\n", "spec.triggers[0].cron.cron: must be"),
        ("  triggers: [{name: a, mqtt: {topic: control/x}}]\n", "never with control/"),
        ("  triggers: [{name: a, mqtt: {topic: '#'}}]\n", "never with control/"),
        ("  triggers: [{name: a, mqtt: {topic: +/proplet}}]\n", "never with control/"),
        ("  triggers: [{name: a, mqtt: {topic: a/x#}}]\n", "are whole levels"),
        ("  triggers: [{name: a, mqtt: {topic: a/#/b}}]\n", "# stands at the end only"),
        ("  triggers: [{name: a, mqtt: {topic: a/+, answer: a/b}}]\n", "call itself for ever"),
        ("  triggers: [{name: a, mqtt: {topic: a}, body: x}]\n", "a message brings its own"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_field(spec: str, fault: str) -> None:
    """One fault in, one message out."""
    assert fault in faults(spec)


RUN = """(component
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $x (export "run" (func $run))) (export "wasi:cli/run@0.2.6" (instance $x))
  (export "go" (func $run)) (export "acme:app/api@1.0.0" (instance $x)))"""


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "  interface: Values\n  run: {entrypoint: go}\n",
        "  interface: Values\n  run: {entrypoint: 'acme:app/api#run'}\n",
    ],
)
def test_a_component_is_called_by_a_command_or_a_typed_export(spec: str) -> None:
    """What its names tell is checked when the spec is read."""
    assert taken(spec, bytes(wasmtime.wat2wasm(RUN))).calls.interface


HANDLER = '(instance $x) (export "wasi:http/incoming-handler@0.2.0" (instance $x))'


def test_a_handler_of_requests_is_called_and_nothing_else() -> None:
    """A Function with interface Command calls it; a Task has no request for it."""
    text = f'(component (import "wasi:http/types@0.2.3" (instance)) {HANDLER})'
    wasm = bytes(wasmtime.wat2wasm(text))
    assert taken("", wasm).calls.interface is Interface.COMMAND
    with pytest.raises(SpecError, match="ComponentHttp: it handles requests"):
        taken("", wasm, kind="Task")


@pytest.mark.parametrize(
    ("component", "spec", "fault"),
    [
        ("", "", "spec.run.entrypoint: ComponentExport: it is no command"),
        (
            f'(import "wasi:filesystem/types@0.2.0" (instance)) {HANDLER}',
            "  run: {mounts: [{name: data}]}\n",
            "spec.run.mounts: ComponentHttp: it handles requests, and such a component gets",
        ),
        (
            '(import "wasi:http/types@0.2.0" (instance))',
            "",
            "spec.module: ComponentHttp: it imports wasi:http/types, and neither handles",
        ),
        (
            '(import "wasi:http/outgoing-handler@0.2.0" (instance))',
            "",
            "spec.run.entrypoint: ComponentExport: it is no command",
        ),
        (
            '(import "wasi:sockets/tcp@0.2.0" (instance))',
            "",
            "spec.module: ComponentImport: it imports wasi:sockets/tcp@0.2.0, and no guest gets",
        ),
        ('(import "acme:a/b" (instance))', "", "acme:a/b, which nobody provides"),
        ("", "  interface: Bytes\n  run: {entrypoint: f}\n", "Bytes is for core modules"),
        ("", "  interface: Values\n  run: {entrypoint: f}\n", "it exports no 'f'; it exports no"),
    ],
)
def test_a_component_that_cannot_be_served_is_refused_when_the_spec_is_read(
    component: str, spec: str, fault: str
) -> None:
    """With a code, in the words that a proplet would use."""
    assert fault in faults(spec, bytes(wasmtime.wat2wasm(f"(component {component})")))


def test_a_components_grants_are_those_of_its_interfaces() -> None:
    """`run.capabilities` holds preview 2 to what it holds preview 1 to."""
    clock = RUN.replace(
        "(component", '(component (import "wasi:clocks/wall-clock@0.2.0" (instance))'
    )
    wasm = bytes(wasmtime.wat2wasm(clock))
    assert taken("  run: {capabilities: [Clock]}\n", wasm)
    assert "imports wasi:clocks/wall-clock@0.2.0, which needs Clock" in faults(
        "  run: {capabilities: [Sleep]}\n", wasm
    )
