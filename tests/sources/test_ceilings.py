"""What an App may not ask for: refused with file, line and field before anything is sent."""

from __future__ import annotations

import pytest

from propeller.errors import SpecError
from propeller.model.ceilings import FREE, Ceilings, ceilings_form, ceilings_of
from propeller.model.ids import Key
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import App
from propeller.reconcile.sourcing import owner_of
from propeller.registry.wasm import inspect
from propeller.sources.load import load

HEAD = "apiVersion: propeller.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
CLOCK = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""


def an_app(name: str, path: str, ceilings: str) -> str:
    head = HEAD.format(kind="App", name=name)
    return f"{head}  source: {{path: {path}}}\n  ceilings: {ceilings}\n"


def a_task(name: str, *lines: str, kind: str = "Task", module: str = "add.wat") -> str:
    head = HEAD.format(kind=kind, name=name)
    return f"{head}  module: {{file: {module}}}\n" + "".join(f"  {line}\n" for line in lines)


ADD = "run: {entrypoint: add, args: ['1', '2']}"
BEYOND = {
    # ceilings, what the task says besides, the fault
    "memory": ("{memory: 32MiB}", (ADD,), "p/t.yaml:4: spec.limits.memory: must be at most 32MiB"),
    "memory-given": (
        "{memory: 32MiB}",
        (ADD, "limits: {memory: 33MiB}"),
        "p/t.yaml:7: spec.limits.memory: must be at most 32MiB, not 33MiB",
    ),
    "memory-unlimited": (
        "{memory: 32MiB}",
        (ADD, "limits: {memory: Unlimited}"),
        "p/t.yaml:7: spec.limits.memory: must be at most 32MiB, not Unlimited",
    ),
    "fuel": ("{fuel: 1000}", (ADD,), "spec.limits.fuel: must be at most 1000, not Unlimited"),
    "timeout": ("{timeout: 1m}", (ADD,), "spec.limits.timeout: must be at most 1m, not 10m"),
    "output": ("{output: 1KiB}", (ADD,), "spec.limits.output: must be at most 1KiB, not 64KiB"),
    "mount": (
        "{mounts: [models]}",
        ("run: {entrypoint: add, args: ['1', '2'], mounts: [{name: data}]}",),
        "p/t.yaml:6: spec.run.mounts[0].name: must be one of the mounts allowed (models)",
    ),
    "no-mount": (
        "{mounts: []}",
        ("run: {entrypoint: add, args: ['1', '2'], mounts: [{name: data}]}",),
        'must be one of the mounts allowed (none), not "data"',
    ),
    "writable": (
        "{mountAccess: ReadOnly}",
        ("run: {entrypoint: add, args: ['1', '2'], mounts: [{name: d, access: ReadWrite}]}",),
        "spec.run.mounts[0].access: must be ReadOnly",
    ),
    "point": (
        "{points: [temperature]}",
        (
            "run: {entrypoint: add, args: ['1', '2'],"
            " points: [{read: temperature}, {name: temperature-2, write: relay}]}",
        ),
        "spec.run.points[1].write: must be one of the points allowed (temperature)",
    ),
    "no-point": (
        "{points: []}",
        ("run: {entrypoint: add, args: ['1', '2'], points: [{read: temperature}]}",),
        'must be one of the points allowed (none), not "temperature"',
    ),
    "secrets": (
        "{secrets: Denied}",
        (
            "run: {entrypoint: add, args: ['1', '2'],"
            " env: [{name: A, secretRef: {name: s, key: k}}]}",
        ),
        "spec.run.env: must not use Secrets",
    ),
    "http": (
        "{http: ['GET https://*.example.com']}",
        (
            "run: {entrypoint: add, args: ['1', '2'], http: {allow:"
            " ['GET https://a.example.com/v1', 'https://b.example.com']}}",
        ),
        "p/t.yaml:6: spec.run.http.allow[1]: https://b.example.com must be within:"
        " GET https://*.example.com",
    ),
    "no-http": (
        "{http: []}",
        ("run: {entrypoint: add, args: ['1', '2'], http: {allow: ['https://b.example.com']}}",),
        "https://b.example.com must be within: none",
    ),
    "capabilities-open": (
        "{capabilities: [Sleep]}",
        (ADD,),
        "spec.run.capabilities: required: at most Sleep",
    ),
    "capabilities": (
        "{capabilities: []}",
        ("run: {entrypoint: add, args: ['1', '2'], capabilities: [Clock]}",),
        "spec.run.capabilities: must be at most none",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_goes_beyond_a_ceiling_is_refused_with_file_and_field(loading, add_wat, name):
    """The fault names the field, the most there may be, and whose ceiling it is."""
    ceilings, lines, words = BEYOND[name]
    files = {
        "a.yaml": an_app("plant", "p", ceilings),
        "p/t.yaml": a_task("t", *lines),
        "p/add.wat": add_wat,
    }
    told = loading.faults(files)
    assert len(told) == 1, told
    assert words in told[0]
    assert told[0].endswith('spec.ceilings of App "plant"')


def test_what_stays_below_is_taken(loading, add_wat):
    """At the ceiling is not beyond it; a Daemon's time is its own; other Apps are not bound."""
    files = {
        "a.yaml": an_app("plant", "p", "{memory: 32MiB, timeout: 1m, mounts: [data], fuel: 9}"),
        "p/t.yaml": a_task("t", ADD, "limits: {memory: 32MiB, timeout: 1m, fuel: 9}"),
        "p/d.yaml": a_task("d", ADD, "limits: {memory: 1MiB, fuel: 1}", kind="Daemon"),
        "p/add.wat": add_wat,
        "other.yaml": a_task("other", ADD, "limits: {memory: Unlimited}", module="p/add.wat"),
    }
    assert len(loading(files).objects) == 4


def test_one_workload_more_than_an_app_may_have_is_refused(loading, add_wat):
    """Each beyond the number is named; what is no workload does not count."""
    files = {
        "a.yaml": an_app("plant", "p", "{workloads: 1}"),
        "p/a.yaml": a_task("a", ADD),
        "p/b.yaml": a_task("b", ADD),
        "p/add.wat": add_wat,
    }
    assert loading.faults(files) == [
        'p/b.yaml:3: metadata.name: is one more than 1: spec.ceilings.workloads of App "plant"'
    ]


def test_an_app_inside_an_app_is_under_both(loading, add_wat):
    """Who may declare an App inside another cannot leave the outer ceilings by it."""
    files = {
        "a.yaml": an_app("outer", "p", "{memory: 32MiB, mounts: [a, b]}"),
        "p/in.yaml": an_app("inner", "p/q", "{memory: 4GiB, mounts: [b, c]}"),
        "p/q/t.yaml": a_task("t", ADD),
        "p/q/add.wat": add_wat,
    }
    assert loading.faults(files) == [
        "p/q/t.yaml:4: spec.limits.memory: must be at most 32MiB, not 64MiB:"
        ' spec.ceilings of App "inner"'
    ]
    files["p/q/t.yaml"] = a_task("t", ADD, "limits: {memory: 32MiB}")
    inner = loading(files).objects[Key("App", "default", "inner")]
    assert isinstance(inner, App)
    assert inner.ceilings == Ceilings(memory=32 << 20, mounts=("b",))


def test_an_app_with_a_source_of_its_own_takes_its_ceilings_there(loading, add_wat):
    """Whoever writes to the App's own repository is under the ceilings of who declared it."""
    declared = HEAD.format(kind="App", name="team") + (
        "  source: {git: {url: 'https://git.example/team.git'}}\n"
        "  ceilings: {memory: 32MiB, workloads: 3}\n"
    )
    team = loading({"a.yaml": declared}).objects[Key("App", "default", "team")]
    assert isinstance(team, App)
    tree = loading.tree({"t.yaml": a_task("t", ADD), "add.wat": add_wat})
    with pytest.raises(SpecError) as caught:
        load(tree, domain="d", keep=loading.keep, inspect=inspect, owner=owner_of(team))
    assert 'spec.ceilings of App "team"' in str(caught.value)


def test_a_module_that_imports_more_than_it_is_granted_is_refused(loading):
    """The clock is an import like any other: without the grant the module is not taken."""
    files = {
        "t.yaml": a_task("t", "run: {capabilities: [Random]}", module="clock.wat"),
        "clock.wat": CLOCK,
    }
    told = loading.faults(files)
    assert told == [
        "t.yaml:6: spec.run.capabilities: clock.wat imports clock_time_get, which needs Clock in"
        " run.capabilities"
    ]
    files["t.yaml"] = a_task("t", "run: {capabilities: [Clock]}", module="clock.wat")
    assert len(loading(files).objects) == 1


def test_ceilings_come_back_as_they_were_stored(loading, add_wat):
    """What is written down is what is read, with and without ceilings."""
    ceilings = "{memory: 1MiB, fuel: 5, timeout: 1s, output: 1KiB, workloads: 2, mounts: [b, a],"
    ceilings += " http: ['https://a.example'],"
    ceilings += " mountAccess: ReadOnly, capabilities: [Sleep, Clock], secrets: Denied}"
    files = {"a.yaml": an_app("x", "p", ceilings), "p/none.yaml": ""}
    made = loading(files).objects[Key("App", "default", "x")]
    assert isinstance(made, App)
    assert made.ceilings.capabilities == ("Clock", "Sleep")
    assert parse_object(**stored_form(made)) == made
    assert ceilings_of(ceilings_form(made.ceilings)) == made.ceilings
    assert ceilings_of(ceilings_form(FREE)) == FREE


def test_a_step_of_a_workflow_and_a_function_are_bound_too(loading, add_wat):
    """Whatever runs a module is under the ceilings of its App."""
    workflow = HEAD.format(kind="Workflow", name="w") + (
        "  steps:\n    - name: one\n      module: {file: add.wat}\n"
        "      run: {entrypoint: add, args: ['1', '2']}\n"
    )
    function = HEAD.format(kind="Function", name="f") + "  module: {file: add.wat}\n"
    for text in (workflow, function):
        files = {
            "a.yaml": an_app("plant", "p", "{memory: 32MiB}"),
            "p/x.yaml": text,
            "p/add.wat": add_wat,
        }
        assert any("memory: must be at most 32MiB" in one for one in loading.faults(files)), text
