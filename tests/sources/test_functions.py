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
COMPONENT = b"\0asm\x0d\0\x01\0"


def taken(spec: str, wasm: bytes | None = None) -> Function:
    head = "apiVersion: propeller.dev/v1alpha1\nkind: Function\nmetadata: {name: f}\n"
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


def test_a_component_is_refused_in_words() -> None:
    """When the spec is read, not when it is called."""
    assert "is a component: a Function calls core modules" in faults("", COMPONENT)
